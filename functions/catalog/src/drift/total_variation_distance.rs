//! The total variation distance.

use super::cells::{self, ARGS, Placing, Table};
use super::{OUTCOME, Outcome, SHIFT, counts, shift};
use crate::function::{Tolerance, Type, define};

define! {
    /// `total_variation_distance(value, is_base)`: the distance with its test.
    pub struct TotalVariationDistance {
        name: "total_variation_distance",
        kind: Aggregate,
        args: ARGS,
        returns: OUTCOME,
        short: "Total variation distance between two distributions over cells, 0 to 1, with the p-value of chi-square",
        long: concat!(include_str!("total_variation_distance.md"), "\n", include_str!("cells.md")),
        examples: vec![shift(0.5, 0.5, 0.157_299_207_050_284_77)],
        tolerance: Tolerance::Absolute(1e-9),
        state: |options| Ok(Some(cells::state(&Self, Placing::of(options, 2)?, total_variation))),
    }
}

define! {
    /// `total_variation_distance_value(value, is_base)`: the distance alone.
    pub struct TotalVariationDistanceValue {
        name: "total_variation_distance_value",
        kind: Aggregate,
        args: ARGS,
        returns: Type::Float64,
        short: "Total variation distance between two distributions over cells, 0 to 1",
        long: concat!(include_str!("total_variation_distance.md"), "\n", include_str!("cells.md")),
        examples: vec![counts(SHIFT, 0.5.into())],
        tolerance: Tolerance::Absolute(1e-9),
        state: |options| Ok(Some(cells::state(&Self, Placing::of(options, 2)?, total_variation))),
    }
}

pub(crate) fn total_variation(table: Table) -> Outcome {
    let twice: u128 = table.cells.iter().map(|cell| table.difference(*cell).unsigned_abs()).sum();
    let distance = twice as f64 / table.unit() / 2.0;
    table.distance(distance)
}
