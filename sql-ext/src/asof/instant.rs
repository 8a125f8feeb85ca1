//! Times of a match condition as integers that sort as the times do.
//!
//! Integers, dates, timestamps, times of day and decimals keep their exact value; a float becomes the integer of its
//! place in the total order, with -0.0 equal to 0.0 and every NaN equal and greatest. An integer and a float are
//! compared by value, never by rounding the integer.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, TimeUnit, UInt64Type};
use datafusion::common::{Result, plan_err};

/// How a column of times is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub(super) enum Scale {
    /// Whole numbers.
    Integer,
    /// Floating-point numbers.
    Float,
    /// Instants and dates, in nanoseconds.
    Instant,
    /// Times of day, in nanoseconds.
    TimeOfDay,
    /// Decimals of one precision and scale, in units of the last digit.
    Decimal,
}

/// The scale that a type is measured on.
pub(super) fn scale(data_type: &DataType) -> Option<Scale> {
    match data_type {
        t if t.is_integer() => Some(Scale::Integer),
        t if t.is_floating() => Some(Scale::Float),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Some(Scale::Instant),
        DataType::Time32(_) | DataType::Time64(_) => Some(Scale::TimeOfDay),
        DataType::Decimal128(..) => Some(Scale::Decimal),
        _ => None,
    }
}

/// A column of times.
#[derive(Debug)]
pub(super) struct Instants {
    scale: Scale,
    /// Values that sort as the times do.
    order: Vec<i128>,
}

const NANOS_PER_DAY: i128 = 86_400_000_000_000;

fn nanos(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

impl Instants {
    /// Reads a column; what stands at its NULLs has no meaning.
    pub(super) fn new(column: &ArrayRef) -> Result<Self> {
        let Some(scale) = scale(column.data_type()) else {
            return plan_err!("{} is not a type of time", column.data_type());
        };
        let whole = |column: &ArrayRef, unit: i128| -> Result<Vec<i128>> {
            let column = cast(column, &DataType::Int64)?;
            Ok(column.as_primitive::<Int64Type>().values().iter().map(|v| i128::from(*v) * unit).collect())
        };
        let order = match column.data_type() {
            DataType::UInt64 => column.as_primitive::<UInt64Type>().values().iter().map(|v| i128::from(*v)).collect(),
            DataType::Decimal128(..) => column.as_primitive::<Decimal128Type>().values().to_vec(),
            DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => {
                whole(column, nanos(*unit))?
            }
            DataType::Date32 => whole(&cast(column, &DataType::Int32)?, NANOS_PER_DAY)?,
            DataType::Date64 => whole(column, nanos(TimeUnit::Millisecond))?,
            t if t.is_floating() => {
                let column = cast(column, &DataType::Float64)?;
                column.as_primitive::<Float64Type>().values().iter().map(|v| float_order(*v)).collect()
            }
            _ => whole(column, 1)?,
        };
        Ok(Self { scale, order })
    }

    /// The value that row `row` sorts by.
    pub(super) fn order(&self, row: usize) -> i128 {
        self.order.get(row).copied().unwrap_or_default()
    }

    /// Row `row` as something to look up in another column.
    pub(super) fn probe(&self, row: usize) -> Probe {
        let order = self.order(row);
        if self.scale == Scale::Float { Probe::Float(float_value(order)) } else { Probe::Whole(order) }
    }

    /// Whether row `row` is at or before `probe`; without `equal`, strictly before.
    pub(super) fn reaches(&self, row: usize, probe: Probe, equal: bool) -> bool {
        let order = self.order(row);
        match (probe, self.scale == Scale::Float) {
            (Probe::Whole(at), false) => below(order, at, equal),
            (Probe::Float(at), true) => below(order, float_order(at), equal),
            // NaN is greater than every whole number; otherwise the nearest whole number on the right side decides.
            (Probe::Float(at), false) => {
                at.is_nan() || if equal { order <= at.floor() as i128 } else { order < at.ceil() as i128 }
            }
            (Probe::Whole(at), true) => {
                let near = at as f64;
                let exact = near as i128;
                let bound = match exact.cmp(&at) {
                    std::cmp::Ordering::Greater if equal => near.next_down(),
                    std::cmp::Ordering::Less if !equal => near.next_up(),
                    _ => near,
                };
                below(order, float_order(bound), equal)
            }
        }
    }

    /// How far row `row` is from `probe`.
    pub(super) fn distance(&self, row: usize, probe: Probe) -> Distance {
        let order = self.order(row);
        match (probe, self.scale == Scale::Float) {
            (Probe::Whole(at), false) => Distance::Whole(order.abs_diff(at)),
            (Probe::Float(at), true) => Distance::Float(gap(float_value(order), at)),
            (Probe::Float(at), false) => Distance::Float(gap(order as f64, at)),
            (Probe::Whole(at), true) => Distance::Float(gap(float_value(order), at as f64)),
        }
    }
}

fn below(order: i128, bound: i128, equal: bool) -> bool {
    if equal { order <= bound } else { order < bound }
}

fn gap(a: f64, b: f64) -> f64 {
    if float_order(a) == float_order(b) {
        return 0.0;
    }
    let gap = (a - b).abs();
    if gap.is_nan() { f64::INFINITY } else { gap }
}

/// A time of the left side, looked up among those of the right.
#[derive(Clone, Copy, Debug)]
pub(super) enum Probe {
    Whole(i128),
    Float(f64),
}

/// How far two times are apart.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) enum Distance {
    /// In the unit of the scale.
    Whole(u128),
    /// By value.
    Float(f64),
}

