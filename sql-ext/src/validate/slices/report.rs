//! The function that tests all slices and gives the rows of `ml_find_slices`.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, ListBuilder, StringArray,
    StringBuilder, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, exec_datafusion_err, internal_datafusion_err, internal_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use skewless_catalog::validate::slices::{Division, Losses, Slice, find};

use super::cells::{Spec, divisions};
use super::plan::NAME;

/// The columns of the result.
pub(super) const COLUMNS: [&str; 14] = [
    "slice",
    "columns",
    "n",
    "mean_loss",
    "mean_rest",
    "difference",
    "low",
    "high",
    "effect_size",
    "p_value",
    "p_adjusted",
    "is_worse",
    "explained_by",
    "note",
];

/// `ml_slice_report(losses, cells, specification)`.
pub(super) fn function() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::from(Report { signature: Signature::any(3, Volatility::Immutable) })));
    Arc::clone(&FUNCTION)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Report {
    signature: Signature,
}

fn fields() -> Fields {
    let data_type = |name: &str| match name {
        "slice" | "explained_by" | "note" => DataType::Utf8,
        "columns" => DataType::List(Field::new_list_field(DataType::Utf8, true).into()),
        "n" => DataType::Int64,
        "is_worse" => DataType::Boolean,
        _ => DataType::Float64,
    };
    COLUMNS.iter().map(|name| Field::new(*name, data_type(name), true)).collect()
}

impl ScalarUDFImpl for Report {
    fn name(&self) -> &'static str {
        "ml_slice_report"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Field::new_list_field(DataType::Struct(fields()), true).into()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [losses, cells, spec] = args.args.as_slice() else { return internal_err!("{NAME} calls ml_slice_report") };
        let (losses, spec) = (losses.to_array(args.number_rows)?, Spec::of(spec)?);
        let bytes = losses.as_binary_opt::<i64>().ok_or_else(|| internal_datafusion_err!("losses are no bytes"))?;
        let mut found = Vec::new();
        let mut lengths = Vec::with_capacity(bytes.len());
        for bytes in bytes {
            let losses = Losses::from_bytes(bytes.unwrap_or_default());
            let losses = losses.map_err(|error| exec_datafusion_err!("{NAME}: {error}"))?;
            let mut columns = divisions(cells)?;
            columns.extend(spec.others.iter().map(|(name, problem)| Division::unsearched(name, problem)));
            let slices = find(&losses, &columns, &spec.options);
            lengths.push(slices.len());
            found.extend(slices);
        }
        let items = build(&found)?;
        let item = Field::new_list_field(items.data_type().clone(), true);
        let list = ListArray::try_new(item.into(), OffsetBuffer::from_lengths(lengths), Arc::new(items), None)?;
        Ok(ColumnarValue::Array(Arc::new(list)))
    }
}

fn build(found: &[Slice]) -> Result<StructArray> {
    let text =
        |get: &dyn Fn(&Slice) -> Option<&str>| -> ArrayRef { Arc::new(found.iter().map(get).collect::<StringArray>()) };
    let float =
        |get: &dyn Fn(&Slice) -> Option<f64>| -> ArrayRef { Arc::new(found.iter().map(get).collect::<Float64Array>()) };
    let mut columns = ListBuilder::new(StringBuilder::new());
    for slice in found {
        slice.columns.iter().for_each(|name| columns.values().append_value(name));
        columns.append(true);
    }
    let values: Vec<ArrayRef> = vec![
        text(&|slice| Some(&slice.condition)),
        Arc::new(columns.finish()),
        Arc::new(found.iter().map(|slice| Some(slice.n as i64)).collect::<Int64Array>()),
        float(&|slice| slice.mean_loss),
        float(&|slice| slice.mean_rest),
        float(&|slice| slice.difference),
        float(&|slice| slice.interval.map(|interval| interval.0)),
        float(&|slice| slice.interval.map(|interval| interval.1)),
        float(&|slice| slice.effect_size),
        float(&|slice| slice.p_value),
        float(&|slice| slice.p_adjusted),
        Arc::new(found.iter().map(|slice| slice.is_worse).collect::<BooleanArray>()),
        text(&|slice| slice.explained_by.as_deref()),
        text(&|slice| slice.note.as_deref()),
    ];
    Ok(StructArray::try_new(fields(), values, None)?)
}
