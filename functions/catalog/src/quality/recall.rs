//! Recall of one class or of all, with its interval.

use super::common::{MEASURE, pairs};
use super::confusion::{Confusion, RATE_ARGS, Rate, Summary};
use crate::function::{Example, Tolerance, Value, define};

define! {
    /// `recall(label, prediction)`.
    pub struct Recall {
        name: "recall",
        aliases: &["recall_score"],
        kind: Aggregate,
        section: Quality,
        args: RATE_ARGS,
        returns: MEASURE,
        short: "Recall: of what is positive, the share that is predicted so, with its interval",
        long: include_str!("classification.md"),
        examples: vec![Example {
            rows: pairs(&[(1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (1.0, 1.0)]),
            returns: Value::Record(vec![
                ("value", 0.666_666_666_666_666_6.into()),
                ("low", 0.207_659_600_802_047_7.into()),
                ("high", 0.938_508_055_279_603_7.into()),
                ("n", 5_i64.into()),
                ("note", Value::Null),
            ]),
        }],
        tolerance: Tolerance::Absolute(1e-12),
        state: |options| {
            let summary = Summary::rate(options, Rate::Recall)?;
            Ok(Some(Box::new(Confusion::new(Self.name(), summary))))
        },
    }
}
