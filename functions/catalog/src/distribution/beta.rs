//! The beta distribution, and Student's t and F by it.

use std::f64::consts::PI;

use super::binomial::{deviance, stirling_error};

/// The regularized incomplete beta function: the probability that a beta variable is at most `x`.
#[must_use]
pub fn beta_cdf(a: f64, b: f64, x: f64) -> f64 {
    if !(a > 0.0 && b > 0.0) || x.is_nan() {
        return f64::NAN;
    }
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    incomplete(a, b, x, 1.0 - x)
}

/// The incomplete beta function of `x`, given `1 - x` too, so that neither loses digits near the ends.
fn incomplete(a: f64, b: f64, x: f64, complement: f64) -> f64 {
    // x^a (1 - x)^b / B(a, b) as a binomial probability: differences of log-gamma would lose digits where a or b is large.
    let excess = b * x - a * complement;
    let exponent = stirling_error(a + b)
        - stirling_error(a)
        - stirling_error(b)
        - deviance(a, excess, a + excess)
        - deviance(b, -excess, b - excess);
    let front = libm::exp(exponent) * (a * b / (2.0 * PI * (a + b))).sqrt();
    // The continued fraction converges fast below the mean; above it the other tail is computed.
    let share = if x < (a + 1.0) / (a + b + 2.0) {
        front * continued_fraction(a, b, x) / a
    } else {
        1.0 - front * continued_fraction(b, a, complement) / b
    };
    share.clamp(0.0, 1.0)
}

/// The continued fraction of the incomplete beta function, by Lentz's method.
#[allow(clippy::many_single_char_names, reason = "the names of the formulas")]
fn continued_fraction(a: f64, b: f64, x: f64) -> f64 {
    const STEPS: u32 = 100_000;
    let tiny = f64::MIN_POSITIVE / f64::EPSILON;
    let away_from_zero = |value: f64| if value.abs() < tiny { tiny } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for m in 1..STEPS {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for numerator in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + numerator * d);
            c = away_from_zero(1.0 + numerator / c);
            change = d * c;
            fraction *= change;
        }
        if (change - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    fraction
}

/// The value that a beta variable stays below with probability `p`, by bisection to the last bit.
#[must_use]
pub fn beta_quantile(a: f64, b: f64, p: f64) -> f64 {
    if !(a > 0.0 && b > 0.0 && (0.0..=1.0).contains(&p)) {
        return f64::NAN;
    }
    bisect(|x| beta_cdf(a, b, x) < p, 0.0, 1.0)
}

/// The probability that Student's t with `df` degrees of freedom is at least as far from zero as `t`.
#[must_use]
pub fn student_two_sided(t: f64, df: f64) -> f64 {
    if t.is_nan() || df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    if t.is_infinite() {
        return 0.0;
    }
    if df.is_infinite() {
        return super::normal_two_sided(t);
    }
    if t == 0.0 {
        return 1.0;
    }
    let square = t * t;
    incomplete(df / 2.0, 0.5, df / (df + square), square / (df + square))
}

/// The value that Student's t with `df` degrees of freedom stays below with probability `p`.
#[must_use]
pub fn student_quantile(p: f64, df: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) || df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    if df.is_infinite() {
        return super::normal_quantile(p);
    }
    let tail = 2.0 * p.min(1.0 - p);
    if tail == 0.0 {
        return if p > 0.5 { f64::INFINITY } else { f64::NEG_INFINITY };
    }
    let mut high = 1.0;
    while student_two_sided(high, df) > tail && high < f64::MAX / 2.0 {
        high *= 2.0;
    }
    let t = bisect(|t| student_two_sided(t, df) > tail, 0.0, high);
    if p > 0.5 { t } else { -t }
}

/// The probability that F with `between` and `within` degrees of freedom is at least `f`.
#[must_use]
pub fn f_sf(f: f64, between: f64, within: f64) -> f64 {
    if f.is_nan() || !(between > 0.0 && within > 0.0) {
        return f64::NAN;
    }
    if f <= 0.0 {
        return 1.0;
    }
    if f.is_infinite() {
        return 0.0;
    }
    let whole = within + between * f;
    incomplete(within / 2.0, between / 2.0, within / whole, between * f / whole)
}

/// The end of the stretch from `low` in which `is_below` holds.
fn bisect(is_below: impl Fn(f64) -> bool, mut low: f64, mut high: f64) -> f64 {
    for _ in 0..1_100 {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        if is_below(middle) { low = middle } else { high = middle }
    }
    high
}
