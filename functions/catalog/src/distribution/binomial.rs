//! Probabilities of the binomial distribution in Loader's saddle point form, in which nothing cancels.

use std::f64::consts::PI;

/// The probability of `v` successes in `n` trials, of which `n p = v + excess` are expected (Loader's saddle point form).
pub(crate) fn binomial_probability(v: u64, n: u64, excess: f64, p: f64, q: f64) -> f64 {
    let size = n as f64;
    if v == 0 {
        return libm::exp(size * libm::log1p(-p));
    }
    if v == n {
        return libm::pow(p, size);
    }
    let (successes, failures) = (v as f64, (n - v) as f64);
    let exponent = stirling_error(size)
        - stirling_error(successes)
        - stirling_error(failures)
        - deviance(successes, excess, size * p)
        - deviance(failures, -excess, size * q);
    libm::exp(exponent) * (size / (2.0 * PI * successes * failures)).sqrt()
}

/// `x log(x / mean) + mean - x` for a mean of `x + excess`.
pub(crate) fn deviance(x: f64, excess: f64, mean: f64) -> f64 {
    if mean <= 0.0 {
        return f64::INFINITY;
    }
    // x log(x / mean) = -x log1p(excess / x); near zero the series of log1p(u) - u avoids the cancellation.
    let u = excess / x;
    if u.abs() < 0.05 {
        let (mut power, mut sum) = (-u, 0.0);
        for k in 2..20 {
            power *= -u;
            sum += power / f64::from(k);
        }
        x * sum
    } else {
        excess - x * libm::log1p(u)
    }
}

/// `log(n!)` less Stirling's formula.
pub(crate) fn stirling_error(n: f64) -> f64 {
    if n < 16.0 {
        let half_log_two_pi = 0.918_938_533_204_672_8;
        return libm::lgamma(n + 1.0) - (n + 0.5) * libm::log(n) + n - half_log_two_pi;
    }
    let s = n * n;
    (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1_260.0 - (1.0 / 1_680.0 - 1.0 / 1_188.0 / s) / s) / s) / s) / n
}
