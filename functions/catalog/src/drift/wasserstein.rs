//! The Wasserstein-1 (earth mover's) distance.

use super::rank::RankStatistic;
use super::samples::{Finding, Integral, Samples, Step, remark_infinities};
use super::{IS_BASE, Notes, OUTCOME, Outcome, VALUE};
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Tolerance, Type, Value};
use crate::sum::ExactMoments;

const ARGS: &[Arg] = &[
    VALUE,
    IS_BASE,
    Arg::option("normed", Type::Boolean, "false", "whether to divide by the base's standard deviation"),
];

/// `wasserstein_distance(value, is_base)`: the distance, with its effect size.
pub struct WassersteinDistance;

impl Function for WassersteinDistance {
    fn name(&self) -> &'static str {
        "wasserstein_distance"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["earth_mover_distance"]
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn returns(&self) -> Type {
        OUTCOME
    }

    fn short(&self) -> &'static str {
        "Wasserstein-1 distance: how far, on average, has a value to be moved to turn one distribution into the other?"
    }

    fn long(&self) -> &'static str {
        include_str!("wasserstein.md")
    }

    fn examples(&self) -> Vec<Example> {
        let outcome = Outcome {
            statistic: Some(5.0),
            effect_size: Some(4.008_918_628_686_366_5),
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

/// `wasserstein_distance_value(value, is_base)`: the distance alone.
pub struct WassersteinDistanceValue;

impl Function for WassersteinDistanceValue {
    fn name(&self) -> &'static str {
        "wasserstein_distance_value"
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Wasserstein-1 distance alone: how far, on average, has a value to be moved to turn one distribution into the other?"
    }

    fn long(&self) -> &'static str {
        include_str!("wasserstein.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example::two_samples(&[0.0, 1.0, 3.0], &[5.0, 6.0, 8.0], 5.0.into())]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Relative(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        Ok(distance(call)?.into_statistic())
    }
}

fn distance(call: &Call<'_>) -> Result<Outcome, Error> {
    let normed = call.option(2) == Some(Value::Boolean(true));
    Ok(Samples::new(call)?.rank(|sizes| Wasserstein::new(sizes, normed)))
}

/// The area between the distribution functions so far, and the moments of the base to measure it by.
#[derive(Debug)]
pub(super) struct Wasserstein {
    sizes: (u64, u64),
    normed: bool,
    area: Integral,
    base: ExactMoments,
    infinite: u64,
}

impl Wasserstein {
    pub(super) fn new(sizes: (u64, u64), normed: bool) -> Self {
        Self { sizes, normed, area: Integral::default(), base: ExactMoments::new(), infinite: 0 }
    }

    /// The standard deviation of the base, if it is one to measure by.
    fn unit(&self) -> Result<f64, String> {
        match self.base.stddev_pop() {
            Some(deviation) if deviation > 0.0 && deviation.is_finite() => Ok(deviation),
            Some(0.0) => Err("the base is constant: it has no standard deviation to divide by".to_owned()),
            _ => Err("the standard deviation of the base is not finite, so nothing can be divided by it".to_owned()),
        }
    }
}

impl RankStatistic for Wasserstein {
    fn add(&mut self, step: &Step) {
        let sizes = self.sizes;
        self.area.add(step, |step| step.distance(sizes));
        self.base.add_times(step.at, step.base_tied);
        if step.at.is_infinite() {
            self.infinite += step.tied();
        }
    }

    fn finish(&self, notes: &mut Notes) -> Result<Finding, String> {
        let distance = self.area.value();
        remark_infinities(self.infinite, notes);
        match self.unit() {
            Ok(unit) => {
                let in_units = distance / unit;
                let statistic = if self.normed { in_units } else { distance };
                Ok(Finding { statistic, effect_size: Some(in_units), p_value: None })
            }
            Err(reason) if self.normed => Err(reason),
            Err(reason) => {
                notes.add(reason);
                Ok(Finding { statistic: distance, effect_size: None, p_value: None })
            }
        }
    }
}
