//! Mean absolute error relative to the label, with its interval.

use super::common::{CONFIDENCE, Level, MEASURE, pairs};
use super::mean_loss::{LABEL, Loss, MeanLoss, PREDICTION};
use crate::function::{Example, Tolerance, Value, define};

define! {
    /// `mean_absolute_percentage_error(label, prediction)`.
    pub struct MeanAbsolutePercentageError {
        name: "mean_absolute_percentage_error",
        aliases: &["mape"],
        kind: Aggregate,
        section: Quality,
        args: &[LABEL, PREDICTION, CONFIDENCE],
        returns: MEASURE,
        short: "Mean absolute error relative to the label, with its interval",
        long: include_str!("regression.md"),
        examples: vec![Example {
            rows: pairs(&[(3.0, 2.5), (-0.5, 0.0), (2.0, 2.0), (8.0, 9.0)]),
            returns: Value::Record(vec![
                ("value", 0.322_916_666_666_666_7.into()),
                ("low", 0.0.into()),
                ("high", 0.770_680_896_148_353_1.into()),
                ("n", 4_i64.into()),
                ("note", Value::Null),
            ]),
        }],
        tolerance: Tolerance::Relative(1e-12),
        state: |options| Ok(Some(Box::new(MeanLoss::new(Loss::Percentage, Level::option(options, 2)?)))),
    }
}
