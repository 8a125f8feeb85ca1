//! The two-sample Anderson–Darling test.

use super::rank::RankStatistic;
use super::samples::{Finding, Samples, Step};
use super::{Notes, OUTCOME, Outcome, TWO_SAMPLES};
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Tolerance, Type};
use crate::sum::ExactSum;

/// The ends of the table of critical values, and the significance there.
const FIRST: (f64, f64) = (0.325, 0.25);
const LAST: (f64, f64) = (6.546, 0.001);

/// `anderson_darling_test(value, is_base)`.
pub struct AndersonDarlingTest;

impl Function for AndersonDarlingTest {
    fn name(&self) -> &'static str {
        "anderson_darling_test"
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
        "Two-sample Anderson–Darling test: do two samples come from one distribution, the tails included?"
    }

    fn long(&self) -> &'static str {
        include_str!("anderson_darling.md")
    }

    fn examples(&self) -> Vec<Example> {
        let outcome = Outcome {
            statistic: Some(2.912_827_254_683_936),
            effect_size: Some(1.270_207_321_107_111),
            p_value: Some(0.021_064_687_413_710_41),
            n_base: 5,
            n_study: 5,
            note: None,
        };
        vec![Example::two_samples(&[1.0, 2.0, 3.0, 4.0, 5.0], &[3.5, 5.5, 6.5, 7.5, 8.5], outcome.into_value())]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        Ok(Samples::new(call)?.rank(AndersonDarling::new).into_column())
    }
}

/// The weighted sum of squares so far, and how many values the largest tie has.
#[derive(Debug)]
pub(super) struct AndersonDarling {
    sizes: (u64, u64),
    sum: ExactSum,
    most_tied: u64,
}

impl AndersonDarling {
    pub(super) fn new(sizes: (u64, u64)) -> Self {
        Self { sizes, sum: ExactSum::new(), most_tied: 0 }
    }
}

impl RankStatistic for AndersonDarling {
    fn add(&mut self, step: &Step) {
        self.most_tied = self.most_tied.max(step.tied());
        let (tied, below) = (i128::from(step.tied()), i128::from(step.below()));
        let size = i128::from(self.sizes.0) + i128::from(self.sizes.1);
        let twice = 2 * below + tied;
        let spread = twice * (2 * size - twice) - size * tied;
        let difference = step.middle_difference(self.sizes) as f64;
        self.sum.add(tied as f64 * (difference * difference / spread as f64));
    }

    fn finish(&self, notes: &mut Notes) -> Result<Finding, String> {
        test(self.sizes, &self.sum, self.most_tied, notes)
    }
}

fn test((m, n): (u64, u64), sum: &ExactSum, most_tied: u64, notes: &mut Notes) -> Result<Finding, String> {
    let (pairs, size) = (m as f64 * n as f64, m + n);
    if size < 4 {
        return Err(format!("there are only {size} values in both samples, where 4 are needed"));
    }
    if most_tied == size {
        return Err("all values are equal, so there is nothing to test".to_owned());
    }
    if most_tied > 2 && most_tied * 10 > size {
        notes.add(format!("{most_tied} of {size} values are equal: with such ties the p-value tends to be too small"));
    }
    let whole = size as f64;
    let effect_size = sum.sum() * whole / (pairs * pairs);
    let raw = effect_size * pairs * (whole - 1.0) / (whole * whole);
    let statistic = (raw - 1.0) / variance(m as f64, n as f64, size).sqrt();
    let p_value = if statistic < FIRST.0 {
        notes.add("the p-value is at least 0.25, where the table of critical values begins");
        FIRST.1
    } else if statistic > LAST.0 {
        notes.add("the p-value is at most 0.001, where the table of critical values ends");
        LAST.1
    } else {
        // Least squares through the logarithms of 0.25, 0.1, 0.05, 0.025, 0.01, 0.005 and 0.001 at Scholz and Stephens'
        // critical values for two samples, as scipy fits them.
        libm::exp(
            (0.018_198_094_574_111_258 * statistic - 1.008_226_564_465_250_6) * statistic - 1.077_770_279_820_487_3,
        )
    };
    Ok(Finding { statistic, effect_size: Some(effect_size), p_value: Some(p_value) })
}

/// The variance of the statistic of two samples from one distribution (Scholz and Stephens, J. Am. Stat. Ass. 82, 1987).
#[allow(clippy::many_single_char_names, reason = "the names of the paper")]
fn variance(m: f64, n: f64, size: u64) -> f64 {
    let inverses = 1.0 / m + 1.0 / n;
    let (mut h, mut g) = (0.0, 0.0);
    for i in 2..size {
        h += 1.0 / (size + 1 - i) as f64;
        g += h / i as f64;
    }
    h += 1.0;
    let a = (4.0 * g - 6.0) + (10.0 - 6.0 * g) * inverses;
    let b = 4.0 * (2.0 * g - 4.0) + 8.0 * h + (2.0 * g - 14.0 * h - 4.0) * inverses + 4.0 * g - 6.0;
    let c = 4.0 * (6.0 * h + 2.0 * g - 2.0) + 2.0 * (4.0 * h - 4.0 * g + 6.0) + (2.0 * h - 6.0) * inverses + 4.0 * h;
    let d = 4.0 * (2.0 * h + 6.0) - 8.0 * h;
    let size = size as f64;
    (((a * size + b) * size + c) * size + d) / ((size - 1.0) * (size - 2.0) * (size - 3.0))
}
