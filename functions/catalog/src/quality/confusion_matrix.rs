//! The counts of labels and predictions.

use super::common::pairs;
use super::confusion::{Confusion, LABEL, MATRIX, PREDICTION, Summary};
use crate::function::{
    Arg, Call, Column, Error, Example, Function, Kind, Section, State, Tolerance, Type, Value, compute_by_state,
};

/// `confusion_matrix(label, prediction)`.
pub struct ConfusionMatrix;

impl Function for ConfusionMatrix {
    fn name(&self) -> &'static str {
        "confusion_matrix"
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn section(&self) -> Section {
        Section::Quality
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[LABEL, PREDICTION];
        ARGS
    }

    fn returns(&self) -> Type {
        MATRIX
    }

    fn short(&self) -> &'static str {
        "How often each class was predicted for each label"
    }

    fn long(&self) -> &'static str {
        include_str!("confusion_matrix.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example {
            rows: pairs(&[("spam", "spam"), ("ham", "ham"), ("spam", "ham"), ("ham", "ham")]),
            returns: Value::Record(vec![
                ("label", ["ham", "spam", "spam"].into()),
                ("prediction", ["ham", "ham", "spam"].into()),
                ("count", [2.0, 1.0, 1.0].into()),
                ("n", 4_i64.into()),
                ("note", Value::Null),
            ]),
        }]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Exact
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        compute_by_state(self, call)
    }

    fn state(&self, _options: &Call<'_>) -> Result<Option<Box<dyn State>>, Error> {
        Ok(Some(Box::new(Confusion::new(self.name(), Summary::Matrix))))
    }
}
