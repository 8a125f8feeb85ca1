//! The G-test of homogeneity: the likelihood ratio in place of chi-square.

use super::cells::{self, BINNING, BINS, EDGES, Placing, Table, VALUE};
use super::{IS_BASE, OUTCOME, Outcome, shift};
use crate::distribution::deviance;
use crate::function::{Tolerance, define};

define! {
    /// `g_test(value, is_base)`.
    pub struct GTest {
        name: "g_test",
        kind: Aggregate,
        args: &[VALUE, IS_BASE, BINS, BINNING, EDGES],
        returns: OUTCOME,
        short: "G-test (likelihood ratio) of homogeneity: do two samples come from one distribution over categories?",
        long: concat!(include_str!("g_test.md"), "\n", include_str!("cells.md")),
        examples: vec![shift(2.092_992_575_058_191_5, 0.5, 0.147_975_959_385_026_6)],
        tolerance: Tolerance::Relative(1e-9),
        state: |options| Ok(Some(cells::state(&Self, Placing::of(options, 2)?, g))),
    }
}

fn g(mut table: Table) -> Outcome {
    if table.cells.len() < 2 {
        return table.one_cell();
    }
    table.note_small_expected();
    let all = (table.sum.base + table.sum.study) as f64;
    let part = |count: u64, sample: u64, total: u64, difference: i128| {
        let expected = total as f64 * (sample as f64 / all);
        if count == 0 { expected } else { deviance(count as f64, difference as f64 / all, expected) }
    };
    // Counts and expected counts have the same sum, so that their difference can be added to every term: none is negative.
    let half: f64 = table
        .cells
        .iter()
        .map(|cell| {
            let (total, difference) = (cell.base + cell.study, table.difference(*cell));
            part(cell.base, table.sum.base, total, difference) + part(cell.study, table.sum.study, total, -difference)
        })
        .sum();
    let statistic = 2.0 * half;
    let (effect_size, p_value) = (table.cramers_v(), table.p_value(statistic));
    table.outcome(statistic, effect_size, Some(p_value))
}
