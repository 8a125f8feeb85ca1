//! Arrow arrays as the catalog's columns and back.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, Int64Array, ListArray, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Field, Fields, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use datafusion_common::{DataFusionError, Result, exec_datafusion_err, exec_err, internal_err};
use skewless_catalog::{Column, Type, Values};

use super::types::arrow_type;

/// An array as the type that the catalog reads; an overflow is an error, not NULL.
pub(super) fn prepare(array: &ArrayRef, reading: Type) -> Result<ArrayRef> {
    if reading == Type::Timestamp {
        return microseconds(array);
    }
    let target = arrow_type(reading);
    // Texts are read where they lie, in either form.
    if array.data_type() == &target || (reading == Type::Text && *array.data_type() == DataType::Utf8View) {
        return Ok(Arc::clone(array));
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(array, &target, &strict)?)
}

/// Instants in microseconds. A time zone says how to show an instant, not which one it is, so it is left aside; arrow's
/// cast would turn the instant into the zone's local time.
fn microseconds(array: &ArrayRef) -> Result<ArrayRef> {
    let scaled = |value: i64, factor: i64| {
        let name = "a timestamp beyond the year 294247 has no microseconds in 64 bits";
        value.checked_mul(factor).ok_or_else(|| arrow::error::ArrowError::ComputeError(name.to_owned()))
    };
    let micros: TimestampMicrosecondArray = match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            array.as_primitive::<TimestampSecondType>().try_unary(|value| scaled(value, 1_000_000))?
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            array.as_primitive::<TimestampMillisecondType>().try_unary(|value| scaled(value, 1_000))?
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            array.as_primitive::<TimestampMicrosecondType>().clone().with_timezone_opt(None::<Arc<str>>)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            array.as_primitive::<TimestampNanosecondType>().unary(|value| value.div_euclid(1_000))
        }
        _ => {
            let strict = CastOptions { safe: false, ..CastOptions::default() };
            return Ok(cast_with_options(array, &arrow_type(Type::Timestamp), &strict)?);
        }
    };
    Ok(Arc::new(micros))
}

/// A prepared array as a column, without copying numbers.
pub(super) fn to_column<'a>(array: &'a ArrayRef, reading: Type, argument: &str) -> Result<Column<'a>> {
    let values = match reading {
        Type::Float64 => Values::Float64(Cow::Borrowed(array.as_primitive::<Float64Type>().values())),
        Type::Int64 => Values::Int64(Cow::Borrowed(array.as_primitive::<Int64Type>().values())),
        Type::Timestamp => Values::Timestamp(Cow::Borrowed(array.as_primitive::<TimestampMicrosecondType>().values())),
        Type::Boolean => Values::Boolean(Cow::Owned(array.as_boolean().values().iter().collect())),
        Type::Text => Values::Text(if let Some(texts) = array.as_string_view_opt() {
            (0..texts.len()).map(|row| Cow::Borrowed(texts.value(row))).collect()
        } else {
            let texts = array.as_string::<i32>();
            (0..texts.len()).map(|row| Cow::Borrowed(texts.value(row))).collect()
        }),
        Type::Bytes => {
            let bytes = array.as_binary::<i32>();
            Values::Bytes((0..bytes.len()).map(|row| Cow::Borrowed(bytes.value(row))).collect())
        }
        Type::Float64List => {
            let lists = array.as_list::<i32>();
            let items = lists.values().as_primitive::<Float64Type>();
            let rows = spans(lists, argument)?;
            Values::Float64List(
                rows.map(|(from, to)| Cow::Borrowed(items.values().get(from..to).unwrap_or(&[]))).collect(),
            )
        }
        Type::TextList => {
            let lists = array.as_list::<i32>();
            let items = lists.values().as_string::<i32>();
            let rows = spans(lists, argument)?;
            Values::TextList(
                rows.map(|(from, to)| (from..to).map(|i| Cow::Borrowed(items.value(i))).collect()).collect(),
            )
        }
        Type::Float64OrText | Type::Int64OrText | Type::Record(_) => {
            return internal_err!("{reading} is not read as a column");
        }
    };
    let valid = array.nulls().map(|nulls| Cow::Owned(nulls.iter().collect::<Vec<bool>>()));
    Ok(Column { values, valid })
}

