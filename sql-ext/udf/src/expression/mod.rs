//! The one expression engine: SQL text in, a physical expression out, the same in SQL and in components.
//!
//! [`canonicalize`] runs once, when a feature view is created: it types, coerces and simplifies an expression under
//! pinned options and writes it down as SQL text whose plan is exactly that expression. [`compile`] runs on every
//! surface: it plans that text and coerces it, with no optimizer, so nothing can rewrite the expression differently in
//! two places. Functions whose value depends on anything but their arguments are refused.

mod planner;
mod table;
mod text;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, DFSchema, DataFusionError, Result, ScalarValue, plan_err};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::expr::{AggregateFunction, NullTreatment};
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{Expr, ExprSchemable, Volatility};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion_sql::sqlparser::ast;
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::parser::Parser;
use skewless_catalog::suggest::did_you_mean;

pub use table::{aggregate, aggregate_names, scalar, scalar_names};

/// An expression in its canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical {
    /// SQL text whose plan, with [`compile`], is exactly this expression.
    pub sql: String,
    /// Its type.
    pub data_type: DataType,
    /// Whether it can be NULL.
    pub nullable: bool,
    /// The columns that it reads, sorted.
    pub columns: Vec<String>,
}

/// An aggregate call in its canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalAggregate {
    /// The function's name in the function table.
    pub function: String,
    /// Its arguments, coerced to the types that the function takes.
    pub args: Vec<Canonical>,
    /// `agg(DISTINCT …)`.
    pub distinct: bool,
    /// `IGNORE NULLS`.
    pub ignore_nulls: bool,
    /// `FILTER (WHERE …)`.
    pub filter: Option<Canonical>,
    /// The type of its value.
    pub data_type: DataType,
}

/// Parses one SQL expression.
pub fn parse(sql: &str) -> Result<ast::Expr> {
    let syntax = |e| DataFusionError::Plan(format!("cannot read the expression `{sql}`: {e}"));
    let mut parser = Parser::new(&GenericDialect {}).with_recursion_limit(256).try_with_sql(sql).map_err(syntax)?;
    let expr = parser.parse_expr().map_err(syntax)?;
    match parser.peek_token().token {
        datafusion_sql::sqlparser::tokenizer::Token::EOF => Ok(expr),
        other => plan_err!("cannot read the expression `{sql}`: it goes on with `{other}` after its end"),
    }
}

/// Types, coerces and simplifies an expression, and writes it down so that [`compile`] gives exactly the result.
///
/// Column qualifiers are dropped: the columns are those of one input. An unknown function or column, an expression
/// whose value is not a function of its columns (`now()`, `random()`, subqueries, aggregates, windows) and an
/// expression that cannot be written down exactly are errors.
pub fn canonicalize(expr: &ast::Expr, schema: &DFSchema) -> Result<Canonical> {
    let planned = planner::plan(expr.clone(), schema)?;
    let unqualified = unqualified(schema)?;
    canonical(drop_qualifiers(planned)?, &unqualified)
}

/// Plans an aggregate call (without its OVER clause) and puts its arguments into canonical form.
pub fn canonicalize_aggregate(call: &ast::Function, schema: &DFSchema) -> Result<CanonicalAggregate> {
    let planned = drop_qualifiers(planner::plan(ast::Expr::Function(call.clone()), schema)?)?;
    let unqualified = unqualified(schema)?;
    let planned = strip_alias(planned);
    let text = call.to_string();
    let Expr::AggregateFunction(_) = &planned else {
        return plan_err!("`{text}` is not an aggregate function, and only an aggregate can be taken over a window");
    };
    let coerced = simplifier(&unqualified).coerce(planned, &unqualified)?;
    let data_type = coerced.get_type(&unqualified)?;
    let Expr::AggregateFunction(AggregateFunction { func, params }) = coerced else {
        return plan_err!("`{text}` is not a plain aggregate call");
    };
    if !params.order_by.is_empty() {
        return plan_err!(
            "`{text}` has an ORDER BY of its own; a window feeds its rows in (event, available, tie) order, so leave it out"
        );
    }
    Ok(CanonicalAggregate {
        function: func.name().to_owned(),
        args: params.args.into_iter().map(|arg| canonical(arg, &unqualified)).collect::<Result<_>>()?,
        distinct: params.distinct,
        ignore_nulls: params.null_treatment == Some(NullTreatment::IgnoreNulls),
        filter: params.filter.map(|filter| canonical(*filter, &unqualified)).transpose()?,
        data_type,
    })
}

