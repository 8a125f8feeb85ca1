//! `ml_label_set`: what happened to each spine row's key within a horizon, and from when that was known.
//!
//! `plan` reads the arguments and refuses what does not fit, `node` is what the optimizer sees, `exec` what runs. The
//! events in (t + start, t + horizon] are a window as of t + horizon, so a label is computed by the same
//! [`FeatureTable`](skewless_udf::view::FeatureTable) as a feature.

mod exec;
mod node;
mod plan;

use std::sync::Arc;

use datafusion::physical_planner::ExtensionPlanner;

pub(crate) use plan::RELATIONS;

/// Planners of this module's own logical nodes.
pub(crate) fn extension_planners() -> Vec<Arc<dyn ExtensionPlanner + Send + Sync>> {
    vec![Arc::new(exec::LabelSetPlanner)]
}

#[cfg(test)]
mod tests;
