//! The energy distance.

use super::rank::RankStatistic;
use super::samples::{Finding, Integral, Samples, Step, remark_infinities};
use super::{Notes, OUTCOME, Outcome, TWO_SAMPLES};
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Tolerance, Type};

/// `energy_distance(value, is_base)`: the distance, with its effect size.
pub struct EnergyDistance;

impl Function for EnergyDistance {
    fn name(&self) -> &'static str {
        "energy_distance"
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
        "Energy distance: how far are two distributions apart, by the distances within and between the samples?"
    }

    fn long(&self) -> &'static str {
        include_str!("energy.md")
    }

    fn examples(&self) -> Vec<Example> {
        let outcome = Outcome {
            statistic: Some(2.708_012_801_545_32),
            effect_size: Some(0.733_333_333_333_333_3),
            p_value: None,
            n_base: 3,
            n_study: 3,
            note: None,
        };
        vec![Example::two_samples(&[0.0, 1.0, 3.0], &[5.0, 6.0, 8.0], outcome.into_value())]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Relative(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        Ok(distance(call)?.into_column())
    }
}

/// `energy_distance_value(value, is_base)`: the distance alone.
pub struct EnergyDistanceValue;

impl Function for EnergyDistanceValue {
    fn name(&self) -> &'static str {
        "energy_distance_value"
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn args(&self) -> &'static [Arg] {
        TWO_SAMPLES
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Energy distance alone: how far are two distributions apart?"
    }

    fn long(&self) -> &'static str {
        include_str!("energy.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example::two_samples(&[0.0], &[2.0], 2.0.into())]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Relative(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        Ok(distance(call)?.into_statistic())
    }
}

fn distance(call: &Call<'_>) -> Result<Outcome, Error> {
    Ok(Samples::new(call)?.rank(Energy::new))
}

/// The integrals so far of the squared distance of the distribution functions F and G, and of `F (1 - G) + G (1 - F)`, which
/// is the mean distance between a value of the base and one of the study sample.
#[derive(Debug)]
pub(super) struct Energy {
    sizes: (u64, u64),
    square: Integral,
    between: Integral,
    infinite: u64,
}

impl Energy {
    pub(super) fn new(sizes: (u64, u64)) -> Self {
        Self { sizes, square: Integral::default(), between: Integral::default(), infinite: 0 }
    }
}

impl RankStatistic for Energy {
    fn add(&mut self, step: &Step) {
        let sizes = self.sizes;
        self.square.add(step, |step| step.distance(sizes) * step.distance(sizes));
        let (m, n) = (sizes.0 as f64, sizes.1 as f64);
        self.between.add(step, |step| {
            let (f, g) = (step.base_up_to() as f64, step.study_up_to() as f64);
            (f * (n - g) + g * (m - f)) / (m * n)
        });
        if step.at.is_infinite() {
            self.infinite += step.tied();
        }
    }

    fn finish(&self, notes: &mut Notes) -> Result<Finding, String> {
        let (square, between) = (self.square.value(), self.between.value());
        remark_infinities(self.infinite, notes);
        let effect_size = if between == 0.0 {
            Some(0.0)
        } else if between.is_finite() {
            Some(square / between)
        } else {
            None
        };
        Ok(Finding { statistic: (2.0 * square).sqrt(), effect_size, p_value: None })
    }
}
