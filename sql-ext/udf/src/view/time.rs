//! Times of different types on one exact scale.
//!
//! Integers compare with integers only; timestamps and dates are instants in UTC (a time without a zone is read as
//! UTC) and compare in the finer of their units, in 128 bits where a product could overflow.

use std::fmt;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion_common::{DataFusionError, Result, plan_err};
use serde::{Deserialize, Serialize};

/// A length of time: a ttl or how far a window reaches back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// Nanoseconds, for timestamps and dates.
    Time(i64),
    /// A difference of integers, for integer times.
    Integer(i64),
    /// Without limit.
    Unbounded,
}

impl Span {
    /// The length on the scale of [`Scale::steps`]; `None` is without limit.
    pub fn steps(self) -> Option<i128> {
        match self {
            Self::Time(steps) | Self::Integer(steps) => Some(i128::from(steps)),
            Self::Unbounded => None,
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(n) => write!(f, "{n}"),
            Self::Unbounded => f.write_str("UNBOUNDED"),
            Self::Time(ns) => {
                let coarse = [(86_400_000_000_000, "day"), (3_600_000_000_000, "hour"), (60_000_000_000, "minute")];
                let fine = [(1_000_000_000, "second"), (1_000_000, "millisecond"), (1_000, "microsecond")];
                for (size, name) in coarse.into_iter().chain(fine) {
                    if *ns != 0 && ns % size == 0 {
                        let count = ns / size;
                        return write!(f, "INTERVAL '{count} {name}{}'", if count == 1 { "" } else { "s" });
                    }
                }
                write!(f, "INTERVAL '{ns} nanoseconds'")
            }
        }
    }
}

/// What one unit of a time column is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Integers.
    Integer,
    /// Instants, with this many nanoseconds to the unit.
    Time(i64),
}

impl Scale {
    /// The scale of a type, if it is one that times can have.
    pub fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64 => Self::Integer,
            DataType::Timestamp(unit, _) => Self::Time(match unit {
                TimeUnit::Second => 1_000_000_000,
                TimeUnit::Millisecond => 1_000_000,
                TimeUnit::Microsecond => 1_000,
                TimeUnit::Nanosecond => 1,
            }),
            DataType::Date64 => Self::Time(1_000_000),
            DataType::Date32 => Self::Time(86_400_000_000_000),
            _ => return None,
        })
    }

    /// Steps of the common scale to one unit of this one.
    pub fn steps(self) -> i128 {
        match self {
            Self::Integer => 1,
            Self::Time(nanos) => i128::from(nanos),
        }
    }

    /// The finer of two scales of one kind.
    pub fn finer(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Integer, Self::Integer) => Some(Self::Integer),
            (Self::Time(a), Self::Time(b)) => Some(Self::Time(a.min(b))),
            _ => None,
        }
    }
}

/// Whether a column of this type can be a time.
pub fn is_time(data_type: &DataType) -> bool {
    Scale::of(data_type).is_some()
}

/// Whether times of these types can be compared: integers with integers, instants with instants.
pub fn times_compatible(a: &DataType, b: &DataType) -> bool {
    Scale::of(a).zip(Scale::of(b)).is_some_and(|(a, b)| a.finer(b).is_some())
}

/// What kind of time a type is, for messages.
pub fn time_name(data_type: &DataType) -> &'static str {
    match Scale::of(data_type) {
        Some(Scale::Integer) => "an integer time",
        Some(Scale::Time(_)) => "a timestamp or date",
        None => "not a time",
    }
}

/// The values of a time column in units of its own scale; `column` names it in errors.
pub fn values(array: &ArrayRef, column: &str) -> Result<(Scale, ArrayRef)> {
    let Some(scale) = Scale::of(array.data_type()) else {
        return plan_err!(
            "the column `{column}` of type {} cannot be a time; use a timestamp, a date or an integer",
            array.data_type()
        );
    };
    let integers = match array.data_type() {
        DataType::Date32 => cast(&cast(array, &DataType::Int32)?, &DataType::Int64)?,
        DataType::UInt64 => {
            let integers = cast(array, &DataType::Int64)?;
            if integers.null_count() > array.null_count() {
                return plan_err!("the column `{column}` holds a time beyond 64 signed bits");
            }
            integers
        }
        _ => cast(array, &DataType::Int64)?,
    };
    Ok((scale, integers))
}

/// The values of a time column in units of `to`, exactly; a value beyond 64 bits is an error that names the column.
pub(super) fn values_in(array: &ArrayRef, column: &str, to: Scale) -> Result<Int64Array> {
    let (scale, integers) = values(array, column)?;
    let integers = integers.as_primitive::<Int64Type>();
    let factor = (scale.steps() / to.steps()).max(1) as i64;
    if factor == 1 {
        return Ok(integers.clone());
    }
    integers.try_unary(|value| {
        value.checked_mul(factor).ok_or_else(|| {
            DataFusionError::Execution(format!(
                "the column `{column}` of type {} holds a time that does not fit 64 bits in the finer unit of the \
                 other time column; give both the same type",
                array.data_type()
            ))
        })
    })
}

/// As-of times of one scale among row times of another, exactly: both are multiples of the finer unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Finer units to one unit of the as-of time.
    own: i64,
    /// Finer units to one unit of the rows' times; one of the two is 1.
    rows: i64,
    /// Steps of the common scale to the finer unit.
    unit: i128,
}

impl Clock {
    /// `None` for scales that do not compare.
    pub(super) fn new(own: Scale, rows: Scale) -> Option<Self> {
        let unit = own.finer(rows)?.steps();
        Some(Self { own: (own.steps() / unit) as i64, rows: (rows.steps() / unit) as i64, unit })
    }

    /// The as-of time in the rows' unit, rounded down: the rows up to it are the same. A value beyond 64 bits is the
    /// nearest.
    pub(super) fn floor(self, t: i64) -> i64 {
        if self.rows == 1 { t.saturating_mul(self.own) } else { t.div_euclid(self.rows) }
    }

    /// A length of [`Span::steps`] in finer units.
    pub(super) fn length(self, steps: i128) -> i128 {
        steps.div_euclid(self.unit)
    }

    /// Whether a row is older than a length.
    pub(super) fn is_older(self, event: i64, t: i64, length: i128) -> bool {
        i128::from(t) * i128::from(self.own) - i128::from(event) * i128::from(self.rows) > length
    }

    /// The first event time of the window of a length that ends at `t`; `None` is after every event.
    pub(super) fn start(self, t: i64, length: i128) -> Option<i64> {
        let start = i128::from(t) * i128::from(self.own) - length;
        let up = if self.rows == 1 { start } else { -(-start).div_euclid(i128::from(self.rows)) };
        (up <= i128::from(i64::MAX)).then(|| up.max(i128::from(i64::MIN)) as i64)
    }
}
