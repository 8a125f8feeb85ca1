//! From SQL to the as-of join: `a ASOF JOIN b MATCH_CONDITION (…) ON …`, and `asof_join(left => …, …)` for what the
//! syntax cannot say.

use std::sync::Arc;

use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Diagnostic, Result, ScalarValue, Span, plan_datafusion_err, plan_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{BinaryExpr, ExprSchemable, Extension, LogicalPlan, LogicalPlanBuilder, Operator, cast};
use datafusion::prelude::Expr;
use datafusion::sql::parser::DFParserBuilder;
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, JoinConstraint, JoinOperator, Spanned, TableFactor, TableWithJoins,
};
use skewless_catalog::suggest::did_you_mean;

use super::instant::{Scale, scale};
use super::node::{AsOfJoin, Direction, Match, Tolerance};
use crate::context::Shared;
use crate::relation::{Arguments, Parameter, Relation};

/// The FROM-functions of this module.
pub(crate) static RELATIONS: &[Relation] = &[Relation {
    name: "asof_join",
    parameters: &[
        Parameter::required("left"),
        Parameter::required("right"),
        Parameter::optional("on"),
        Parameter::required("match"),
        Parameter::optional("tolerance"),
        Parameter::optional("tie_break"),
        Parameter::optional("direction"),
    ],
    plan: plan_function,
}];

/// Plans a nested join whose last join is `ASOF JOIN`; any other is given back.
///
/// DF-318: remove with the rewrite in `front`.
pub(crate) fn plan_join(
    mut nested: TableWithJoins,
    context: &mut dyn RelationPlannerContext,
) -> Result<std::result::Result<LogicalPlan, Box<TableWithJoins>>> {
    let Some(last) = nested.joins.pop() else { return Ok(Err(Box::new(nested))) };
    let JoinOperator::AsOf { match_condition: condition, constraint } = last.join_operator else {
        nested.joins.push(last);
        return Ok(Err(Box::new(nested)));
    };
    let right = last.relation;
    let factors = std::iter::once(&nested.relation).chain(nested.joins.iter().map(|join| &join.relation));
    if let Some(lateral) = factors.chain([&right]).find(|factor| is_lateral(factor)) {
        return plan_err!(
            "ASOF JOIN cannot stand beside `{lateral}`, which may look at the tables before it; \
             put that into a subquery of its own: (SELECT … FROM …) AS x ASOF JOIN …"
        );
    }
    let left = if nested.joins.is_empty() {
        nested.relation
    } else {
        TableFactor::NestedJoin { table_with_joins: Box::new(nested), alias: None }
    };
    let left = context.plan(left)?;
    let right = context.plan(right)?;
    refuse_outer(&left)?;
    refuse_outer(&right)?;
    let both = left.schema().join(right.schema())?;
    let sides = Sides { left: left.schema(), right: right.schema(), both: &both };

    let time = at(&condition, match_condition(&condition, &sides, context))?;
    let mut dropped = Vec::new();
    let on = match constraint {
        JoinConstraint::On(expr) => at(&expr, on_condition(&expr, &sides, context))?,
        JoinConstraint::Using(names) => {
            let mut on = Vec::with_capacity(names.len());
            for name in names {
                let ident = name.0.first().and_then(|part| part.as_ident()).filter(|_| name.0.len() == 1);
                let Some(ident) = ident else { return plan_err!("USING takes column names, not `{name}`") };
                let key = context.normalize_ident(ident.clone());
                let pair = (sides.named(true, &key)?, sides.named(false, &key)?);
                dropped.push(pair.1.clone());
                on.push((Expr::Column(pair.0), Expr::Column(pair.1)));
            }
            on
        }
        JoinConstraint::None => Vec::new(),
        JoinConstraint::Natural => {
            return plan_err!("NATURAL does not go with ASOF JOIN; name the keys with USING (…) or ON …");
        }
    };
    let direction = match time.1 {
        Operator::GtEq => Direction::Backward { equal: true },
        Operator::Gt => Direction::Backward { equal: false },
        Operator::LtEq => Direction::Forward { equal: true },
        _ => Direction::Forward { equal: false },
    };
    let rule = Match {
        on: on.into_iter().map(|pair| key(pair, &sides)).collect::<Result<_>>()?,
        time: times((time.0, time.2), &sides)?.0,
        direction,
        tolerance: None,
        ties: ties(&[], right.schema()),
    };
    Ok(Ok(without(AsOfJoin::new(left, right, rule)?, &dropped)?))
}

