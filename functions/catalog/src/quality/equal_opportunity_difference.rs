//! The largest difference between the groups' true positive rates.

use super::fairness::{Comparison, DISPARITY, Disparity, LABEL_ARGS, Rate};
use crate::function::{
    Arg, Call, Column, Error, Example, Function, Kind, Section, State, Tolerance, Type, Value, compute_by_state,
};

/// `equal_opportunity_difference(label, prediction, sensitive)`.
pub struct EqualOpportunityDifference;

impl Function for EqualOpportunityDifference {
    fn name(&self) -> &'static str {
        "equal_opportunity_difference"
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn section(&self) -> Section {
        Section::Quality
    }

    fn args(&self) -> &'static [Arg] {
        LABEL_ARGS
    }

    fn returns(&self) -> Type {
        DISPARITY
    }

    fn short(&self) -> &'static str {
        "The largest difference between the groups' true positive rates, with its interval"
    }

    fn long(&self) -> &'static str {
        include_str!("fairness.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example {
            rows: (0..16_u32)
                .map(|i| {
                    vec![
                        (i % 2 == 0).into(),
                        (i % 4 < 1 + i / 8).into(),
                        if i < 8 { "a" } else { "b" }.into(),
                        4_i64.into(),
                    ]
                })
                .collect(),
            returns: Value::Record(vec![
                ("value", 0.0.into()),
                ("low", 0.0.into()),
                ("high", 0.494_919_607_842_827_9.into()),
                ("group_low", "a".into()),
                ("group_high", "a".into()),
                ("n", 16_i64.into()),
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
        Disparity::state(options, Comparison::Difference, &[Rate::TruePositive], 3)
    }
}
