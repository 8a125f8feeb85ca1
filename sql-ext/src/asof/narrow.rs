//! Settles which columns of an as-of join are read and given out.
//!
//! A right side that has its tie columns anyway is not read a second time for them.
//!
//! The join gives out left and right columns, keys and times among them. An aggregate often needs few of them; a
//! projection in between lets the operator leave the others out.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Extension, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::prelude::Expr;

use super::node::AsOfJoin;

#[derive(Debug)]
pub(super) struct NarrowAsOfJoin;

impl OptimizerRule for NarrowAsOfJoin {
    fn name(&self) -> &'static str {
        "narrow_as_of_join"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if let Some(settled) = join(&plan).map(AsOfJoin::settled).transpose()?.flatten() {
            return Ok(Transformed::yes(LogicalPlan::Extension(Extension { node: Arc::new(settled) })));
        }
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        if join(&aggregate.input).is_none() {
            return Ok(Transformed::no(plan));
        }
        let expressions = plan.expressions();
        let asked: HashSet<&Column> = expressions.iter().flat_map(Expr::column_refs).collect();
        let columns = aggregate.input.schema().columns();
        let kept: Vec<Expr> =
            columns.iter().filter(|column| asked.contains(column)).cloned().map(Expr::Column).collect();
        if kept.is_empty() || kept.len() == columns.len() {
            return Ok(Transformed::no(plan));
        }
        let input = LogicalPlanBuilder::from(aggregate.input.as_ref().clone()).project(kept)?.build()?;
        Ok(Transformed::yes(plan.with_new_exprs(expressions, vec![input])?))
    }
}

fn join(plan: &LogicalPlan) -> Option<&AsOfJoin> {
    let LogicalPlan::Extension(extension) = plan else { return None };
    extension.node.as_any().downcast_ref::<AsOfJoin>()
}