/// Plans `asof_join(left => (…), right => (…), on => [keys], match => 'l.t >= r.t', …)`.
///
/// Inside it the sides are called `l` and `r`; keys come out once, as the left side has them.
fn plan_function(
    arguments: &Arguments,
    context: &mut dyn RelationPlannerContext,
    _shared: &Shared,
) -> Result<LogicalPlan> {
    let alias = |plan: LogicalPlan, name: &str| LogicalPlanBuilder::from(plan).alias(name)?.build();
    let left = alias(arguments.relation("left", context)?, "l")?;
    let right = alias(arguments.relation("right", context)?, "r")?;
    let both = left.schema().join(right.schema())?;
    let sides = Sides { left: left.schema(), right: right.schema(), both: &both };

    let mut dropped = Vec::new();
    let mut on = Vec::new();
    for name in arguments.optional_strings("on")?.unwrap_or_default() {
        let pair = (sides.named(true, &name)?, sides.named(false, &name)?);
        dropped.push(pair.1.clone());
        on.push(key((Expr::Column(pair.0), Expr::Column(pair.1)), &sides)?);
    }

    let text = arguments.string("match")?;
    let condition = DFParserBuilder::new(text.as_str())
        .build()
        .and_then(|mut parser| parser.parse_into_expr())
        .map_err(|error| {
            let (message, _) = crate::error::describe(&error);
            plan_datafusion_err!("asof_join: `{text}` in `match` is not a condition: {message}")
        })?;
    let (left_time, operator, right_time) = match_condition(&condition.expr, &sides, context)?;
    let (time, scale) = times((left_time, right_time), &sides)?;
    let backward = matches!(operator, Operator::GtEq | Operator::Gt);
    let equal = matches!(operator, Operator::GtEq | Operator::LtEq);
    let written = if backward { Direction::Backward { equal } } else { Direction::Forward { equal } };
    let direction = match arguments.optional_string("direction")?.map(|d| d.to_lowercase()).as_deref() {
        None => written,
        Some("backward") if backward => written,
        Some("forward") if !backward => written,
        Some("nearest") if equal => Direction::Nearest,
        Some("nearest") => {
            return plan_err!("asof_join: the nearest row may have the same time, so write `>=` or `<=` in `match`");
        }
        Some(word @ ("backward" | "forward")) => {
            return plan_err!(
                "asof_join: direction '{word}' contradicts `{text}`; backward goes with >= and >, forward with <= and <"
            );
        }
        Some(other) => {
            let hint = did_you_mean(other, ["backward", "forward", "nearest"]);
            return plan_err!("asof_join: there is no direction '{other}'{hint}; it is backward, forward or nearest");
        }
    };
    let tolerance = match arguments.scalar("tolerance", context)? {
        None => None,
        Some(value) => Some(tolerance(&value, scale)?),
    };
    let mut first = Vec::new();
    for name in arguments.optional_strings("tie_break")?.unwrap_or_default() {
        let column = sides.named(false, &name)?;
        let data_type = Expr::Column(column.clone()).get_type(sides.right)?;
        if !orderable(&data_type) {
            return plan_err!("asof_join: `{name}` in `tie_break` has no order, its type is {data_type}");
        }
        first.push(column);
    }
    let ties = ties(&first, right.schema());
    let rule = Match { on, time, direction, tolerance, ties };
    without(AsOfJoin::new(left, right, rule)?, &dropped)
}

fn is_lateral(factor: &TableFactor) -> bool {
    matches!(
        factor,
        TableFactor::Derived { lateral: true, .. }
            | TableFactor::Function { lateral: true, .. }
            | TableFactor::UNNEST { .. }
    )
}

fn refuse_outer(plan: &LogicalPlan) -> Result<()> {
    match plan.all_out_ref_exprs().first() {
        None => Ok(()),
        Some(outer) => plan_err!(
            "a side of ASOF JOIN refers to `{outer}` of the query around it, which it cannot; \
             join first and filter the result"
        ),
    }
}

/// Puts the place of `sql` on an error about it.
fn at<T>(sql: &SqlExpr, result: Result<T>) -> Result<T> {
    result.map_err(|error| match error {
        located @ DataFusionError::Diagnostic(..) => located,
        error => {
            let span = Span::try_from_sqlparser_span(sql.span());
            error.with_diagnostic(Diagnostic::new_error("as-of join", span))
        }
    })
}

/// The schemas that a condition is read against.
struct Sides<'a> {
    left: &'a DFSchema,
    right: &'a DFSchema,
    both: &'a DFSchema,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
    Both,
    Neither,
}

