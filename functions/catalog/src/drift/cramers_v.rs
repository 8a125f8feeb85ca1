//! Cramér's V.

use super::cells::{self, BINNING, BINS, EDGES, Placing, Table, VALUE};
use super::{IS_BASE, OUTCOME, Outcome, SHIFT, counts, shift};
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, State, Tolerance, Type, compute_by_state};

const ARGS: &[Arg] = &[VALUE, IS_BASE, BINS, BINNING, EDGES];

/// `cramers_v(value, is_base)`: the association with its test.
pub struct CramersV;

/// `cramers_v_value(value, is_base)`: the association alone.
pub struct CramersVValue;

impl Function for CramersV {
    fn name(&self) -> &'static str {
        "cramers_v"
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
        "Cramér's V between category and sample, 0 to 1, with the p-value of chi-square"
    }

    fn long(&self) -> &'static str {
        concat!(include_str!("cramers_v.md"), "\n", include_str!("cells.md"))
    }

    fn examples(&self) -> Vec<Example> {
        vec![shift(0.5, 0.5, 0.157_299_207_050_284_77)]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Relative(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        compute_by_state(self, call)
    }

    fn state(&self, options: &Call<'_>) -> Result<Option<Box<dyn State>>, Error> {
        Ok(Some(cells::state(&Self, Placing::of(options, 2)?, cramers_v)))
    }
}

impl Function for CramersVValue {
    fn name(&self) -> &'static str {
        "cramers_v_value"
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
        "Cramér's V between category and sample, 0 to 1"
    }

    fn long(&self) -> &'static str {
        concat!(include_str!("cramers_v.md"), "\n", include_str!("cells.md"))
    }

    fn examples(&self) -> Vec<Example> {
        vec![counts(SHIFT, 0.5.into())]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Relative(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        compute_by_state(self, call)
    }

    fn state(&self, options: &Call<'_>) -> Result<Option<Box<dyn State>>, Error> {
        Ok(Some(cells::state(&Self, Placing::of(options, 2)?, cramers_v)))
    }
}

fn cramers_v(table: Table) -> Outcome {
    if table.cells.len() < 2 {
        return table.one_cell();
    }
    let v = table.cramers_v();
    table.distance(v)
}
