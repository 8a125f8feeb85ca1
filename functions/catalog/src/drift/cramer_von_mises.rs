//! The two-sample Cramér–von Mises test.

use std::f64::consts::PI;

use super::kolmogorov::gcd;
use super::rank::RankStatistic;
use super::samples::{Finding, Samples, Step};
use super::{Notes, OUTCOME, Outcome, TWO_SAMPLES};
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Tolerance, Type};
use crate::sum::ExactSum;

/// Up to this many values on each side the p-value is exact.
const EXACT_UP_TO: u64 = 20;

/// `cramer_von_mises_test(value, is_base)`.
pub struct CramerVonMisesTest;

impl Function for CramerVonMisesTest {
    fn name(&self) -> &'static str {
        "cramer_von_mises_test"
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn args(&self) -> &'static [Arg] {
        TWO_SAMPLES
    }

    fn returns(&self) -> Type {
        OUTCOME
    }

    fn short(&self) -> &'static str {
        "Two-sample Cramér–von Mises test: do two samples come from one distribution?"
    }

    fn long(&self) -> &'static str {
        include_str!("cramer_von_mises.md")
    }

    fn examples(&self) -> Vec<Example> {
        let outcome = Outcome {
            statistic: Some(0.527_777_777_777_777_8),
            effect_size: Some(0.351_851_851_851_851_86),
            p_value: Some(0.1),
            n_base: 3,
            n_study: 3,
            note: None,
        };
        vec![Example::two_samples(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0], outcome.into_value())]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        Ok(Samples::new(call)?.rank(CramerVonMises::new).into_column())
    }
}

/// The sum of `(F - G)²` over the values of both samples so far. That is not one number where values are tied: it counts by
/// half as it is below them, by half as above.
#[derive(Debug)]
pub(super) struct CramerVonMises {
    sizes: (u64, u64),
    squares: ExactSum,
    below: f64,
    /// The same for small samples.
    in_units: Option<Units>,
}

/// Twice the sum in units of `1 / lcm(m, n)²`, which are whole numbers.
#[derive(Debug, Default)]
struct Units {
    twice: u64,
    below: u64,
}

impl CramerVonMises {
    pub(super) fn new(sizes: (u64, u64)) -> Self {
        let in_units = (sizes.0.max(sizes.1) <= EXACT_UP_TO).then(Units::default);
        Self { sizes, squares: ExactSum::new(), below: 0.0, in_units }
    }
}

impl RankStatistic for CramerVonMises {
    fn least(&self) -> u64 {
        2
    }

    fn add(&mut self, step: &Step) {
        let distance = step.distance(self.sizes);
        let above = distance * distance;
        self.squares.add(step.tied() as f64 * f64::midpoint(self.below, above));
        self.below = above;
        if let Some(units) = &mut self.in_units {
            let distance = step.difference(self.sizes).unsigned_abs() as u64 / gcd(self.sizes.0, self.sizes.1);
            let above = distance * distance;
            units.twice += step.tied() * (units.below + above);
            units.below = above;
        }
    }

    fn finish(&self, _notes: &mut Notes) -> Result<Finding, String> {
        let (m, n) = (self.sizes.0 as f64, self.sizes.1 as f64);
        let mean = self.squares.sum() / (m + n);
        let t = mean * (m * n / (m + n));
        let p = match &self.in_units {
            Some(units) => exact_sf(self.sizes, units.twice.div_ceil(2)),
            None => asymptotic_sf(m, n, t),
        };
        Ok(Finding { statistic: t, effect_size: Some(mean), p_value: Some(p) })
    }
}

/// The share of all ways to order the values of two samples without ties whose statistic is at least `threshold` units, by
/// the method of Xiao, Gordon and Yakovlev (J. Stat. Software 17:8, 2006).
fn exact_sf((m, n): (u64, u64), threshold: u64) -> f64 {
    let divisor = gcd(m, n);
    if threshold == 0 {
        return 1.0;
    }
    let (across, up) = (n / divisor, m / divisor);
    let mut reached = 0_u128;
    // For each point (v, u) of the lattice the sums below the threshold of the paths to it, ascending, and how many have
    // each; a path that reaches the threshold counts with all its ways to go on.
    let mut row: Vec<Vec<(u64, u64)>> = vec![Vec::new(); m as usize + 1];
    for u in 0..=n {
        let mut left: Vec<(u64, u64)> = Vec::new();
        for (v, point) in (0..=m).zip(&mut row) {
            let mut paths = if u == 0 && v == 0 { vec![(0, 1)] } else { merged(&left, point) };
            let step = (across * v).abs_diff(up * u);
            for (sum, _) in &mut paths {
                *sum += step * step;
            }
            let below = paths.partition_point(|(sum, _)| *sum < threshold);
            let ways: u128 = paths.drain(below..).map(|(_, ways)| u128::from(ways)).sum();
            reached += ways * choices(m - v + n - u, m - v);
            left.clone_from(&paths);
            *point = paths;
        }
    }
    (reached as f64 / choices(m + n, m) as f64).min(1.0)
}

