//! The gamma and chi-square distributions, by the incomplete gamma function.

use std::f64::consts::PI;

use super::binomial::{deviance, stirling_error};

/// The probability that a chi-square variable with `df` degrees of freedom is at least `x`.
#[must_use]
pub fn chi_square_sf(x: f64, df: f64) -> f64 {
    if x.is_nan() || df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    if x <= 0.0 {
        return 1.0;
    }
    if x.is_infinite() {
        return 0.0;
    }
    upper(df / 2.0, x / 2.0).clamp(0.0, 1.0)
}

/// The probability that a gamma variable of this shape and scale one is at most `x`.
#[must_use]
pub fn gamma_cdf(shape: f64, x: f64) -> f64 {
    if x.is_nan() || shape.is_nan() || shape <= 0.0 {
        return f64::NAN;
    }
    if x <= 0.0 {
        return 0.0;
    }
    if x.is_infinite() {
        return 1.0;
    }
    (1.0 - upper(shape, x)).clamp(0.0, 1.0)
}

/// The regularized upper incomplete gamma function Q(a, x).
#[allow(clippy::many_single_char_names, reason = "the names of the formulas")]
fn upper(a: f64, x: f64) -> f64 {
    const STEPS: u32 = 100_000;
    // x^a e^-x / Γ(a + 1), the first term of the series.
    // As a Poisson probability: differences of log-gamma would lose digits where a is large.
    let front = libm::exp(-stirling_error(a) - deviance(a, x - a, x)) / (2.0 * PI * a).sqrt();
    if x < a + 1.0 {
        // P(a, x) by its power series; all terms are positive.
        let (mut term, mut sum) = (1.0, 1.0);
        for n in 1..STEPS {
            term *= x / (a + f64::from(n));
            sum += term;
            if term < sum * f64::EPSILON {
                break;
            }
        }
        1.0 - front * sum
    } else {
        // Q(a, x) by Legendre's continued fraction, evaluated by Lentz's method.
        let tiny = f64::MIN_POSITIVE / f64::EPSILON;
        let mut b = x + 1.0 - a;
        let mut c = 1.0 / tiny;
        let mut d = 1.0 / b;
        let mut fraction = d;
        for n in 1..STEPS {
            let n = f64::from(n);
            let numerator = -n * (n - a);
            b += 2.0;
            let away_from_zero = |value: f64| if value.abs() < tiny { tiny } else { value };
            d = 1.0 / away_from_zero(numerator * d + b);
            c = away_from_zero(b + numerator / c);
            fraction *= d * c;
            if (d * c - 1.0).abs() < f64::EPSILON {
                break;
            }
        }
        front * a * fraction
    }
}
