//! Cramér's V.

use super::cells::{self, ARGS, Placing, Table};
use super::{OUTCOME, Outcome, SHIFT, counts, shift};
use crate::function::{Tolerance, Type, define};

define! {
    /// `cramers_v(value, is_base)`: the association with its test.
    pub struct CramersV {
        name: "cramers_v",
        kind: Aggregate,
        args: ARGS,
        returns: OUTCOME,
        short: "Cramér's V between category and sample, 0 to 1, with the p-value of chi-square",
        long: concat!(include_str!("cramers_v.md"), "\n", include_str!("cells.md")),
        examples: vec![shift(0.5, 0.5, 0.157_299_207_050_284_77)],
        tolerance: Tolerance::Relative(1e-9),
        state: |options| Ok(Some(cells::state(&Self, Placing::of(options, 2)?, cramers_v))),
    }
}

define! {
    /// `cramers_v_value(value, is_base)`: the association alone.
    pub struct CramersVValue {
        name: "cramers_v_value",
        kind: Aggregate,
        args: ARGS,
        returns: Type::Float64,
        short: "Cramér's V between category and sample, 0 to 1",
        long: concat!(include_str!("cramers_v.md"), "\n", include_str!("cells.md")),
        examples: vec![counts(SHIFT, 0.5.into())],
        tolerance: Tolerance::Relative(1e-9),
        state: |options| Ok(Some(cells::state(&Self, Placing::of(options, 2)?, cramers_v))),
    }
}

fn cramers_v(table: Table) -> Outcome {
    if table.cells.len() < 2 {
        return table.one_cell();
    }
    let v = table.cramers_v();
    table.distance(v)
}
