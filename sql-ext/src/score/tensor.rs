//! Columns of a batch to what models take, and what they give back to columns. What NULL means and how numbers convert
//! is `Signature::bind`'s to say, so that SQL and HTTP agree.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, PrimitiveArray,
    StringArray, new_empty_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use arrow::error::ArrowError;
use skewless_model::{DataType as ModelType, InputColumn, OutputSpec, Tensor, Width};

/// What a type is called in SQL.
pub(super) fn type_name(data_type: ModelType, width: Width) -> String {
    let name = match data_type {
        ModelType::Float32 => "FLOAT",
        ModelType::Float64 => "DOUBLE",
        ModelType::Int32 => "INT",
        ModelType::Int64 => "BIGINT",
        ModelType::Bool => "BOOLEAN",
        ModelType::String => "VARCHAR",
    };
    match width {
        Width::Scalar => name.to_owned(),
        Width::Vector(width) => format!("{name}[{width}]"),
    }
}

/// Whether an input takes columns of a type: numbers and truth values take each other, text takes text. A number that is
/// not whole is refused by an integer input when it is met.
pub(super) fn accepts(input: ModelType, given: &DataType) -> bool {
    match given {
        DataType::Null => true,
        DataType::Dictionary(_, value) => accepts(input, value),
        DataType::RunEndEncoded(_, value) => accepts(input, value.data_type()),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => input == ModelType::String,
        DataType::Boolean => input != ModelType::String,
        given => given.is_numeric() && !matches!(input, ModelType::String | ModelType::Bool),
    }
}

/// A column as models take it. NULL without a type becomes NULL of the input's type.
pub(super) fn input(array: &ArrayRef, wanted: ModelType) -> Result<InputColumn, ArrowError> {
    let checked = CastOptions { safe: false, ..CastOptions::default() };
    Ok(match array.data_type() {
        DataType::Dictionary(_, value) => return input(&cast(array, value)?, wanted),
        DataType::RunEndEncoded(_, value) => return input(&cast(array, value.data_type())?, wanted),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let array = cast(array, &DataType::Utf8)?;
            InputColumn::String(array.as_string::<i32>().iter().map(|value| value.map(str::to_owned)).collect())
        }
        DataType::Boolean => InputColumn::Bool(array.as_boolean().iter().collect()),
        DataType::Null => match wanted {
            ModelType::String => InputColumn::String(vec![None; array.len()]),
            ModelType::Bool => InputColumn::Bool(vec![None; array.len()]),
            _ => InputColumn::Float64(vec![None; array.len()]),
        },
        given if given.is_integer() => {
            let array = cast_with_options(array, &DataType::Int64, &checked)?;
            InputColumn::Int64(array.as_primitive::<Int64Type>().iter().collect())
        }
        _ => {
            let array = cast_with_options(array, &DataType::Float64, &checked)?;
            InputColumn::Float64(array.as_primitive::<Float64Type>().iter().collect())
        }
    })
}

/// Whether a column holds lists.
pub(super) fn is_list(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..))
}

/// Lists of `width` values as so many columns. A NULL list is a row of NULLs.
pub(super) fn spread(array: &ArrayRef, width: usize) -> Result<Vec<ArrayRef>, String> {
    let item = match array.data_type() {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => Arc::clone(item),
        other => return Err(format!("a list of {width} numbers was expected, not {other}")),
    };
    let lists = cast(array, &DataType::LargeList(Arc::clone(&item))).map_err(|error| error.to_string())?;
    let lists = lists.as_list::<i64>();
    let mut starts = Vec::with_capacity(lists.len());
    for (row, bounds) in lists.value_offsets().windows(2).enumerate() {
        let [start, end] = bounds else { continue };
        if lists.is_null(row) {
            starts.push(None);
        } else if (end - start) as usize == width {
            starts.push(Some(*start as u64));
        } else {
            return Err(format!("row {row} is a list of {} values; the input takes {width}", end - start));
        }
    }
    (0..width as u64)
        .map(|place| {
            let places: arrow::array::UInt64Array =
                starts.iter().map(|start| start.map(|start| start + place)).collect();
            arrow::compute::take(lists.values(), &places, None).map_err(|error| error.to_string())
        })
        .collect()
}

/// The type of a column of an output's values.
pub(super) fn arrow_type(output: &OutputSpec) -> DataType {
    let element = match output.data_type {
        ModelType::Float32 | ModelType::Float64 => DataType::Float64,
        ModelType::Int32 | ModelType::Int64 => DataType::Int64,
        ModelType::Bool => DataType::Boolean,
        ModelType::String => DataType::Utf8,
    };
    match output.width {
        Width::Scalar => element,
        Width::Vector(_) => DataType::List(Arc::new(Field::new_list_field(element, true))),
    }
}

/// The type of a column of probabilities.
pub(super) fn probabilities_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)))
}

/// The column of an output's values; the reason where the model did not give what its signature promises.
pub(super) fn output(spec: &OutputSpec, tensor: &Tensor, rows: usize) -> Result<ArrayRef, String> {
    let values = values(tensor);
    match arrow_type(spec) {
        DataType::List(item) => lists(&values, item.data_type(), rows, Some(spec.width.scalars())),
        element if values.len() == rows => cast_values(&values, &element),
        _ => Err(format!("{} values for {rows} rows", values.len())),
    }
}

/// A list of probabilities a row.
pub(super) fn probabilities(tensor: &Tensor, rows: usize) -> Result<ArrayRef, String> {
    lists(&values(tensor), &DataType::Float64, rows, None)
}

fn lists(values: &ArrayRef, element: &DataType, rows: usize, width: Option<usize>) -> Result<ArrayRef, String> {
    let width = width.unwrap_or_else(|| values.len().checked_div(rows).unwrap_or_default());
    if width.checked_mul(rows) != Some(values.len()) {
        return Err(format!("{} values for {rows} rows of {width}", values.len()));
    }
    let values = cast_values(values, element)?;
    let item = Arc::new(Field::new_list_field(element.clone(), true));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(width, rows));
    let lists = ListArray::try_new(item, offsets, values, None).map_err(|error| error.to_string())?;
    Ok(Arc::new(lists))
}

fn cast_values(values: &ArrayRef, element: &DataType) -> Result<ArrayRef, String> {
    if values.is_empty() {
        return Ok(new_empty_array(element));
    }
    cast(values, element).map_err(|error| error.to_string())
}

/// A tensor's values in row-major order, floats and integers in 64 bits.
fn values(tensor: &Tensor) -> ArrayRef {
    fn wide<T: ArrowPrimitiveType, V: Copy + Into<T::Native>>(data: &[V]) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::from_iter_values(data.iter().map(|value| (*value).into())))
    }
    match tensor {
        Tensor::Float32(array) => wide::<Float64Type, _>(array.data()),
        Tensor::Float64(array) => Arc::new(Float64Array::from(array.data().to_vec())),
        Tensor::Int32(array) => wide::<Int64Type, _>(array.data()),
        Tensor::Int64(array) => Arc::new(Int64Array::from(array.data().to_vec())),
        Tensor::Bool(array) => Arc::new(BooleanArray::from(array.data().to_vec())),
        Tensor::String(array) => Arc::new(StringArray::from_iter_values(array.data())),
    }
}
