//! Root mean squared error, with its interval.

use super::common::{CONFIDENCE, Level, MEASURE, pairs};
use super::mean_loss::{LABEL, Loss, MeanLoss, PREDICTION};
use crate::function::{Example, Tolerance, Value, define};

define! {
    /// `root_mean_squared_error(label, prediction)`.
    pub struct RootMeanSquaredError {
        name: "root_mean_squared_error",
        aliases: &["rmse"],
        kind: Aggregate,
        section: Quality,
        args: &[LABEL, PREDICTION, CONFIDENCE],
        returns: MEASURE,
        short: "Root mean squared error, with its interval",
        long: include_str!("regression.md"),
        examples: vec![Example {
            rows: pairs(&[(3.0, 2.5), (-0.5, 0.0), (2.0, 2.0), (8.0, 9.0)]),
            returns: Value::Record(vec![
                ("value", 0.612_372_435_695_794_5.into()),
                ("low", 0.265_896_479_608_375_04.into()),
                ("high", 0.958_848_391_783_213_9.into()),
                ("n", 4_i64.into()),
                ("note", Value::Null),
            ]),
        }],
        tolerance: Tolerance::Relative(1e-12),
        state: |options| Ok(Some(Box::new(MeanLoss::new(Loss::Squared, Level::option(options, 2)?)))),
    }
}
