//! Brier score of probabilities.

use super::common::{CONFIDENCE, LABEL, Level, MEASURE, PROBABILITY, pairs};
use super::mean_loss::{Loss, MeanLoss};
use crate::function::{
    Arg, Call, Column, Error, Example, Function, Kind, Section, State, Tolerance, Type, Value, compute_by_state,
};

/// `brier_score(label, probability)`.
pub struct BrierScore;

impl Function for BrierScore {
    fn name(&self) -> &'static str {
        "brier_score"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["brier_score_loss"]
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn section(&self) -> Section {
        Section::Quality
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[LABEL, PROBABILITY, CONFIDENCE];
        ARGS
    }

    fn returns(&self) -> Type {
        MEASURE
    }

    fn short(&self) -> &'static str {
        "Brier score: the mean squared error of predicted probabilities, with its interval"
    }

    fn long(&self) -> &'static str {
        include_str!("brier_score.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example {
            rows: pairs(&[(true, 0.75), (false, 0.25), (true, 0.5), (false, 0.5)]),
            returns: Value::Record(vec![
                ("value", 0.156_25.into()),
                ("low", 0.050_163_837_430_358_92.into()),
                ("high", 0.262_336_162_569_641_1.into()),
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
        Ok(Some(Box::new(MeanLoss::new(Loss::Brier, Level::option(options, 2)?))))
    }
}
