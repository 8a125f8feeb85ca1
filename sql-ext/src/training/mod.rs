//! `ml_training_set`: a spine of (keys, time) rows, each with the features that were known at its time.
//!
//! `plan` reads the arguments and refuses what does not fit, `node` is what the optimizer sees, and `narrow` leaves out
//! what the statement does not select. `exec` is what runs: `rows` gathers the views' rows, `lookup` asks them in large
//! chunks, `spill` does so where they do not fit into memory (`part`: files, `answer`: questions and answers, `by_time`: one
//! entity too large), and `sequential` keeps a spine in the order in which it
//! would be read serially. Every spine row comes out exactly once, in the spine's order, whatever the number of
//! partitions, the batch size and the memory.

mod answer;
mod by_time;
mod exec;
mod inspect;
mod lookup;
mod message;
mod narrow;
mod node;
mod part;
mod plan;
mod reference;
mod rows;
mod sequential;
mod spill;

use std::sync::Arc;

use datafusion::common::plan_datafusion_err;
use datafusion::optimizer::OptimizerRule;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::collect;
use datafusion::physical_planner::ExtensionPlanner;
use skewless_udf::view::FeatureTable;

pub(crate) use exec::{TrainingSetExec, serial_plan};
pub(crate) use inspect::{Used, used};
pub(crate) use message::Message;
pub(crate) use node::TrainingSet;
pub(crate) use plan::{Chosen, Columns, RELATIONS, check_time, choose, entity_keys, instant};
pub(crate) use reference::Reference;
pub(crate) use sequential::{Sequential, sequential};

use crate::SkewlessContext;
use crate::execution::on_worker;

/// Planners of this module's own logical nodes.
pub(crate) fn extension_planners() -> Vec<Arc<dyn ExtensionPlanner + Send + Sync>> {
    vec![Arc::new(exec::TrainingSetPlanner)]
}

/// This module's own optimizer rule; it goes after DataFusion's, which say what of a training set is read.
pub(crate) fn optimizer_rule() -> Arc<dyn OptimizerRule + Send + Sync> {
    Arc::new(narrow::NarrowTrainingSet)
}

/// This module's own rule for physical plans; it goes after DataFusion's.
pub(crate) fn physical_optimizer_rule() -> Arc<dyn PhysicalOptimizerRule + Send + Sync> {
    Arc::new(exec::ShowSpines)
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
        Ok(on_worker(move || {
            let rows = batches.iter().map(|batch| definition.rows_of_body(batch)).collect::<Result<_, _>>()?;
            FeatureTable::new(definition, rows)
        })
        .await?)
    }
}

#[cfg(test)]
mod tests;
