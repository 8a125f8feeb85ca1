//! Fisher's exact test of two categories.

use super::cells::{self, Placing, Table, VALUE};
use super::{IS_BASE, OUTCOME, Outcome, counts};
use crate::distribution::Hypergeometric;
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, State, Tolerance, Type, compute_by_state};

/// `fisher_exact_test(value, is_base)`.
pub struct FisherExactTest;

impl Function for FisherExactTest {
    fn name(&self) -> &'static str {
        "fisher_exact_test"
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[VALUE, IS_BASE];
        ARGS
    }

    fn returns(&self) -> Type {
        OUTCOME
    }

    fn short(&self) -> &'static str {
        "Fisher's exact test: is one of two values as frequent in both samples?"
    }

    fn long(&self) -> &'static str {
        include_str!("fisher_exact.md")
    }

    fn examples(&self) -> Vec<Example> {
        let outcome = Outcome {
            statistic: Some(9.0),
            effect_size: Some(9.0),
            p_value: Some(0.485_714_285_714_284_54),
            n_base: 4,
            n_study: 4,
            note: None,
        };
        vec![counts(&[("false", 3, 1), ("true", 1, 3)], outcome.into_value())]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Relative(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        compute_by_state(self, call)
    }

    fn state(&self, _options: &Call<'_>) -> Result<Option<Box<dyn State>>, Error> {
        Ok(Some(cells::state(&Self, Placing::TwoValues, fisher)))
    }
}

fn fisher(table: Table) -> Outcome {
    let (lower, upper) = match table.two_values() {
        Ok(cells) => cells,
        Err(reason) => return table.untestable(reason),
    };
    let odds_ratio = upper.study as f64 * lower.base as f64 / (upper.base as f64 * lower.study as f64);
    let upper_total = upper.base + upper.study;
    let (distribution, place) = Hypergeometric::with(table.sum.study, table.sum.base, upper_total, upper.study);
    table.outcome(odds_ratio, odds_ratio, Some(distribution.two_sided(place)))
}
