//! The smallest ratio of the groups' shares of positive predictions.

use super::fairness::{Comparison, DISPARITY, Disparity, PREDICTION_ARGS, Rate};
use crate::function::{Example, Tolerance, Value, define};

define! {
    /// `demographic_parity_ratio(prediction, sensitive)`.
    pub struct DemographicParityRatio {
        name: "demographic_parity_ratio",
        kind: Aggregate,
        section: Quality,
        args: PREDICTION_ARGS,
        returns: DISPARITY,
        short: "The smallest ratio of the groups' shares of positive predictions, with its interval",
        long: include_str!("fairness.md"),
        examples: vec![Example {
            rows: (0..8_u32)
                .map(|i| vec![(i % 4 < 1 + i / 4).into(), if i < 4 { "a" } else { "b" }.into(), 4_i64.into()])
                .collect(),
            returns: Value::Record(vec![
                ("value", 0.5.into()),
                ("low", 0.086_695_790_350_443_95.into()),
                ("high", 1.0.into()),
                ("group_low", "a".into()),
                ("group_high", "b".into()),
                ("n", 8_i64.into()),
                ("note", Value::Null),
            ]),
        }],
        tolerance: Tolerance::Absolute(1e-12),
        state: |options| Disparity::state(options, Comparison::Ratio, &[Rate::Selection], 2),
    }
}
