//! The chi-square test of goodness of fit, against the shares of the base.

use super::cells::{self, BINNING, BINS, Cell, EDGES, Placing, Table, VALUE};
use super::{IS_BASE, OUTCOME, Outcome, shift};
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, State, Tolerance, Type, compute_by_state};

/// `chi_square_gof_test(value, is_base)`.
pub struct ChiSquareGofTest;

impl Function for ChiSquareGofTest {
    fn name(&self) -> &'static str {
        "chi_square_gof_test"
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[VALUE, IS_BASE, BINS, BINNING, EDGES];
        ARGS
    }

    fn returns(&self) -> Type {
        OUTCOME
    }

    fn short(&self) -> &'static str {
        "Chi-square goodness of fit: does the study sample have the base's shares, taken as exact?"
    }

    fn long(&self) -> &'static str {
        concat!(include_str!("chi_square_gof.md"), "\n", include_str!("cells.md"))
    }

    fn examples(&self) -> Vec<Example> {
        vec![shift(5.333_333_333_333_333, 1.154_700_538_379_251_5, 0.020_921_335_337_793_973)]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Relative(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        compute_by_state(self, call)
    }

    fn state(&self, options: &Call<'_>) -> Result<Option<Box<dyn State>>, Error> {
        Ok(Some(cells::state(&Self, Placing::of(options, 2)?, goodness_of_fit)))
    }
}

fn goodness_of_fit(mut table: Table) -> Outcome {
    if table.cells.len() < 2 {
        return table.one_cell();
    }
    let unseen = table.cells.iter().filter(|cell| cell.base == 0).count();
    if unseen > 0 {
        let cells = if unseen == 1 { "1 cell has" } else { &format!("{unseen} cells have") };
        table.notes.add(format!("{cells} values of the study sample alone, where none is expected"));
        return table.outcome(f64::INFINITY, f64::INFINITY, Some(0.0));
    }
    let sum = table.sum;
    table.note_small(|cell| u128::from(cell.base) * u128::from(sum.study) < 5 * u128::from(sum.base));
    let square = |cell: &Cell| {
        let difference = table.difference(*cell) as f64;
        difference / cell.base as f64 * (difference / table.unit())
    };
    let statistic: f64 = table.cells.iter().map(square).sum();
    let effect_size = (statistic / sum.study as f64).sqrt();
    let p_value = table.p_value(statistic);
    table.outcome(statistic, effect_size, Some(p_value))
}
