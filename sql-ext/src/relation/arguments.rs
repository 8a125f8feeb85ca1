//! The arguments of a function in FROM: `name => value`, or by position, with every mistake named.

use datafusion::common::{DFSchema, Result, ScalarValue, plan_datafusion_err, plan_err};
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::prelude::Expr;
use datafusion::sql::sqlparser::ast::{
    Array, Expr as SqlExpr, FunctionArg, FunctionArgExpr, FunctionArguments, TableFactor, Value,
};
use skewless_catalog::suggest::did_you_mean;

/// A parameter of a function in FROM.
#[derive(Debug)]
pub(crate) struct Parameter {
    /// Its name, lower case.
    pub(crate) name: &'static str,
    /// Whether a call without it is refused.
    pub(crate) required: bool,
}

impl Parameter {
    /// A parameter that every call names.
    pub(crate) const fn required(name: &'static str) -> Self {
        Self { name, required: true }
    }

    /// A parameter that a call may leave out.
    pub(crate) const fn optional(name: &'static str) -> Self {
        Self { name, required: false }
    }
}

/// The arguments of one call, bound to the function's parameters.
#[derive(Debug)]
pub(crate) struct Arguments {
    function: &'static str,
    bound: Vec<(&'static str, SqlExpr)>,
}

/// Which parameters there are, for a message.
fn valid(parameters: &[Parameter]) -> String {
    let names: Vec<String> = parameters
        .iter()
        .map(|p| if p.required { format!("`{}`", p.name) } else { format!("`{}` (optional)", p.name) })
        .collect();
    format!("the arguments are {}", names.join(", "))
}

impl Arguments {
    /// Binds the arguments of a call to the parameters.
    pub(crate) fn bind(
        function: &'static str,
        parameters: &'static [Parameter],
        args: Vec<FunctionArg>,
    ) -> Result<Self> {
        let mut bound: Vec<(&'static str, SqlExpr)> = Vec::with_capacity(args.len());
        let mut named_seen = false;
        for (position, arg) in args.into_iter().enumerate() {
            let (name, value) = match arg {
                FunctionArg::Named { name, arg, .. }
                | FunctionArg::ExprNamed { name: SqlExpr::Identifier(name), arg, .. } => (Some(name.value), arg),
                FunctionArg::ExprNamed { name, .. } => {
                    return plan_err!("{function}: `{name}` is not the name of an argument; {}", valid(parameters));
                }
                FunctionArg::Unnamed(arg) => (None, arg),
            };
            let FunctionArgExpr::Expr(value) = value else {
                return plan_err!("{function}: `{value}` is not a value; {}", valid(parameters));
            };
            let parameter = match name {
                Some(name) => {
                    named_seen = true;
                    let lower = name.to_lowercase();
                    parameters.iter().find(|p| p.name == lower).ok_or_else(|| {
                        let hint = did_you_mean(&lower, parameters.iter().map(|p| p.name));
                        plan_datafusion_err!("{function} has no argument `{name}`{hint}; {}", valid(parameters))
                    })?
                }
                None if named_seen => {
                    return plan_err!(
                        "{function}: `{value}` follows a named argument, so it must be named too; {}",
                        valid(parameters)
                    );
                }
                None => parameters.get(position).ok_or_else(|| {
                    plan_datafusion_err!("{function}: `{value}` is one argument too many; {}", valid(parameters))
                })?,
            };
            if bound.iter().any(|(name, _)| *name == parameter.name) {
                return plan_err!("{function}: argument `{}` is given twice", parameter.name);
            }
            bound.push((parameter.name, value));
        }
        for parameter in parameters.iter().filter(|p| p.required) {
            if !bound.iter().any(|(name, _)| *name == parameter.name) {
                return plan_err!("{function}: argument `{}` is missing; {}", parameter.name, valid(parameters));
            }
        }
        Ok(Self { function, bound })
    }

    /// The argument as it was written; `None` where the call leaves it out or passes NULL.
    pub(crate) fn expr(&self, name: &str) -> Option<&SqlExpr> {
        let (_, value) = self.bound.iter().find(|(bound, _)| *bound == name)?;
        match value {
            SqlExpr::Value(v) if v.value == Value::Null => None,
            value => Some(value),
        }
    }

    fn missing(&self, name: &str) -> datafusion::error::DataFusionError {
        plan_datafusion_err!("{}: argument `{name}` must not be NULL", self.function)
    }

    fn wrong<T>(&self, name: &str, wanted: &str, value: &SqlExpr) -> Result<T> {
        plan_err!("{}: argument `{name}` takes {wanted}, not `{value}`", self.function)
    }

    /// A relation: `(SELECT …)`, or the name of a table or common table expression.
    pub(crate) fn relation(&self, name: &str, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
        let value = self.expr(name).ok_or_else(|| self.missing(name))?;
        let factor = self.table_factor(name, value)?;
        let plan = context.plan(factor)?;
        if !plan.all_out_ref_exprs().is_empty() {
            return plan_err!(
                "{}: the query in `{name}` refers to a column of the query around it; join that column in instead",
                self.function
            );
        }
        Ok(plan)
    }

    fn table_factor(&self, name: &str, value: &SqlExpr) -> Result<TableFactor> {
        match value {
            SqlExpr::Nested(inner) => self.table_factor(name, inner),
            SqlExpr::Subquery(query) => {
                Ok(TableFactor::Derived { lateral: false, subquery: query.clone(), alias: None, sample: None })
            }
            other => self.wrong(name, "a query in parentheses or the name of a table", other),
        }
    }

    /// A constant of any type.
    pub(crate) fn scalar(&self, name: &str, context: &mut dyn RelationPlannerContext) -> Result<Option<ScalarValue>> {
        let Some(value) = self.expr(name) else { return Ok(None) };
        let empty = DFSchema::empty();
        let expr = context.sql_to_expr(value.clone(), &empty)?;
        let simplified = ExprSimplifier::new(SimplifyContext::default()).simplify(expr)?;
        match simplified {
            Expr::Literal(value, _) if value.is_null() => Ok(None),
            Expr::Literal(value, _) => Ok(Some(value)),
            _ => self.wrong(name, "a constant", value),
        }
    }

    /// A text constant; `None` where the call leaves it out.
    pub(crate) fn optional_string(&self, name: &str) -> Result<Option<String>> {
        self.expr(name)
            .map(|value| match string(value) {
                Some(text) => Ok(text),
                None => self.wrong(name, "a text in single quotes", value),
            })
            .transpose()
    }

    /// A text constant.
    pub(crate) fn string(&self, name: &str) -> Result<String> {
        self.optional_string(name)?.ok_or_else(|| self.missing(name))
    }

    /// A list of text constants, `['a', 'b']`; one text stands for a list of one; `None` where the call leaves it out.
    pub(crate) fn optional_strings(&self, name: &str) -> Result<Option<Vec<String>>> {
        let Some(value) = self.expr(name) else { return Ok(None) };
        let items = match value {
            SqlExpr::Array(Array { elem, .. }) => elem.as_slice(),
            SqlExpr::Function(f) if f.name.to_string().eq_ignore_ascii_case("make_array") => {
                return match &f.args {
                    FunctionArguments::List(list) if list.clauses.is_empty() => list
                        .args
                        .iter()
                        .map(|arg| match arg {
                            FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => string(e),
                            _ => None,
                        })
                        .collect::<Option<Vec<_>>>()
                        .map_or_else(|| self.wrong(name, "a list of texts, ['a', 'b']", value), |v| Ok(Some(v))),
                    _ => self.wrong(name, "a list of texts, ['a', 'b']", value),
                };
            }
            single => std::slice::from_ref(single),
        };
        items
            .iter()
            .map(string)
            .collect::<Option<Vec<_>>>()
            .map_or_else(|| self.wrong(name, "a list of texts, ['a', 'b']", value), |v| Ok(Some(v)))
    }

    /// A list of text constants.
    pub(crate) fn strings(&self, name: &str) -> Result<Vec<String>> {
        self.optional_strings(name)?.ok_or_else(|| self.missing(name))
    }

    /// TRUE or FALSE; `default` where the call leaves it out.
    pub(crate) fn boolean(&self, name: &str, default: bool) -> Result<bool> {
        match self.expr(name) {
            None => Ok(default),
            Some(SqlExpr::Value(v)) if matches!(v.value, Value::Boolean(_)) => Ok(v.value == Value::Boolean(true)),
            Some(other) => self.wrong(name, "true or false", other),
        }
    }
}

/// The text of a string literal.
fn string(value: &SqlExpr) -> Option<String> {
    match value {
        SqlExpr::Value(v) => v.value.clone().into_string(),
        SqlExpr::Nested(inner) => string(inner),
        _ => None,
    }
}
