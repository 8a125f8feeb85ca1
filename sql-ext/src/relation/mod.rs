//! Functions in FROM: one table of names, each planned into a logical plan from its raw SQL arguments.

mod arguments;
mod columns;

use std::sync::Arc;

use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, Ident, ObjectName, Query, SetExpr, TableFactor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

pub(crate) use arguments::{Arguments, Parameter};
pub(crate) use columns::{find, refuse_clash};

use skewless_catalog::suggest::did_you_mean;

use crate::context::Shared;

/// A function in FROM.
#[derive(Debug)]
pub(crate) struct Relation {
    /// Its name, lower case.
    pub(crate) name: &'static str,
    /// Its parameters; positional arguments fill them in this order.
    pub(crate) parameters: &'static [Parameter],
    /// Plans one call.
    pub(crate) plan: fn(&Arguments, &mut dyn RelationPlannerContext, &Shared) -> Result<LogicalPlan>,
}

/// Plans our FROM-functions; everything else is left to DataFusion.
#[derive(Debug)]
pub(crate) struct Relations {
    shared: Arc<Shared>,
}

impl Relations {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

/// Every function in FROM, in the order of the manual.
pub(crate) fn all() -> impl Iterator<Item = &'static Relation> {
    [
        crate::training::RELATIONS,
        crate::label::RELATIONS,
        crate::split::RELATIONS,
        crate::audit::RELATIONS,
        crate::validate::RELATIONS,
        crate::contract::RELATIONS,
        crate::score::RELATIONS,
        crate::asof::RELATIONS,
    ]
    .into_iter()
    .flatten()
}

/// The function's name, with BigQuery's dotted spelling (`ML.PREDICT`) read as `ml_predict`.
fn function_name(name: &ObjectName) -> Option<String> {
    let parts = name.0.iter().map(|part| Some(part.as_ident()?.value.to_lowercase())).collect::<Option<Vec<_>>>()?;
    Some(parts.join("_"))
}

/// Turns a table's name among the arguments of one of our functions into `(SELECT * FROM name)`.
///
/// DataFusion looks up the tables of a statement before it is planned, and looks for them among relations alone.
pub(crate) fn name_tables(factor: &mut TableFactor) {
    let TableFactor::Table { name, args: Some(args), .. } = factor else { return };
    if !function_name(name).is_some_and(|called| all().any(|function| function.name == called)) {
        return;
    }
    for arg in &mut args.args {
        let (FunctionArg::Named { arg, .. } | FunctionArg::ExprNamed { arg, .. } | FunctionArg::Unnamed(arg)) = arg;
        let FunctionArgExpr::Expr(value) = arg else { continue };
        let name = match value {
            SqlExpr::Identifier(ident) => vec![ident.clone()],
            SqlExpr::CompoundIdentifier(idents) => idents.clone(),
            _ => continue,
        };
        if let Some(query) = all_of(name) {
            *value = SqlExpr::Subquery(query);
        }
    }
}

/// `SELECT * FROM name`.
fn all_of(name: Vec<Ident>) -> Option<Box<Query>> {
    let mut query = Parser::new(&GenericDialect {}).try_with_sql("SELECT * FROM name").ok()?.parse_query().ok()?;
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    if let TableFactor::Table { name: table, .. } = &mut select.from.first_mut()?.relation {
        *table = name.into();
    }
    Some(query)
}

/// The message for a function in FROM that is neither ours nor one of DataFusion's `others`.
pub(crate) fn no_function<'a>(name: &str, others: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = all().map(|relation| relation.name).chain(others).collect();
    let hint = did_you_mean(name, names.iter().copied());
    let ours: Vec<&str> = all().map(|relation| relation.name).collect();
    format!("there is no function `{name}` in FROM{hint}; ours are {}", ours.join(", "))
}

impl RelationPlanner for Relations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::Table { name, alias, args: Some(args), .. } = &relation else {
            return Ok(match relation {
                TableFactor::NestedJoin { table_with_joins, alias } => {
                    match crate::asof::plan_join(*table_with_joins, context)? {
                        Ok(plan) => RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))),
                        Err(table_with_joins) => {
                            RelationPlanning::Original(Box::new(TableFactor::NestedJoin { table_with_joins, alias }))
                        }
                    }
                }
                other => RelationPlanning::Original(Box::new(other)),
            });
        };
        let Some(called) = function_name(name) else { return Ok(RelationPlanning::Original(Box::new(relation))) };
        let Some(function) = all().find(|function| function.name == called) else {
            if called.starts_with("ml_") {
                return plan_err!("{}", no_function(&called, std::iter::empty()));
            }
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let arguments = Arguments::bind(function.name, function.parameters, args.args.clone())?;
        let plan = (function.plan)(&arguments, context, &self.shared)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}
