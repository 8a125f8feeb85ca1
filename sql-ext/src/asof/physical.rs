//! From the logical node to the operator.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result, internal_err, plan_err};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use datafusion::prelude::Expr;

use super::exec::AsOfJoinExec;
use super::node::AsOfJoin;
use super::rule::{Rule, Side, Wide};

/// Plans [`AsOfJoin`].
pub(super) struct AsOfPlanner;

#[async_trait]
impl ExtensionPlanner for AsOfPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(join) = node.as_any().downcast_ref::<AsOfJoin>() else { return Ok(None) };
        let ([left_plan, right_plan, others @ ..], [left, right, wide @ ..]) = (logical_inputs, physical_inputs) else {
            return internal_err!("AsOfJoin takes two inputs");
        };
        if right.boundedness().is_unbounded() {
            return plan_err!("ASOF JOIN reads its right side to the end, and this one has no end");
        }
        let over = |expr: &Expr, schema: &DFSchema| planner.create_physical_expr(expr, schema, session, context);
        let rule = &join.rule;
        let right_side = |schema: &DFSchema| -> Result<Side> {
            Ok(Side {
                keys: rule.on.iter().map(|(_, right)| over(right, schema)).collect::<Result<_>>()?,
                time: over(&rule.time.1, schema)?,
            })
        };
        // Where the optimizer left the right side every column, ties need no second look.
        let has_ties = rule.ties.iter().all(|column| right_plan.schema().has_column(column));
        let (wide, tie_schema) = match (others, wide) {
            ([wide_plan, ..], [wide, ..]) if !has_ties => {
                let schema = wide_plan.schema();
                let columns = right_plan
                    .schema()
                    .columns()
                    .iter()
                    .map(|column| schema.index_of_column(column))
                    .collect::<Result<_>>()?;
                (Some((Wide { side: right_side(schema)?, columns }, Arc::clone(wide))), schema)
            }
            _ => (None, right_plan.schema()),
        };
        let (wide_rule, wide) = wide.unzip();
        let ties: Vec<Arc<dyn PhysicalExpr>> =
            rule.ties.iter().map(|column| over(&Expr::Column(column.clone()), tie_schema)).collect::<Result<_>>()?;
        let physical = Rule {
            left: Side {
                keys: rule.on.iter().map(|(left, _)| over(left, left_plan.schema())).collect::<Result<_>>()?,
                time: over(&rule.time.0, left_plan.schema())?,
            },
            right: right_side(right_plan.schema())?,
            wide: wide_rule,
            ties,
            direction: rule.direction,
            tolerance: rule.tolerance,
            output: Vec::new(),
            text: rule.to_string(),
        };
        let joined = Arc::new(UserDefinedLogicalNode::schema(join).as_arrow().clone());
        let exec = AsOfJoinExec::try_new(Arc::clone(left), Arc::clone(right), wide, physical, joined, None)?;
        Ok(Some(Arc::new(exec)))
    }
}
