//! One value of a column as text, the same for every text format: shortest decimals that read back to the same float,
//! ISO 8601 times, JSON for lists, structs and maps, hexadecimal for binary.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use anyhow::{Result, bail};
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Appends the value of a row, which is not NULL, to the buffer.
pub(super) type Encoder = Box<dyn Fn(usize, &mut Vec<u8>)>;

/// How strings and what JSON has no number for are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// As JSON values: strings quoted, NaN and infinities as strings.
    Json,
    /// As bare text; lists, structs and maps are still JSON.
    Text,
}

/// The encoder of one column, and which rows are NULL.
pub(super) struct Column {
    encoder: Encoder,
    nulls: Option<arrow::buffer::NullBuffer>,
}

impl Column {
    pub(super) fn new(array: &ArrayRef, style: Style) -> Result<Self> {
        Ok(Self { encoder: encoder(array, style)?, nulls: array.logical_nulls() })
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends the value; nothing for NULL.
    pub(super) fn text(&self, row: usize, out: &mut Vec<u8>) {
        if !self.is_null(row) {
            (self.encoder)(row, out);
        }
    }

    /// Appends the value as JSON; `null` for NULL.
    pub(super) fn json(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
        } else {
            (self.encoder)(row, out);
        }
    }
}

/// Appends a JSON string.
pub(super) fn json_string(value: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for character in value.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\u{0}'..='\u{1f}' | '\u{7f}' => {
                // Writing to a vector cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

fn encoder(array: &ArrayRef, style: Style) -> Result<Encoder> {
    Ok(match array.data_type() {
        DataType::Null => Box::new(|_, _| {}),
        DataType::Boolean => {
            let array = array.as_boolean().clone();
            Box::new(move |row, out| out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }))
        }
        DataType::Int8 => integer::<Int8Type>(array),
        DataType::Int16 => integer::<Int16Type>(array),
        DataType::Int32 => integer::<Int32Type>(array),
        DataType::Int64 => integer::<Int64Type>(array),
        DataType::UInt8 => integer::<UInt8Type>(array),
        DataType::UInt16 => integer::<UInt16Type>(array),
        DataType::UInt32 => integer::<UInt32Type>(array),
        DataType::UInt64 => integer::<UInt64Type>(array),
        DataType::Float16 => {
            let array: PrimitiveArray<Float16Type> = array.as_primitive().clone();
            Box::new(move |row, out| float32(array.value(row).to_f32(), style, out))
        }
        DataType::Float32 => {
            let array: PrimitiveArray<Float32Type> = array.as_primitive().clone();
            Box::new(move |row, out| float32(array.value(row), style, out))
        }
        DataType::Float64 => {
            let array: PrimitiveArray<Float64Type> = array.as_primitive().clone();
            Box::new(move |row, out| float64(array.value(row), style, out))
        }
        DataType::Decimal32(..) => decimal::<Decimal32Type>(array),
        DataType::Decimal64(..) => decimal::<Decimal64Type>(array),
        DataType::Decimal128(..) => decimal::<Decimal128Type>(array),
        DataType::Decimal256(..) => decimal::<Decimal256Type>(array),
        DataType::Utf8 => {
            let array = array.as_string::<i32>().clone();
            Box::new(move |row, out| string(array.value(row), style, out))
        }
        DataType::LargeUtf8 => {
            let array = array.as_string::<i64>().clone();
            Box::new(move |row, out| string(array.value(row), style, out))
        }
        DataType::Utf8View => {
            let array = array.as_string_view().clone();
            Box::new(move |row, out| string(array.value(row), style, out))
        }
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) | DataType::BinaryView => {
            let array = cast(array, &DataType::LargeBinary)?.as_binary::<i64>().clone();
            Box::new(move |row, out| {
                let hex = array.value(row).iter().fold(String::new(), |mut hex, byte| {
                    let _ = write!(hex, "{byte:02x}");
                    hex
                });
                string(&hex, style, out);
            })
        }
        DataType::Dictionary(_, value) => encoder(&cast(array, value)?, style)?,
        DataType::RunEndEncoded(_, value) => encoder(&cast(array, value.data_type())?, style)?,
        DataType::List(_) => {
            let array = array.as_list::<i32>().clone();
            let values = Column::new(array.values(), Style::Json)?;
            Box::new(move |row, out| {
                let start = array.value_offsets().get(row).copied().unwrap_or_default() as usize;
                list(&values, start, array.value_length(row) as usize, out);
            })
        }
        DataType::LargeList(_) => {
            let array = array.as_list::<i64>().clone();
            let values = Column::new(array.values(), Style::Json)?;
            Box::new(move |row, out| {
                let start = array.value_offsets().get(row).copied().unwrap_or_default() as usize;
                list(&values, start, array.value_length(row) as usize, out);
            })
        }
        DataType::FixedSizeList(_, length) => {
            let length = *length as usize;
            let values = Column::new(array.as_fixed_size_list().values(), Style::Json)?;
            Box::new(move |row, out| list(&values, row * length, length, out))
        }
        DataType::ListView(item) => encoder(&cast(array, &DataType::List(Arc::clone(item)))?, style)?,
        DataType::LargeListView(item) => encoder(&cast(array, &DataType::LargeList(Arc::clone(item)))?, style)?,
        DataType::Struct(fields) => {
            let array = array.as_struct();
            let fields = fields
                .iter()
                .zip(array.columns())
                .map(|(field, column)| Ok((key(field.name()), Column::new(column, Style::Json)?)))
                .collect::<Result<Vec<_>>>()?;
            Box::new(move |row, out| object(fields.iter(), row, out))
        }
        DataType::Map(..) => {
            let array = array.as_map().clone();
            let keys = Column::new(array.keys(), Style::Text)?;
            let values = Column::new(array.values(), Style::Json)?;
            Box::new(move |row, out| {
                out.push(b'{');
                let start = array.value_offsets().get(row).copied().unwrap_or_default() as usize;
                for entry in start..start + array.value_length(row) as usize {
                    if entry > start {
                        out.push(b',');
                    }
                    let mut name = Vec::new();
                    keys.text(entry, &mut name);
                    json_string(&String::from_utf8_lossy(&name), out);
                    out.push(b':');
                    values.json(entry, out);
                }
                out.push(b'}');
            })
        }
        _ => {
            let options = FormatOptions::default();
            // Asking once for a formatter tells an unprintable type before any row is written.
            ArrayFormatter::try_new(array.as_ref(), &options)?;
            let array = Arc::clone(array);
            if array.is_empty() {
                return Ok(Box::new(|_, _| {}));
            }
            let texts = {
                let formatter = ArrayFormatter::try_new(array.as_ref(), &options)?;
                (0..array.len())
                    .map(|row| match formatter.value(row).try_to_string() {
                        Ok(text) => Ok(text),
                        Err(error) => bail!("cannot print a value of type {}: {error}", array.data_type()),
                    })
                    .collect::<Result<Vec<_>>>()?
            };
            Box::new(move |row, out| string(texts.get(row).map_or("", String::as_str), style, out))
        }
    })
}

