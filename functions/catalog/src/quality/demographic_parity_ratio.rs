//! The smallest ratio of the groups' shares of positive predictions.

use super::fairness::{Comparison, DISPARITY, Disparity, PREDICTION_ARGS, Rate};
use crate::function::{
    Arg, Call, Column, Error, Example, Function, Kind, Section, State, Tolerance, Type, Value, compute_by_state,
};

/// `demographic_parity_ratio(prediction, sensitive)`.
pub struct DemographicParityRatio;

impl Function for DemographicParityRatio {
    fn name(&self) -> &'static str {
        "demographic_parity_ratio"
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn section(&self) -> Section {
        Section::Quality
    }

    fn args(&self) -> &'static [Arg] {
        PREDICTION_ARGS
    }

    fn returns(&self) -> Type {
        DISPARITY
    }

    fn short(&self) -> &'static str {
        "The smallest ratio of the groups' shares of positive predictions, with its interval"
    }

    fn long(&self) -> &'static str {
        include_str!("fairness.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example {
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
        }]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        compute_by_state(self, call)
    }

    fn state(&self, options: &Call<'_>) -> Result<Option<Box<dyn State>>, Error> {
        Disparity::state(options, Comparison::Ratio, &[Rate::Selection], 2)
    }
}
