//! When a value of the table equals a value of the view, whatever types the two columns happen to have.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::Result;

/// The type in which two columns are compared; `None` where none of their values can be equal.
pub(super) fn common(a: &DataType, b: &DataType) -> Option<DataType> {
    let (a, b) = (plain(a), plain(b));
    let common = if a == b && !a.is_floating() {
        a.clone()
    } else if a.is_null() {
        b.clone()
    } else if b.is_null() {
        a.clone()
    } else if a.is_string() && b.is_string() {
        DataType::Utf8
    } else if a.is_integer() && b.is_integer() {
        // 64 signed bits and 64 unsigned ones meet here.
        DataType::Decimal128(20, 0)
    } else if a.is_numeric() && b.is_numeric() {
        DataType::Float64
    } else {
        match (unit(&a), unit(&b)) {
            (Some(a), Some(b)) => DataType::Timestamp(a.max(b), None),
            _ if binary(&a) && binary(&b) => DataType::Binary,
            _ => return None,
        }
    };
    RowConverter::supports_fields(&[SortField::new(common.clone())]).then_some(common)
}

/// The unit of an instant; a later one is finer.
fn unit(data_type: &DataType) -> Option<TimeUnit> {
    match data_type {
        DataType::Timestamp(unit, _) => Some(*unit),
        DataType::Date32 => Some(TimeUnit::Second),
        DataType::Date64 => Some(TimeUnit::Millisecond),
        _ => None,
    }
}

fn binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => plain(value),
        DataType::RunEndEncoded(_, value) => plain(value.data_type()),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        other => other.clone(),
    }
}

/// Compares values of one type.
#[derive(Debug)]
pub(super) struct Comparer {
    data_type: DataType,
    converter: RowConverter,
    /// How far floats may lie apart.
    tolerance: f64,
}

/// Values made ready to be compared.
pub(super) struct Comparable {
    pub(super) array: ArrayRef,
    rows: Rows,
}

impl Comparable {
    /// The value as bytes: equal values have equal bytes.
    pub(super) fn bytes(&self, row: usize) -> &[u8] {
        if row < self.rows.num_rows() { self.rows.row(row).data() } else { &[] }
    }

    pub(super) fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row)
    }
}

impl Comparer {
    pub(super) fn new(data_type: DataType, tolerance: f64) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(data_type.clone())])?;
        Ok(Self { data_type, converter, tolerance })
    }

    /// Whether equal values are those with equal bytes.
    pub(super) fn exact(&self) -> bool {
        self.tolerance == 0.0 || self.data_type != DataType::Float64
    }

    /// Makes values ready; -0.0 equals 0.0 and NaN equals NaN.
    pub(super) fn prepare(&self, values: &ArrayRef) -> Result<Comparable> {
        let mut array = cast(values, &self.data_type)?;
        if let Some(floats) = array.as_primitive_opt::<Float64Type>() {
            let floats: Float64Array = floats.unary(|value| {
                if value.is_nan() {
                    f64::NAN
                } else if value == 0.0 {
                    0.0
                } else {
                    value
                }
            });
            array = Arc::new(floats);
        }
        let rows = self.converter.convert_columns(std::slice::from_ref(&array))?;
        Ok(Comparable { array, rows })
    }

    /// Whether two values are equal; NULL equals NULL.
    pub(super) fn equal(&self, a: &Comparable, at: usize, b: &Comparable, bt: usize) -> bool {
        if a.bytes(at) == b.bytes(bt) {
            return true;
        }
        if self.exact() || a.is_null(at) || b.is_null(bt) {
            return false;
        }
        let (a, b) = (a.array.as_primitive::<Float64Type>(), b.array.as_primitive::<Float64Type>());
        (a.value(at) - b.value(bt)).abs() <= self.tolerance
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Float32Array, Int32Array, StringViewArray, UInt64Array};

    use super::*;

    fn equal(a: &ArrayRef, b: &ArrayRef, tolerance: f64) -> Option<Vec<bool>> {
        let comparer = Comparer::new(common(a.data_type(), b.data_type())?, tolerance).unwrap();
        let (a, b) = (comparer.prepare(a).unwrap(), comparer.prepare(b).unwrap());
        Some((0..a.array.len()).map(|row| comparer.equal(&a, row, &b, row)).collect())
    }

    #[test]
    fn floats_compare_by_value_and_nan_equals_nan() {
        let a: ArrayRef = Arc::new(Float64Array::from(vec![0.0, f64::NAN, 1.0, f64::INFINITY, 1.0]));
        let b: ArrayRef = Arc::new(Float64Array::from(vec![-0.0, -f64::NAN, 1.0 + 1e-9, f64::INFINITY, 2.0]));
        assert_eq!(equal(&a, &b, 0.0).unwrap(), [true, true, false, true, false]);
        assert_eq!(equal(&a, &b, 1e-6).unwrap(), [true, true, true, true, false]);
    }

    #[test]
    fn values_of_other_types_are_equal_where_they_mean_the_same() {
        let ints: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(-1), None]));
        let large: ArrayRef = Arc::new(UInt64Array::from(vec![Some(1), Some(u64::MAX), None]));
        assert_eq!(equal(&ints, &large, 0.0).unwrap(), [true, false, true]);
        let floats: ArrayRef = Arc::new(Float32Array::from(vec![1.0, -1.5, 0.0]));
        assert_eq!(equal(&ints, &floats, 0.0).unwrap(), [true, false, false]);
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["1", "2", "3"]));
        assert_eq!(equal(&ints, &texts, 0.0), None);
        let decimals: ArrayRef =
            Arc::new(Decimal128Array::from(vec![100, -150, 0]).with_precision_and_scale(5, 2).unwrap());
        assert_eq!(equal(&decimals, &floats, 0.0).unwrap(), [true, true, true]);
    }
}
