//! The two-sample Kolmogorov–Smirnov test.

use super::rank::RankStatistic;
use super::samples::{Finding, Samples, Step, steps};
use super::{Notes, OUTCOME, Outcome, TWO_SAMPLES, kolmogorov};
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Tolerance, Type};

/// Up to this many values on each side the p-value is exact.
const EXACT_UP_TO: u64 = 10_000;

/// `ks_test(value, is_base)`.
pub struct KsTest;

impl Function for KsTest {
    fn name(&self) -> &'static str {
        "ks_test"
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
        "Two-sample Kolmogorov–Smirnov test: do two samples come from one distribution?"
    }

    fn long(&self) -> &'static str {
        include_str!("ks.md")
    }

    fn examples(&self) -> Vec<Example> {
        let outcome = Outcome {
            statistic: Some(1.0),
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
        Ok(Samples::new(call)?.rank(Ks::new).into_column())
    }
}

/// The largest distance so far.
#[derive(Debug)]
pub(super) struct Ks {
    sizes: (u64, u64),
    largest: u128,
}

impl Ks {
    pub(super) fn new(sizes: (u64, u64)) -> Self {
        Self { sizes, largest: 0 }
    }

    fn result(&self) -> (f64, f64) {
        p_value(self.sizes.0, self.sizes.1, self.largest)
    }
}

impl RankStatistic for Ks {
    fn add(&mut self, step: &Step) {
        self.largest = self.largest.max(step.difference(self.sizes).unsigned_abs());
    }

    fn finish(&self, _notes: &mut Notes) -> Result<Finding, String> {
        let (d, p) = self.result();
        Ok(Finding { statistic: d, effect_size: Some(d), p_value: Some(p) })
    }
}

/// The statistic and the p-value of two sorted samples without NaN, neither empty.
pub(crate) fn of_sorted(base: &[f64], study: &[f64]) -> (f64, f64) {
    let mut ks = Ks::new((base.len() as u64, study.len() as u64));
    for step in steps(base, study) {
        ks.add(&step);
    }
    ks.result()
}

/// The statistic that is `difference / (m n)`, and how probable one as large is for `m` and `n` values.
#[allow(clippy::many_single_char_names, reason = "the names of the formulas")]
pub(crate) fn p_value(m: u64, n: u64, difference: u128) -> (f64, f64) {
    // The distance in units of 1 / lcm(m, n) is an integer.
    let g = kolmogorov::gcd(m, n);
    let h = difference / u128::from(g);
    let d = h as f64 / ((m / g) as f64 * n as f64);
    let p = if m.max(n) <= EXACT_UP_TO {
        kolmogorov::two_sample_exact(m, n, h as u64)
    } else {
        let size = m as f64 * n as f64 / (m as f64 + n as f64);
        kolmogorov::one_sample_sf(size.round_ties_even() as u64, d)
    };
    (d, p)
}