impl Sides<'_> {
    fn side(&self, expr: &Expr) -> Side {
        let columns = expr.column_refs();
        let left = columns.iter().any(|column| self.left.has_column(column));
        let right = columns.iter().any(|column| self.right.has_column(column));
        match (left, right) {
            (true, true) => Side::Both,
            (true, false) => Side::Left,
            (false, true) => Side::Right,
            (false, false) => Side::Neither,
        }
    }

    /// The column `name` of one side.
    fn named(&self, of_left: bool, name: &str) -> Result<Column> {
        let (schema, side) = if of_left { (self.left, "left") } else { (self.right, "right") };
        let found: Vec<Column> = schema.iter().filter(|(_, field)| field.name() == name).map(Column::from).collect();
        match found.as_slice() {
            [column] => Ok(column.clone()),
            [] => {
                let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                let hint = did_you_mean(name, names.iter().copied());
                plan_err!("the {side} side has no column `{name}`{hint}; its columns are {}", names.join(", "))
            }
            _ => plan_err!("the {side} side has several columns `{name}`; rename one in a subquery"),
        }
    }

    /// Reads an expression over both sides.
    fn expr(&self, sql: &SqlExpr, context: &mut dyn RelationPlannerContext) -> Result<Expr> {
        let expr = context.sql_to_expr(sql.clone(), self.both)?;
        let mut refused = None;
        expr.apply(|part| {
            refused = match part {
                Expr::OuterReferenceColumn(_, column) => {
                    Some(format!("refers to `{column}` of the query around it, which it cannot"))
                }
                Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_) => {
                    Some("holds a subquery, which it cannot".to_owned())
                }
                part if part.is_volatile_node() => Some(format!("holds `{part}`, which changes from call to call")),
                _ => return Ok(TreeNodeRecursion::Continue),
            };
            Ok(TreeNodeRecursion::Stop)
        })?;
        match refused {
            Some(why) => plan_err!("the condition `{sql}` of an as-of join {why}; compute it in a subquery first"),
            None => Ok(expr),
        }
    }
}

/// Reads `left time >= right time`.
fn match_condition(
    sql: &SqlExpr,
    sides: &Sides<'_>,
    context: &mut dyn RelationPlannerContext,
) -> Result<(Expr, Operator, Expr)> {
    const REMEDY: &str = "it is one comparison of a time of the left table with a time of the right table: \
                          left.t >= right.t, or with >, <= or <";
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = sides.expr(sql, context)? else {
        return plan_err!("`{sql}` is not a match condition; {REMEDY}");
    };
    if !matches!(op, Operator::GtEq | Operator::Gt | Operator::LtEq | Operator::Lt) {
        return plan_err!("a match condition does not take `{op}`, as in `{sql}`; {REMEDY}");
    }
    match (sides.side(&left), sides.side(&right)) {
        (Side::Left, Side::Right) => Ok((*left, op, *right)),
        (Side::Right, Side::Left) => {
            let swapped = op.swap().unwrap_or(op);
            plan_err!("the match condition `{sql}` has its sides swapped; write `{right} {swapped} {left}`")
        }
        _ => plan_err!("the match condition `{sql}` does not compare the two tables; {REMEDY}"),
    }
}

/// Reads `left.k = right.k AND …`.
fn on_condition(
    sql: &SqlExpr,
    sides: &Sides<'_>,
    context: &mut dyn RelationPlannerContext,
) -> Result<Vec<(Expr, Expr)>> {
    let mut on = Vec::new();
    for part in split_conjunction_owned(sides.expr(sql, context)?) {
        if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = &part {
            match (sides.side(left), sides.side(right)) {
                (Side::Left, Side::Right) => {
                    on.push((left.as_ref().clone(), right.as_ref().clone()));
                    continue;
                }
                (Side::Right, Side::Left) => {
                    on.push((right.as_ref().clone(), left.as_ref().clone()));
                    continue;
                }
                _ => {}
            }
        }
        return plan_err!(
            "ON of an ASOF JOIN takes equalities between a left and a right column, not `{part}`; \
             filter that table in a subquery before the join, (SELECT … WHERE …) AS x, or the result after it"
        );
    }
    Ok(on)
}

/// A pair of keys as one type.
fn key((left, right): (Expr, Expr), sides: &Sides<'_>) -> Result<(Expr, Expr)> {
    let (left_type, right_type) = (left.get_type(sides.left)?, right.get_type(sides.right)?);
    let common = comparison_coercion(&left_type, &right_type)
        .map(|common| plain(&common))
        .filter(|common| !common.is_nested() && orderable(common))
        .ok_or_else(|| {
            plan_datafusion_err!(
                "the keys `{left}` ({left_type}) and `{right}` ({right_type}) of an as-of join cannot be compared; \
                 cast one of them"
            )
        })?;
    Ok((typed(left, &left_type, &common), typed(right, &right_type, &common)))
}

fn typed(expr: Expr, from: &DataType, to: &DataType) -> Expr {
    if from == to { expr } else { cast(expr, to.clone()) }
}

