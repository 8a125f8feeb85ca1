//! What becomes of cells with values on one side only, where a measure divides by their shares.

use super::cells::{Cell, Table};
use crate::function::{Arg, Call, Error, Type};

pub(super) const SMOOTHING: Arg =
    Arg::option("smoothing", Type::Text, "'jeffreys'", "'jeffreys' or 'none': what to do where one side has no value");

/// What happens where a cell has values on one side only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Smoothing {
    /// Half a value is added to every cell.
    Jeffreys,
    /// Nothing.
    None,
}

impl Smoothing {
    /// As the option at an index says.
    pub(super) fn of(call: &Call<'_>, index: usize) -> Result<Self, Error> {
        Ok(if call.choice(index, "smoothing", ["jeffreys", "none"])? == "none" { Self::None } else { Self::Jeffreys })
    }

    /// The share of each cell in the base and in the study sample. The notes say what was added, or in how many cells the
    /// measure is infinite.
    pub(super) fn shares(
        self,
        table: &mut Table,
        measure: &str,
        is_infinite: impl Fn(&Cell) -> bool,
    ) -> Vec<(f64, f64)> {
        let cells = |count: usize| if count == 1 { "1 cell has".to_owned() } else { format!("{count} cells have") };
        let one_sided = table.cells.iter().filter(|cell| cell.base == 0 || cell.study == 0).count();
        let infinite = table.cells.iter().filter(|cell| is_infinite(cell)).count();
        let mut added = 0.0;
        if self == Self::Jeffreys && one_sided > 0 {
            added = 0.5;
            let cells = cells(one_sided);
            table.notes.add(format!("{cells} values on one side only: 0.5 added to every count (Jeffreys)"));
        } else if infinite > 0 {
            let cells = cells(infinite);
            table.notes.add(format!("{cells} values on one side only: without smoothing {measure} is infinite"));
        }
        let more = added * table.cells.len() as f64;
        let (base, study) = (table.sum.base as f64 + more, table.sum.study as f64 + more);
        let share = |cell: &Cell| ((cell.base as f64 + added) / base, (cell.study as f64 + added) / study);
        table.cells.iter().map(share).collect()
    }
}
