//! The hash of rows, whatever their order and however they were dealt out.
//!
//! Each row is written in a form of its own that depends neither on a library nor on how a column is laid out in memory,
//! and hashed with SHA-256. The digests, as numbers of 256 bits in little-endian order, are added modulo 2^256, so that
//! equal rows do not cancel out. The hash of the content is the SHA-256 of `skewless rows 1\n`, the number of columns, each
//! column's name (its length first), the number of rows, and the sum.
//!
//! A cell is a tag and a value; numbers are little-endian:
//!
//! | tag | values | form |
//! |---|---|---|
//! | 0 | NULL | nothing |
//! | 1 | boolean | one byte |
//! | 2 | integers | 128 bits, signed |
//! | 3 | floats | 64 bits; all NaN are one |
//! | 4 | text | length in 64 bits, UTF-8 |
//! | 5 | bytes | length in 64 bits, the bytes |
//! | 6 | decimals | scale in 8 bits, value in 256 bits |
//! | 7 | timestamps | nanoseconds since 1970 in UTC in 128 bits |
//! | 8 | dates | days since 1970 in 64 bits |
//! | 9 | times of day | nanoseconds in 128 bits |
//! | 10 | durations | nanoseconds in 128 bits |
//! | 11 | intervals | months and days in 32 bits each, nanoseconds in 64 |
//! | 12 | lists and maps | length in 64 bits, the items |
//! | 13 | structs | number of fields in 64 bits, the fields |

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Decimal256Type, Float64Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
    UInt64Type,
};
use arrow::util::display::array_value_to_string;
use datafusion::common::{Result, exec_err};
use datafusion::physical_plan::SendableRecordBatchStream;
use futures::TryStreamExt;
use sha2::{Digest, Sha256};

/// The digest of one row.
pub(super) type RowDigest = [u8; 32];

/// The sum of the digests of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) rows: u64,
    sum: [u64; 4],
}

impl Content {
    pub(super) fn of(batch: &RecordBatch) -> Result<Self> {
        let mut content = Self::default();
        for digest in digests(batch)? {
            content.add(&digest);
        }
        Ok(content)
    }

