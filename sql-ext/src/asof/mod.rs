//! The as-of join: for each left row the one right row that was current.
//!
//! `plan` reads the two ways to write it, `ASOF JOIN` and `asof_join(…)`; `node` is what the optimizer sees, `physical`
//! leads from it to the operator in `exec`, which looks left rows up in an `index` or, beyond memory, merges what is
//! `spilled`. Every left row comes out exactly once and in the left input's order. Among right rows of equal time
//! the greatest by the right side's columns wins, so that threads, batches and input order change nothing.

mod exec;
mod index;
mod instant;
mod message;
mod narrow;
mod node;
mod physical;
mod plan;
mod push_left_filters;
mod rule;
mod spilled;
mod timeline;

use std::sync::Arc;

use datafusion::optimizer::OptimizerRule;
use datafusion::physical_planner::ExtensionPlanner;

pub(crate) use exec::AsOfJoinExec;
pub(crate) use message::{Expressions, LogicalMessage, PhysicalMessage};
pub(crate) use node::AsOfJoin;
pub(crate) use plan::{RELATIONS, plan_join};

/// Planners of this module's own logical nodes.
pub(crate) fn extension_planners() -> Vec<Arc<dyn ExtensionPlanner + Send + Sync>> {
    vec![Arc::new(physical::AsOfPlanner)]
}

/// `rules` with this module's own among them.
pub(crate) fn optimizer_rules(
    mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>,
) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    for rule in &mut rules {
        if rule.name() == "push_down_filter" {
            *rule = Arc::new(push_left_filters::PushLeftFilters::around(Arc::clone(rule)));
        }
    }
    // Last, when it is settled which columns are read.
    rules.push(Arc::new(narrow::NarrowAsOfJoin));
    rules
}

#[cfg(test)]
mod tests;
