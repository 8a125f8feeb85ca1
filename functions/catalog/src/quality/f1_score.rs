//! F1 of one class or of all, with its interval.

use super::common::{MEASURE, pairs};
use super::confusion::{Confusion, RATE_ARGS, Rate, Summary};
use crate::function::{Example, Tolerance, Value, define};

define! {
    /// `f1_score(label, prediction)`.
    pub struct F1Score {
        name: "f1_score",
        aliases: &["f1"],
        kind: Aggregate,
        section: Quality,
        args: RATE_ARGS,
        returns: MEASURE,
        short: "F1: the harmonic mean of precision and recall, with its interval",
        long: include_str!("classification.md"),
        examples: vec![Example {
            rows: pairs(&[(1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (1.0, 1.0)]),
            returns: Value::Record(vec![
                ("value", 0.666_666_666_666_666_6.into()),
                ("low", 0.260_928_526_019_389_6.into()),
                ("high", 0.918_896_134_419_943_4.into()),
                ("n", 5_i64.into()),
                ("note", Value::Null),
            ]),
        }],
        tolerance: Tolerance::Absolute(1e-12),
        state: |options| {
            let summary = Summary::rate(options, Rate::F1)?;
            Ok(Some(Box::new(Confusion::new(Self.name(), summary))))
        },
    }
}
