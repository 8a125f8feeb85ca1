//! Log loss of probabilities.

use super::common::{CONFIDENCE, LABEL, Level, MEASURE, PROBABILITY, pairs};
use super::mean_loss::{Loss, MeanLoss};
use crate::function::{Example, Tolerance, Value, define};

define! {
    /// `log_loss(label, probability)`.
    pub struct LogLoss {
        name: "log_loss",
        aliases: &["binary_cross_entropy"],
        kind: Aggregate,
        section: Quality,
        args: &[LABEL, PROBABILITY, CONFIDENCE],
        returns: MEASURE,
        short: "Log loss of predicted probabilities, with its interval",
        long: include_str!("log_loss.md"),
        examples: vec![Example {
            rows: pairs(&[(true, 0.75), (false, 0.25), (true, 0.5), (false, 0.5)]),
            returns: Value::Record(vec![
                ("value", 0.490_414_626_505_863_1.into()),
                ("low", 0.261_005_360_505_437_4.into()),
                ("high", 0.719_823_892_506_288_8.into()),
                ("n", 4_i64.into()),
                ("note", Value::Null),
            ]),
        }],
        tolerance: Tolerance::Relative(1e-12),
        state: |options| Ok(Some(Box::new(MeanLoss::new(Loss::Log, Level::option(options, 2)?)))),
    }
}
