//! Single values: the form in which examples, requests and pages hold arguments and results.

use std::fmt::{self, Display};

use crate::time;

/// One value, or NULL. It is shown as SQL writes it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// A float.
    Float64(f64),
    /// An integer.
    Int64(i64),
    /// True or false.
    Boolean(bool),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    /// A list of floats.
    Float64List(Vec<f64>),
    /// A list of texts.
    TextList(Vec<String>),
    /// A struct.
    Record(Vec<(&'static str, Value)>),
}

impl Value {
    /// An instant from its text in UTC, such as `2013-07-04T09:30:00`; NULL where it is none.
    #[must_use]
    pub fn timestamp(text: &str) -> Self {
        time::parse(text).map_or(Self::Null, Self::Timestamp)
    }

    pub(super) fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float64(value) => Some(*value),
            Self::Int64(value) => Some(*value as f64),
            _ => None,
        }
    }

    pub(super) fn as_int(&self) -> Option<i64> {
        if let Self::Int64(value) = self { Some(*value) } else { None }
    }

    pub(super) fn as_boolean(&self) -> Option<bool> {
        if let Self::Boolean(value) = self { Some(*value) } else { None }
    }

    pub(super) fn as_timestamp(&self) -> Option<i64> {
        if let Self::Timestamp(value) = self { Some(*value) } else { None }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        if let Self::Text(value) = self { Some(value) } else { None }
    }

    pub(super) fn as_bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(value) = self { Some(value) } else { None }
    }

    pub(super) fn as_floats(&self) -> Option<&[f64]> {
        if let Self::Float64List(value) = self { Some(value) } else { None }
    }

    pub(super) fn as_texts(&self) -> Option<&[String]> {
        if let Self::TextList(value) = self { Some(value) } else { None }
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float64(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int64(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl<const N: usize> From<[f64; N]> for Value {
    fn from(value: [f64; N]) -> Self {
        Self::Float64List(value.into())
    }
}

impl<const N: usize> From<[&str; N]> for Value {
    fn from(value: [&str; N]) -> Self {
        Self::TextList(value.iter().map(|text| (*text).to_owned()).collect())
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T>(
            f: &mut fmt::Formatter<'_>,
            (open, close): (&str, &str),
            items: &[T],
            show: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
        ) -> fmt::Result {
            f.write_str(open)?;
            for (i, item) in items.iter().enumerate() {
                f.write_str(if i == 0 { "" } else { ", " })?;
                show(f, item)?;
            }
            f.write_str(close)
        }
        let float = |f: &mut fmt::Formatter<'_>, x: &f64| match *x {
            x if x.is_nan() => f.write_str("CAST('NaN' AS DOUBLE)"),
            x if x.is_infinite() => write!(f, "CAST('{}inf' AS DOUBLE)", if x < 0.0 { "-" } else { "" }),
            // `{:?}` keeps the point, so that SQL reads a float and not an integer.
            x => write!(f, "{x:?}"),
        };
        let text = |f: &mut fmt::Formatter<'_>, text: &String| write!(f, "'{}'", text.replace('\'', "''"));
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Float64(value) => float(f, value),
            Self::Int64(value) => write!(f, "{value}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Text(value) => text(f, value),
            Self::Bytes(value) => {
                f.write_str("X'")?;
                value.iter().try_for_each(|byte| write!(f, "{byte:02X}"))?;
                f.write_str("'")
            }
            Self::Timestamp(value) => write!(f, "TIMESTAMP '{}'", time::format(*value)),
            Self::Float64List(values) => list(f, ("[", "]"), values, float),
            Self::TextList(values) => list(f, ("[", "]"), values, text),
            Self::Record(fields) => list(f, ("{", "}"), fields, |f, (name, value)| write!(f, "{name}: {value}")),
        }
    }
}
