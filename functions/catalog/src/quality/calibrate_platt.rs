//! A probability from a score by a sigmoid.

use super::common::SCORE;
use crate::function::{Arg, Call, Column, Error, Example, Function, Section, Tolerance, Type};

/// `calibrate_platt(score, slope, intercept)`.
pub struct CalibratePlatt;

impl Function for CalibratePlatt {
    fn name(&self) -> &'static str {
        "calibrate_platt"
    }

    fn section(&self) -> Section {
        Section::Quality
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            SCORE,
            Arg::new("slope", Type::Float64, "the slope of the log odds"),
            Arg::new("intercept", Type::Float64, "the log odds at score 0"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "The probability of a score, by the sigmoid that `platt_calibration` fitted"
    }

    fn long(&self) -> &'static str {
        include_str!("calibrators.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example::scalar([0.5.into(), 2.0.into(), (-1.0).into()], 0.5)]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Relative(1e-14)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        call.map_floats(|[score, slope, intercept]| Ok(sigmoid(slope * score + intercept)))
    }
}

/// `1 / (1 + e^-z)`.
pub(super) fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-z))
}
