//! The largest difference between the groups' true or false positive rates.

use super::fairness::{Comparison, DISPARITY, Disparity, LABEL_ARGS, Rate};
use crate::function::{Example, Tolerance, Value, define};

define! {
    /// `equalized_odds_difference(label, prediction, sensitive)`.
    pub struct EqualizedOddsDifference {
        name: "equalized_odds_difference",
        kind: Aggregate,
        section: Quality,
        args: LABEL_ARGS,
        returns: DISPARITY,
        short: "The largest difference between the groups' true or false positive rates, with its interval",
        long: include_str!("fairness.md"),
        examples: vec![Example {
            rows: (0..16_u32)
                .map(|i| {
                    vec![
                        (i % 2 == 0).into(),
                        (i % 4 < 1 + i / 8).into(),
                        if i < 8 { "a" } else { "b" }.into(),
                        4_i64.into(),
                    ]
                })
                .collect(),
            returns: Value::Record(vec![
                ("value", 0.5.into()),
                ("low", 0.0.into()),
                ("high", 0.873_072_378_385_998_2.into()),
                ("group_low", "a".into()),
                ("group_high", "b".into()),
                ("n", 16_i64.into()),
                ("note", "the larger difference is that of the false positive rate".into()),
            ]),
        }],
        tolerance: Tolerance::Absolute(1e-12),
        state: |options| Disparity::state(options, Comparison::Difference, &[Rate::TruePositive, Rate::FalsePositive], 3),
    }
}