/// The value of an expression without columns, such as an interval.
pub fn constant(expr: &ast::Expr) -> Result<ScalarValue> {
    let schema = DFSchema::empty();
    let planned = strip_alias(planner::plan(expr.clone(), &schema)?);
    refuse_unrepeatable(&planned)?;
    let simplifier = simplifier(&schema);
    let coerced = text::normalize(simplifier.coerce(planned, &schema)?)?;
    if let Expr::Literal(value, _) = simplify(&simplifier, coerced)? {
        Ok(value)
    } else {
        plan_err!("`{expr}` is not a constant")
    }
}

/// Plans a canonical text over a schema: what every surface evaluates.
pub fn compile(sql: &str, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let df_schema = DFSchema::try_from(schema.clone())?;
    physical(&replan(sql, &df_schema)?, &df_schema)
}

/// Plans a canonical text that is a scalar constant or an expression over `schema`, and evaluates it over a batch.
pub fn evaluate(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<arrow::array::ArrayRef> {
    expr.evaluate(batch)?.into_array(batch.num_rows())
}

fn canonical(expr: Expr, schema: &DFSchema) -> Result<Canonical> {
    refuse_unrepeatable(&expr)?;
    let simplifier = simplifier(schema);
    let coerced = text::normalize(simplifier.coerce(strip_alias(expr), schema)?)?;
    let data_type = coerced.get_type(schema)?;
    let mut reason = None;
    if let Ok(simplified) = simplify(&simplifier, coerced.clone())
        && simplified.get_type(schema).is_ok_and(|simplified| simplified == data_type)
    {
        match fixed_point(&simplified, schema) {
            Ok(canonical) => return Ok(canonical),
            Err(e) => reason = Some(e),
        }
    }
    fixed_point(&coerced, schema).map_err(|e| {
        let reason = reason.unwrap_or(e);
        DataFusionError::Plan(format!(
            "the expression `{coerced}` has no canonical form, so it cannot be stored in a feature view: {}; \
             compute it in the table or query that the view reads",
            reason.strip_backtrace()
        ))
    })
}

/// Simplifies until nothing changes, so that simplifying a canonical expression again does nothing.
fn simplify(simplifier: &ExprSimplifier, expr: Expr) -> Result<Expr> {
    let mut current = expr;
    for _ in 0..8 {
        let next = text::normalize(simplifier.simplify(current.clone())?)?;
        if next == current {
            break;
        }
        current = next;
    }
    Ok(current)
}

/// Writes the expression down and checks that the text's plan is the same expression and can be evaluated.
fn fixed_point(expr: &Expr, schema: &DFSchema) -> Result<Canonical> {
    let sql = text::write(expr)?;
    let again = replan(&sql, schema)?;
    if again != *expr {
        return plan_err!("its text `{sql}` would be read back as `{again}`");
    }
    let physical = physical(&again, schema)?;
    physical.evaluate(&RecordBatch::new_empty(Arc::clone(schema.inner())))?;
    let columns: BTreeSet<String> = expr.column_refs().into_iter().map(|column| column.name.clone()).collect();
    Ok(Canonical {
        sql,
        data_type: expr.get_type(schema)?,
        nullable: expr.nullable(schema)?,
        columns: columns.into_iter().collect(),
    })
}

fn replan(sql: &str, schema: &DFSchema) -> Result<Expr> {
    let planned = strip_alias(planner::plan(parse(sql)?, schema)?);
    refuse_unrepeatable(&planned)?;
    text::normalize(simplifier(schema).coerce(text::normalize(planned)?, schema)?)
}

fn physical(expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    let mut props = ExecutionProps::new();
    props.config_options = Some(planner::pinned_options());
    create_physical_expr(expr, schema, &props, &PhysicalPlanningContext::default())
}

fn simplifier(schema: &DFSchema) -> ExprSimplifier {
    ExprSimplifier::new(
        SimplifyContext::builder()
            .with_schema(Arc::new(schema.clone()))
            .with_config_options(planner::pinned_options())
            .build(),
    )
}

fn strip_alias(expr: Expr) -> Expr {
    match expr {
        Expr::Alias(alias) => strip_alias(*alias.expr),
        other => other,
    }
}

fn unqualified(schema: &DFSchema) -> Result<DFSchema> {
    let fields: Vec<FieldRef> = schema.fields().iter().map(Arc::clone).collect();
    let mut seen = BTreeSet::new();
    if let Some(twice) = fields.iter().find(|field| !seen.insert(field.name().as_str())) {
        return plan_err!("the input has two columns named `{}`; name them apart", twice.name());
    }
    DFSchema::try_from(Schema::new(fields))
}

fn drop_qualifiers(expr: Expr) -> Result<Expr> {
    expr.transform(|e| {
        Ok(match e {
            Expr::Column(column) if column.relation.is_some() => {
                Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))
            }
            other => Transformed::no(other),
        })
    })
    .map(|transformed| transformed.data)
}

