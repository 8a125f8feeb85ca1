//! The chi-square test of goodness of fit, against the shares of the base.

use super::cells::{self, BINNING, BINS, Cell, EDGES, Placing, Table, VALUE};
use super::{IS_BASE, OUTCOME, Outcome, shift};
use crate::function::{Tolerance, define};

define! {
    /// `chi_square_gof_test(value, is_base)`.
    pub struct ChiSquareGofTest {
        name: "chi_square_gof_test",
        kind: Aggregate,
        args: &[VALUE, IS_BASE, BINS, BINNING, EDGES],
        returns: OUTCOME,
        short: "Chi-square goodness of fit: does the study sample have the base's shares, taken as exact?",
        long: concat!(include_str!("chi_square_gof.md"), "\n", include_str!("cells.md")),
        examples: vec![shift(5.333_333_333_333_333, 1.154_700_538_379_251_5, 0.020_921_335_337_793_973)],
        tolerance: Tolerance::Relative(1e-9),
        state: |options| Ok(Some(cells::state(&Self, Placing::of(options, 2)?, goodness_of_fit))),
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
