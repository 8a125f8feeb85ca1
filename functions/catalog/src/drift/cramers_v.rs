//! Cramér's V.

use super::cells::{Table, measure};
use super::{OUTCOME, Outcome, SHIFT, counts, shift};
use crate::function::{Tolerance, Type};

measure! {
    /// `cramers_v(value, is_base)`: the association with its test.
    pub struct CramersV {
        name: "cramers_v",
        returns: OUTCOME,
        short: "Cramér's V between category and sample, 0 to 1, with the p-value of chi-square",
        long: concat!(include_str!("cramers_v.md"), "\n", include_str!("cells.md")),
        example: shift(0.5, 0.5, 0.157_299_207_050_284_77),
        tolerance: Tolerance::Relative(1e-9),
        measure: cramers_v,
    }
}

measure! {
    /// `cramers_v_value(value, is_base)`: the association alone.
    pub struct CramersVValue {
        name: "cramers_v_value",
        returns: Type::Float64,
        short: "Cramér's V between category and sample, 0 to 1",
        long: concat!(include_str!("cramers_v.md"), "\n", include_str!("cells.md")),
        example: counts(SHIFT, 0.5.into()),
        tolerance: Tolerance::Relative(1e-9),
        measure: cramers_v,
    }
}

fn cramers_v(table: Table) -> Outcome {
    if table.cells.len() < 2 {
        return table.one_cell();
    }
    let v = table.cramers_v();
    table.distance(v)
}
