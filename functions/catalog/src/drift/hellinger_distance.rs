//! The Hellinger distance.

use super::cells::{self, BINNING, BINS, EDGES, Placing, Table, VALUE};
use super::{IS_BASE, OUTCOME, Outcome, SHIFT, counts, shift};
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, State, Tolerance, Type, compute_by_state};

const ARGS: &[Arg] = &[VALUE, IS_BASE, BINS, BINNING, EDGES];

/// `hellinger_distance(value, is_base)`: the distance with its test.
pub struct HellingerDistance;

/// `hellinger_distance_value(value, is_base)`: the distance alone.
pub struct HellingerDistanceValue;

impl Function for HellingerDistance {
    fn name(&self) -> &'static str {
        "hellinger_distance"
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
        "Hellinger distance between two distributions over cells, 0 to 1, with the p-value of chi-square"
    }

    fn long(&self) -> &'static str {
        concat!(include_str!("hellinger_distance.md"), "\n", include_str!("cells.md"))
    }

    fn examples(&self) -> Vec<Example> {
        vec![shift(0.366_025_403_784_438_6, 0.366_025_403_784_438_6, 0.157_299_207_050_284_77)]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        compute_by_state(self, call)
    }

    fn state(&self, options: &Call<'_>) -> Result<Option<Box<dyn State>>, Error> {
        Ok(Some(cells::state(&Self, Placing::of(options, 2)?, hellinger)))
    }
}

impl Function for HellingerDistanceValue {
    fn name(&self) -> &'static str {
        "hellinger_distance_value"
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
        "Hellinger distance between two distributions over cells, 0 to 1"
    }

    fn long(&self) -> &'static str {
        concat!(include_str!("hellinger_distance.md"), "\n", include_str!("cells.md"))
    }

    fn examples(&self) -> Vec<Example> {
        vec![counts(SHIFT, 0.366_025_403_784_438_6.into())]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        compute_by_state(self, call)
    }

    fn state(&self, options: &Call<'_>) -> Result<Option<Box<dyn State>>, Error> {
        Ok(Some(cells::state(&Self, Placing::of(options, 2)?, hellinger)))
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
