//! Kuiper's test.

use std::f64::consts::PI;

use super::rank::RankStatistic;
use super::samples::{Finding, Samples, Step};
use super::{Notes, OUTCOME, Outcome, TWO_SAMPLES};
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Tolerance, Type};

/// `kuiper_test(value, is_base)`.
pub struct KuiperTest;

impl Function for KuiperTest {
    fn name(&self) -> &'static str {
        "kuiper_test"
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
        "Two-sample Kuiper test: do two samples come from one distribution, with equal power in the tails and for angles?"
    }

    fn long(&self) -> &'static str {
        include_str!("kuiper.md")
    }

    fn examples(&self) -> Vec<Example> {
        let outcome = Outcome {
            statistic: Some(1.0),
            effect_size: Some(1.0),
            p_value: Some(0.124_560_003_453_766_37),
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
        Ok(Samples::new(call)?.rank(Kuiper::new).into_column())
    }
}

/// The largest distances so far of the base's distribution function above and below the study sample's.
#[derive(Debug)]
pub(super) struct Kuiper {
    sizes: (u64, u64),
    above: i128,
    below: i128,
}

impl Kuiper {
    pub(super) fn new(sizes: (u64, u64)) -> Self {
        Self { sizes, above: 0, below: 0 }
    }
}

impl RankStatistic for Kuiper {
    fn add(&mut self, step: &Step) {
        let difference = step.difference(self.sizes);
        self.above = self.above.max(difference);
        self.below = self.below.min(difference);
    }

    fn finish(&self, _notes: &mut Notes) -> Result<Finding, String> {
        let (m, n) = (self.sizes.0 as f64, self.sizes.1 as f64);
        let v = (self.above - self.below) as f64 / (m * n);
        let root = (m * n / (m + n)).sqrt();
        let p = limit_sf((root + 0.155 + 0.24 / root) * v);
        Ok(Finding { statistic: v, effect_size: Some(v), p_value: Some(p) })
    }
}

/// The probability that the limit of √n V is at least `x`: `2 Σ (4 j² x² - 1) exp(-2 j² x²)`, and for small `x` the same
/// function by the other side of the theta function's functional equation, where that converges fast.
fn limit_sf(x: f64) -> f64 {
    if x < 1.0 {
        let square = (PI / x) * (PI / x);
        let sum: f64 = (1..=8)
            .rev()
            .map(|k| {
                let k2 = f64::from(k * k);
                k2 * libm::exp(-0.5 * k2 * square)
            })
            .sum();
        // Where x is so small that the factor is infinite the sum is zero.
        let lower = if sum == 0.0 { 0.0 } else { (2.0 * PI).sqrt() * square / x * sum };
        return (1.0 - lower).clamp(0.0, 1.0);
    }
    let sum: f64 = (1..=8)
        .rev()
        .map(|j| {
            let square = f64::from(j * j) * x * x;
            (4.0 * square - 1.0) * libm::exp(-2.0 * square)
        })
        .sum();
    (2.0 * sum).clamp(0.0, 1.0)
}
