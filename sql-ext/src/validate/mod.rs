//! `ml_validate_drift`: every column of two samples compared, one row for each column (and slice) and metric; and
//! `ml_describe_data`: the columns of one; and `ml_find_slices`: the rows of one that have a worse loss.
//!
//! `drift` plans a call into stock nodes: both samples in one scan, a profile of each column, slice and sample, and the
//! function `report`, which reads the profiles, tests, and corrects for how many tests there were.

mod describe;
mod drift;
mod report;
mod slices;

use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;

use crate::relation::{Parameter, Relation};

/// The FROM-functions of this module.
pub(crate) static RELATIONS: &[Relation] = &[
    Relation {
        name: drift::NAME,
        parameters: &[
            Parameter::required("base"),
            Parameter::required("study"),
            Parameter::optional("by"),
            Parameter::optional("metrics"),
            Parameter::optional("alpha"),
            Parameter::optional("correction"),
            Parameter::optional("min_effect"),
        ],
        plan: drift::plan,
    },
    slices::RELATION,
    Relation { name: describe::NAME, parameters: &[Parameter::required("data")], plan: describe::plan },
];

/// Registers the functions that the plans call.
pub(crate) fn register(state: &mut SessionState) -> Result<()> {
    state.register_udf(report::function())?;
    state.register_udf(describe::function())?;
    slices::register(state)
}

#[cfg(test)]
mod tests;
