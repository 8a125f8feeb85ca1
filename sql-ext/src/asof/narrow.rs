//! Settles which columns of an as-of join are read and given out.
//!
//! A right side that has its tie columns anyway is not read a second time for them.
//! The join gives out left and right columns, keys and times among them. An aggregate, or another as-of join whose left
//! side it is, often needs few of them; a projection in between lets the operator leave the others out.

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
        let asked: HashSet<Column> = plan
            .expressions()
            .iter()
            .flat_map(|expr| expr.column_refs().into_iter().cloned().collect::<Vec<_>>())
            .collect();
        let Some(input) = narrowed(&aggregate.input, &asked)? else { return Ok(Transformed::no(plan)) };
        let expressions = plan.expressions();
        Ok(Transformed::yes(plan.with_new_exprs(expressions, vec![input])?))
    }
}

fn join(plan: &LogicalPlan) -> Option<&AsOfJoin> {
    let LogicalPlan::Extension(extension) = plan else { return None };
    extension.node.as_any().downcast_ref::<AsOfJoin>()
}

/// The join with only the columns asked for, and its left side likewise; `None` where nothing can be left out.
fn narrowed(plan: &LogicalPlan, asked: &HashSet<Column>) -> Result<Option<LogicalPlan>> {
    let Some(node) = join(plan) else { return Ok(None) };
    let mut of_left: HashSet<Column> = node
        .rule
        .on
        .iter()
        .map(|(left, _)| left)
        .chain([&node.rule.time.0])
        .flat_map(|left| left.column_refs().into_iter().cloned().collect::<Vec<_>>())
        .collect();
    of_left.extend(asked.iter().filter(|column| node.left.schema().has_column(column)).cloned());
    let left = narrowed(&node.left, &of_left)?;
    let plan = match &left {
        None => plan.clone(),
        Some(left) => LogicalPlan::Extension(Extension { node: Arc::new(node.with_left(left.clone())?) }),
    };
    let columns = plan.schema().columns();
    let kept: Vec<Expr> = columns.iter().filter(|column| asked.contains(*column)).cloned().map(Expr::Column).collect();
    if kept.is_empty() || kept.len() == columns.len() {
        return Ok(left.map(|_| plan));
    }
    Ok(Some(LogicalPlanBuilder::from(plan).project(kept)?.build()?))
}