/// The two times on one scale.
fn times((left, right): (Expr, Expr), sides: &Sides<'_>) -> Result<((Expr, Expr), Scale)> {
    let (left_type, right_type) = (left.get_type(sides.left)?, right.get_type(sides.right)?);
    let (left_to, right_to) = match (plain(&left_type), plain(&right_type)) {
        (DataType::Null, DataType::Null) => (DataType::Int64, DataType::Int64),
        (DataType::Null, other) | (other, DataType::Null) => (other.clone(), other),
        // A time without a zone is the wall time of the other side's zone, as in DataFusion's own comparisons.
        (DataType::Timestamp(unit, None), zoned @ DataType::Timestamp(_, Some(_))) => (in_zone_of(unit, &zoned), zoned),
        (zoned @ DataType::Timestamp(_, Some(_)), DataType::Timestamp(unit, None)) => {
            (zoned.clone(), in_zone_of(unit, &zoned))
        }
        (a, b) if a.is_decimal() || b.is_decimal() => {
            let common = comparison_coercion(&a, &b).unwrap_or(DataType::Null);
            (common.clone(), common)
        }
        types => types,
    };
    let scale = match (scale(&left_to), scale(&right_to)) {
        (Some(a), Some(b)) if a == b => a,
        (Some(Scale::Integer), Some(Scale::Float)) | (Some(Scale::Float), Some(Scale::Integer)) => Scale::Float,
        _ => {
            return plan_err!(
                "the times `{left}` ({left_type}) and `{right}` ({right_type}) of an as-of join cannot be compared; \
                 cast them to one type of number, date or timestamp"
            );
        }
    };
    Ok(((typed(left, &left_type, &left_to), typed(right, &right_type, &right_to)), scale))
}

fn in_zone_of(unit: arrow::datatypes::TimeUnit, zoned: &DataType) -> DataType {
    let DataType::Timestamp(_, zone) = zoned else { return DataType::Timestamp(unit, None) };
    DataType::Timestamp(unit, zone.clone())
}

/// The type of the values, without their encoding.
fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        DataType::RunEndEncoded(_, values) => values.data_type().clone(),
        other => other.clone(),
    }
}

fn orderable(data_type: &DataType) -> bool {
    RowConverter::supports_fields(&[SortField::new(data_type.clone())])
}

/// `first`, then every right column that has an order, as declared.
fn ties(first: &[Column], right: &DFSchema) -> Vec<Column> {
    let rest = right
        .iter()
        .filter(|(_, field)| orderable(field.data_type()))
        .map(Column::from)
        .filter(|column| !first.contains(column));
    first.iter().cloned().chain(rest).collect()
}

/// Reads a tolerance on the scale of the times.
fn tolerance(value: &ScalarValue, scale: Scale) -> Result<Tolerance> {
    const NANOS_PER_MILLI: i128 = 1_000_000;
    const NANOS_PER_DAY: i128 = 86_400_000_000_000;
    let wrong = |wanted: &str| plan_err!("asof_join: argument `tolerance` takes {wanted} here, not {value}");
    let negative = || plan_datafusion_err!("asof_join: `tolerance` must not be negative, and {value} is");
    let whole = |value: i128| u128::try_from(value).map(Tolerance::Whole).map_err(|_| negative());
    match scale {
        Scale::Instant | Scale::TimeOfDay => match value {
            ScalarValue::IntervalMonthDayNano(Some(v)) if v.months == 0 => {
                whole(i128::from(v.days) * NANOS_PER_DAY + i128::from(v.nanoseconds))
            }
            ScalarValue::IntervalDayTime(Some(v)) => {
                whole(i128::from(v.days) * NANOS_PER_DAY + i128::from(v.milliseconds) * NANOS_PER_MILLI)
            }
            ScalarValue::IntervalMonthDayNano(_) | ScalarValue::IntervalYearMonth(_) => {
                wrong("an interval of fixed length, in days, hours or shorter units")
            }
            _ => wrong("an interval such as INTERVAL '2 minutes'"),
        },
        Scale::Integer => match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(limit))) if value.data_type().is_integer() => whole(i128::from(limit)),
            _ => wrong("a whole number"),
        },
        Scale::Float => match value.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(Some(limit))) if value.data_type().is_numeric() && !limit.is_nan() => {
                if limit < 0.0 { Err(negative()) } else { Ok(Tolerance::Float(limit)) }
            }
            _ => wrong("a number"),
        },
        Scale::Decimal => plan_err!("asof_join: `tolerance` is not there for decimal times; cast them to DOUBLE"),
    }
}

/// The join without the right side's copies of its keys.
fn without(join: AsOfJoin, dropped: &[Column]) -> Result<LogicalPlan> {
    let plan = LogicalPlan::Extension(Extension { node: Arc::new(join) });
    if dropped.is_empty() {
        return Ok(plan);
    }
    let kept: Vec<Expr> =
        plan.schema().columns().into_iter().filter(|column| !dropped.contains(column)).map(Expr::Column).collect();
    LogicalPlanBuilder::from(plan).project(kept)?.build()
}
