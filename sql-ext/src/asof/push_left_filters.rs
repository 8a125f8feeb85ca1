//! Runs a filter on left columns before the as-of join.
//!
//! Each left row is matched by itself, so a row that a filter drops need not be matched first. DataFusion's own rule
//! pushes a predicate into every input of an extension node or into none, so it cannot do this.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Extension, Filter, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::prelude::Expr;

use super::node::AsOfJoin;

#[derive(Debug)]
pub(super) struct PushLeftFilters;

impl OptimizerRule for PushLeftFilters {
    fn name(&self) -> &'static str {
        "push_left_filters_below_as_of_join"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = plan else { return Ok(Transformed::no(plan)) };
        let LogicalPlan::Extension(extension) = filter.input.as_ref() else {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        };
        let Some(join) = extension.node.as_any().downcast_ref::<AsOfJoin>() else {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        };
        let left = join.left.schema();
        let of_left = |predicate: &Expr| {
            !predicate.is_volatile()
                && !predicate.contains_outer()
                && predicate.column_refs().iter().all(|column| left.has_column(column))
        };
        let (below, above): (Vec<Expr>, Vec<Expr>) =
            split_conjunction_owned(filter.predicate.clone()).into_iter().partition(of_left);
        let Some(below) = conjunction(below) else { return Ok(Transformed::no(LogicalPlan::Filter(filter))) };
        let input = LogicalPlan::Filter(Filter::try_new(below, Arc::new(join.left.clone()))?);
        let join = join.with_left(input)?;
        let join = LogicalPlan::Extension(Extension { node: Arc::new(join) });
        Ok(Transformed::yes(match conjunction(above) {
            Some(above) => LogicalPlan::Filter(Filter::try_new(above, Arc::new(join))?),
            None => join,
        }))
    }
}
