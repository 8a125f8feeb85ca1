//! The expected calibration error.

use super::binned::Binned;
use super::bins::{ARGS, ERROR, Summary};
use super::common::pairs;
use crate::function::{
    Arg, Call, Column, Error, Example, Function, Kind, Section, State, Tolerance, Type, Value, compute_by_state,
};

/// `expected_calibration_error(label, probability)`.
pub struct ExpectedCalibrationError;

impl Function for ExpectedCalibrationError {
    fn name(&self) -> &'static str {
        "expected_calibration_error"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["ece"]
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn section(&self) -> Section {
        Section::Quality
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn returns(&self) -> Type {
        ERROR
    }

    fn short(&self) -> &'static str {
        "Expected calibration error: how far predicted probabilities are from the frequencies observed, with its interval"
    }

    fn long(&self) -> &'static str {
        include_str!("calibration.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example {
            rows: pairs(&[(true, 0.75), (false, 0.25), (true, 0.5), (false, 0.5)]),
            returns: Value::Record(vec![
                ("value", 0.125.into()),
                ("low", 0.0.into()),
                ("high", 0.599_431_741_955_622_5.into()),
                ("by_chance", 0.313_794_470_622_606_8.into()),
                ("maximum", 0.25.into()),
                ("n", 4_i64.into()),
                ("note", Value::Null),
            ]),
        }]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        compute_by_state(self, call)
    }

    fn state(&self, options: &Call<'_>) -> Result<Option<Box<dyn State>>, Error> {
        Binned::state(options, Summary::Error)
    }
}