    fn add(&mut self, digest: &RowDigest) {
        self.rows += 1;
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(digest.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        self.add_words(words);
    }

    fn add_words(&mut self, words: [u64; 4]) {
        let mut carry = false;
        for (own, word) in self.sum.iter_mut().zip(words) {
            let (sum, first) = own.overflowing_add(word);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            *own = sum;
            carry = first || second;
        }
    }

    /// With the rows of another part.
    pub(super) fn merge(mut self, other: &Self) -> Self {
        self.rows += other.rows;
        self.add_words(other.sum);
        self
    }

    /// The hash, as `sha256:` and hexadecimal digits, under these column names.
    pub(super) fn hash<'a>(&self, columns: impl ExactSizeIterator<Item = &'a str>) -> String {
        let mut hasher = Sha256::new();
        hasher.update(b"skewless rows 1\n");
        hasher.update((columns.len() as u64).to_le_bytes());
        for name in columns {
            hasher.update((name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
        }
        hasher.update(self.rows.to_le_bytes());
        for word in self.sum {
            hasher.update(word.to_le_bytes());
        }
        format!("sha256:{}", hex(&hasher.finalize()))
    }
}

/// The content of a stream; batches are hashed side by side.
pub(super) async fn content(stream: SendableRecordBatchStream, workers: usize) -> Result<Content> {
    stream
        .map_ok(|batch| async move {
            tokio::task::spawn_blocking(move || Content::of(&batch))
                .await
                .unwrap_or_else(|error| exec_err!("a worker that hashes rows stopped: {error}"))
        })
        .try_buffer_unordered(workers.max(1))
        .try_fold(Content::default(), |all, part| async move { Ok(all.merge(&part)) })
        .await
}

/// The SHA-256 of bytes in hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The digest of each row.
pub(super) fn digests(batch: &RecordBatch) -> Result<Vec<RowDigest>> {
    let cells = batch.columns().iter().map(Cells::of).collect::<Result<Vec<_>>>()?;
    let mut bytes = Vec::new();
    Ok((0..batch.num_rows())
        .map(|row| {
            bytes.clear();
            for cells in &cells {
                cells.write(row, &mut bytes);
            }
            Sha256::digest(&bytes).into()
        })
        .collect())
}

/// A column in the form in which its cells are written.
struct Cells {
    nulls: Option<NullBuffer>,
    values: Values,
}

enum Values {
    Null,
    Boolean(ArrayRef),
    /// Signed integers, and whatever counts in steps: tag, steps, nanoseconds to the step.
    Steps(u8, ArrayRef, i128),
    Unsigned(ArrayRef),
    Float(ArrayRef),
    Text(ArrayRef),
    Bytes(ArrayRef),
    Decimal(ArrayRef, i8),
    Date(ArrayRef),
    Interval(ArrayRef),
    List(OffsetBuffer<i64>, Box<Cells>),
    Struct(Vec<Cells>),
}

const MILLIS_PER_DAY: i64 = 86_400_000;

fn nanos(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

impl Cells {
    fn of(array: &ArrayRef) -> Result<Self> {
        let to = |data_type: &DataType| cast(array, data_type);
        let values = match array.data_type() {
            DataType::Null => return Ok(Self { nulls: Some(NullBuffer::new_null(array.len())), values: Values::Null }),
            DataType::Dictionary(_, value) => return Self::of(&to(value)?),
            DataType::RunEndEncoded(_, value) => return Self::of(&to(value.data_type())?),
            DataType::Boolean => Values::Boolean(Arc::clone(array)),
            DataType::UInt64 => Values::Unsigned(Arc::clone(array)),
            t if t.is_integer() => Values::Steps(2, to(&DataType::Int64)?, 1),
            t if t.is_floating() => Values::Float(to(&DataType::Float64)?),
            t if t.is_string() => Values::Text(to(&DataType::LargeUtf8)?),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                Values::Bytes(to(&DataType::LargeBinary)?)
            }
            DataType::Decimal32(_, scale)
            | DataType::Decimal64(_, scale)
            | DataType::Decimal128(_, scale)
            | DataType::Decimal256(_, scale) => Values::Decimal(to(&DataType::Decimal256(76, *scale))?, *scale),
            DataType::Timestamp(unit, _) => Values::Steps(7, to(&DataType::Int64)?, nanos(*unit)),
            DataType::Date32 => Values::Steps(8, to(&DataType::Int32)?, 1),
            DataType::Date64 => Values::Date(to(&DataType::Int64)?),
            DataType::Time32(unit) => Values::Steps(9, to(&DataType::Int32)?, nanos(*unit)),
            DataType::Time64(unit) => Values::Steps(9, to(&DataType::Int64)?, nanos(*unit)),
            DataType::Duration(unit) => Values::Steps(10, to(&DataType::Int64)?, nanos(*unit)),
            DataType::Interval(_) => Values::Interval(to(&DataType::Interval(IntervalUnit::MonthDayNano))?),
            DataType::List(field)
            | DataType::ListView(field)
            | DataType::LargeListView(field)
            | DataType::FixedSizeList(field, _) => return Self::of(&to(&DataType::LargeList(Arc::clone(field)))?),
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                Values::List(list.offsets().clone(), Box::new(Self::of(list.values())?))
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let offsets = map.offsets().iter().map(|offset| i64::from(*offset)).collect::<Vec<_>>();
                let entries: ArrayRef = Arc::new(map.entries().clone());
                Values::List(OffsetBuffer::new(offsets.into()), Box::new(Self::of(&entries)?))
            }
            DataType::Struct(_) => {
                Values::Struct(array.as_struct().columns().iter().map(Self::of).collect::<Result<_>>()?)
            }
            other => return exec_err!("rows with a column of type {other} cannot be hashed; cast it in the query"),
        };
        Ok(Self { nulls: array.logical_nulls(), values })
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.push(0);
            return;
        }
        let sized = |tag: u8, bytes: &[u8], out: &mut Vec<u8>| {
            out.push(tag);
            out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            out.extend_from_slice(bytes);
        };
        match &self.values {
            Values::Null => out.push(0),
            Values::Boolean(array) => out.extend_from_slice(&[1, u8::from(array.as_boolean().value(row))]),
            Values::Steps(tag, array, size) => {
                let steps = match array.as_primitive_opt::<Int64Type>() {
                    Some(steps) => steps.value(row),
                    None => i64::from(array.as_primitive::<Int32Type>().value(row)),
                };
                out.push(*tag);
                if *tag == 8 {
                    out.extend_from_slice(&steps.to_le_bytes());
                } else {
                    out.extend_from_slice(&(i128::from(steps) * size).to_le_bytes());
                }
            }
            Values::Unsigned(array) => {
                out.push(2);
                out.extend_from_slice(&i128::from(array.as_primitive::<UInt64Type>().value(row)).to_le_bytes());
            }
            Values::Float(array) => {
                let value = array.as_primitive::<Float64Type>().value(row);
                let bits = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
                out.push(3);
                out.extend_from_slice(&bits.to_le_bytes());
            }
            Values::Text(array) => sized(4, array.as_string::<i64>().value(row).as_bytes(), out),
            Values::Bytes(array) => sized(5, array.as_binary::<i64>().value(row), out),
            Values::Decimal(array, scale) => {
                out.push(6);
                out.extend_from_slice(&scale.to_le_bytes());
                out.extend_from_slice(&array.as_primitive::<Decimal256Type>().value(row).to_le_bytes());
            }
            Values::Date(array) => {
                out.push(8);
                let days = array.as_primitive::<Int64Type>().value(row).div_euclid(MILLIS_PER_DAY);
                out.extend_from_slice(&days.to_le_bytes());
            }
            Values::Interval(array) => {
                let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
                out.push(11);
                out.extend_from_slice(&value.months.to_le_bytes());
                out.extend_from_slice(&value.days.to_le_bytes());
                out.extend_from_slice(&value.nanoseconds.to_le_bytes());
            }
            Values::List(offsets, items) => {
                let bound = |at: usize| offsets.get(at).copied().unwrap_or_default() as usize;
                let range = bound(row)..bound(row + 1);
                out.push(12);
                out.extend_from_slice(&(range.len() as u64).to_le_bytes());
                for item in range {
                    items.write(item, out);
                }
            }
            Values::Struct(fields) => {
                out.push(13);
                out.extend_from_slice(&(fields.len() as u64).to_le_bytes());
                for field in fields {
                    field.write(row, out);
                }
            }
        }
    }
}