/// Refuses what could give two values for the same inputs, with what to use instead.
fn refuse_unrepeatable(expr: &Expr) -> Result<()> {
    expr.apply(|e| {
        match e {
            Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable => {
                return refuse_function(call.func.name());
            }
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => {
                return plan_err!("a feature expression cannot hold a subquery; join in the view's FROM instead");
            }
            Expr::WindowFunction(call) => {
                return plan_err!(
                    "`{}` is a window function inside an expression; give it a column of its own, \
                     `agg(…) OVER (RANGE INTERVAL '…' PRECEDING) AS name`",
                    call.fun.name()
                );
            }
            Expr::ScalarVariable(..) | Expr::Placeholder(_) => {
                return plan_err!("a feature expression cannot hold the parameter or variable `{e}`");
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map(|_| ())
}

/// The refusal of a function whose value changes from call to call or from query to query.
pub fn refuse_function<T>(name: &str) -> Result<T> {
    let remedy = match name {
        "now" | "current_timestamp" | "current_date" | "current_time" | "today" => {
            "a feature's clock is the as-of time: make the prediction time a column of the spine and an input of an \
             ON DEMAND view"
        }
        "random" | "uuid" => "use `hash_bucket(key, n)` for a repeatable spread",
        _ => "compute it in the table that the view reads",
    };
    plan_err!("`{name}()` gives a different value each time, so training and serving would disagree; {remedy}")
}

/// The error for a function that the table does not have.
fn unknown_function(name: &str, has_over: bool) -> DataFusionError {
    let scalars = scalar_names();
    let aggregates = aggregate_names();
    let candidates = scalars.iter().chain(has_over.then_some(&aggregates).into_iter().flatten()).map(String::as_str);
    DataFusionError::Plan(format!(
        "unknown function `{name}` in a feature expression{}",
        did_you_mean(name, candidates.chain(aggregates.iter().map(String::as_str)))
    ))
}

/// The error for a column that the input does not have.
fn unknown_column(name: &str, schema: &DFSchema) -> DataFusionError {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    DataFusionError::Plan(format!(
        "unknown column `{name}` in a feature expression{}; the columns are {}",
        did_you_mean(name, names.iter().copied()),
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    ))
}

/// A nullable field of this type, for schemas made from canonical expressions.
pub fn field(name: &str, data_type: &DataType) -> Field {
    Field::new(name, data_type.clone(), true)
}

#[cfg(test)]
mod tests;
