//! Entity keys: one canonical form for look-ups and for the online store's key texts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion_common::Result;

/// The type in which keys of this type are compared, or `None` for one that cannot be a key.
fn canonical(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::UInt64 => DataType::UInt64,
        t if t.is_integer() => DataType::Int64,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Boolean => DataType::Boolean,
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Timestamp(..)
        | DataType::Binary
        | DataType::FixedSizeBinary(_)
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..) => data_type.clone(),
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) => return canonical(value),
        DataType::RunEndEncoded(_, value) => return canonical(value.data_type()),
        _ => return None,
    })
}

#[derive(PartialEq, Eq)]
enum Family {
    Integer,
    String,
    Float,
    Other(DataType),
}

fn family(data_type: &DataType) -> Option<Family> {
    Some(match canonical(data_type)? {
        DataType::Int64 | DataType::UInt64 => Family::Integer,
        DataType::Utf8 => Family::String,
        DataType::Float64 => Family::Float,
        DataType::Timestamp(..) => Family::Other(DataType::Date64),
        DataType::Decimal32(_, s) | DataType::Decimal64(_, s) | DataType::Decimal128(_, s) => {
            Family::Other(DataType::Decimal128(38, s))
        }
        other => Family::Other(other),
    })
}

/// Whether keys of these types can be compared: integers with integers, strings with strings, and so on.
pub fn compatible(a: &DataType, b: &DataType) -> bool {
    family(a).zip(family(b)).is_some_and(|(a, b)| a == b)
}

/// Keys in the form in which keys of type `like` are compared. A value that `like` cannot hold becomes NULL, for it
/// equals none of its keys.
pub fn conform(keys: &ArrayRef, like: &DataType) -> Result<ArrayRef> {
    let to = canonical(like).unwrap_or_else(|| like.clone());
    let keys = if keys.data_type() == &to { Arc::clone(keys) } else { cast(keys, &to)? };
    if to == DataType::Float64 {
        // -0.0 equals 0.0, and NaN equals NaN.
        let plain: Float64Array = keys.as_primitive::<Float64Type>().unary(|v| {
            if v == 0.0 {
                0.0
            } else if v.is_nan() {
                f64::NAN
            } else {
                v
            }
        });
        return Ok(Arc::new(plain));
    }
    Ok(keys)
}

/// The key of one row as text: a JSON array of its parts, e.g. `["N123",7]`; `None` if any part is NULL.
///
/// Integers and booleans are written as such, everything else as a string. Keys that compare equal have one text.
pub fn entity_key(keys: &[ArrayRef], row: usize) -> Option<String> {
    let mut parts = Vec::with_capacity(keys.len());
    for key in keys {
        if row >= key.len() || key.is_null(row) {
            return None;
        }
        let one = conform(&key.slice(row, 1), key.data_type()).ok()?;
        if one.is_null(0) {
            return None;
        }
        let options = FormatOptions::default();
        let text = ArrayFormatter::try_new(one.as_ref(), &options).ok()?.value(0).try_to_string().ok()?;
        parts.push(match one.data_type() {
            DataType::Int64 | DataType::UInt64 | DataType::Boolean => text,
            DataType::Float64 if one.as_primitive::<Float64Type>().value(0).is_finite() => text,
            _ => serde_json::Value::String(text).to_string(),
        });
    }
    Some(format!("[{}]", parts.join(",")))
}
