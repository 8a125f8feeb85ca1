//! The Hellinger distance.

use super::cells::{self, ARGS, Placing, Table};
use super::{OUTCOME, Outcome, SHIFT, counts, shift};
use crate::function::{Tolerance, Type, define};

define! {
    /// `hellinger_distance(value, is_base)`: the distance with its test.
    pub struct HellingerDistance {
        name: "hellinger_distance",
        kind: Aggregate,
        args: ARGS,
        returns: OUTCOME,
        short: "Hellinger distance between two distributions over cells, 0 to 1, with the p-value of chi-square",
        long: concat!(include_str!("hellinger_distance.md"), "\n", include_str!("cells.md")),
        examples: vec![shift(0.366_025_403_784_438_6, 0.366_025_403_784_438_6, 0.157_299_207_050_284_77)],
        tolerance: Tolerance::Absolute(1e-9),
        state: |options| Ok(Some(cells::state(&Self, Placing::of(options, 2)?, hellinger))),
    }
}

define! {
    /// `hellinger_distance_value(value, is_base)`: the distance alone.
    pub struct HellingerDistanceValue {
        name: "hellinger_distance_value",
        kind: Aggregate,
        args: ARGS,
        returns: Type::Float64,
        short: "Hellinger distance between two distributions over cells, 0 to 1",
        long: concat!(include_str!("hellinger_distance.md"), "\n", include_str!("cells.md")),
        examples: vec![counts(SHIFT, 0.366_025_403_784_438_6.into())],
        tolerance: Tolerance::Absolute(1e-9),
        state: |options| Ok(Some(cells::state(&Self, Placing::of(options, 2)?, hellinger))),
    }
}

pub(crate) fn hellinger(table: Table) -> Outcome {
    let square: f64 = table
        .shares()
        .map(|(base, study)| {
            let difference = base.sqrt() - study.sqrt();
            difference * difference
        })
        .sum();
    let distance = (square / 2.0).sqrt().min(1.0);
    table.distance(distance)
}
