//! `ml_describe_data`: one row for each column, told from its profile in one scan.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array, ListArray, ListBuilder, StringArray,
    StringBuilder, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Column, Result, exec_datafusion_err, exec_err, internal_datafusion_err, plan_err};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::functions_nested::expr_fn::make_array;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{
    ColumnarValue, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::prelude::{Expr, col, lit};
use serde::{Deserialize, Serialize};
use skewless_catalog::profile::Profile;

use super::drift::{profile_function, read, reading};
use crate::context::Shared;
use crate::relation::{Arguments, refuse_clash};

/// The function's name in SQL.
pub(super) const NAME: &str = "ml_describe_data";

/// The columns of the result.
const COLUMNS: [&str; 15] = [
    "feature",
    "type",
    "rows",
    "nulls",
    "nans",
    "distinct",
    "min",
    "q05",
    "median",
    "q95",
    "max",
    "mean",
    "stddev",
    "categories",
    "profile",
];

const ROW: &str = "__ml_row";

/// How many categories are told of a column.
const CATEGORIES: usize = 20;

/// A column of the data; what is described travels through the plan as JSON.
#[derive(Serialize, Deserialize)]
struct Described {
    name: String,
    data_type: String,
    has_profile: bool,
}

pub(super) fn plan(
    arguments: &Arguments,
    context: &mut dyn RelationPlannerContext,
    _shared: &Shared,
) -> Result<LogicalPlan> {
    let data = arguments.relation("data", context)?;
    refuse_clash(NAME, "data", data.schema(), &[ROW.to_owned()])?;
    let mut described = Vec::new();
    let mut profiles = Vec::new();
    for (qualifier, field) in data.schema().iter() {
        let (name, data_type) = (field.name().clone(), field.data_type());
        let reading = reading(data_type);
        if let Some(reading) = &reading {
            let column = Expr::Column(Column::from((qualifier, field)));
            let call = profile_function()?.call(vec![read(column, data_type, reading)]);
            profiles.push(call.alias(format!("__ml_column_{}", profiles.len())));
        }
        described.push(Described { name, data_type: data_type.to_string(), has_profile: reading.is_some() });
    }
    if profiles.is_empty() {
        return plan_err!("{NAME}: the data has no column of numbers or texts; select one");
    }
    let listed = (0..profiles.len()).map(|index| col(Column::from_name(format!("__ml_column_{index}"))));
    let spec = serde_json::to_string(&described).unwrap_or_default();
    let rows = function().call(vec![make_array(listed.collect()), lit(spec)]);
    let field = |name: &str| get_field(col(Column::from_name(ROW)), name).alias(name);
    LogicalPlanBuilder::from(data)
        .aggregate(Vec::<Expr>::new(), profiles)?
        .project(vec![rows.alias(ROW)])?
        .unnest_column(Column::from_name(ROW))?
        .project(COLUMNS.map(field))?
        .alias(NAME)?
        .build()
}

/// The function that turns profiles into rows.
pub(super) fn function() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::from(Describe { signature: Signature::any(2, Volatility::Immutable) })));
    Arc::clone(&FUNCTION)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Describe {
    signature: Signature,
}

fn fields() -> Fields {
    let data_type = |name: &str| match name {
        "feature" | "type" => DataType::Utf8,
        "rows" | "nulls" | "nans" => DataType::Int64,
        "categories" => DataType::List(Field::new_list_field(DataType::Utf8, true).into()),
        "profile" => DataType::Binary,
        _ => DataType::Float64,
    };
    COLUMNS.iter().map(|name| Field::new(*name, data_type(name), true)).collect()
}

impl ScalarUDFImpl for Describe {
    fn name(&self) -> &'static str {
        "ml_data_description"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Field::new_list_field(DataType::Struct(fields()), true).into()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let [profiles, ColumnarValue::Scalar(spec)] = args.args.as_slice() else {
            return exec_err!("ml_data_description is called by ml_describe_data alone");
        };
        let spec = spec.try_as_str().flatten().and_then(|text| serde_json::from_str::<Vec<Described>>(text).ok());
        let spec = spec.ok_or_else(|| internal_datafusion_err!("ml_data_description has no specification"))?;
        let profiles = profiles.to_array(rows)?;
        let lists =
            profiles.as_list_opt::<i32>().ok_or_else(|| internal_datafusion_err!("the profiles are no list"))?;
        let mut described = Vec::new();
        for row in 0..rows {
            described.extend(read_row(&spec, &lists.value(row))?);
        }
        let items = build(&described)?;
        let lengths = OffsetBuffer::from_repeated_length(spec.len(), rows);
        let item = Field::new_list_field(items.data_type().clone(), true);
        Ok(ColumnarValue::Array(Arc::new(ListArray::try_new(item.into(), lengths, Arc::new(items), None)?)))
    }
}

/// The columns of one row with their profiles.
fn read_row<'a>(spec: &'a [Described], profiles: &ArrayRef) -> Result<Vec<(&'a Described, Option<Profile>)>> {
    let bytes = profiles.as_binary_opt::<i32>().ok_or_else(|| internal_datafusion_err!("a profile is no bytes"))?;
    let mut read = bytes.iter();
    spec.iter()
        .map(|column| {
            let bytes = if column.has_profile { read.next().flatten() } else { None };
            let profile = bytes.map(Profile::from_bytes).transpose();
            Ok((column, profile.map_err(|error| exec_datafusion_err!("{NAME}: {error}"))?))
        })
        .collect()
}

fn build(described: &[(&Described, Option<Profile>)]) -> Result<StructArray> {
    let profiles = || described.iter().map(|(_, profile)| profile.as_ref());
    let count = |get: &dyn Fn(&Profile) -> u64| -> ArrayRef {
        Arc::new(profiles().map(|profile| profile.map(|profile| get(profile) as i64)).collect::<Int64Array>())
    };
    let float = |get: &dyn Fn(&Profile) -> Option<f64>| -> ArrayRef {
        Arc::new(profiles().map(|profile| profile.and_then(get)).collect::<Float64Array>())
    };
    let quantile = |q: f64| float(&move |profile| profile.quantile(q).map(|bounds| bounds.value));
    let mut categories = ListBuilder::new(StringBuilder::new());
    for profile in profiles() {
        let all = profile.map(Profile::categories).unwrap_or_default();
        for category in all.iter().take(CATEGORIES) {
            categories.values().append_value(category.text);
        }
        categories.append(!all.is_empty());
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(described.iter().map(|(column, _)| Some(column.name.as_str())).collect::<StringArray>()),
        Arc::new(described.iter().map(|(column, _)| Some(column.data_type.as_str())).collect::<StringArray>()),
        count(&Profile::rows),
        count(&Profile::nulls),
        count(&Profile::nans),
        float(&|profile| Some(profile.distinct().estimate)),
        float(&|profile| profile.range().map(|(low, _)| low)),
        quantile(0.05),
        quantile(0.5),
        quantile(0.95),
        float(&|profile| profile.range().map(|(_, high)| high)),
        float(&|profile| profile.moments()?.values().avg()),
        float(&|profile| profile.moments()?.stddev()),
        Arc::new(categories.finish()),
        Arc::new(profiles().map(|profile| profile.map(Profile::to_bytes)).collect::<BinaryArray>()),
    ];
    Ok(StructArray::try_new(fields(), columns, None)?)
}
