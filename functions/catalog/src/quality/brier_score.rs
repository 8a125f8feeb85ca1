//! Brier score of probabilities.

use super::common::{CONFIDENCE, LABEL, Level, MEASURE, PROBABILITY, pairs};
use super::mean_loss::{Loss, MeanLoss};
use crate::function::{Example, Tolerance, Value, define};

define! {
    /// `brier_score(label, probability)`.
    pub struct BrierScore {
        name: "brier_score",
        aliases: &["brier_score_loss"],
        kind: Aggregate,
        section: Quality,
        args: &[LABEL, PROBABILITY, CONFIDENCE],
        returns: MEASURE,
        short: "Brier score: the mean squared error of predicted probabilities, with its interval",
        long: include_str!("brier_score.md"),
        examples: vec![Example {
            rows: pairs(&[(true, 0.75), (false, 0.25), (true, 0.5), (false, 0.5)]),
            returns: Value::Record(vec![
                ("value", 0.156_25.into()),
                ("low", 0.050_163_837_430_358_92.into()),
                ("high", 0.262_336_162_569_641_1.into()),
                ("n", 4_i64.into()),
                ("note", Value::Null),
            ]),
        }],
        tolerance: Tolerance::Relative(1e-12),
        state: |options| Ok(Some(Box::new(MeanLoss::new(Loss::Brier, Level::option(options, 2)?)))),
    }
}