/// The cells of a row as text, by column name.
pub(super) fn texts(batch: &RecordBatch, row: usize) -> Result<Vec<(String, Option<String>)>> {
    let schema = batch.schema();
    let cells = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        let text = if column.is_null(row) { None } else { Some(array_value_to_string(column, row)?) };
        Ok((field.name().clone(), text))
    });
    cells.collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Float32Array, Float64Array, Int64Array, ListArray, StringArray, StringViewArray, TimestampMillisecondArray,
        TimestampSecondArray,
    };

    use super::*;

    fn batch(columns: &[(&str, ArrayRef)]) -> RecordBatch {
        RecordBatch::try_from_iter(columns.iter().map(|(name, array)| (*name, Arc::clone(array)))).unwrap()
    }

    fn hash(batch: &RecordBatch) -> String {
        let schema = batch.schema();
        Content::of(batch).unwrap().hash(schema.fields().iter().map(|field| field.name().as_str()))
    }

    fn ints(values: &[Option<i64>]) -> RecordBatch {
        batch(&[("a", Arc::new(Int64Array::from(values.to_vec())))])
    }

    #[test]
    fn the_hash_is_pinned() {
        let rows = batch(&[
            ("a", Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef),
            ("b", Arc::new(StringArray::from(vec!["x", ""]))),
            ("c", Arc::new(Float64Array::from(vec![0.5, f64::NAN]))),
        ]);
        // By tests/golden/manifest/content_hash.py, which writes the form down a second time.
        assert_eq!(hash(&rows), "sha256:8ce8cebcabff1b031461db81dcf112a4d10cbbc4c8be28810701f62dccc7d168");
    }

    #[test]
    fn the_hash_does_not_depend_on_the_order_of_rows_but_on_their_number() {
        let rows = ints(&[Some(1), Some(2), None]);
        assert_eq!(hash(&rows), hash(&ints(&[None, Some(1), Some(2)])));
        let halves = Content::of(&rows.slice(2, 1)).unwrap().merge(&Content::of(&rows.slice(0, 2)).unwrap());
        assert_eq!(halves, Content::of(&rows).unwrap());
        // Equal rows do not cancel out, whether there are two or 256 of them.
        for copies in [2, 256] {
            assert_ne!(hash(&ints(&vec![Some(1); copies])), hash(&ints(&vec![Some(2); copies])));
        }
        assert_ne!(hash(&ints(&[Some(1), Some(1), Some(2)])), hash(&ints(&[Some(1), Some(2), Some(2)])));
        assert_ne!(hash(&ints(&[])), hash(&ints(&[None])));
        assert_ne!(hash(&ints(&[None])), hash(&ints(&[Some(0)])));
    }

    #[test]
    fn the_hash_does_not_depend_on_how_a_column_is_laid_out() {
        let pairs: [(ArrayRef, ArrayRef); 4] = [
            (Arc::new(StringArray::from(vec!["a", "b"])), Arc::new(StringViewArray::from(vec!["a", "b"]))),
            (Arc::new(Float32Array::from(vec![1.5, -0.0])), Arc::new(Float64Array::from(vec![1.5, -0.0]))),
            (Arc::new(TimestampSecondArray::from(vec![7])), Arc::new(TimestampMillisecondArray::from(vec![7000]))),
            (
                Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)]), None])),
                Arc::new(
                    ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(9)]), Some(vec![Some(1)]), None])
                        .slice(1, 2),
                ),
            ),
        ];
        for (a, b) in pairs {
            assert_eq!(hash(&batch(&[("x", Arc::clone(&a))])), hash(&batch(&[("x", b)])), "{}", a.data_type());
        }
        let a = Arc::new(Int64Array::from(vec![1])) as ArrayRef;
        assert_ne!(hash(&batch(&[("x", Arc::clone(&a))])), hash(&batch(&[("y", a)])));
    }

    #[test]
    fn neighbouring_texts_do_not_run_into_each_other() {
        let pair = |a: &str, b: &str| {
            batch(&[
                ("a", Arc::new(StringArray::from(vec![a])) as ArrayRef),
                ("b", Arc::new(StringArray::from(vec![b]))),
            ])
        };
        assert_ne!(hash(&pair("ab", "c")), hash(&pair("a", "bc")));
    }
}
