//! The largest difference between the groups' shares of positive predictions.

use super::fairness::{Comparison, DISPARITY, Disparity, PREDICTION_ARGS, Rate};
use crate::function::{Example, Tolerance, Value, define};

define! {
    /// `demographic_parity_difference(prediction, sensitive)`.
    pub struct DemographicParityDifference {
        name: "demographic_parity_difference",
        kind: Aggregate,
        section: Quality,
        args: PREDICTION_ARGS,
        returns: DISPARITY,
        short: "The largest difference between the groups' shares of positive predictions, with its interval",
        long: include_str!("fairness.md"),
        examples: vec![Example {
            rows: (0..8_u32)
                .map(|i| vec![(i % 4 < 1 + i / 4).into(), if i < 4 { "a" } else { "b" }.into(), 4_i64.into()])
                .collect(),
            returns: Value::Record(vec![
                ("value", 0.25.into()),
                ("low", 0.0.into()),
                ("high", 0.655_286_660_349_104_8.into()),
                ("group_low", "a".into()),
                ("group_high", "b".into()),
                ("n", 8_i64.into()),
                ("note", Value::Null),
            ]),
        }],
        tolerance: Tolerance::Absolute(1e-12),
        state: |options| Disparity::state(options, Comparison::Difference, &[Rate::Selection], 2),
    }
}
