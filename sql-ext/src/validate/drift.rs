//! From SQL to the plan: the arguments of `ml_validate_drift`, checked against both samples.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{
    Column, DFSchema, Result, ScalarValue, internal_datafusion_err, plan_datafusion_err, plan_err,
};
use datafusion::functions::core::expr_fn::{get_field, named_struct};
use datafusion::functions_aggregate::expr_fn::array_agg;
use datafusion::functions_nested::expr_fn::{array_element, make_array};
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{AggregateUDF, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::prelude::{Expr, col, lit, when};
use skewless_catalog::drift::RankTest;
use skewless_catalog::suggest::did_you_mean;
use skewless_catalog::validate::{Correction, EXACT_ONLY, METRICS};

use super::exact::ExactDrift;
use super::report::{self, Feature, IS_BASE, PROFILES, SLICE, Spec};
use crate::context::Shared;
use crate::relation::{Arguments, find, refuse_clash};

/// The function's name in SQL.
pub(super) const NAME: &str = "ml_validate_drift";

/// The columns between the projections.
const SAMPLE: &str = "__ml_is_base";
pub(super) const ROW: &str = "__ml_row";
/// What goes into [`ExactDrift`]: not by the name of what comes out, for DataFusion pushes an access to a field down to any
/// column of that name.
const PROFILED: &str = "__ml_profiled";

pub(super) fn plan(
    arguments: &Arguments,
    context: &mut dyn RelationPlannerContext,
    _shared: &Shared,
) -> Result<LogicalPlan> {
    let base = arguments.relation("base", context)?;
    let study = arguments.relation("study", context)?;
    let by = arguments.optional_strings("by")?.unwrap_or_default();
    let mut spec = Spec { features: Vec::new(), options: options(arguments, context)? };
    for (argument, plan) in [("base", &base), ("study", &study)] {
        let added = [SAMPLE, ROW].map(str::to_owned);
        refuse_clash(NAME, argument, plan.schema(), &added)?;
    }
    let clash = by.iter().find(|name| report::COLUMNS.contains(&name.as_str()));
    if let Some(name) = clash {
        return plan_err!(
            "{NAME}: `by` names `{name}`, which the result has a column for; rename it: {name} AS {name}_"
        );
    }
    let mut slices = Vec::new();
    for name in &by {
        let (_, _, ours) = find(NAME, "base", base.schema(), name, "one of the columns in `by`")?;
        let (_, _, theirs) = find(NAME, "study", study.schema(), name, "one of the columns in `by`")?;
        if ours != theirs {
            return plan_err!("{NAME}: `{name}` in `by` is {ours} in `base` but {theirs} in `study`; cast one of them");
        }
        slices.push((name.as_str(), ours.clone()));
    }

    let types = columns(base.schema(), study.schema(), &by);
    let mut readable = Vec::new();
    for (name, sides) in types {
        let problem = match sides {
            (Some(ours), Some(theirs)) => match (reading(&ours), reading(&theirs)) {
                (Some(a), Some(b)) if a == b => {
                    readable.push((name.clone(), a));
                    None
                }
                (Some(_), Some(_)) => Some(format!("it is {ours} in the base and {theirs} in the study sample")),
                (None, _) => Some(format!("{ours} has no distribution to compare; select a number or a text of it")),
                (_, None) => Some(format!("{theirs} has no distribution to compare; select a number or a text of it")),
            },
            (None, _) => Some("the base has no such column".to_owned()),
            (_, None) => Some("the study sample has no such column".to_owned()),
        };
        spec.features.push(Feature { name, problem });
    }
    if spec.features.is_empty() {
        return plan_err!("{NAME}: the samples have no column besides those in `by`; select the features to compare");
    }

    // Both samples in one relation: the slices, the flag, and the columns as they are profiled.
    let side = |plan: LogicalPlan, is_base: bool| -> Result<LogicalPlan> {
        let own = |name: &str| {
            find(NAME, "a sample", plan.schema(), name, "a column").map(|(_, column, given)| (column, given.clone()))
        };
        let mut columns = Vec::new();
        for (index, (name, _)) in slices.iter().enumerate() {
            let (column, given) = own(name)?;
            let mut slice = Expr::Column(column);
            if given.is_floating() {
                // Groups take both zeros for one, an order does not.
                let zero = cast(lit(0.0), given);
                slice = when(slice.clone().eq(zero.clone()), zero).otherwise(slice)?;
            }
            columns.push(slice.alias(slice_name(index)));
        }
        columns.push(lit(is_base).alias(SAMPLE));
        for (index, (name, reading)) in readable.iter().enumerate() {
            let (column, given) = own(name)?;
            let column = Expr::Column(column);
            let value = if given.is_string() { column } else { read(column, &given, reading) };
            // Views of texts are not copied on the way to the profiles.
            let value = if *reading == DataType::Utf8 { cast(value, DataType::Utf8View) } else { value };
            columns.push(value.alias(column_name(index)));
        }
        LogicalPlanBuilder::from(plan).project(columns)?.build()
    };
    let both = LogicalPlanBuilder::from(side(base, true)?).union(side(study, false)?)?;

    let profile = profile_function()?;
    let groups: Vec<String> = (0..slices.len()).map(slice_name).chain([SAMPLE.to_owned()]).collect();
    let groups: Vec<Expr> = groups.into_iter().map(|name| col(Column::from_name(name))).collect();
    let profiles = (0..readable.len())
        .map(|index| profile.call(vec![col(Column::from_name(column_name(index)))]).alias(column_name(index)));
    let texts = |index: usize| cast(col(Column::from_name(slice_name(index))), DataType::Utf8);
    let list = |items: Vec<Expr>, item: DataType| {
        if items.is_empty() {
            lit(ScalarValue::List(ScalarValue::new_list(&[], &item, true)))
        } else {
            make_array(items)
        }
    };
    let row = named_struct(vec![
        lit(SLICE),
        list((0..slices.len()).map(texts).collect(), DataType::Utf8),
        lit(IS_BASE),
        col(Column::from_name(SAMPLE)),
        lit(PROFILES),
        list((0..readable.len()).map(|i| col(Column::from_name(column_name(i)))).collect(), DataType::Binary),
    ]);
    let ranked = in_order(&readable, &spec.options);
    let aggregated = both.clone().aggregate(groups.clone(), profiles)?;
    let found = if ranked.is_empty() {
        let report = report::function().call(vec![col(Column::from_name(ROW)), lit(spec.to_json())]);
        aggregated
            // The aggregate is a column of its own before the function reads it.
            .aggregate(Vec::<Expr>::new(), vec![array_agg(row).alias(ROW)])?
            .project(vec![report.alias(ROW)])?
            .unnest_column(Column::from_name(ROW))?
    } else {
        let mut inputs = vec![aggregated.project(vec![row.alias(PROFILED)])?.build()?];
        for column in &ranked {
            let value = col(Column::from_name(column_name(*column)));
            let rows = both.clone().filter(value.clone().is_not_null())?;
            inputs.push(rows.project(groups.iter().cloned().chain([value]))?.build()?);
        }
        LogicalPlanBuilder::from(ExactDrift::new(inputs, spec, ranked)?.into_plan())
    };
    let field = |name: &str| get_field(col(Column::from_name(ROW)), name);
    let mut output: Vec<Expr> = slices
        .iter()
        .enumerate()
        .map(|(index, (name, data_type))| {
            cast(array_element(field(SLICE), lit(index as i64 + 1)), data_type.clone()).alias(*name)
        })
        .collect();
    output.extend(report::COLUMNS.iter().map(|name| field(name).alias(*name)));
    found.project(output)?.alias(NAME)?.build()
}

/// The places of the columns whose values are to be put in order: those of numbers, where the options ask for exact tests of
/// ranks.
fn in_order(readable: &[(String, DataType)], options: &skewless_catalog::validate::Options) -> Vec<usize> {
    let asks = |metric: &String| metric == "auto" || RankTest::named(metric).is_some();
    if !options.exact || !(options.metrics.is_empty() || options.metrics.iter().any(asks)) {
        return Vec::new();
    }
    let numbers = readable.iter().enumerate().filter(|(_, (_, reading))| *reading == DataType::Float64);
    numbers.map(|(index, _)| index).collect()
}

/// The aggregate that makes profiles.
pub(crate) fn profile_function() -> Result<Arc<AggregateUDF>> {
    skewless_udf::expression::aggregate("ml_profile")
        .ok_or_else(|| internal_datafusion_err!("the catalog has no function `ml_profile`"))
}

fn slice_name(index: usize) -> String {
    format!("__ml_slice_{index}")
}

fn column_name(index: usize) -> String {
    format!("__ml_column_{index}")
}

/// The type that a column is profiled as: a number or a text; `None` where it is neither.
pub(crate) fn reading(given: &DataType) -> Option<DataType> {
    match given {
        DataType::Null => Some(DataType::Float64),
        DataType::Boolean => Some(DataType::Utf8),
        DataType::Dictionary(_, values) => reading(values),
        given if given.is_numeric() || given.is_temporal() => Some(DataType::Float64),
        given if given.is_string() => Some(DataType::Utf8),
        _ => None,
    }
}

/// A column as it is profiled; instants and days are seconds since 1970, so that samples of any unit compare.
pub(crate) fn read(column: Expr, given: &DataType, reading: &DataType) -> Expr {
    if !given.is_temporal() {
        return cast(column, reading.clone());
    }
    let (through, per_second) = match given {
        DataType::Timestamp(unit, _) | DataType::Duration(unit) | DataType::Time64(unit) | DataType::Time32(unit) => {
            let scale = match unit {
                arrow::datatypes::TimeUnit::Second => 1.0,
                arrow::datatypes::TimeUnit::Millisecond => 1e3,
                arrow::datatypes::TimeUnit::Microsecond => 1e6,
                arrow::datatypes::TimeUnit::Nanosecond => 1e9,
            };
            let whole = if matches!(given, DataType::Time32(_)) { DataType::Int32 } else { DataType::Int64 };
            (whole, scale)
        }
        DataType::Date64 => (DataType::Int64, 1e3),
        _ => (DataType::Int32, 1.0 / 86_400.0),
    };
    cast(cast(column, through), DataType::Float64) / lit(per_second)
}

/// A column's type in the base and in the study sample; `None` where it is not there.
type Sides = (Option<DataType>, Option<DataType>);

/// Every column but those of the slices, in the base's order, those of the study sample alone at the end; its type on
/// both sides.
fn columns(base: &DFSchema, study: &DFSchema, by: &[String]) -> Vec<(String, Sides)> {
    let theirs: BTreeMap<&str, &DataType> =
        study.fields().iter().map(|field| (field.name().as_str(), field.data_type())).collect();
    let is_feature = |name: &String| !by.contains(name);
    let ours = base.fields().iter().filter(|field| is_feature(field.name())).map(|field| {
        let other = theirs.get(field.name().as_str()).map(|data_type| (*data_type).clone());
        (field.name().clone(), (Some(field.data_type().clone()), other))
    });
    let known: Vec<&str> = base.fields().iter().map(|field| field.name().as_str()).collect();
    let alone =
        study.fields().iter().filter(|field| is_feature(field.name()) && !known.contains(&field.name().as_str()));
    ours.chain(alone.map(|field| (field.name().clone(), (None, Some(field.data_type().clone()))))).collect()
}

fn options(
    arguments: &Arguments,
    context: &mut dyn RelationPlannerContext,
) -> Result<skewless_catalog::validate::Options> {
    let mut options = skewless_catalog::validate::Options::default();
    let mut share = |name: &str| -> Result<Option<f64>> {
        let Some(value) = arguments.scalar(name, context)? else { return Ok(None) };
        match value.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(Some(share))) if (0.0..=1.0).contains(&share) => Ok(Some(share)),
            _ => plan_err!("{NAME}: `{name}` is a share from 0 to 1, not {value}"),
        }
    };
    if let Some(alpha) = share("alpha")? {
        options.alpha = alpha;
    }
    if let Some(effect) = share("min_effect")? {
        options.min_effect = effect;
    }
    options.exact = arguments.boolean("exact", false)?;
    if let Some(name) = arguments.optional_string("correction")? {
        options.correction = Correction::named(&name).ok_or_else(|| {
            let names = Correction::ALL.map(|(name, _)| name);
            let hint = did_you_mean(&name, names);
            plan_datafusion_err!("{NAME}: there is no correction '{name}'{hint}; there are {}", names.join(", "))
        })?;
    }
    for name in arguments.optional_strings("metrics")?.unwrap_or_default() {
        if !METRICS.contains(&name.as_str()) {
            let hint = did_you_mean(&name, METRICS.iter().copied());
            return plan_err!("{NAME}: there is no metric '{name}'{hint}; there are {}", METRICS.join(", "));
        }
        if EXACT_ONLY.contains(&name.as_str()) && !options.exact {
            return plan_err!(
                "{NAME}: '{name}' reads the values in order, which profiles do not hold; add exact => true"
            );
        }
        options.metrics.push(name);
    }
    Ok(options)
}
