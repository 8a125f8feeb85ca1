//! `ml_stratified_split`: the fractions hold within each stratum.
//!
//! Within a stratum the rows are ranked by the hash of their key, and the first of them are train, the next validation and
//! the others test. Guarantees: where keys are unique in a stratum, each split holds its fraction of the stratum's rows to
//! one row; rows of one stratum and one key are in one split; neither order nor partitions matter. Since the fractions are
//! of the rows that are there, appending rows to a stratum can move those near a bound.

use datafusion::common::Result;
use datafusion::functions::math::expr_fn::floor;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_window::expr_fn::rank;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{
    ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, Operator, WindowFunctionDefinition, binary_expr, cast, when,
};
use datafusion::prelude::{Expr, col, lit};
use datafusion::scalar::ScalarValue;
use skewless_catalog::split::NAMES;

use super::SPLIT;
use super::group::key_text;
use crate::context::Shared;
use crate::relation::{Arguments, find, refuse_clash};

/// The function's name in SQL.
pub(super) const NAME: &str = "ml_stratified_split";

/// The columns between the projections.
const HASH: &str = "__ml_hash";
const RANK: &str = "__ml_rank";
const ROWS: &str = "__ml_rows";

pub(super) fn plan(
    arguments: &Arguments,
    context: &mut dyn RelationPlannerContext,
    _shared: &Shared,
) -> Result<LogicalPlan> {
    let data = arguments.relation("data", context)?;
    let name = arguments.string("key")?;
    let by = arguments.strings("by")?;
    let (_, fractions) = super::fractions(NAME, arguments, context)?;
    let seed = super::seed(NAME, arguments, context)?;
    refuse_clash(NAME, "data", data.schema(), &[SPLIT, HASH, RANK, ROWS].map(str::to_owned))?;

    let (_, key, data_type) = find(NAME, "data", data.schema(), &name, "the key")?;
    let key = Expr::Column(key);
    let text = key_text(NAME, &name, key.clone(), data_type)?;
    let strata = by
        .iter()
        .map(|name| Ok(Expr::Column(find(NAME, "data", data.schema(), name, "one of the columns in `by`")?.1)))
        .collect::<Result<Vec<_>>>()?;
    let columns: Vec<Expr> = data.schema().columns().into_iter().map(Expr::Column).collect();

    let Some(fingerprint) = skewless_udf::expression::scalar("farm_fingerprint") else {
        return datafusion::common::internal_err!("the catalog has no function `farm_fingerprint`");
    };
    // The text that `ml_split` hashes; NULL for a NULL key.
    let hash = fingerprint.call(vec![binary_expr(lit(format!("{seed}/")), Operator::StringConcat, text)]);
    // Different keys of one hash have an order too.
    let order = vec![col(HASH).sort(true, false), key.clone().sort(true, false)];
    let rank = rank().partition_by(strata.clone()).order_by(order).build()?.alias(RANK);
    let rows = Expr::from(WindowFunction::new(WindowFunctionDefinition::AggregateUDF(count_udaf()), vec![key.clone()]));
    let rows = rows.partition_by(strata).build()?.alias(ROWS);

    let double = arrow::datatypes::DataType::Float64;
    let within = |bound: f64| {
        let last = floor(cast(col(ROWS), double.clone()) * lit(bound) + lit(0.5));
        cast(col(RANK), double.clone()).lt_eq(last)
    };
    let (train_end, validation_end) = fractions.bounds();
    let split = when(key.is_null(), lit(ScalarValue::Utf8(None)))
        .when(within(train_end), lit(NAMES[0]))
        .when(within(validation_end), lit(NAMES[1]))
        .otherwise(lit(NAMES[2]))?;
    LogicalPlanBuilder::from(data)
        .project(columns.iter().cloned().chain([hash.alias(HASH)]))?
        .window(vec![rank])?
        .window(vec![rows])?
        .project(columns.into_iter().chain([split.alias(SPLIT)]))?
        .alias(NAME)?
        .build()
}
