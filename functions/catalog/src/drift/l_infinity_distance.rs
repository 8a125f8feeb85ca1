//! The L-infinity distance.

use super::cells::{self, ARGS, Placing, Table};
use super::{OUTCOME, Outcome, SHIFT, counts, shift};
use crate::function::{Tolerance, Type, define};

define! {
    /// `l_infinity_distance(value, is_base)`: the distance with its test.
    pub struct LInfinityDistance {
        name: "l_infinity_distance",
        kind: Aggregate,
        args: ARGS,
        returns: OUTCOME,
        short: "L-infinity distance: the largest difference of shares over cells, 0 to 1, with the p-value of chi-square",
        long: concat!(include_str!("l_infinity_distance.md"), "\n", include_str!("cells.md")),
        examples: vec![shift(0.5, 0.5, 0.157_299_207_050_284_77)],
        tolerance: Tolerance::Absolute(1e-9),
        state: |options| Ok(Some(cells::state(&Self, Placing::of(options, 2)?, l_infinity))),
    }
}

define! {
    /// `l_infinity_distance_value(value, is_base)`: the distance alone.
    pub struct LInfinityDistanceValue {
        name: "l_infinity_distance_value",
        kind: Aggregate,
        args: ARGS,
        returns: Type::Float64,
        short: "L-infinity distance: the largest difference of shares over cells, 0 to 1",
        long: concat!(include_str!("l_infinity_distance.md"), "\n", include_str!("cells.md")),
        examples: vec![counts(SHIFT, 0.5.into())],
        tolerance: Tolerance::Absolute(1e-9),
        state: |options| Ok(Some(cells::state(&Self, Placing::of(options, 2)?, l_infinity))),
    }
}

fn l_infinity(table: Table) -> Outcome {
    let largest = table.cells.iter().map(|cell| table.difference(*cell).unsigned_abs()).max().unwrap_or(0);
    let distance = largest as f64 / table.unit();
    table.distance(distance)
}
