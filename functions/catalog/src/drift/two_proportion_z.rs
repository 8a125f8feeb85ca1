//! The z-test of two proportions, pooled.

use super::cells::{self, Placing, Table, VALUE};
use super::{IS_BASE, OUTCOME, Outcome, shift};
use crate::distribution::normal_two_sided;
use crate::function::{Tolerance, define};

define! {
    /// `two_proportion_z_test(value, is_base)`.
    pub struct TwoProportionZTest {
        name: "two_proportion_z_test",
        kind: Aggregate,
        args: &[VALUE, IS_BASE],
        returns: OUTCOME,
        short: "Two-proportion z-test: is the share of one of two values the same in both samples?",
        long: include_str!("two_proportion_z.md"),
        examples: vec![shift(std::f64::consts::SQRT_2, 0.5, 0.157_299_207_050_285_13)],
        tolerance: Tolerance::Relative(1e-9),
        state: |_options| Ok(Some(cells::state(&Self, Placing::TwoValues, two_proportions))),
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
