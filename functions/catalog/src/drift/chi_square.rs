//! The chi-square test of homogeneity.

use super::cells::{self, BINNING, BINS, EDGES, Placing, Table, VALUE};
use super::{IS_BASE, OUTCOME, Outcome, shift};
use crate::function::{
    Arg, Call, Column, Error, Example, Function, Kind, State, Tolerance, Type, Value, compute_by_state,
};

/// `chi_square_test(value, is_base)`.
pub struct ChiSquareTest;

impl Function for ChiSquareTest {
    fn name(&self) -> &'static str {
        "chi_square_test"
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
        "Chi-square test of homogeneity: do two samples come from one distribution over categories?"
    }

    fn long(&self) -> &'static str {
        concat!(include_str!("chi_square.md"), "\n", include_str!("cells.md"))
    }

    fn examples(&self) -> Vec<Example> {
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
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Relative(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        compute_by_state(self, call)
    }

    fn state(&self, options: &Call<'_>) -> Result<Option<Box<dyn State>>, Error> {
        Ok(Some(cells::state(&Self, Placing::of(options, 2)?, chi_square)))
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
