//! Pinball loss, with its interval.

use super::common::{CONFIDENCE, Level, MEASURE, pairs};
use super::mean_loss::{LABEL, Loss, MeanLoss, PREDICTION};
use crate::function::{Arg, Example, Tolerance, Type, Value, define};

define! {
    /// `pinball_loss(label, prediction)`.
    pub struct PinballLoss {
        name: "pinball_loss",
        kind: Aggregate,
        section: Quality,
        args: &[
            LABEL,
            PREDICTION,
            Arg::option("quantile", Type::Float64, "0.5", "which quantile was predicted, from 0 to 1"),
            CONFIDENCE,
        ],
        returns: MEASURE,
        short: "Pinball loss of a predicted quantile, with its interval",
        long: include_str!("regression.md"),
        examples: vec![Example {
            rows: pairs(&[(3.0, 2.5), (-0.5, 0.0), (2.0, 2.0), (8.0, 9.0)]),
            returns: Value::Record(vec![
                ("value", 0.25.into()),
                ("low", 0.049_962_013_485_195_44.into()),
                ("high", 0.450_037_986_514_804_53.into()),
                ("n", 4_i64.into()),
                ("note", Value::Null),
            ]),
        }],
        tolerance: Tolerance::Relative(1e-12),
        state: |options| {
            let quantile = match options.option(2) {
                None => 0.5,
                Some(Value::Float64(quantile)) if (0.0..=1.0).contains(&quantile) => quantile,
                Some(other) => return Err(options.refuse(format!("`quantile` is {other}, but it has to be from 0 to 1"))),
            };
            Ok(Some(Box::new(MeanLoss::new(Loss::Pinball(quantile), Level::option(options, 3)?))))
        },
    }
}
