//! `ml_training_set`: a spine of (keys, time) rows, each with the features that were known at its time.
//!
//! `plan` reads the arguments and refuses what does not fit, `node` is what the optimizer sees, `exec` what runs, and
//! `sequential` keeps a spine in the order in which it would be read serially. Every spine row comes out exactly once,
//! in the spine's order, whatever the number of partitions and the batch size.

mod exec;
mod node;
mod plan;
mod reference;
mod sequential;

use std::sync::Arc;

use datafusion::common::plan_datafusion_err;
use datafusion::physical_plan::collect;
use datafusion::physical_planner::ExtensionPlanner;
use skewless_udf::view::FeatureTable;

pub(crate) use plan::RELATIONS;

use crate::SkewlessContext;

/// Planners of this module's own logical nodes.
pub(crate) fn extension_planners() -> Vec<Arc<dyn ExtensionPlanner + Send + Sync>> {
    vec![Arc::new(exec::TrainingSetPlanner)]
}

impl SkewlessContext {
    /// All rows of a feature view, read from its source now and indexed for look-ups.
    pub async fn feature_rows(&self, view: &str) -> crate::Result<FeatureTable> {
        let view = self.views().find(view)?;
        let Some(source) = &view.source else {
            return Err(plan_datafusion_err!(
                "the feature view `{}` is ON DEMAND and has no rows; it is computed from each request",
                view.definition.name
            )
            .into());
        };
        let state = self.session().state();
        let plan = state.create_physical_plan(source).await?;
        let batches = collect(plan, state.task_ctx()).await?;
        let definition = Arc::clone(&view.definition);
        Ok(exec::on_worker(move || exec::index(&definition, batches, None)).await?)
    }
}

#[cfg(test)]
mod tests;
