//! `ml_validate_data`: one row for each promise of a contract, with how many rows of the data break it.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ExprSchema, Result, ScalarValue, plan_err};
use datafusion::functions::core::expr_fn::{coalesce, get_field, named_struct};
use datafusion::functions::string::expr_fn::{concat, concat_ws};
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::functions_nested::expr_fn::{array_distinct, make_array};
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast, not, when};
use datafusion::prelude::{Expr, col, lit};
use datafusion::sql::sqlparser::ast::{CastKind, DataType as SqlType, Expr as SqlExpr, Value};
use skewless_catalog::suggest::did_you_mean;

use super::define::{Rule, RuleKind};
use super::{drift, duplicates};
use crate::context::Shared;
use crate::relation::{Arguments, refuse_clash};

/// The function's name in SQL.
pub(super) const NAME: &str = "ml_validate_data";

/// The columns of the result.
const COLUMNS: [&str; 8] = ["rule", "kind", "columns", "rows", "violations", "share", "holds", "examples"];

/// The names between the nodes.
const ROWS: &str = "__ml_rows";
const ROW: &str = "__ml_row";

/// One row of the result, over the columns of the aggregation.
pub(super) struct Line {
    pub(super) rule: String,
    pub(super) kind: &'static str,
    pub(super) columns: String,
    /// How many rows break the rule; NULL where it cannot be checked.
    pub(super) violations: Expr,
    /// What breaks it, as a list of texts.
    pub(super) examples: Expr,
}

pub(super) fn plan(
    arguments: &Arguments,
    context: &mut dyn RelationPlannerContext,
    shared: &Shared,
) -> Result<LogicalPlan> {
    let data = arguments.relation("data", context)?;
    let contract = shared.contracts.find(&arguments.string("contract")?)?;
    refuse_clash(NAME, "data", data.schema(), &[ROWS, ROW].map(str::to_owned))?;
    let schema = data.schema();
    let mut aggregates = Aggregates { exprs: vec![count(lit(1_i64)).alias(ROWS)], derived: Vec::new() };
    let mut lines = Vec::new();
    let mut broken = BTreeSet::new();
    for (column, promised) in &contract.columns {
        let problem = type_problem(schema, context, column, promised)?;
        if problem.is_some() {
            broken.insert(column.as_str());
        }
        lines.push(known(format!("{column}_type"), "type", column.clone(), problem));
    }
    for rule in &contract.rules {
        lines.push(check(rule, schema, &broken, context, &mut aggregates)?);
    }
    let rows = cast(col(Column::from_name(ROWS)), DataType::Int64);
    let lines = lines.into_iter().map(|line| {
        let double = |expr: Expr| cast(expr, DataType::Float64);
        let none = lit(ScalarValue::Float64(None));
        // A type, a condition over all rows and a distribution are kept or broken as a whole.
        let share = if ["type", "aggregate", drift::KIND].contains(&line.kind) {
            none
        } else {
            when(rows.clone().gt(lit(0_i64)), double(line.violations.clone()) / double(rows.clone())).otherwise(none)?
        };
        let holds = line.violations.clone().eq(lit(0_i64));
        let values = [
            lit(line.rule),
            lit(line.kind),
            lit(line.columns),
            rows.clone(),
            line.violations,
            share,
            holds,
            line.examples,
        ];
        let fields = COLUMNS.iter().map(|name| lit(*name)).zip(values);
        Ok(named_struct(fields.flat_map(|(name, value)| [name, value]).collect()))
    });
    let lines = lines.collect::<Result<Vec<_>>>()?;
    let field = |name: &str| get_field(col(Column::from_name(ROW)), name).alias(name);
    let mut plan = LogicalPlanBuilder::from(data.clone()).aggregate(Vec::<Expr>::new(), aggregates.exprs)?;
    if !aggregates.derived.is_empty() {
        let kept: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        plan = plan.project(kept.into_iter().chain(aggregates.derived))?;
    }
    plan.project(vec![make_array(lines).alias(ROW)])?
        .unnest_column(Column::from_name(ROW))?
        .project(COLUMNS.map(field))?
        .alias(NAME)?
        .build()
}

fn no_examples() -> Expr {
    lit(ScalarValue::List(ScalarValue::new_list(&[], &DataType::Utf8, true)))
}

fn texts(items: Vec<String>) -> Expr {
    make_array(items.into_iter().map(lit).collect())
}

/// A line that is known before a row is read.
pub(super) fn known(rule: String, kind: &'static str, columns: String, problem: Option<String>) -> Line {
    let violations = lit(i64::from(problem.is_some()));
    let examples = problem.map_or_else(no_examples, |problem| texts(vec![problem]));
    Line { rule, kind, columns, violations, examples }
}

