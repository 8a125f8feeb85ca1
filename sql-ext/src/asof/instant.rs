//! Times of a match condition as 64-bit places that sort as the times do.
//!
//! The right side's times lie on an [`Axis`]. Integers, dates, timestamps and times of day are their own places, a
//! float is at its place in the total order, with -0.0 equal to 0.0 and every NaN equal and greatest, and decimals that
//! 64 bits cannot hold are ranked. A left time is turned into the last place that it reaches, exactly: units of
//! different size are never rounded to meet, nor is an integer to meet a float.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, TimeUnit, UInt64Type};
use datafusion::common::{Result, exec_err, plan_err};

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

const NANOS_PER_DAY: i128 = 86_400_000_000_000;

fn nanos(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// Steps of the scale to one unit of a type.
fn unit(data_type: &DataType) -> i128 {
    match data_type {
        DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => nanos(*unit),
        DataType::Date32 => NANOS_PER_DAY,
        DataType::Date64 => nanos(TimeUnit::Millisecond),
        _ => 1,
    }
}

/// The values of a column of whole numbers, dates or times; those at its NULLs have no meaning.
fn whole(column: &ArrayRef) -> Result<Vec<i64>> {
    let column = match column.data_type() {
        DataType::Date32 => cast(column, &DataType::Int32)?,
        _ => Arc::clone(column),
    };
    Ok(cast(&column, &DataType::Int64)?.as_primitive::<Int64Type>().values().to_vec())
}

fn floats(column: &ArrayRef) -> Result<Vec<f64>> {
    Ok(cast(column, &DataType::Float64)?.as_primitive::<Float64Type>().values().to_vec())
}

/// Where the right side's times lie.
#[derive(Clone, Debug)]
pub(super) enum Axis {
    /// A place is the time in units of the scale.
    Whole { unit: i128 },
    /// A place is the integer with its highest bit turned over.
    Unsigned,
    /// A place is the float's among all floats.
    Float,
    /// A place is the index among these, ascending.
    Ranked(Arc<[i128]>),
}

impl Axis {
    /// The axis of a column, which is all there is of it.
    pub(super) fn of(column: &ArrayRef) -> Result<Self> {
        if let Some(decimals) = column.as_primitive_opt::<Decimal128Type>()
            && decimals.values().iter().any(|value| i64::try_from(*value).is_err())
        {
            let mut ranks: Vec<i128> = decimals.iter().flatten().collect();
            ranks.sort_unstable();
            ranks.dedup();
            return Ok(Self::Ranked(ranks.into()));
        }
        Self::of_type(column.data_type())
    }

    /// The axis of a type whose values fit 64 bits.
    pub(super) fn of_type(data_type: &DataType) -> Result<Self> {
        match (data_type, scale(data_type)) {
            (_, None) => plan_err!("{data_type} is not a type of time"),
            (DataType::UInt64, _) => Ok(Self::Unsigned),
            (_, Some(Scale::Float)) => Ok(Self::Float),
            _ => Ok(Self::Whole { unit: unit(data_type) }),
        }
    }

    /// The places of a column's times; those at its NULLs have no meaning.
    pub(super) fn places(&self, column: &ArrayRef) -> Result<Vec<i64>> {
        Ok(match (self, column.data_type()) {
            (Self::Ranked(ranks), DataType::Decimal128(..)) => {
                let place = |value: &i128| ranks.partition_point(|rank| rank < value) as i64;
                column.as_primitive::<Decimal128Type>().values().iter().map(place).collect()
            }
            (_, DataType::Decimal128(..)) => {
                let narrow = |value: &i128| {
                    i64::try_from(*value).or_else(|_| exec_err!(
                        "an as-of join larger than its memory sorts times of up to 64 bits, and a decimal is beyond \
                         that; cast the times to a timestamp or to DOUBLE, or allow the statement more memory"
                    ))
                };
                column.as_primitive::<Decimal128Type>().values().iter().map(narrow).collect::<Result<_>>()?
            }
            (Self::Unsigned, _) => column.as_primitive::<UInt64Type>().values().iter().map(|v| turned(*v)).collect(),
            (Self::Float, _) => floats(column)?.into_iter().map(float_place).collect(),
            _ => whole(column)?,
        })
    }

    /// The last place at or before a whole time on the scale.
    fn last_whole(&self, time: i128) -> Option<i64> {
        match self {
            Self::Whole { unit } => last_within(time.div_euclid(*unit)),
            Self::Unsigned => (time >= 0).then(|| turned(u64::try_from(time).unwrap_or(u64::MAX))),
            Self::Ranked(ranks) => ranks.partition_point(|rank| *rank <= time).checked_sub(1).map(|last| last as i64),
            Self::Float => {
                // The greatest float that is not above the integer.
                let near = time as f64;
                Some(float_place(if near as i128 > time { near.next_down() } else { near }))
            }
        }
    }

    /// The last place at or before a float.
    fn last_float(&self, time: f64) -> Option<i64> {
        match self {
            Self::Float => Some(float_place(time)),
            // NaN is greater than every whole number.
            _ if time.is_nan() => Some(i64::MAX),
            _ => self.last_whole(time.floor() as i128),
        }
    }

    /// How far a place is from a left time.
    pub(super) fn distance(&self, place: i64, moment: Moment) -> Distance {
        let value = match self {
            Self::Whole { unit } => i128::from(place) * unit,
            Self::Unsigned => i128::from(place as u64 ^ (1 << 63)),
            Self::Ranked(ranks) => ranks.get(place as usize).copied().unwrap_or_default(),
            Self::Float => {
                let at = match moment {
                    Moment::Whole(at) => at as f64,
                    Moment::Float(at) => at,
                };
                return Distance::Float(gap(float_at(place), at));
            }
        };
        match moment {
            Moment::Whole(at) => Distance::Whole(value.abs_diff(at)),
            Moment::Float(at) => Distance::Float(gap(value as f64, at)),
        }
    }
}

fn turned(value: u64) -> i64 {
    (value ^ (1 << 63)) as i64
}

/// The greatest 64-bit integer that is at most `value`.
fn last_within(value: i128) -> Option<i64> {
    (value >= i128::from(i64::MIN)).then(|| i64::try_from(value).unwrap_or(i64::MAX))
}

/// The left side's times.
#[derive(Debug)]
pub(super) enum Moments {
    /// In units of the scale.
    Whole {
        unit: i128,
        values: Vec<i64>,
    },
    /// On the scale, beyond 64 bits.
    Wide(Vec<i128>),
    Float(Vec<f64>),
}

impl Moments {
    /// Reads a column; what stands at its NULLs has no meaning.
    pub(super) fn new(column: &ArrayRef) -> Result<Self> {
        let data_type = column.data_type();
        let wide = |value: &u64| i128::from(*value);
        Ok(match (data_type, scale(data_type)) {
            (_, None) => return plan_err!("{data_type} is not a type of time"),
            (DataType::UInt64, _) => {
                Self::Wide(column.as_primitive::<UInt64Type>().values().iter().map(wide).collect())
            }
            (DataType::Decimal128(..), _) => Self::Wide(column.as_primitive::<Decimal128Type>().values().to_vec()),
            (_, Some(Scale::Float)) => Self::Float(floats(column)?),
            _ => Self::Whole { unit: unit(data_type), values: whole(column)? },
        })
    }

    /// For each time the last place at or before it; without `equal`, strictly before it. `None` before all places.
    pub(super) fn last_places(&self, axis: &Axis, equal: bool) -> Vec<Option<i64>> {
        let step = i128::from(!equal);
        match (self, axis) {
            (Self::Whole { unit, values }, Axis::Whole { unit: right }) if unit == right => {
                if equal {
                    values.iter().map(|value| Some(*value)).collect()
                } else {
                    values.iter().map(|value| value.checked_sub(1)).collect()
                }
            }
            (Self::Whole { unit, values }, Axis::Whole { .. } | Axis::Unsigned | Axis::Ranked(_)) => {
                values.iter().map(|value| axis.last_whole(i128::from(*value) * unit - step)).collect()
            }
            (Self::Wide(values), Axis::Whole { .. } | Axis::Unsigned | Axis::Ranked(_)) => {
                values.iter().map(|value| axis.last_whole(value.saturating_sub(step))).collect()
            }
            (Self::Whole { values, .. }, Axis::Float) => {
                values.iter().map(|value| before_float(i128::from(*value), equal)).collect()
            }
            (Self::Wide(values), Axis::Float) => values.iter().map(|value| before_float(*value, equal)).collect(),
            (Self::Float(values), Axis::Float) => {
                values.iter().map(|value| float_place(*value).checked_sub(step as i64)).collect()
            }
            (Self::Float(values), _) => values
                .iter()
                .map(|value| {
                    // Strictly before 1.5 is at or before 1, and strictly before 1.0 at or before 0.
                    let whole = !equal && value.fract() == 0.0 && value.is_finite();
                    if whole { axis.last_whole((*value as i128).saturating_sub(1)) } else { axis.last_float(*value) }
                })
                .collect(),
        }
    }

    /// The time of row `row`.
    pub(super) fn at(&self, row: usize) -> Moment {
        match self {
            Self::Whole { unit, values } => Moment::Whole(i128::from(values.get(row).copied().unwrap_or(0)) * unit),
            Self::Wide(values) => Moment::Whole(values.get(row).copied().unwrap_or(0)),
            Self::Float(values) => Moment::Float(values.get(row).copied().unwrap_or(0.0)),
        }
    }
}

/// The place of the last float at or before an integer; without `equal`, strictly before it.
fn before_float(time: i128, equal: bool) -> Option<i64> {
    let near = time as f64;
    let last = Axis::Float.last_whole(time)?;
    if !equal && near as i128 == time { last.checked_sub(1) } else { Some(last) }
}

/// One time of the left side.
#[derive(Clone, Copy, Debug)]
pub(super) enum Moment {
    Whole(i128),
    Float(f64),
}

fn gap(a: f64, b: f64) -> f64 {
    if float_place(a) == float_place(b) {
        return 0.0;
    }
    let gap = (a - b).abs();
    if gap.is_nan() { f64::INFINITY } else { gap }
}

/// How far two times are apart.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) enum Distance {
    /// In steps of the scale.
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
fn float_place(value: f64) -> i64 {
    let value = if value.is_nan() {
        f64::NAN.copysign(1.0)
    } else if value == 0.0 {
        0.0
    } else {
        value
    };
    let bits = value.to_bits() as i64;
    // Negative floats sort backwards by their bits.
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

fn float_at(place: i64) -> f64 {
    f64::from_bits((if place < 0 { place ^ i64::MAX } else { place }) as u64)
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;
    use std::sync::Arc;

    use arrow::array::{
        Date32Array, Decimal128Array, Float64Array, Int64Array, TimestampMicrosecondArray, TimestampSecondArray,
        UInt64Array,
    };
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn floats_sort_with_zeros_equal_and_nan_greatest() {
        let sorted =
            [f64::NEG_INFINITY, -1.5, -f64::MIN_POSITIVE, 0.0, f64::MIN_POSITIVE, 2.0, f64::INFINITY, f64::NAN];
        assert!(sorted.windows(2).all(|pair| float_place(pair[0]) < float_place(pair[1])));
        assert_eq!(float_place(-0.0), float_place(0.0));
        assert_eq!(float_place(-f64::NAN), float_place(f64::NAN));
        assert!(sorted.iter().all(|v| float_at(float_place(*v)).total_cmp(v).is_eq()));
    }

    /// Whether the places up to the last one are exactly those that compare so by value.
    fn check(right: &ArrayRef, left: &ArrayRef, order: impl Fn(usize, usize) -> Ordering) {
        let axis = Axis::of(right).unwrap();
        let places = axis.places(right).unwrap();
        let moments = Moments::new(left).unwrap();
        for equal in [true, false] {
            for (l, last) in moments.last_places(&axis, equal).into_iter().enumerate() {
                for (r, place) in places.iter().enumerate() {
                    let reached = match order(r, l) {
                        Ordering::Less => true,
                        Ordering::Equal => equal,
                        Ordering::Greater => false,
                    };
                    assert_eq!(last.is_some_and(|last| *place <= last), reached, "{r} of {right:?}, {l} of {left:?}");
                }
            }
        }
    }

    /// An integer and a float by value.
    fn exact(whole: i128, float: f64) -> Ordering {
        if float.is_nan() || float == f64::INFINITY {
            return Ordering::Less;
        }
        if float == f64::NEG_INFINITY {
            return Ordering::Greater;
        }
        let floor = float.floor();
        whole.cmp(&(floor as i128)).then(if float > floor { Ordering::Less } else { Ordering::Equal })
    }

    fn integer() -> impl Strategy<Value = i64> {
        prop_oneof![any::<i64>(), -3_i64..3, Just(i64::MIN), Just(i64::MAX), (1_i64 << 53) - 2..(1_i64 << 53) + 3,]
    }

    fn float() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>(),
            prop::sample::select(vec![
                0.0,
                -0.0,
                0.5,
                -0.5,
                1.0,
                -1.0,
                9_007_199_254_740_992.0,
                9.3e18,
                -9.3e18,
                f64::NAN,
                f64::INFINITY,
                f64::NEG_INFINITY,
            ]),
        ]
    }

    proptest! {
        #[test]
        fn integers_timestamps_and_floats_compare_by_value(
            a in prop::collection::vec(integer(), 1..12),
            b in prop::collection::vec(integer(), 1..12),
            f in prop::collection::vec(float(), 1..12),
            g in prop::collection::vec(float(), 1..12),
        ) {
            let whole = |values: &[i64]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
            let unsigned = |values: &[i64]| values.iter().map(|v| *v as u64).collect::<Vec<_>>();
            let floats = |values: &[f64]| Arc::new(Float64Array::from(values.to_vec())) as ArrayRef;
            let decimals = |values: &[i64], by: i128| {
                let values = values.iter().map(|v| i128::from(*v) * by);
                Arc::new(values.map(Some).collect::<Decimal128Array>()) as ArrayRef
            };
            check(&whole(&a), &whole(&b), |r, l| a[r].cmp(&b[l]));
            let (ua, ub) = (unsigned(&a), unsigned(&b));
            let (ua_array, ub_array) =
                (Arc::new(UInt64Array::from(ua.clone())) as ArrayRef, Arc::new(UInt64Array::from(ub.clone())) as ArrayRef);
            check(&ua_array, &ub_array, |r, l| ua[r].cmp(&ub[l]));
            check(&ua_array, &whole(&b), |r, l| i128::from(ua[r]).cmp(&i128::from(b[l])));
            check(&whole(&a), &ub_array, |r, l| i128::from(a[r]).cmp(&i128::from(ub[l])));
            check(&whole(&a), &floats(&f), |r, l| exact(i128::from(a[r]), f[l]));
            check(&ua_array, &floats(&f), |r, l| exact(i128::from(ua[r]), f[l]));
            check(&floats(&f), &whole(&a), |r, l| exact(i128::from(a[l]), f[r]).reverse());
            check(&floats(&f), &floats(&g), |r, l| float_place(f[r]).cmp(&float_place(g[l])));
            for by in [1, 1 << 40] {
                check(&decimals(&a, by), &decimals(&b, by), |r, l| a[r].cmp(&b[l]));
            }
            // Microseconds, seconds and days of different widths meet in nanoseconds.
            let micros = Arc::new(TimestampMicrosecondArray::from(a.clone())) as ArrayRef;
            let seconds = Arc::new(TimestampSecondArray::from(b.clone())) as ArrayRef;
            let scaled = |v: i64, unit: i128| i128::from(v) * unit;
            check(&micros, &seconds, |r, l| scaled(a[r], 1_000).cmp(&scaled(b[l], 1_000_000_000)));
            check(&seconds, &micros, |r, l| scaled(b[r], 1_000_000_000).cmp(&scaled(a[l], 1_000)));
            let days: Vec<i32> = b.iter().map(|v| *v as i32).collect();
            let dates = Arc::new(Date32Array::from(days.clone())) as ArrayRef;
            check(&dates, &micros, |r, l| scaled(i64::from(days[r]), NANOS_PER_DAY).cmp(&scaled(a[l], 1_000)));
        }
    }
}
