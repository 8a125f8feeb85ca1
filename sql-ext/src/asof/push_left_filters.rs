//! Runs filters on left columns, and limits, before the point-in-time operators.
//!
//! An as-of join and a training set give each left row back once, with columns to its right, so a row that a filter or
//! a limit drops need not be matched first. DataFusion's own rules push a predicate or a limit into every input of an
//! extension node or into none: they cannot do this, and a predicate without columns (`random() < 0.1`) they would push
//! into the right side too, where it drops rows that others match. So no filter above our operators reaches their rule.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Extension, Filter, Limit, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::prelude::Expr;

use super::node::AsOfJoin;
use crate::training::TrainingSet;

/// DataFusion's rule that pushes filters down, and ours in its place above our own operators.
#[derive(Debug)]
pub(super) struct PushLeftFilters {
    others: Arc<dyn OptimizerRule + Send + Sync>,
}

impl PushLeftFilters {
    pub(super) fn around(others: Arc<dyn OptimizerRule + Send + Sync>) -> Self {
        Self { others }
    }
}

impl OptimizerRule for PushLeftFilters {
    fn name(&self) -> &str {
        self.others.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.others.apply_order()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match &plan {
            LogicalPlan::Filter(filter) => {
                let mut predicates = split_conjunction_owned(filter.predicate.clone());
                let mut input = &filter.input;
                while let LogicalPlan::Filter(next) = input.as_ref() {
                    predicates.extend(split_conjunction_owned(next.predicate.clone()));
                    input = &next.input;
                }
                match Operator::of(input) {
                    Some(operator) => push_filter(predicates, &operator, input.schema(), &plan),
                    None => self.others.rewrite(plan, config),
                }
            }
            LogicalPlan::Limit(limit) => match Operator::of(&limit.input) {
                Some(operator) => {
                    let input = Arc::new(operator.left().clone());
                    operator.with_left(LogicalPlan::Limit(Limit { input, ..limit.clone() })).map(Transformed::yes)
                }
                None => self.others.rewrite(plan, config),
            },
            _ => self.others.rewrite(plan, config),
        }
    }
}

/// `plan`, an operator below filters, with the predicates on left columns below the operator.
fn push_filter(
    predicates: Vec<Expr>,
    operator: &Operator<'_>,
    schema: &DFSchema,
    plan: &LogicalPlan,
) -> Result<Transformed<LogicalPlan>> {
    let left = operator.left().schema();
    let place = |column: &Column| schema.maybe_index_of_column(column).filter(|index| *index < left.fields().len());
    let of_left = |predicate: &Expr| {
        !predicate.is_volatile()
            && !predicate.contains_outer()
            && predicate.column_refs().into_iter().all(|column| place(column).is_some())
    };
    let (below, above): (Vec<Expr>, Vec<Expr>) = predicates.into_iter().partition(of_left);
    let Some(below) = conjunction(below) else { return Ok(Transformed::no(plan.clone())) };
    // By the names that the left input itself gives its columns.
    let below = below
        .transform(|expr| {
            Ok(match &expr {
                Expr::Column(column) => match place(column) {
                    Some(index) => Transformed::yes(Expr::from(left.qualified_field(index))),
                    None => Transformed::no(expr),
                },
                _ => Transformed::no(expr),
            })
        })
        .data()?;
    let input = LogicalPlan::Filter(Filter::try_new(below, Arc::new(operator.left().clone()))?);
    let plan = operator.with_left(input)?;
    Ok(Transformed::yes(match conjunction(above) {
        Some(above) => LogicalPlan::Filter(Filter::try_new(above, Arc::new(plan))?),
        None => plan,
    }))
}

/// An operator that gives every row of its left input back once and in order, with columns to its right.
enum Operator<'a> {
    AsOfJoin(&'a AsOfJoin),
    TrainingSet(&'a TrainingSet, &'a LogicalPlan),
}

impl<'a> Operator<'a> {
    fn of(plan: &'a LogicalPlan) -> Option<Self> {
        let LogicalPlan::Extension(extension) = plan else { return None };
        let node = extension.node.as_any();
        if let Some(set) = node.downcast_ref::<TrainingSet>() {
            return Some(Self::TrainingSet(set, set.spine()?));
        }
        node.downcast_ref().map(Self::AsOfJoin)
    }

    fn left(&self) -> &'a LogicalPlan {
        match self {
            Self::AsOfJoin(join) => &join.left,
            Self::TrainingSet(_, spine) => spine,
        }
    }

    fn with_left(&self, left: LogicalPlan) -> Result<LogicalPlan> {
        Ok(LogicalPlan::Extension(Extension {
            node: match self {
                Self::AsOfJoin(join) => Arc::new(join.with_left(left)?),
                Self::TrainingSet(set, _) => Arc::new(set.with_spine(left)?),
            },
        }))
    }
}
