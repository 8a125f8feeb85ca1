//! `ml_check_leakage`: an audit of a training table that exists already, against the views that it claims to hold.
//!
//! Every cell is computed anew as of its row's time; one that differs is traced through the view's whole history to the
//! row it must have come from. `plan` reads the arguments, `node` is what the optimizer sees, `exec` runs it, `compare`
//! says when two values are equal, `trace` why a cell is not what was known, and `tally` counts.

mod compare;
mod exec;
mod node;
mod plan;
mod tally;
mod trace;

use std::sync::Arc;

use datafusion::physical_planner::ExtensionPlanner;

pub(crate) use plan::RELATIONS;

/// Planners of this module's own logical nodes.
pub(crate) fn extension_planners() -> Vec<Arc<dyn ExtensionPlanner + Send + Sync>> {
    vec![Arc::new(exec::LeakageAuditPlanner)]
}

#[cfg(test)]
mod tests;
