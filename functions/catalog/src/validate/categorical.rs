//! Two samples over cells, tested so that the rate of false alarms holds at any size: rare cells are merged by their pooled
//! counts, which say nothing of the samples, and two cells are tested exactly.

use crate::distribution::Hypergeometric;
use crate::drift::cells::{Cell, ONE_CELL, Table};
use crate::drift::{Notes, Outcome};

/// How many values of the smaller sample a cell has to expect; Cochran's rule.
const LEAST_EXPECTED: u64 = 5;

/// Up to how many values two cells are tested exactly.
const EXACT_UP_TO: u64 = 1_000_000;

/// Tests counts by cell: chi-square's statistic, Cramér's V, and a p-value that holds where cells are small.
pub(super) fn test(mut table: Table) -> Outcome {
    if let Some(sample) = table.missing_sample() {
        return table.untestable(format!("there is no value in the {sample} sample to compare"));
    }
    if table.cells.len() < 2 {
        return table.untestable(ONE_CELL);
    }
    let (statistic, effect_size) = (table.chi_square(), table.cramers_v().min(1.0));
    let merged = merge(&table);
    let rare = table.cells.len() - merged.cells.len();
    if rare > 0 {
        table.notes.add(format!(
            "{} of {} cells expect fewer than {LEAST_EXPECTED} values of the smaller sample and are tested as one",
            rare + 1,
            table.cells.len()
        ));
    }
    let p_value = match *merged.cells {
        [first, _] if merged.sum.total() <= EXACT_UP_TO => {
            let (distribution, place) =
                Hypergeometric::with(merged.sum.study, merged.sum.base, first.total(), first.study);
            distribution.two_sided(place)
        }
        _ => merged.p_value(merged.chi_square()),
    };
    table.outcome(statistic, effect_size, Some(p_value))
}

/// The cells that expect enough values, and the others as one; the most frequent one and the others where none does.
fn merge(table: &Table) -> Table {
    let mut cells = table.cells.clone();
    // What is merged is decided by pooled counts alone; equal ones stay in the order of their categories.
    cells.sort_by_key(|cell| std::cmp::Reverse(cell.total()));
    let smaller = u128::from(table.sum.base.min(table.sum.study));
    let all = u128::from(table.sum.total());
    let expects_enough = |cell: &Cell| u128::from(cell.total()) * smaller >= u128::from(LEAST_EXPECTED) * all;
    let common = cells.iter().take_while(|cell| expects_enough(cell)).count().max(1);
    let mut rare = Cell::default();
    for cell in cells.drain(common..) {
        rare.add_all(cell);
    }
    if expects_enough(&rare) || cells.len() < 2 {
        cells.push(rare);
    } else if let Some(last) = cells.last_mut() {
        last.add_all(rare);
    }
    Table::new(cells, false, Notes::default())
}
