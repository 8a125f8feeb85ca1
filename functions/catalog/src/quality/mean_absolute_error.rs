//! Mean absolute error, with its interval.

use super::common::{CONFIDENCE, Level, MEASURE, pairs};
use super::mean_loss::{LABEL, Loss, MeanLoss, PREDICTION};
use crate::function::{
    Arg, Call, Column, Error, Example, Function, Kind, Section, State, Tolerance, Type, Value, compute_by_state,
};

/// `mean_absolute_error(label, prediction)`.
pub struct MeanAbsoluteError;

impl Function for MeanAbsoluteError {
    fn name(&self) -> &'static str {
        "mean_absolute_error"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["mae"]
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
        "Mean absolute error, with its interval"
    }

    fn long(&self) -> &'static str {
        include_str!("regression.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example {
            rows: pairs(&[(3.0, 2.5), (-0.5, 0.0), (2.0, 2.0), (8.0, 9.0)]),
            returns: Value::Record(vec![
                ("value", 0.5.into()),
                ("low", 0.099_924_026_970_390_88.into()),
                ("high", 0.900_075_973_029_609_1.into()),
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
        Ok(Some(Box::new(MeanLoss::new(Loss::Absolute, Level::option(options, 2)?))))
    }
}
