//! Accuracy with its interval.

use super::common::{CONFIDENCE, Level, MEASURE, pairs};
use super::confusion::{Confusion, LABEL, PREDICTION, Summary};
use crate::function::{
    Arg, Call, Column, Error, Example, Function, Kind, Section, State, Tolerance, Type, Value, compute_by_state,
};

/// `accuracy(label, prediction)`.
pub struct Accuracy;

impl Function for Accuracy {
    fn name(&self) -> &'static str {
        "accuracy"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["accuracy_score"]
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn section(&self) -> Section {
        Section::Quality
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[LABEL, PREDICTION, CONFIDENCE];
        ARGS
    }

    fn returns(&self) -> Type {
        MEASURE
    }

    fn short(&self) -> &'static str {
        "Accuracy: the share of predictions that are right, with its interval"
    }

    fn long(&self) -> &'static str {
        include_str!("classification.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example {
            rows: pairs(&[("spam", "spam"), ("ham", "ham"), ("spam", "ham"), ("ham", "ham")]),
            returns: Value::Record(vec![
                ("value", 0.75.into()),
                ("low", 0.300_641_842_582_402.into()),
                ("high", 0.954_412_739_190_299_5.into()),
                ("n", 4_i64.into()),
                ("note", Value::Null),
            ]),
        }]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        compute_by_state(self, call)
    }

    fn state(&self, options: &Call<'_>) -> Result<Option<Box<dyn State>>, Error> {
        let summary = Summary::Accuracy(Level::option(options, 2)?);
        Ok(Some(Box::new(Confusion::new(self.name(), summary))))
    }
}