fn integer<T: ArrowPrimitiveType<Native: std::fmt::Display>>(array: &ArrayRef) -> Encoder {
    let array: PrimitiveArray<T> = array.as_primitive().clone();
    Box::new(move |row, out| {
        let _ = write!(out, "{}", array.value(row));
    })
}

fn decimal<T: arrow::datatypes::DecimalType + ArrowPrimitiveType>(array: &ArrayRef) -> Encoder {
    let array: PrimitiveArray<T> = array.as_primitive().clone();
    Box::new(move |row, out| out.extend_from_slice(array.value_as_string(row).as_bytes()))
}

fn float64(value: f64, style: Style, out: &mut Vec<u8>) {
    if let Some(name) = not_a_number(value) {
        return string(name, style, out);
    }
    let _ = serde_json::to_writer(out, &value);
}

fn float32(value: f32, style: Style, out: &mut Vec<u8>) {
    if let Some(name) = not_a_number(f64::from(value)) {
        return string(name, style, out);
    }
    let _ = serde_json::to_writer(out, &value);
}

fn not_a_number(value: f64) -> Option<&'static str> {
    match value {
        _ if value.is_nan() => Some("NaN"),
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        _ => None,
    }
}

fn string(value: &str, style: Style, out: &mut Vec<u8>) {
    match style {
        Style::Json => json_string(value, out),
        Style::Text => out.extend_from_slice(value.as_bytes()),
    }
}

fn list(values: &Column, start: usize, length: usize, out: &mut Vec<u8>) {
    out.push(b'[');
    for item in start..start + length {
        if item > start {
            out.push(b',');
        }
        values.json(item, out);
    }
    out.push(b']');
}

/// The key of an object as it is written: quoted, with its colon.
pub(super) fn key(name: &str) -> Vec<u8> {
    let mut key = Vec::new();
    json_string(name, &mut key);
    key.push(b':');
    key
}

/// Appends one row of columns as an object.
pub(super) fn object<'a>(fields: impl Iterator<Item = &'a (Vec<u8>, Column)>, row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (key, column)) in fields.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(key);
        column.json(row, out);
    }
    out.push(b'}');
}
