//! The chi-square test of homogeneity.

use super::cells::{self, BINNING, BINS, EDGES, Placing, Table, VALUE};
use super::{IS_BASE, OUTCOME, Outcome, shift};
use crate::function::{Example, Tolerance, Value, define};

define! {
    /// `chi_square_test(value, is_base)`.
    pub struct ChiSquareTest {
        name: "chi_square_test",
        kind: Aggregate,
        args: &[VALUE, IS_BASE, BINS, BINNING, EDGES],
        returns: OUTCOME,
        short: "Chi-square test of homogeneity: do two samples come from one distribution over categories?",
        long: concat!(include_str!("chi_square.md"), "\n", include_str!("cells.md")),
        examples: {
            // The same counts, as numbers up to 0 and above.
            let edges = [Value::Null, Value::Null, [0.0].into()];
            let rows = [
                (-1.0, true),
                (0.0, true),
                (-2.0, true),
                (3.5, true),
                (-1.0, false),
                (1.0, false),
                (0.5, false),
                (9.0, false),
            ];
            let rows = rows.map(|(x, is_base)| [vec![x.into(), is_base.into()], edges.to_vec()].concat());
            let categories = shift(2.0, 0.5, 0.157_299_207_050_284_77);
            let numbers = Example { rows: rows.into(), returns: categories.returns.clone() };
            vec![categories, numbers]
        },
        tolerance: Tolerance::Relative(1e-9),
        state: |options| Ok(Some(cells::state(&Self, Placing::of(options, 2)?, chi_square))),
    }
}

pub(crate) fn chi_square(mut table: Table) -> Outcome {
    if table.cells.len() < 2 {
        return table.one_cell();
    }
    table.note_small_expected();
    let (statistic, effect_size) = (table.chi_square(), table.cramers_v());
    let p_value = table.p_value(statistic);
    table.outcome(statistic, effect_size, Some(p_value))
}
