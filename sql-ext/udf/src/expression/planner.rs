//! Plans expression ASTs over the fixed function table, under options that no session can change.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DFSchema, DataFusionError, Result, ScalarValue, SchemaError, TableReference, plan_err};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::planner::{ContextProvider, ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion_expr::{AggregateUDF, Expr, GetFieldAccess, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use datafusion_sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion_sql::sqlparser::ast;

use super::table;

static OPTIONS: LazyLock<Arc<ConfigOptions>> = LazyLock::new(|| {
    // The defaults of this pinned DataFusion version; never from the environment or the session.
    Arc::new(ConfigOptions::new())
});

static PLANNERS: LazyLock<Vec<Arc<dyn ExprPlanner>>> = LazyLock::new(|| {
    vec![
        Arc::new(Literals),
        Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
        Arc::new(datafusion_functions::datetime::planner::DatetimeFunctionPlanner),
        Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
        Arc::new(datafusion_functions_aggregate::planner::AggregateFunctionPlanner),
    ]
});

/// The options under which every feature expression is planned and evaluated.
pub(super) fn pinned_options() -> Arc<ConfigOptions> {
    Arc::clone(&OPTIONS)
}

/// Plans an expression over the columns of `schema`, uncoerced.
pub(super) fn plan(expr: ast::Expr, schema: &DFSchema) -> Result<Expr> {
    SqlToRel::new_with_options(&FixedTable, ParserOptions::new())
        .sql_to_expr(expr, schema, &mut PlannerContext::new())
        .map_err(|e| explain(e, schema))
}

/// Replaces the planner's errors about names by ours, which know the function table.
fn explain(error: DataFusionError, schema: &DFSchema) -> DataFusionError {
    match error.find_root() {
        DataFusionError::SchemaError(e, _) => match e.as_ref() {
            SchemaError::FieldNotFound { field, .. } => super::unknown_column(&field.name, schema),
            _ => error,
        },
        DataFusionError::Plan(message) => match message.strip_prefix("Invalid function '") {
            Some(rest) => super::unknown_function(rest.split('\'').next().unwrap_or(rest), true),
            None => error,
        },
        _ => error,
    }
}

struct FixedTable;

impl ContextProvider for FixedTable {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        plan_err!("a feature expression cannot read the table `{name}`; join it in the view's FROM instead")
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &PLANNERS
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        table::scalar(name)
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        table::aggregate(name)
    }

    fn get_window_meta(&self, _name: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &OPTIONS
    }

    fn udf_names(&self) -> Vec<String> {
        table::scalar_names()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        table::aggregate_names()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Plans constant list literals, `[1, 2, 3]`, and struct fields, `s['f']`.
#[derive(Debug)]
struct Literals;

impl ExprPlanner for Literals {
    fn plan_array_literal(&self, exprs: Vec<Expr>, _schema: &DFSchema) -> Result<PlannerResult<Vec<Expr>>> {
        let mut values = Vec::with_capacity(exprs.len());
        for expr in &exprs {
            match expr {
                Expr::Literal(value, _) => values.push(value.clone()),
                other => {
                    return plan_err!("a list in a feature expression holds constants only, and `{other}` is not one");
                }
            }
        }
        let types: Vec<DataType> = values.iter().map(ScalarValue::data_type).collect();
        let element = element_type(&types)?;
        let values = values.iter().map(|value| value.cast_to(&element)).collect::<Result<Vec<_>>>()?;
        let list = ScalarValue::List(ScalarValue::new_list_nullable(&values, &element));
        Ok(PlannerResult::Planned(Expr::Literal(list, None)))
    }

    fn plan_field_access(
        &self,
        expr: RawFieldAccessExpr,
        _schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        Ok(match &expr.field_access {
            GetFieldAccess::NamedStructField { name } => {
                let args = vec![expr.expr, Expr::Literal(name.clone(), None)];
                let call = ScalarFunction::new_udf(datafusion_functions::core::get_field(), args);
                PlannerResult::Planned(Expr::ScalarFunction(call))
            }
            _ => PlannerResult::Original(expr),
        })
    }
}

/// The type that holds every element: integers are BIGINT, with a float among them DOUBLE.
fn element_type(types: &[DataType]) -> Result<DataType> {
    let mut element = DataType::Null;
    for data_type in types {
        element = match (&element, data_type) {
            (_, DataType::Null) => element,
            (DataType::Null, other) => other.clone(),
            (a, b) if a == b => element,
            (DataType::Float64, b) if b.is_integer() => DataType::Float64,
            (a, DataType::Float64) if a.is_integer() => DataType::Float64,
            (a, b) => return plan_err!("a list holds values of one type, not both {a} and {b}"),
        };
    }
    Ok(element)
}
