//! The z-test of two proportions, pooled.

use super::cells::{self, Placing, Table, VALUE};
use super::{IS_BASE, OUTCOME, Outcome, shift};
use crate::distribution::normal_two_sided;
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, State, Tolerance, Type, compute_by_state};

/// `two_proportion_z_test(value, is_base)`.
pub struct TwoProportionZTest;

impl Function for TwoProportionZTest {
    fn name(&self) -> &'static str {
        "two_proportion_z_test"
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
        "Two-proportion z-test: is the share of one of two values the same in both samples?"
    }

    fn long(&self) -> &'static str {
        include_str!("two_proportion_z.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![shift(std::f64::consts::SQRT_2, 0.5, 0.157_299_207_050_285_13)]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Relative(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        compute_by_state(self, call)
    }

    fn state(&self, _options: &Call<'_>) -> Result<Option<Box<dyn State>>, Error> {
        Ok(Some(cells::state(&Self, Placing::TwoValues, two_proportions)))
    }
}

fn two_proportions(mut table: Table) -> Outcome {
    let (_, upper) = match table.two_values() {
        Ok(cells) => cells,
        Err(reason) => return table.untestable(reason),
    };
    table.note_small_expected();
    let difference = table.difference(upper) as f64 / table.unit();
    let z = table.chi_square().sqrt().copysign(difference);
    table.outcome(z, difference, Some(normal_two_sided(z)))
}