/// A rule that cannot be checked, because a column that it reads is not what was promised.
fn unknown(rule: &Rule, kind: &'static str, columns: String, broken: &str) -> Line {
    let problem = format!("it cannot be checked, because the promise on the type of {broken} is broken");
    let violations = lit(ScalarValue::Int64(None));
    Line { rule: rule.name.clone(), kind, columns, violations, examples: texts(vec![problem]) }
}

/// Why a column of the data is not what was promised, if it is not: it has to be there, and of the type.
fn type_problem(
    schema: &DFSchema,
    context: &mut dyn RelationPlannerContext,
    column: &str,
    promised: &SqlType,
) -> Result<Option<String>> {
    Ok(match find(schema, column) {
        Err(problem) => Some(problem),
        Ok(found) => {
            let given = ExprSchema::data_type(schema, &found)?;
            if *promised == SqlType::Unspecified {
                None
            } else {
                let promised = arrow_type(context, promised)?;
                (!fits(given, &promised)).then(|| format!("it is {given}, but {promised} is promised"))
            }
        }
    })
}

/// The arrow type of a type as it was written.
fn arrow_type(context: &mut dyn RelationPlannerContext, promised: &SqlType) -> Result<DataType> {
    let empty = DFSchema::empty();
    context.sql_to_expr(null_of(promised), &empty)?.get_type(&empty)
}

/// `CAST(NULL AS …)`.
pub(super) fn null_of(promised: &SqlType) -> SqlExpr {
    SqlExpr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(SqlExpr::Value(Value::Null.into())),
        data_type: promised.clone(),
        array: false,
        format: None,
    }
}

/// Whether every value of a type is one of the promised type.
pub(super) fn fits(given: &DataType, promised: &DataType) -> bool {
    match (given, promised) {
        (DataType::Dictionary(_, values), promised) => fits(values, promised),
        (given, promised) if given.is_string() => promised.is_string(),
        (DataType::Timestamp(_, a), DataType::Timestamp(_, b)) => a.is_some() == b.is_some(),
        (DataType::Float16 | DataType::Float32, DataType::Float64) => true,
        (given, promised) if given.is_integer() && promised.is_integer() => {
            let bits = |data_type: &DataType| data_type.primitive_width().unwrap_or(0) * 8;
            match (given.is_signed_integer(), promised.is_signed_integer()) {
                (true, false) => false,
                (false, true) => bits(given) < bits(promised),
                _ => bits(given) <= bits(promised),
            }
        }
        (DataType::Decimal128(p, s), DataType::Decimal128(q, r)) => {
            s <= r && i16::from(*p) - i16::from(*s) <= i16::from(*q) - i16::from(*r)
        }
        (given, promised) => given == promised,
    }
}

pub(super) fn find(schema: &DFSchema, name: &str) -> std::result::Result<Column, String> {
    let found = schema.iter().find(|(_, field)| field.name() == name);
    found.map(|(qualifier, field)| Column::from((qualifier, field))).ok_or_else(|| {
        let names = schema.fields().iter().map(|field| field.name().as_str());
        format!("the data has no column `{name}`{}", did_you_mean(name, names))
    })
}

/// The aggregates of the one scan, and what is computed of them.
pub(super) struct Aggregates {
    exprs: Vec<Expr>,
    derived: Vec<Expr>,
}

impl Aggregates {
    pub(super) fn add(&mut self, aggregate: Expr) -> Expr {
        let name = format!("__ml_aggregate_{}", self.exprs.len());
        self.exprs.push(aggregate.alias(&name));
        col(Column::from_name(name))
    }

    /// A value of aggregates that is read more than once.
    pub(super) fn derive(&mut self, value: Expr) -> Expr {
        let name = format!("__ml_derived_{}", self.derived.len());
        self.derived.push(value.alias(&name));
        col(Column::from_name(name))
    }

    /// How many rows a condition holds for, and the least and the greatest text of them.
    fn rows_that(&mut self, condition: &Expr, text: Option<Expr>) -> Result<(Expr, Expr)> {
        let one = when(condition.clone(), lit(1_i64)).end()?;
        let violations = self.add(count(one));
        let Some(text) = text else { return Ok((cast(violations, DataType::Int64), no_examples())) };
        let text = when(condition.clone(), text).end()?;
        let (least, greatest) = (self.add(min(text.clone())), self.add(max(text)));
        let examples = array_distinct(make_array(vec![least.clone(), greatest]));
        let examples = when(least.is_null(), no_examples()).otherwise(examples)?;
        Ok((cast(violations, DataType::Int64), examples))
    }
}

