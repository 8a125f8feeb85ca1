//! The expected calibration error.

use super::binned::Binned;
use super::bins::{ARGS, ERROR, Summary};
use super::common::pairs;
use crate::function::{Example, Tolerance, Value, define};

define! {
    /// `expected_calibration_error(label, probability)`.
    pub struct ExpectedCalibrationError {
        name: "expected_calibration_error",
        aliases: &["ece"],
        kind: Aggregate,
        section: Quality,
        args: ARGS,
        returns: ERROR,
        short: "Expected calibration error: how far predicted probabilities are from the frequencies observed, with its interval",
        long: include_str!("calibration.md"),
        examples: vec![Example {
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
        }],
        tolerance: Tolerance::Absolute(1e-12),
        state: |options| Binned::state(options, Summary::Error),
    }
}