/// Two ascending lists of sums and their counts as one.
fn merged(a: &[(u64, u64)], b: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    loop {
        let next = match (a.peek(), b.peek()) {
            (Some(x), Some(y)) if x.0 == y.0 => {
                let both = (x.0, x.1 + y.1);
                a.next();
                b.next();
                both
            }
            (Some(x), Some(y)) if x.0 > y.0 => {
                let only = *y;
                b.next();
                only
            }
            (Some(x), _) => {
                let only = *x;
                a.next();
                only
            }
            (None, Some(y)) => {
                let only = *y;
                b.next();
                only
            }
            (None, None) => return out,
        };
        out.push(next);
    }
}

/// How many ways there are to choose `k` of `n`.
fn choices(n: u64, k: u64) -> u128 {
    (1..=u128::from(k)).fold(1, |ways, i| ways * (u128::from(n - k) + i) / i)
}

/// The probability of a statistic of at least `t` for large samples: the limit, at the statistic shifted and scaled to the
/// limit's mean and variance (Anderson, Ann. Math. Statist. 33, 1962).
fn asymptotic_sf(m: f64, n: f64, t: f64) -> f64 {
    let (pairs, size) = (m * n, m + n);
    let mean = (1.0 + 1.0 / size) / 6.0;
    let variance =
        (size + 1.0) * (4.0 * pairs * size - 3.0 * (m * m + n * n) - 2.0 * pairs) / (180.0 * size * size * pairs);
    limit_sf(1.0 / 6.0 + (t - mean) / (45.0 * variance).sqrt())
}

/// The probability that the limit, a sum of squared normal variables over (j π)², is at least `x`: Smirnov's alternating
/// series of integrals between the zeros of the sine,
///
/// `2/π Σ (-1)^(k+1) ∫ √(t / |sin t|) exp(-x t² / 2) dt / t` from (2k - 1) π to 2k π,
///
/// whose roots at both ends are the weight of Gauss–Chebyshev quadrature. Small probabilities keep their digits.
fn limit_sf(x: f64) -> f64 {
    const NODES: u32 = 48;
    // Below this the probability is one to the last bit.
    if x < 0.003 {
        return 1.0;
    }
    let mut probability = 0.0;
    for k in 1..40_u32 {
        let mut sum = 0.0;
        for i in 0..NODES {
            let half_angle = PI * (f64::from(i) + 0.5) / f64::from(2 * NODES);
            let (sine, cosine) = (libm::sin(half_angle), libm::cos(half_angle));
            // The distances from both ends, in units of π.
            let (from_end, from_start) = (sine * sine, cosine * cosine);
            let t = PI * (f64::from(2 * k) - from_end);
            let absolute_sine = libm::sin(PI * from_end.min(from_start));
            sum += 2.0 * sine * cosine / (t * absolute_sine).sqrt() * libm::exp(-0.5 * x * t * t);
        }
        let term = PI / f64::from(NODES) * sum;
        probability += if k % 2 == 1 { term } else { -term };
        if term <= probability * f64::EPSILON / 4.0 {
            break;
        }
    }
    probability.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::limit_sf;

    #[test]
    fn the_limit_has_the_probabilities_of_its_tables() {
        // Anderson and Darling's points (Ann. Math. Statist. 23, 1952), and mpmath's digits far out.
        for (x, p) in [(0.024_8, 0.99), (0.347_30, 0.1), (0.461_36, 0.05), (0.743_46, 0.01), (1.167_86, 0.001)] {
            assert!((limit_sf(x) - p).abs() < 5e-5 * p.max(0.1), "{x}");
        }
        for (x, p) in
            [(3.0, 7.567_743_459_316_02e-8), (10.0, 4.178_941_092_885_288e-23), (30.0, 3.319_835_711_928_636e-66)]
        {
            assert!((limit_sf(x) / p - 1.0).abs() < 1e-12, "{x}");
        }
        assert!(limit_sf(1e6) <= 0.0);
    }
}
