//! `ml_validate_drift`: every column of two samples compared, one row for each column (and slice) and metric; and
//! `ml_describe_data`: the columns of one; and `ml_find_slices`: the rows of one that have a worse loss.
//!
//! `drift` plans a call into stock nodes: both samples in one scan, a profile of each column, slice and sample, and the
//! function `report`, which reads the profiles, tests, and corrects for how many tests there were. `exact` is the operator
//! that, where asked, puts the values of columns in order for the tests that profiles leave open.

mod describe;
mod drift;
mod exact;
mod report;
mod slices;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_planner::ExtensionPlanner;

pub(crate) use exact::{ExactDrift, ExactDriftExec, Spec as ExactDriftSpec};

pub(crate) use drift::{profile_function, read, reading};

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
            Parameter::optional("exact"),
        ],
        plan: drift::plan,
    },
    slices::RELATION,
    Relation { name: describe::NAME, parameters: &[Parameter::required("data")], plan: describe::plan },
];

/// Planners of this module's own logical nodes.
pub(crate) fn extension_planners() -> Vec<Arc<dyn ExtensionPlanner + Send + Sync>> {
    vec![Arc::new(exact::ExactDriftPlanner)]
}

/// Registers the functions that the plans call.
pub(crate) fn register(state: &mut SessionState) -> Result<()> {
    state.register_udf(report::function())?;
    state.register_udf(describe::function())?;
    slices::register(state)
}

#[cfg(test)]
mod tests;
