//! The promises of a contract that one row shows, for the component that serves a feature view.

use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, plan_datafusion_err, plan_err};
use datafusion::sql::sqlparser::ast::{DataType as SqlType, Expr as SqlExpr, Ident, visit_expressions};
use skewless_catalog::suggest::did_you_mean;
use skewless_udf::contract::{RowContract, RowRule};
use skewless_udf::expression::{self, Canonical};
use skewless_udf::view::FeatureView;

use super::define::{Contract, RuleKind};
use super::validate::{fits, null_of};

/// What a contract asks of the rows that requests bring to a view, and the names of the rules that take more than one
/// row. A column that no request brings, or brings as another type, is an error.
pub(super) fn of(contract: &Contract, view: &FeatureView) -> Result<(RowContract, Vec<String>)> {
    let Some(inputs) = view.input_schema() else {
        return plan_err!(
            "no request brings rows to the feature view `{}`: they are materialized only; leave ON FEATURE VIEW out and \
             check its source with ml_validate_data",
            view.name
        );
    };
    let schema = DFSchema::try_from(inputs.as_ref().clone())?;
    for (column, promised) in &contract.columns {
        let Some((_, field)) = inputs.column_with_name(column) else {
            let names: Vec<&str> = inputs.fields().iter().map(|field| field.name().as_str()).collect();
            return plan_err!(
                "no request brings the column `{column}` to the feature view `{}`{}; it reads {}",
                view.name,
                did_you_mean(column, names.iter().copied()),
                names.join(", ")
            );
        };
        if *promised == SqlType::Unspecified {
            continue;
        }
        let promised = expression::canonicalize(&null_of(promised), &DFSchema::empty())?.data_type;
        if !fits(field.data_type(), &promised) {
            return plan_err!(
                "the feature view `{}` reads the column `{column}` as {}, but {promised} is promised",
                view.name,
                field.data_type()
            );
        }
    }
    let mut rules = Vec::new();
    let mut left = Vec::new();
    for rule in &contract.rules {
        let (text, condition) = match &rule.kind {
            RuleKind::NotNull(column) => {
                let column = SqlExpr::Identifier(Ident::with_quote('"', column));
                ("NOT NULL".to_owned(), SqlExpr::IsNotNull(Box::new(column)))
            }
            RuleKind::Check(condition) if !has_aggregate(condition) => {
                (format!("CHECK ({condition})"), condition.as_ref().clone())
            }
            RuleKind::Check(_) | RuleKind::Unique(_) | RuleKind::Drift(_) => {
                left.push(rule.name.clone());
                continue;
            }
        };
        let refuse = |reason: String| {
            plan_datafusion_err!("the rule `{}`, {text}, cannot be checked where requests come in: {reason}", rule.name)
        };
        let canonical = expression::canonicalize(&condition, &schema);
        let Canonical { sql, data_type, columns, .. } =
            canonical.map_err(|error| refuse(crate::error::describe(&error).0))?;
        if data_type != DataType::Boolean {
            return Err(refuse(format!("it is of type {data_type}, not a condition")));
        }
        rules.push(RowRule { name: rule.name.clone(), text, columns, condition: sql });
    }
    let is_enforced = contract.door.as_ref().is_none_or(|door| door.is_enforced);
    Ok((RowContract { name: contract.name.clone(), is_enforced, rules }, left))
}

/// Whether a condition is over all rows.
fn has_aggregate(condition: &SqlExpr) -> bool {
    let found = visit_expressions(condition, |expr| match expr {
        SqlExpr::Function(call) => {
            let name = call.name.to_string().to_lowercase();
            let is_aggregate = expression::scalar(&name).is_none() && expression::aggregate(&name).is_some();
            if is_aggregate { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}
