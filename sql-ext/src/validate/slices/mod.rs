//! `ml_find_slices`: the slices of a query whose loss is worse than that of its other rows.
//!
//! `plan` makes two scans of stock nodes. The first profiles every column, and `cells` divides the columns by their
//! profiles; the second gives each row the codes of its cells, `gather` sums the losses of every slice, and `report` tests
//! them all.

mod cells;
mod gather;
mod plan;
mod report;

use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;

use crate::relation::{Parameter, Relation};

/// The FROM-function.
pub(super) const RELATION: Relation = Relation {
    name: plan::NAME,
    parameters: &[
        Parameter::required("data"),
        Parameter::required("loss"),
        Parameter::optional("by"),
        Parameter::optional("max_columns"),
        Parameter::optional("min_rows"),
        Parameter::optional("bins"),
        Parameter::optional("alpha"),
        Parameter::optional("correction"),
        Parameter::optional("min_effect"),
        Parameter::optional("top"),
    ],
    plan: plan::plan,
};

/// Registers the functions that the plan calls.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    state.register_udf(cells::divide())?;
    state.register_udf(cells::code())?;
    state.register_udaf(gather::function())?;
    state.register_udf(report::function())?;
    Ok(())
}

#[cfg(test)]
mod tests;
