//! JSON values to arrow columns and back.
//!
//! Floats that JSON has no number for are strings, times are RFC 3339 in UTC, decimals and binary values are strings.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, UInt64Array, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;

use crate::problem::{Problem, Result};
use crate::store::{plain, shown};

/// A column of a request, in the widest type of the kind that `data_type` is; the views narrow it. `what` names it in
/// messages.
pub(crate) fn column(what: &str, values: &[Value], data_type: &DataType) -> Result<ArrayRef> {
    if values.iter().all(Value::is_null) {
        return Ok(new_null_array(data_type, values.len()));
    }
    let wrong = |row: usize, value: &Value, wanted: &str| {
        let text = shown(&value.to_string());
        Problem::bad(format!("{what} is {wanted}, and row {row} gives {text}"))
    };
    match data_type {
        t if t.is_integer() => integers(values, &wrong),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let read = |(row, value): (usize, &Value)| match value {
                Value::Null => Ok(None),
                Value::Number(number) => Ok(number.as_f64()),
                Value::String(text) => float(text)
                    .map(Some)
                    .ok_or_else(|| wrong(row, value, r#"a number, or the string "NaN", "Infinity" or "-Infinity""#)),
                _ => Err(wrong(row, value, r#"a number, or the string "NaN", "Infinity" or "-Infinity""#)),
            };
            Ok(Arc::new(values.iter().enumerate().map(read).collect::<Result<Float64Array>>()?))
        }
        DataType::Boolean => {
            let read = |(row, value): (usize, &Value)| match value {
                Value::Null => Ok(None),
                Value::Bool(truth) => Ok(Some(*truth)),
                _ => Err(wrong(row, value, "true or false")),
            };
            Ok(Arc::new(values.iter().enumerate().map(read).collect::<Result<BooleanArray>>()?))
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => texts(values, &wrong, "a string"),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            let text = texts(values, &wrong, "a time as a string, such as \"2023-01-31T12:00:00Z\"")?;
            strict(what, &text, data_type)
        }
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            let read = |(row, value): (usize, &Value)| match value {
                Value::Null => Ok(None),
                Value::Number(number) => Ok(Some(number.to_string())),
                Value::String(text) => Ok(Some(text.clone())),
                _ => Err(wrong(row, value, "a decimal number")),
            };
            let text: ArrayRef = Arc::new(values.iter().enumerate().map(read).collect::<Result<StringArray>>()?);
            strict(what, &text, data_type)
        }
        other => Err(Problem::bad(format!("{what} is of type {other}, which cannot be sent as JSON"))),
    }
}

fn integers(values: &[Value], wrong: &impl Fn(usize, &Value, &str) -> Problem) -> Result<ArrayRef> {
    let mut wide = Vec::with_capacity(values.len());
    for (row, value) in values.iter().enumerate() {
        wide.push(match value {
            Value::Null => None,
            Value::Number(number) => {
                let integer = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
                // Python clients turn integers with missing values into floats.
                let whole = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= 9e15);
                let integer = integer.or_else(|| whole.map(|float| float as i128));
                Some(integer.ok_or_else(|| wrong(row, value, "an integer"))?)
            }
            _ => return Err(wrong(row, value, "an integer")),
        });
    }
    if wide.iter().flatten().all(|value| i64::try_from(*value).is_ok()) {
        return Ok(Arc::new(wide.iter().map(|value| value.map(|v| v as i64)).collect::<Int64Array>()));
    }
    if let Some(row) = wide.iter().position(|value| value.is_some_and(|value| value < 0)) {
        return Err(wrong(row, values.get(row).unwrap_or(&Value::Null), "an integer from 0 on beside larger ones"));
    }
    Ok(Arc::new(wide.iter().map(|value| value.map(|v| v as u64)).collect::<UInt64Array>()))
}

fn texts(values: &[Value], wrong: &impl Fn(usize, &Value, &str) -> Problem, wanted: &str) -> Result<ArrayRef> {
    let read = |(row, value): (usize, &Value)| match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(wrong(row, value, wanted)),
    };
    Ok(Arc::new(values.iter().enumerate().map(read).collect::<Result<StringArray>>()?))
}

fn strict(what: &str, array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })
        .map_err(|error| Problem::bad(format!("{what}: {}", plain(&error))))
}

