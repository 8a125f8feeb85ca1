//! Log loss of probabilities.

use super::common::{CONFIDENCE, LABEL, Level, MEASURE, PROBABILITY, pairs};
use super::mean_loss::{Loss, MeanLoss};
use crate::function::{
    Arg, Call, Column, Error, Example, Function, Kind, Section, State, Tolerance, Type, Value, compute_by_state,
};

/// `log_loss(label, probability)`.
pub struct LogLoss;

impl Function for LogLoss {
    fn name(&self) -> &'static str {
        "log_loss"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["binary_cross_entropy"]
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
        "Log loss of predicted probabilities, with its interval"
    }

    fn long(&self) -> &'static str {
        include_str!("log_loss.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example {
            rows: pairs(&[(true, 0.75), (false, 0.25), (true, 0.5), (false, 0.5)]),
            returns: Value::Record(vec![
                ("value", 0.490_414_626_505_863_1.into()),
                ("low", 0.261_005_360_505_437_4.into()),
                ("high", 0.719_823_892_506_288_8.into()),
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
        Ok(Some(Box::new(MeanLoss::new(Loss::Log, Level::option(options, 2)?))))
    }
}