fn check(
    rule: &Rule,
    schema: &DFSchema,
    broken: &BTreeSet<&str>,
    context: &mut dyn RelationPlannerContext,
    aggregates: &mut Aggregates,
) -> Result<Line> {
    match &rule.kind {
        RuleKind::NotNull(name) => {
            let column = match find(schema, name) {
                Ok(column) => Expr::Column(column),
                Err(problem) => return Ok(known(rule.name.clone(), "not null", name.clone(), Some(problem))),
            };
            let (violations, examples) = aggregates.rows_that(&column.is_null(), None)?;
            Ok(Line { rule: rule.name.clone(), kind: "not null", columns: name.clone(), violations, examples })
        }
        RuleKind::Unique(names) => {
            let columns = names.join(", ");
            let found: std::result::Result<Vec<Expr>, String> =
                names.iter().map(|name| find(schema, name).map(Expr::Column)).collect();
            let found = match found {
                Ok(found) => found,
                Err(problem) => return Ok(known(rule.name.clone(), "unique", columns, Some(problem))),
            };
            let key = names.iter().zip(found).flat_map(|(name, column)| [lit(name.as_str()), column]);
            let seen = aggregates.add(duplicates::function().call(vec![named_struct(key.collect())]));
            let (violations, examples) = (get_field(seen.clone(), "violations"), get_field(seen, "examples"));
            Ok(Line { rule: rule.name.clone(), kind: "unique", columns, violations, examples })
        }
        RuleKind::Drift(drift) if broken.contains(drift.column.as_str()) && find(schema, &drift.column).is_ok() => {
            Ok(unknown(rule, drift::KIND, drift.column.clone(), &drift.column))
        }
        RuleKind::Drift(drift) => drift::line(rule, drift, schema, aggregates),
        RuleKind::Check(expr) => {
            let condition = match context.sql_to_expr(expr.as_ref().clone(), schema) {
                Ok(condition) => condition,
                Err(_) if !broken.is_empty() => {
                    let named: Vec<&str> = broken.iter().copied().collect();
                    return Ok(unknown(rule, "check", String::new(), &named.join(", ")));
                }
                Err(error) => {
                    let (reason, _) = crate::error::describe(&error);
                    return plan_err!(
                        "{NAME}: the rule `{}`, CHECK ({expr}), does not fit the data: {reason}",
                        rule.name
                    );
                }
            };
            let names: BTreeSet<String> =
                condition.column_refs().into_iter().map(|column| column.name.clone()).collect();
            let columns = names.iter().cloned().collect::<Vec<_>>().join(", ");
            if let Some(name) = names.iter().find(|name| broken.contains(name.as_str())) {
                return Ok(unknown(rule, "check", columns, name));
            }
            if has_aggregate(&condition)? {
                return whole(rule, columns, condition, aggregates);
            }
            let parts = names.iter().map(|name| {
                let column = Expr::Column(find(schema, name).map_err(datafusion::error::DataFusionError::Plan)?);
                let shown = coalesce(vec![cast(column, DataType::Utf8), lit("NULL")]);
                Ok(if names.len() == 1 { shown } else { concat(vec![lit(format!("{name} = ")), shown]) })
            });
            let parts = parts.collect::<Result<Vec<_>>>()?;
            let text = (!parts.is_empty()).then(|| concat_ws(lit(", "), parts));
            // As in SQL, a row for which the condition is NULL passes: CASE takes no branch for NULL. (`IS FALSE` says the
            // same, but DataFusion 55 plans it as never NULL and runs it as nullable, and then refuses the plan.)
            let (violations, examples) = aggregates.rows_that(&not(condition), text)?;
            Ok(Line { rule: rule.name.clone(), kind: "check", columns, violations, examples })
        }
    }
}

fn has_aggregate(expr: &Expr) -> Result<bool> {
    let mut found = false;
    expr.apply(|expr| {
        found |= matches!(expr, Expr::AggregateFunction(_));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// A condition over all rows: one violation, or none.
fn whole(rule: &Rule, columns: String, condition: Expr, aggregates: &mut Aggregates) -> Result<Line> {
    let mut found = Vec::new();
    let condition = condition.transform_down(|expr| {
        Ok(if matches!(expr, Expr::AggregateFunction(_)) {
            // DataFusion counts all rows as a constant.
            let shown = expr.schema_name().to_string().replace("count(Int64(1))", "count(*)");
            let column = aggregates.add(expr);
            found.push((shown, column.clone()));
            Transformed::new(column, true, TreeNodeRecursion::Jump)
        } else {
            Transformed::no(expr)
        })
    })?;
    let condition = condition.data;
    if let Some(column) = condition.column_refs().into_iter().find(|column| !column.name.starts_with("__ml_")) {
        return plan_err!(
            "{NAME}: the rule `{}` mixes an aggregate with the column `{}`; compare aggregates with constants, or rows \
             with rows",
            rule.name,
            column.name
        );
    }
    let violations = when(not(condition.clone()), lit(1_i64)).otherwise(lit(0_i64))?;
    let shown = found.into_iter().map(|(name, column)| {
        concat(vec![lit(format!("{name} = ")), coalesce(vec![cast(column, DataType::Utf8), lit("NULL")])])
    });
    let examples = when(not(condition), make_array(shown.collect())).otherwise(no_examples())?;
    Ok(Line { rule: rule.name.clone(), kind: "aggregate", columns, violations, examples })
}
