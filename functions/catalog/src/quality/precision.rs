//! Precision of one class or of all, with its interval.

use super::common::{MEASURE, pairs};
use super::confusion::{Confusion, RATE_ARGS, Rate, Summary};
use crate::function::{
    Arg, Call, Column, Error, Example, Function, Kind, Section, State, Tolerance, Type, Value, compute_by_state,
};

/// `precision(label, prediction)`.
pub struct Precision;

impl Function for Precision {
    fn name(&self) -> &'static str {
        "precision"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["precision_score"]
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn section(&self) -> Section {
        Section::Quality
    }

    fn args(&self) -> &'static [Arg] {
        RATE_ARGS
    }

    fn returns(&self) -> Type {
        MEASURE
    }

    fn short(&self) -> &'static str {
        "Precision: of what is predicted positive, the share that is, with its interval"
    }

    fn long(&self) -> &'static str {
        include_str!("classification.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example {
            rows: pairs(&[(1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (1.0, 1.0)]),
            returns: Value::Record(vec![
                ("value", 0.666_666_666_666_666_6.into()),
                ("low", 0.207_659_600_802_047_7.into()),
                ("high", 0.938_508_055_279_603_7.into()),
                ("n", 5_i64.into()),
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
        let summary = Summary::rate(options, Rate::Precision)?;
        Ok(Some(Box::new(Confusion::new(self.name(), summary))))
    }
}
