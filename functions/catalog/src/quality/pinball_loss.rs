//! Pinball loss, with its interval.

use super::common::{CONFIDENCE, Level, MEASURE, pairs};
use super::mean_loss::{LABEL, Loss, MeanLoss, PREDICTION};
use crate::function::{
    Arg, Call, Column, Error, Example, Function, Kind, Section, State, Tolerance, Type, Value, compute_by_state,
};

/// `pinball_loss(label, prediction)`.
pub struct PinballLoss;

impl Function for PinballLoss {
    fn name(&self) -> &'static str {
        "pinball_loss"
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn section(&self) -> Section {
        Section::Quality
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            LABEL,
            PREDICTION,
            Arg::option("quantile", Type::Float64, "0.5", "which quantile was predicted, from 0 to 1"),
            CONFIDENCE,
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        MEASURE
    }

    fn short(&self) -> &'static str {
        "Pinball loss of a predicted quantile, with its interval"
    }

    fn long(&self) -> &'static str {
        include_str!("regression.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example {
            rows: pairs(&[(3.0, 2.5), (-0.5, 0.0), (2.0, 2.0), (8.0, 9.0)]),
            returns: Value::Record(vec![
                ("value", 0.25.into()),
                ("low", 0.049_962_013_485_195_44.into()),
                ("high", 0.450_037_986_514_804_53.into()),
                ("n", 4_i64.into()),
                ("note", Value::Null),
            ]),
        }]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Relative(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        compute_by_state(self, call)
    }

    fn state(&self, options: &Call<'_>) -> Result<Option<Box<dyn State>>, Error> {
        let quantile = match options.option(2) {
            None => 0.5,
            Some(Value::Float64(quantile)) if (0.0..=1.0).contains(&quantile) => quantile,
            Some(other) => return Err(options.refuse(format!("`quantile` is {other}, but it has to be from 0 to 1"))),
        };
        Ok(Some(Box::new(MeanLoss::new(Loss::Pinball(quantile), Level::option(options, 3)?))))
    }
}
