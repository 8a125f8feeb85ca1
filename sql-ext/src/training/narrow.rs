//! Leaves out of a training set what the statement does not select.
//!
//! Features, statuses and witnesses that nothing reads are not computed, a view of which nothing is left is not read,
//! and the spine is read without the columns that neither the statement nor a view needs. Sources are read whole: their
//! remaining columns decide between rows of one time.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Extension, LogicalPlan, Projection};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::prelude::Expr;

use super::node::TrainingSet;

#[derive(Debug)]
pub(super) struct NarrowTrainingSet;

impl OptimizerRule for NarrowTrainingSet {
    fn name(&self) -> &'static str {
        "narrow_training_set"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Projection(projection) = plan else { return Ok(Transformed::no(plan)) };
        let Some(set) = narrowed(&projection)? else { return Ok(Transformed::no(LogicalPlan::Projection(projection))) };
        let set = LogicalPlan::Extension(Extension { node: Arc::new(set) });
        Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(projection.expr, Arc::new(set))?)))
    }
}

/// The training set below a projection with what the projection reads; `None` where that is all of it.
fn narrowed(projection: &Projection) -> Result<Option<TrainingSet>> {
    let LogicalPlan::Extension(extension) = projection.input.as_ref() else { return Ok(None) };
    let Some(set) = extension.node.as_any().downcast_ref::<TrainingSet>() else { return Ok(None) };
    let Some(spine) = set.spine() else { return Ok(None) };
    if projection.expr.iter().any(Expr::contains_outer) {
        return Ok(None);
    }
    let fields = projection.input.schema();
    let width = spine.schema().fields().len();
    let mut columns = BTreeSet::new();
    let mut names = BTreeSet::new();
    for column in projection.expr.iter().flat_map(Expr::column_refs) {
        let index = fields.index_of_column(column)?;
        if index < width {
            columns.insert(index);
        } else {
            names.insert(column.name.clone());
        }
    }
    let (spec, left) = set.spec().narrow(&names)?;
    columns.extend(spec.spine_columns(spine.schema()));
    if columns.len() == width && spec == **set.spec() {
        return Ok(None);
    }
    let Some(spec) = spec.with_spine_columns(&columns) else { return Ok(None) };
    let mut inputs = vec![if columns.len() == width {
        spine.clone()
    } else {
        let kept = columns.iter().map(|index| Expr::from(spine.schema().qualified_field(*index))).collect();
        LogicalPlan::Projection(Projection::try_new(kept, Arc::new(spine.clone()))?)
    }];
    let sources = set.sources().iter().zip(left).filter(|(_, left)| *left);
    inputs.extend(sources.map(|(source, _)| source.clone()));
    Ok(Some(TrainingSet::new(inputs, Arc::new(spec))?))
}