impl Distance {
    /// Whether the distance is at most `limit`.
    pub(super) fn within(self, limit: Distance) -> bool {
        match (self, limit) {
            (Self::Whole(a), Self::Whole(b)) => a <= b,
            (a, b) => a.as_float() <= b.as_float(),
        }
    }

    fn as_float(self) -> f64 {
        match self {
            Self::Whole(v) => v as f64,
            Self::Float(v) => v,
        }
    }
}

/// The place of a float in the total order.
fn float_order(value: f64) -> i128 {
    let value = if value.is_nan() {
        f64::NAN.copysign(1.0)
    } else if value == 0.0 {
        0.0
    } else {
        value
    };
    let bits = value.to_bits() as i64;
    // Negative floats sort backwards by their bits.
    i128::from(if bits < 0 { bits ^ i64::MAX } else { bits })
}

fn float_value(order: i128) -> f64 {
    let bits = order as i64;
    f64::from_bits((if bits < 0 { bits ^ i64::MAX } else { bits }) as u64)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array};

    use super::*;

    #[test]
    fn floats_sort_with_zeros_equal_and_nan_greatest() {
        let sorted =
            [f64::NEG_INFINITY, -1.5, -f64::MIN_POSITIVE, 0.0, f64::MIN_POSITIVE, 2.0, f64::INFINITY, f64::NAN];
        assert!(sorted.windows(2).all(|pair| float_order(pair[0]) < float_order(pair[1])));
        assert_eq!(float_order(-0.0), float_order(0.0));
        assert_eq!(float_order(-f64::NAN), float_order(f64::NAN));
        assert!(sorted.iter().all(|v| float_value(float_order(*v)).total_cmp(v).is_eq()));
    }

    #[test]
    fn an_integer_is_never_rounded_to_meet_a_float() {
        let big = (1_i64 << 53) + 1;
        let whole = Instants::new(&(Arc::new(Int64Array::from(vec![big])) as ArrayRef)).unwrap();
        let float = Instants::new(&(Arc::new(Float64Array::from(vec![(1_i64 << 53) as f64])) as ArrayRef)).unwrap();
        assert!(!whole.reaches(0, float.probe(0), true));
        assert!(float.reaches(0, whole.probe(0), false));
        let half = Probe::Float(-0.5);
        let ends = Instants::new(&(Arc::new(Int64Array::from(vec![-1, 0])) as ArrayRef)).unwrap();
        assert!(ends.reaches(0, half, true) && !ends.reaches(1, half, true));
        assert!(ends.reaches(1, Probe::Float(f64::NAN), false));
    }
}
