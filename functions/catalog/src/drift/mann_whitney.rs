//! The Mann–Whitney U test.

use super::rank::RankStatistic;
use super::samples::{Finding, Samples, Step};
use super::{Notes, OUTCOME, Outcome, TWO_SAMPLES};
use crate::distribution::normal_sf;
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Tolerance, Type};

/// Where one sample has at most this many values and none is tied, the p-value is not by the normal distribution.
const SMALL: u64 = 8;
/// Up to this many pairs the distribution of U is counted.
const COUNTED_UP_TO: u64 = 1_000_000;

/// `mann_whitney_test(value, is_base)`.
pub struct MannWhitneyTest;

impl Function for MannWhitneyTest {
    fn name(&self) -> &'static str {
        "mann_whitney_test"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["wilcoxon_rank_sum_test"]
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
        "Mann–Whitney U test: does one sample tend to larger values than the other?"
    }

    fn long(&self) -> &'static str {
        include_str!("mann_whitney.md")
    }

    fn examples(&self) -> Vec<Example> {
        let outcome = Outcome {
            statistic: Some(9.0),
            effect_size: Some(1.0),
            p_value: Some(0.1),
            n_base: 3,
            n_study: 3,
            note: None,
        };
        vec![Example::two_samples(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0], outcome.into_value())]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        Ok(Samples::new(call)?.rank(MannWhitney::new).into_column())
    }
}

/// Twice U, and the sum of t³ - t over the ties of t values, so far.
#[derive(Debug)]
pub(super) struct MannWhitney {
    sizes: (u64, u64),
    twice_u: u128,
    tie_term: u128,
}

impl MannWhitney {
    pub(super) fn new(sizes: (u64, u64)) -> Self {
        Self { sizes, twice_u: 0, tie_term: 0 }
    }
}

impl RankStatistic for MannWhitney {
    fn add(&mut self, step: &Step) {
        self.twice_u += u128::from(step.study_tied) * u128::from(2 * step.base_below + step.base_tied);
        self.tie_term += cube_less_one(step.tied());
    }

    fn finish(&self, notes: &mut Notes) -> Result<Finding, String> {
        let ((m, n), twice_u, tie_term) = (self.sizes, self.twice_u, self.tie_term);
        let pairs = u128::from(m) * u128::from(n);
        let (small, large) = (m.min(n), m.max(n));
        let lower = twice_u.min(2 * pairs - twice_u);
        let tail = if small > SMALL || tie_term > 0 {
            if small <= SMALL {
                notes.add("ties: the p-value is by the normal distribution, which is rough for so few values");
            }
            normal_tail(m + n, pairs, lower, tie_term)
        } else if pairs <= u128::from(COUNTED_UP_TO) {
            counted_tail(small, large, (lower / 2) as u64)
        } else {
            uniform_tail(small, large, (lower / 2) as f64)
        };
        let effect_size = Some(twice_u as f64 / (2.0 * pairs as f64));
        Ok(Finding { statistic: twice_u as f64 / 2.0, effect_size, p_value: Some((2.0 * tail).min(1.0)) })
    }
}

/// t³ - t.
fn cube_less_one(t: u64) -> u128 {
    let t = u128::from(t);
    t * t * t - t
}

/// The probability of a U of at most `twice_u / 2` by the normal distribution, corrected for ties and continuity.
fn normal_tail(size: u64, pairs: u128, twice_u: u128, tie_term: u128) -> f64 {
    let untied = (cube_less_one(size) - tie_term) as f64 / (size as f64 * (size as f64 - 1.0));
    let deviation = (pairs as f64 / 12.0 * untied).sqrt();
    normal_sf(((pairs - twice_u) as f64 - 1.0) / 2.0 / deviation)
}

/// The probability of a U of at most `u`: the coefficients of the Gaussian binomial, counted exactly. Counts wrap on the
/// way; that they are below 2^128 in the end is seen to by [`SMALL`] and [`COUNTED_UP_TO`].
fn counted_tail(small: u64, large: u64, u: u64) -> f64 {
    let mut ways = vec![0_u128; u as usize + 1];
    if let Some(first) = ways.first_mut() {
        *first = 1;
    }
    let mut all = 1_u128;
    for i in 1..=small {
        all = all * u128::from(large + i) / u128::from(i);
        // Times 1 - q^(large + i), over 1 - q^i.
        for at in (0..ways.len()).rev() {
            let Some(from) = at.checked_sub((large + i) as usize) else { break };
            let less = ways.get(from).copied().unwrap_or(0);
            if let Some(way) = ways.get_mut(at) {
                *way = way.wrapping_sub(less);
            }
        }
        for at in i as usize..ways.len() {
            let more = ways.get(at - i as usize).copied().unwrap_or(0);
            if let Some(way) = ways.get_mut(at) {
                *way = way.wrapping_add(more);
            }
        }
    }
    ways.into_iter().fold(0, u128::wrapping_add) as f64 / all as f64
}

/// The probability of a U of at most `u` where the larger sample is so large that U is a sum of uniform variables, one for
/// each value of the smaller: the Irwin–Hall distribution, scaled to the variance of U.
fn uniform_tail(small: u64, large: u64, u: f64) -> f64 {
    let (terms, values) = (small as f64, large as f64);
    let x = terms / 2.0 + (u + 0.5 - terms * values / 2.0) / (values * (values + terms + 1.0)).sqrt();
    let (mut sum, mut choices, mut factorial) = (0.0, 1.0, 1.0);
    for k in 0..=small {
        let part = x - k as f64;
        if part > 0.0 {
            sum += choices * libm::pow(part, terms);
        }
        choices *= -(terms - k as f64) / (k as f64 + 1.0);
        factorial *= (k as f64).max(1.0);
    }
    (sum / factorial).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::{counted_tail, uniform_tail};

    #[test]
    fn the_distributions_of_u_meet() {
        for small in 1..=8 {
            let large = 1_000_000 / small;
            for share in [0.02, 0.1, 0.25, 0.4, 0.5] {
                let u = ((small * large) as f64 * share).floor();
                let (counted, uniform) = (counted_tail(small, large, u as u64), uniform_tail(small, large, u));
                assert!((counted - uniform).abs() < 1e-4 * counted, "{small} {share}: {counted} {uniform}");
            }
        }
    }
}
