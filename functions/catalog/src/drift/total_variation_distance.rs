//! The total variation distance.

use super::cells::{self, BINNING, BINS, EDGES, Placing, Table, VALUE};
use super::{IS_BASE, OUTCOME, Outcome, SHIFT, counts, shift};
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, State, Tolerance, Type, compute_by_state};

const ARGS: &[Arg] = &[VALUE, IS_BASE, BINS, BINNING, EDGES];

/// `total_variation_distance(value, is_base)`: the distance with its test.
pub struct TotalVariationDistance;

/// `total_variation_distance_value(value, is_base)`: the distance alone.
pub struct TotalVariationDistanceValue;

impl Function for TotalVariationDistance {
    fn name(&self) -> &'static str {
        "total_variation_distance"
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn returns(&self) -> Type {
        OUTCOME
    }

    fn short(&self) -> &'static str {
        "Total variation distance between two distributions over cells, 0 to 1, with the p-value of chi-square"
    }

    fn long(&self) -> &'static str {
        concat!(include_str!("total_variation_distance.md"), "\n", include_str!("cells.md"))
    }

    fn examples(&self) -> Vec<Example> {
        vec![shift(0.5, 0.5, 0.157_299_207_050_284_77)]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        compute_by_state(self, call)
    }

    fn state(&self, options: &Call<'_>) -> Result<Option<Box<dyn State>>, Error> {
        Ok(Some(cells::state(&Self, Placing::of(options, 2)?, total_variation)))
    }
}

impl Function for TotalVariationDistanceValue {
    fn name(&self) -> &'static str {
        "total_variation_distance_value"
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Total variation distance between two distributions over cells, 0 to 1"
    }

    fn long(&self) -> &'static str {
        concat!(include_str!("total_variation_distance.md"), "\n", include_str!("cells.md"))
    }

    fn examples(&self) -> Vec<Example> {
        vec![counts(SHIFT, 0.5.into())]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        compute_by_state(self, call)
    }

    fn state(&self, options: &Call<'_>) -> Result<Option<Box<dyn State>>, Error> {
        Ok(Some(cells::state(&Self, Placing::of(options, 2)?, total_variation)))
    }
}

pub(crate) fn total_variation(table: Table) -> Outcome {
    let twice: u128 = table.cells.iter().map(|cell| table.difference(*cell).unsigned_abs()).sum();
    let distance = twice as f64 / table.unit() / 2.0;
    table.distance(distance)
}