fn float(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// As-of times: RFC 3339 in microseconds, or nanoseconds where one has them.
pub(crate) fn times(values: &[Value]) -> Result<ArrayRef> {
    let mut instants = Vec::with_capacity(values.len());
    for (row, value) in values.iter().enumerate() {
        instants.push(match value {
            Value::Null => None,
            Value::String(text) => Some(DateTime::parse_from_rfc3339(text).map_err(|error| {
                Problem::bad(format!(
                    "as_of is a time such as \"2023-01-31T12:00:00Z\", and row {row} gives `{}`: {error}",
                    shown(text)
                ))
            })?),
            other => {
                let text = shown(&other.to_string());
                return Err(Problem::bad(format!(
                    "as_of is a time such as \"2023-01-31T12:00:00Z\", and row {row} gives {text}"
                )));
            }
        });
    }
    let fine = instants.iter().flatten().any(|instant| instant.timestamp_subsec_nanos() % 1_000 != 0);
    if !fine {
        let micros = instants.iter().map(|instant| instant.map(|instant| instant.timestamp_micros()));
        return Ok(Arc::new(micros.collect::<TimestampMicrosecondArray>()));
    }
    let nanos = instants.iter().map(|instant| {
        instant.map_or(Ok(None), |instant| {
            instant.timestamp_nanos_opt().map(Some).ok_or_else(|| {
                Problem::bad(format!("as_of {instant} has nanoseconds, which are only kept from 1677 to 2262"))
            })
        })
    });
    Ok(Arc::new(nanos.collect::<Result<TimestampNanosecondArray>>()?))
}

/// The values of a column as JSON.
pub(crate) fn values(array: &ArrayRef) -> Result<Vec<Value>> {
    (0..array.len()).map(|row| value(array, row)).collect()
}

fn value(array: &ArrayRef, row: usize) -> Result<Value> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Float64 => number(array.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => number(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float16 => number(f64::from(array.as_primitive::<Float16Type>().value(row))),
        DataType::List(_) => list(&array.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(row))?,
        DataType::FixedSizeList(..) => list(&array.as_fixed_size_list().value(row))?,
        DataType::Struct(fields) => {
            let structs = array.as_struct();
            let members = fields.iter().zip(structs.columns());
            Value::Object(
                members
                    .map(|(field, column)| Ok((field.name().clone(), value(column, row)?)))
                    .collect::<Result<serde_json::Map<_, _>>>()?,
            )
        }
        t if t.is_integer() => {
            let text = text(array, row)?;
            serde_json::from_str(&text).map_err(|error| Problem::broken(error.to_string()))?
        }
        DataType::Timestamp(..) | DataType::Date64 => instant(array, row)?.into(),
        _ => text(array, row)?.into(),
    })
}

fn list(items: &ArrayRef) -> Result<Value> {
    Ok(Value::Array(values(items)?))
}

fn number(value: f64) -> Value {
    if value.is_nan() {
        return "NaN".into();
    }
    serde_json::Number::from_f64(value)
        .map_or_else(|| if value > 0.0 { "Infinity".into() } else { "-Infinity".into() }, Value::Number)
}

fn text(array: &ArrayRef, row: usize) -> Result<String> {
    let options = FormatOptions::default();
    ArrayFormatter::try_new(array.as_ref(), &options)
        .and_then(|formatter| formatter.value(row).try_to_string())
        .map_err(|error| Problem::broken(plain(&error)))
}

/// A time in RFC 3339, in UTC, with as many digits of a second as it needs.
pub(crate) fn instant(array: &ArrayRef, row: usize) -> Result<String> {
    let one = array.slice(row, 1);
    let (unit, scale) = match array.data_type() {
        DataType::Timestamp(unit, _) => (*unit, 0),
        // A day has no fraction of a second to keep.
        _ => (TimeUnit::Microsecond, 1),
    };
    let one = if scale == 1 { strict("time", &one, &DataType::Timestamp(unit, None))? } else { one };
    let ticks = strict("time", &one, &DataType::Int64)?;
    let ticks = ticks.as_primitive::<arrow::datatypes::Int64Type>().value(0);
    let instant: Option<DateTime<Utc>> = match unit {
        TimeUnit::Second => DateTime::from_timestamp(ticks, 0),
        TimeUnit::Millisecond => DateTime::from_timestamp_millis(ticks),
        TimeUnit::Microsecond => DateTime::from_timestamp_micros(ticks),
        TimeUnit::Nanosecond => Some(DateTime::from_timestamp_nanos(ticks)),
    };
    match instant {
        Some(instant) => Ok(instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        None => text(array, row),
    }
}
