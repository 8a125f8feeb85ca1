//! Mean absolute error, with its interval.

use super::common::{CONFIDENCE, Level, MEASURE, pairs};
use super::mean_loss::{LABEL, Loss, MeanLoss, PREDICTION};
use crate::function::{Example, Tolerance, Value, define};

define! {
    /// `mean_absolute_error(label, prediction)`.
    pub struct MeanAbsoluteError {
        name: "mean_absolute_error",
        aliases: &["mae"],
        kind: Aggregate,
        section: Quality,
        args: &[LABEL, PREDICTION, CONFIDENCE],
        returns: MEASURE,
        short: "Mean absolute error, with its interval",
        long: include_str!("regression.md"),
        examples: vec![Example {
            rows: pairs(&[(3.0, 2.5), (-0.5, 0.0), (2.0, 2.0), (8.0, 9.0)]),
            returns: Value::Record(vec![
                ("value", 0.5.into()),
                ("low", 0.099_924_026_970_390_88.into()),
                ("high", 0.900_075_973_029_609_1.into()),
                ("n", 4_i64.into()),
                ("note", Value::Null),
            ]),
        }],
        tolerance: Tolerance::Relative(1e-12),
        state: |options| Ok(Some(Box::new(MeanLoss::new(Loss::Absolute, Level::option(options, 2)?)))),
    }
}
