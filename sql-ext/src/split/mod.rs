//! `ml_time_split`, `ml_group_split` and `ml_stratified_split`: a query's rows with a column `split`.
//!
//! Each is planned into stock nodes that call functions by name. What each guarantees stands in its own module and is
//! tested there; a split by the hash of one key is the catalog's `ml_split`.

mod group;
mod stratified;
mod time;

use datafusion::common::{Result, ScalarValue, plan_datafusion_err};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::planner::RelationPlannerContext;
use skewless_catalog::split::Fractions;

use crate::relation::{Arguments, Parameter, Relation};

/// The FROM-functions of this module.
pub(crate) static RELATIONS: &[Relation] = &[
    Relation {
        name: time::NAME,
        parameters: &[
            Parameter::required("data"),
            Parameter::required("timestamp"),
            Parameter::required("test_from"),
            Parameter::required("horizon"),
            Parameter::optional("validation_from"),
            Parameter::optional("features"),
            Parameter::optional("look_back"),
            Parameter::optional("folds"),
            Parameter::optional("fold_size"),
        ],
        plan: time::plan,
    },
    Relation {
        name: group::NAME,
        parameters: &[
            Parameter::required("data"),
            Parameter::required("groups"),
            Parameter::required("fractions"),
            Parameter::optional("seed"),
        ],
        plan: group::plan,
    },
    Relation {
        name: stratified::NAME,
        parameters: &[
            Parameter::required("data"),
            Parameter::required("key"),
            Parameter::required("by"),
            Parameter::required("fractions"),
            Parameter::optional("seed"),
        ],
        plan: stratified::plan,
    },
];

/// The column that a split adds.
const SPLIT: &str = "split";

/// Registers the functions that the plans call.
pub(crate) fn register(state: &mut SessionState) -> Result<()> {
    state.register_udwf(group::function())?;
    Ok(())
}

/// `fractions => [train, validation, test]`, or `[train, test]`.
fn fractions(
    function: &str,
    arguments: &Arguments,
    context: &mut dyn RelationPlannerContext,
) -> Result<([f64; 3], Fractions)> {
    let form = || plan_datafusion_err!("{function}: `fractions` takes [train, validation, test] or [train, test]");
    let Some(ScalarValue::List(list)) = arguments.scalar("fractions", context)? else { return Err(form()) };
    let shares = ScalarValue::convert_array_to_scalar_vec(list.as_ref())?
        .into_iter()
        .flatten()
        .flatten()
        .map(|share| match share.cast_to(&arrow::datatypes::DataType::Float64) {
            Ok(ScalarValue::Float64(Some(share))) => Ok(share),
            _ => Err(form()),
        })
        .collect::<Result<Vec<_>>>()?;
    let shares = match shares.as_slice() {
        [train, test] => [*train, 0.0, *test],
        [train, validation, test] => [*train, *validation, *test],
        _ => return Err(form()),
    };
    let fractions = Fractions::new(shares).map_err(|reason| plan_datafusion_err!("{function}: {reason}"))?;
    Ok((shares, fractions))
}

/// `seed => 42` or `seed => 'text'`; without it, the empty text.
fn seed(function: &str, arguments: &Arguments, context: &mut dyn RelationPlannerContext) -> Result<String> {
    match arguments.scalar("seed", context)? {
        None => Ok(String::new()),
        Some(value) if value.data_type().is_integer() => Ok(value.to_string()),
        Some(value) => value
            .try_as_str()
            .flatten()
            .map(str::to_owned)
            .ok_or_else(|| plan_datafusion_err!("{function}: `seed` takes a whole number or a text, not {value}")),
    }
}

#[cfg(test)]
mod tests;
