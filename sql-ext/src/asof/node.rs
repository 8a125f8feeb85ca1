//! The as-of join as the optimizer sees it.

use std::cmp::Ordering;
use std::fmt;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, DFSchemaRef, JoinType, Result, internal_err};
use datafusion::logical_expr::logical_plan::builder::build_join_schema;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::prelude::Expr;

/// Which right row counts for a left time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub(super) enum Direction {
    /// The latest at or before it; without `equal`, strictly before.
    Backward { equal: bool },
    /// The earliest at or after it; without `equal`, strictly after.
    Forward { equal: bool },
    /// The nearest on either side; the earlier of two that are equally near.
    Nearest,
}

/// The farthest that a match may be from the left time, inclusive.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) enum Tolerance {
    /// In the unit of the times: nanoseconds for instants.
    Whole(u128),
    /// By value.
    Float(f64),
}

impl Eq for Tolerance {}

impl std::hash::Hash for Tolerance {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match self {
            Self::Whole(value) => value.hash(state),
            Self::Float(value) => value.to_bits().hash(state),
        }
    }
}

/// What is matched with what. Expressions of each side refer to that side's input alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub(super) struct Match {
    /// Equal keys, each pair of one type; none for a join on time alone.
    pub(super) on: Vec<(Expr, Expr)>,
    /// The left time and the right time.
    pub(super) time: (Expr, Expr),
    pub(super) direction: Direction,
    pub(super) tolerance: Option<Tolerance>,
    /// Right columns by which the greatest of several rows of one time is found, most significant first.
    ///
    /// They are not among the node's expressions: the optimizer would then read them for every row.
    pub(super) ties: Vec<Column>,
}

/// The left input's rows, each with the right row that counts for it, or NULLs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AsOfJoin {
    pub(super) left: LogicalPlan,
    /// Reduced by the optimizer to the columns that are asked for.
    pub(super) right: LogicalPlan,
    /// The right side with every tie column, read only where there are ties; `None` where reading it twice could give
    /// other rows, and `right` keeps every column.
    pub(super) wide: Option<LogicalPlan>,
    pub(super) rule: Match,
    schema: DFSchemaRef,
}

impl AsOfJoin {
    pub(super) fn new(left: LogicalPlan, right: LogicalPlan, rule: Match) -> Result<Self> {
        let wide = if repeatable(&right)? { Some(right.clone()) } else { None };
        Self::of(left, right, wide, rule)
    }

    pub(super) fn of(left: LogicalPlan, right: LogicalPlan, wide: Option<LogicalPlan>, rule: Match) -> Result<Self> {
        let schema = build_join_schema(left.schema(), right.schema(), &JoinType::Left)?.into();
        Ok(Self { left, right, wide, rule, schema })
    }

    /// The same join without a second look at the right side, where that has every tie column as it is.
    pub(super) fn settled(&self) -> Result<Option<Self>> {
        let has_ties = self.rule.ties.iter().all(|column| self.right.schema().has_column(column));
        if self.wide.is_none() || !has_ties {
            return Ok(None);
        }
        Self::of(self.left.clone(), self.right.clone(), None, self.rule.clone()).map(Some)
    }

    /// The same join of another left input.
    pub(crate) fn with_left(&self, left: LogicalPlan) -> Result<Self> {
        Self::of(left, self.right.clone(), self.wide.clone(), self.rule.clone())
    }
}

/// Whether a plan gives the same rows when it is read again, and costs no more than a scan or so.
fn repeatable(plan: &LogicalPlan) -> Result<bool> {
    let mut repeatable = true;
    plan.apply_with_subqueries(|node| {
        let unstable = matches!(
            node,
            LogicalPlan::Extension(_)
                | LogicalPlan::Limit(_)
                | LogicalPlan::RecursiveQuery(_)
                | LogicalPlan::Window(_)
                | LogicalPlan::Join(_)
                | LogicalPlan::Aggregate(_)
                | LogicalPlan::Sort(_)
                | LogicalPlan::Distinct(_)
        );
        if unstable || node.expressions().iter().any(Expr::is_volatile) {
            repeatable = false;
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(repeatable)
}

impl PartialOrd for AsOfJoin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (&self.left, &self.right, &self.rule)
            .partial_cmp(&(&other.left, &other.right, &other.rule))
            .filter(|order| *order != Ordering::Equal || self == other)
    }
}

impl UserDefinedLogicalNodeCore for AsOfJoin {
    fn name(&self) -> &'static str {
        "AsOfJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        [&self.left, &self.right].into_iter().chain(&self.wide).collect()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let Match { on, time, .. } = &self.rule;
        on.iter().flat_map(|(left, right)| [left, right]).chain([&time.0, &time.1]).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsOfJoin: {}", self.rule)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut inputs = inputs.into_iter();
        let (Some(left), Some(right), wide, None) = (inputs.next(), inputs.next(), inputs.next(), inputs.next()) else {
            return internal_err!("AsOfJoin takes two inputs, and the right one twice");
        };
        let mut exprs = exprs.into_iter();
        let mut next = || exprs.next();
        let mut on = Vec::with_capacity(self.rule.on.len());
        for _ in &self.rule.on {
            let (Some(left), Some(right)) = (next(), next()) else {
                return internal_err!("AsOfJoin was rebuilt without its keys");
            };
            on.push((left, right));
        }
        let (Some(left_time), Some(right_time)) = (next(), next()) else {
            return internal_err!("AsOfJoin was rebuilt without its times");
        };
        let rule = Match { on, time: (left_time, right_time), ties: self.rule.ties.clone(), ..self.rule };
        Self::of(left, right, wide, rule)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        // The optimizer adds the columns of `expressions` itself.
        let width = self.left.schema().fields().len();
        let (left, right): (Vec<usize>, Vec<usize>) = output_columns.iter().partition(|column| **column < width);
        let every = |plan: &LogicalPlan| (0..plan.schema().fields().len()).collect::<Vec<_>>();
        Some(match &self.wide {
            Some(wide) => vec![left, right.into_iter().map(|column| column - width).collect(), every(wide)],
            None => vec![left, every(&self.right)],
        })
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (left, right) = &self.time;
        match self.direction {
            Direction::Backward { equal: true } => write!(f, "{left} >= {right}")?,
            Direction::Backward { equal: false } => write!(f, "{left} > {right}")?,
            Direction::Forward { equal: true } => write!(f, "{left} <= {right}")?,
            Direction::Forward { equal: false } => write!(f, "{left} < {right}")?,
            Direction::Nearest => write!(f, "{left} nearest {right}")?,
        }
        if !self.on.is_empty() {
            let on: Vec<String> = self.on.iter().map(|(left, right)| format!("{left} = {right}")).collect();
            write!(f, " on [{}]", on.join(", "))?;
        }
        match self.tolerance {
            Some(Tolerance::Whole(limit)) => write!(f, " within {limit}"),
            Some(Tolerance::Float(limit)) => write!(f, " within {limit}"),
            None => Ok(()),
        }
    }
}
