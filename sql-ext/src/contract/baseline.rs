//! The base that drift is measured from, as a profile in the contract: it travels without the data.

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use datafusion::common::{Column, Result, internal_datafusion_err, plan_err};
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::prelude::Expr;
use datafusion::sql::sqlparser::ast::Query;
use skewless_catalog::suggest::did_you_mean;
use skewless_udf::expression;

use super::{Base, CreateContract};
use crate::SkewlessContext;
use crate::manifest::hex;
use crate::validate::{profile_function, read, reading};

/// Runs the queries of the DRIFT rules, and writes their profiles in their place.
pub(super) async fn freeze(statement: &mut CreateContract, context: &SkewlessContext) -> Result<()> {
    // From the last to the first, so that places before stay what they are.
    for promise in statement.drifts.iter_mut().rev() {
        let Base::Query { query, at } = &promise.base else { continue };
        let profile = profile(query.as_ref().clone(), &promise.column, context).await?;
        let place = at.clone();
        if statement.text.get(place.clone()).is_none() {
            return plan_err!("DRIFT ({}): its query is not found in the statement", promise.column);
        }
        statement.text.replace_range(place, &format!("X'{}'", hex(&profile)));
        promise.base = Base::Profile(profile);
    }
    Ok(())
}

/// The profile of a query's column: the one of that name, or the only one. A column of profiles is merged.
async fn profile(query: Query, column: &str, context: &SkewlessContext) -> Result<Vec<u8>> {
    let plan = context.plan_query(query).await?;
    let fields: Vec<_> = plan.schema().iter().collect();
    let named = fields.iter().find(|(_, field)| field.name() == column);
    let Some(found) = named.or(if let [only] = fields.as_slice() { Some(only) } else { None }) else {
        let hint = did_you_mean(column, fields.iter().map(|(_, field)| field.name().as_str()));
        return plan_err!(
            "DRIFT ({column}): the query of the base has no column `{column}`{hint}; select it, or one column alone"
        );
    };
    let data_type = found.1.data_type();
    let value = Expr::Column(Column::from(*found));
    let call = match (data_type, reading(data_type)) {
        (DataType::Binary | DataType::LargeBinary | DataType::BinaryView, _) => {
            let merge = expression::aggregate("ml_profile_merge");
            merge
                .ok_or_else(|| internal_datafusion_err!("the catalog has no function `ml_profile_merge`"))?
                .call(vec![value])
        }
        (_, Some(reading)) => profile_function()?.call(vec![read(value, data_type, &reading)]),
        (other, None) => {
            return plan_err!(
                "DRIFT ({column}): {other} has no distribution to compare; select a number or a text of it"
            );
        }
    };
    let plan =
        LogicalPlanBuilder::from(plan).aggregate(Vec::<Expr>::new(), vec![call.alias("__ml_profile")])?.build()?;
    let batches = context.session().execute_logical_plan(plan).await?.collect().await?;
    let profile = batches.iter().find(|batch| batch.num_rows() > 0).and_then(|batch| {
        let bytes = batch.column(0).as_binary_opt::<i32>()?;
        bytes.is_valid(0).then(|| bytes.value(0).to_vec())
    });
    let Some(profile) = profile else {
        return plan_err!("DRIFT ({column}): the query of the base has no row; take rows to compare with");
    };
    Ok(profile)
}