/// Where in the items each list lies, once none of the lists that are there holds NULL.
fn spans<'a>(lists: &'a ListArray, argument: &str) -> Result<impl Iterator<Item = (usize, usize)> + use<'a>> {
    let span = move |row: usize| -> (usize, usize) {
        let offsets = lists.value_offsets();
        let at = |i: usize| offsets.get(i).copied().unwrap_or(0) as usize;
        if lists.is_valid(row) { (at(row), at(row + 1)) } else { (0, 0) }
    };
    if let Some(nulls) = lists.values().nulls() {
        for row in 0..lists.len() {
            let (from, to) = span(row);
            if (from..to).any(|i| nulls.is_null(i)) {
                return exec_err!("argument `{argument}` holds NULL; leave NULL out of the list");
            }
        }
    }
    Ok((0..lists.len()).map(span))
}

/// A column of results as an array.
pub(super) fn to_array(column: Column<'static>) -> Result<ArrayRef> {
    let nulls = column.valid.map(|valid| NullBuffer::from(valid.into_owned()));
    // Offsets are 32 bits wide; arrow would panic where a batch holds more.
    let bounded = |total: usize| {
        if i32::try_from(total).is_ok() {
            return Ok(());
        }
        exec_err!("{total} bytes or items in one batch are too many; use a smaller batch or more groups")
    };
    let offsets_of = |lengths: Vec<usize>| {
        bounded(lengths.iter().sum())?;
        Ok::<_, DataFusionError>(OffsetBuffer::<i32>::from_lengths(lengths))
    };
    Ok(match column.values {
        Values::Float64(values) => Arc::new(Float64Array::new(values.into_owned().into(), nulls)),
        Values::Int64(values) => Arc::new(Int64Array::new(values.into_owned().into(), nulls)),
        Values::Timestamp(values) => Arc::new(TimestampMicrosecondArray::new(values.into_owned().into(), nulls)),
        Values::Boolean(values) => Arc::new(BooleanArray::new(values.into_owned().into(), nulls)),
        Values::Text(values) => {
            bounded(values.iter().map(|text| text.len()).sum())?;
            let texts = StringArray::from_iter_values(values);
            let (offsets, bytes, _) = texts.into_parts();
            Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
        }
        Values::Bytes(values) => {
            bounded(values.iter().map(|bytes| bytes.len()).sum())?;
            let (offsets, bytes, _) = BinaryArray::from_iter_values(values).into_parts();
            Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)
        }
        Values::Float64List(lists) => {
            let offsets = offsets_of(lists.iter().map(|list| list.len()).collect())?;
            let items = Float64Array::from_iter_values(lists.iter().flat_map(|list| list.iter().copied()));
            Arc::new(ListArray::try_new(
                Field::new_list_field(DataType::Float64, true).into(),
                offsets,
                Arc::new(items),
                nulls,
            )?)
        }
        Values::TextList(lists) => {
            let offsets = offsets_of(lists.iter().map(Vec::len).collect())?;
            bounded(lists.iter().flatten().map(|text| text.len()).sum())?;
            let items = StringArray::from_iter_values(lists.iter().flatten().collect::<Vec<_>>());
            Arc::new(ListArray::try_new(
                Field::new_list_field(DataType::Utf8, true).into(),
                offsets,
                Arc::new(items),
                nulls,
            )?)
        }
        Values::Record(fields) => {
            let mut described = Vec::with_capacity(fields.len());
            let mut arrays = Vec::with_capacity(fields.len());
            for (name, column) in fields {
                let array = to_array(column)?;
                described.push(Field::new(name, array.data_type().clone(), true));
                arrays.push(array);
            }
            Arc::new(StructArray::try_new(Fields::from(described), arrays, nulls)?)
        }
    })
}

/// The only list of a state array's row.
pub(super) fn list_row(states: &ArrayRef, row: usize) -> Result<Option<ArrayRef>> {
    let lists = states
        .as_list_opt::<i32>()
        .ok_or_else(|| exec_datafusion_err!("the state of an aggregate is {}, not a list", states.data_type()))?;
    Ok(lists.is_valid(row).then(|| lists.value(row)))
}
