//! Accuracy with its interval.

use super::common::{CONFIDENCE, Level, MEASURE, pairs};
use super::confusion::{Confusion, LABEL, PREDICTION, Summary};
use crate::function::{Example, Tolerance, Value, define};

define! {
    /// `accuracy(label, prediction)`.
    pub struct Accuracy {
        name: "accuracy",
        aliases: &["accuracy_score"],
        kind: Aggregate,
        section: Quality,
        args: &[LABEL, PREDICTION, CONFIDENCE],
        returns: MEASURE,
        short: "Accuracy: the share of predictions that are right, with its interval",
        long: include_str!("classification.md"),
        examples: vec![Example {
            rows: pairs(&[("spam", "spam"), ("ham", "ham"), ("spam", "ham"), ("ham", "ham")]),
            returns: Value::Record(vec![
                ("value", 0.75.into()),
                ("low", 0.300_641_842_582_402.into()),
                ("high", 0.954_412_739_190_299_5.into()),
                ("n", 4_i64.into()),
                ("note", Value::Null),
            ]),
        }],
        tolerance: Tolerance::Absolute(1e-12),
        state: |options| {
            let summary = Summary::Accuracy(Level::option(options, 2)?);
            Ok(Some(Box::new(Confusion::new(Self.name(), summary))))
        },
    }
}
