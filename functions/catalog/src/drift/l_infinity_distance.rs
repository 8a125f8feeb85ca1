//! The L-infinity distance.

use super::cells::{Table, measure};
use super::{OUTCOME, Outcome, SHIFT, counts, shift};
use crate::function::{Tolerance, Type};

measure! {
    /// `l_infinity_distance(value, is_base)`: the distance with its test.
    pub struct LInfinityDistance {
        name: "l_infinity_distance",
        returns: OUTCOME,
        short: "L-infinity distance: the largest difference of shares over cells, 0 to 1, with the p-value of chi-square",
        long: concat!(include_str!("l_infinity_distance.md"), "\n", include_str!("cells.md")),
        example: shift(0.5, 0.5, 0.157_299_207_050_284_77),
        tolerance: Tolerance::Absolute(1e-9),
        measure: l_infinity,
    }
}

measure! {
    /// `l_infinity_distance_value(value, is_base)`: the distance alone.
    pub struct LInfinityDistanceValue {
        name: "l_infinity_distance_value",
        returns: Type::Float64,
        short: "L-infinity distance: the largest difference of shares over cells, 0 to 1",
        long: concat!(include_str!("l_infinity_distance.md"), "\n", include_str!("cells.md")),
        example: counts(SHIFT, 0.5.into()),
        tolerance: Tolerance::Absolute(1e-9),
        measure: l_infinity,
    }
}

fn l_infinity(table: Table) -> Outcome {
    let largest = table.cells.iter().map(|cell| table.difference(*cell).unsigned_abs()).max().unwrap_or(0);
    let distance = largest as f64 / table.unit();
    table.distance(distance)
}
