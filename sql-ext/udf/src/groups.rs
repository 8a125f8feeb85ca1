//! Dense numbers for the distinct keys of a table, and its rows bucketed by them.
//!
//! Both point-in-time engines, the as-of join and the look-up of feature views, number the keys of one side once and
//! find the other side's keys among them. Each key column has its own dictionary of 32-bit codes; codes of several
//! columns are paired into one. Keys are compared by their bits, so floats come with one zero and one NaN.

use arrow::array::{Array, ArrayRef, AsArray, GenericByteArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ByteArrayType, DataType};
use arrow::row::{RowConverter, SortField};
use datafusion_common::{HashMap, Result, exec_err, internal_err};

/// The group of a row with a NULL in its key, or of a key that is not there.
pub const NO_GROUP: u32 = u32::MAX;

/// The distinct keys of a table, numbered from 0 in the order of their first rows.
///
/// Without key columns every row is of group 0.
#[derive(Debug)]
pub struct Groups {
    /// One dictionary for each key column.
    columns: Vec<Dictionary>,
    /// For each key column after the first: codes of (everything before it, the column) as one code.
    pairs: Vec<Pairs>,
    count: u32,
}

/// Values of one key column as codes.
#[derive(Debug)]
enum Dictionary {
    /// Values of at most 64 bits.
    Words(Codes),
    /// Strings and bytes.
    Bytes(HashMap<Box<[u8]>, u32>),
    /// Everything else, in arrow's row format.
    Rows(RowConverter, HashMap<Box<[u8]>, u32>),
}

/// Codes of 64-bit words.
#[derive(Debug)]
enum Codes {
    /// Words from `least` on, by their distance from it.
    Dense {
        least: u64,
        table: Vec<u32>,
        count: u32,
    },
    Hashed(HashMap<u64, u32>),
}

/// Codes of pairs of codes.
#[derive(Debug)]
struct Pairs {
    /// How many codes the second of a pair has.
    radix: u64,
    codes: Codes,
}

impl Groups {
    /// Numbers the keys of `rows` rows; gives each row's group too.
    pub fn of(keys: &[ArrayRef], rows: usize) -> Result<(Self, Vec<u32>)> {
        if u32::try_from(rows).is_err() {
            return exec_err!("a point-in-time index holds up to {} rows, and this one has {rows}", u32::MAX);
        }
        let Some((first, rest)) = keys.split_first() else {
            return Ok((Self { columns: Vec::new(), pairs: Vec::new(), count: u32::from(rows > 0) }, vec![0; rows]));
        };
        let (dictionary, mut ids) = Dictionary::of(first)?;
        let mut count = dictionary.len();
        let mut columns = vec![dictionary];
        let mut pairs = Vec::new();
        for column in rest {
            let (dictionary, second) = Dictionary::of(column)?;
            let radix = u64::from(dictionary.len()).max(1);
            let words = paired(&ids, &second, radix);
            let bound = u64::from(count).saturating_mul(radix);
            let mut codes = Codes::for_range(0, bound.saturating_sub(1), rows);
            ids = words.into_iter().map(|word| word.map_or(NO_GROUP, |word| codes.insert(word))).collect();
            count = codes.len();
            columns.push(dictionary);
            pairs.push(Pairs { radix, codes });
        }
        Ok((Self { columns, pairs, count }, ids))
    }

    /// The group of each of `rows` keys, of the same types; [`NO_GROUP`] for one that is not there.
    pub fn find(&self, keys: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        if keys.len() != self.columns.len() {
            return internal_err!("a key of {} columns was looked up by {}", self.columns.len(), keys.len());
        }
        let mut found = self.columns.iter().zip(keys).map(|(own, key)| own.find(key));
        let Some(first) = found.next() else {
            return Ok(vec![if self.count > 0 { 0 } else { NO_GROUP }; rows]);
        };
        found.zip(&self.pairs).try_fold(first?, |before, (second, pairs)| {
            let words = paired(&before, &second?, pairs.radix).into_iter();
            Ok(words.map(|word| word.map_or(NO_GROUP, |word| pairs.codes.get(word))).collect())
        })
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        let columns: usize = self.columns.iter().map(Dictionary::size).sum();
        let pairs: usize = self.pairs.iter().map(|pairs| pairs.codes.size()).sum();
        size_of::<Self>() + columns + pairs
    }
}

/// Where the rows of each group start when they are put next to each other, and where those of the last one end.
///
/// Rows of [`NO_GROUP`] are left out.
pub fn starts(ids: &[u32], groups: usize) -> Vec<u32> {
    let mut starts = vec![0_u32; groups + 1];
    for id in ids {
        if let Some(count) = starts.get_mut(*id as usize + 1) {
            *count += 1;
        }
    }
    let mut total = 0;
    for start in &mut starts {
        total += *start;
        *start = total;
    }
    starts
}

/// The rows of each group: those of group `g` are `rows[starts[g]..starts[g + 1]]`, in their own order.
///
/// Rows of [`NO_GROUP`] are left out.
pub fn bucket(ids: &[u32], groups: usize) -> (Vec<u32>, Vec<u32>) {
    let starts = starts(ids, groups);
    let mut next = starts.clone();
    let mut rows = vec![0_u32; starts.last().copied().unwrap_or(0) as usize];
    for (row, id) in ids.iter().enumerate() {
        if *id != NO_GROUP
            && let Some(place) = next.get_mut(*id as usize)
            && let Some(slot) = rows.get_mut(*place as usize)
        {
            *slot = row as u32;
            *place += 1;
        }
    }
    (starts, rows)
}

fn paired(first: &[u32], second: &[u32], radix: u64) -> Vec<Option<u64>> {
    let both = first.iter().zip(second);
    both.map(|(a, b)| (*a != NO_GROUP && *b != NO_GROUP).then(|| u64::from(*a) * radix + u64::from(*b))).collect()
}

impl Dictionary {
    fn of(column: &ArrayRef) -> Result<(Self, Vec<u32>)> {
        if let Some(words) = words(column) {
            let nulls = column.logical_nulls();
            let valid = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            let there = words.iter().enumerate().filter(|(row, _)| valid(*row)).map(|(_, word)| *word);
            let (least, greatest) = there.fold((u64::MAX, 0), |(low, high), word| (low.min(word), high.max(word)));
            let mut codes = Codes::for_range(least, greatest, words.len());
            let ids = coded(&words, nulls.as_ref(), |word| codes.insert(*word));
            return Ok((Self::Words(codes), ids));
        }
        let mut map = HashMap::new();
        let mut insert = |bytes: &[u8]| {
            if let Some(code) = map.get(bytes) {
                return *code;
            }
            let code = map.len() as u32;
            map.insert(Box::from(bytes), code);
            code
        };
        if let Some(ids) = each_bytes(column, &mut insert) {
            return Ok((Self::Bytes(map), ids));
        }
        let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
        let ids = each_row(&converter, column, insert)?;
        Ok((Self::Rows(converter, map), ids))
    }

    fn find(&self, column: &ArrayRef) -> Result<Vec<u32>> {
        let mismatch = || internal_err!("a key of another type, {}, was looked up", column.data_type());
        match self {
            Self::Words(codes) => match words(column) {
                Some(words) => Ok(coded(&words, column.logical_nulls().as_ref(), |word| codes.get(*word))),
                None => mismatch(),
            },
            Self::Bytes(map) => match each_bytes(column, |bytes| map.get(bytes).copied().unwrap_or(NO_GROUP)) {
                Some(ids) => Ok(ids),
                None => mismatch(),
            },
            Self::Rows(converter, map) => {
                each_row(converter, column, |bytes| map.get(bytes).copied().unwrap_or(NO_GROUP))
            }
        }
    }

    fn len(&self) -> u32 {
        match self {
            Self::Words(codes) => codes.len(),
            Self::Bytes(map) | Self::Rows(_, map) => map.len() as u32,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Words(codes) => codes.size(),
            Self::Bytes(map) | Self::Rows(_, map) => {
                map.capacity() * (size_of::<(Box<[u8]>, u32)>() + 1) + map.keys().map(|key| key.len()).sum::<usize>()
            }
        }
    }
}

impl Codes {
    /// Codes of up to `rows` words from `least` to `greatest`.
    fn for_range(least: u64, greatest: u64, rows: usize) -> Self {
        /// A table of this many words costs no more than a small hash table.
        const SMALL: u64 = 1 << 12;
        let range = greatest.saturating_sub(least);
        // The table is at most four times as long as the column itself.
        if range < (4 * rows as u64).max(SMALL) {
            Self::Dense { least, table: vec![NO_GROUP; range as usize + 1], count: 0 }
        } else {
            Self::Hashed(HashMap::new())
        }
    }

    fn insert(&mut self, word: u64) -> u32 {
        match self {
            Self::Dense { least, table, count } => match table.get_mut(word.wrapping_sub(*least) as usize) {
                Some(code) => {
                    if *code == NO_GROUP {
                        *code = *count;
                        *count += 1;
                    }
                    *code
                }
                None => NO_GROUP,
            },
            Self::Hashed(map) => {
                let next = map.len() as u32;
                *map.entry(word).or_insert(next)
            }
        }
    }

    fn get(&self, word: u64) -> u32 {
        match self {
            Self::Dense { least, table, .. } => {
                let place = usize::try_from(word.wrapping_sub(*least)).unwrap_or(usize::MAX);
                table.get(place).copied().unwrap_or(NO_GROUP)
            }
            Self::Hashed(map) => map.get(&word).copied().unwrap_or(NO_GROUP),
        }
    }

    fn len(&self) -> u32 {
        match self {
            Self::Dense { count, .. } => *count,
            Self::Hashed(map) => map.len() as u32,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Dense { table, .. } => table.capacity() * size_of::<u32>(),
            Self::Hashed(map) => map.capacity() * (size_of::<(u64, u32)>() + 1),
        }
    }
}

fn coded<T>(values: &[T], nulls: Option<&NullBuffer>, mut code: impl FnMut(&T) -> u32) -> Vec<u32> {
    match nulls {
        None => values.iter().map(code).collect(),
        Some(nulls) => {
            values.iter().zip(nulls).map(|(value, valid)| if valid { code(value) } else { NO_GROUP }).collect()
        }
    }
}

/// Values of at most 64 bits as words in which neighbours are near each other.
fn words(column: &ArrayRef) -> Option<Vec<u64>> {
    if *column.data_type() == DataType::Boolean {
        return Some(column.as_boolean().values().iter().map(u64::from).collect());
    }
    let width = column.data_type().primitive_width()?;
    let data = column.to_data();
    let bytes = data.buffers().first()?.as_slice();
    let bytes = bytes.get(data.offset() * width..(data.offset() + data.len()) * width)?;
    // With the sign turned over, -1 and 0 are neighbours.
    Some(match width {
        1 => bytes.iter().map(|byte| u64::from(byte ^ (1 << 7))).collect(),
        2 => bytes.as_chunks().0.iter().map(|b| u64::from(u16::from_le_bytes(*b) ^ (1 << 15))).collect(),
        4 => bytes.as_chunks().0.iter().map(|b| u64::from(u32::from_le_bytes(*b) ^ (1 << 31))).collect(),
        8 => bytes.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b) ^ (1 << 63)).collect(),
        _ => return None,
    })
}

fn each_bytes(column: &ArrayRef, mut code: impl FnMut(&[u8]) -> u32) -> Option<Vec<u32>> {
    fn of<T: ByteArrayType>(array: &GenericByteArray<T>, mut code: impl FnMut(&[u8]) -> u32) -> Vec<u32> {
        array.iter().map(|value| value.map_or(NO_GROUP, |value| code(value.as_ref()))).collect()
    }
    Some(match column.data_type() {
        DataType::Utf8 => of(column.as_string::<i32>(), code),
        DataType::LargeUtf8 => of(column.as_string::<i64>(), code),
        DataType::Binary => of(column.as_binary::<i32>(), code),
        DataType::LargeBinary => of(column.as_binary::<i64>(), code),
        DataType::Utf8View => {
            column.as_string_view().iter().map(|v| v.map_or(NO_GROUP, |v| code(v.as_bytes()))).collect()
        }
        DataType::BinaryView => column.as_binary_view().iter().map(|v| v.map_or(NO_GROUP, &mut code)).collect(),
        DataType::FixedSizeBinary(_) => {
            column.as_fixed_size_binary().iter().map(|v| v.map_or(NO_GROUP, &mut code)).collect()
        }
        _ => return None,
    })
}

fn each_row(converter: &RowConverter, column: &ArrayRef, mut code: impl FnMut(&[u8]) -> u32) -> Result<Vec<u32>> {
    let rows = converter.convert_columns(std::slice::from_ref(column))?;
    let nulls = column.logical_nulls();
    let valid = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
    Ok(rows.iter().enumerate().map(|(row, key)| if valid(row) { code(key.as_ref()) } else { NO_GROUP }).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        Decimal128Array, Float64Array, Int8Array, Int32Array, Int64Array, StringArray, StringViewArray, UInt64Array,
    };
    use proptest::prelude::*;

    use super::*;

    /// Groups by comparing every key with every other.
    fn check(keys: &[ArrayRef], texts: &[Option<String>]) {
        let (groups, ids) = Groups::of(keys, texts.len()).unwrap();
        assert_eq!(groups.find(keys, texts.len()).unwrap(), ids);
        for (a, text_a) in texts.iter().enumerate() {
            assert_eq!(ids[a] == NO_GROUP, text_a.is_none(), "row {a}");
            for (b, text_b) in texts.iter().enumerate() {
                if text_a.is_some() && text_b.is_some() {
                    assert_eq!(ids[a] == ids[b], text_a == text_b, "rows {a} and {b}");
                }
            }
        }
        let distinct: std::collections::HashSet<_> = texts.iter().flatten().collect();
        assert_eq!(groups.len(), distinct.len());
        let (starts, rows) = bucket(&ids, groups.len());
        assert_eq!(rows.len(), texts.iter().flatten().count());
        for (group, range) in starts.windows(2).enumerate() {
            let rows = &rows[range[0] as usize..range[1] as usize];
            assert!(rows.is_sorted() && rows.iter().all(|row| ids[*row as usize] as usize == group));
        }
    }

    fn shown<T: ToString>(values: &[Option<T>]) -> Vec<Option<String>> {
        values.iter().map(|value| value.as_ref().map(T::to_string)).collect()
    }

    #[test]
    fn a_table_without_keys_is_one_group() {
        let (groups, ids) = Groups::of(&[], 3).unwrap();
        assert_eq!((groups.len(), ids), (1, vec![0, 0, 0]));
        assert_eq!(groups.find(&[], 2).unwrap(), [0, 0]);
        let (none, _) = Groups::of(&[], 0).unwrap();
        assert_eq!(none.find(&[], 1).unwrap(), [NO_GROUP]);
    }

    #[test]
    fn keys_of_a_slice_are_those_of_the_slice() {
        let all: ArrayRef = Arc::new(Int64Array::from(vec![Some(9), Some(1), None, Some(1), Some(7)]));
        let (groups, ids) = Groups::of(&[all.slice(1, 3)], 3).unwrap();
        assert_eq!((groups.len(), ids), (1, vec![0, NO_GROUP, 0]));
        assert_eq!(groups.find(&[all], 5).unwrap(), [NO_GROUP, 0, NO_GROUP, 0, NO_GROUP]);
    }

    #[test]
    fn a_key_beyond_the_range_is_not_there() {
        let keys: ArrayRef = Arc::new(UInt64Array::from(vec![5, 6, 8]));
        let (groups, _) = Groups::of(&[keys], 3).unwrap();
        let others: ArrayRef = Arc::new(UInt64Array::from(vec![0, 4, 5, 7, 8, 9, u64::MAX]));
        assert_eq!(groups.find(&[others], 7).unwrap(), [NO_GROUP, NO_GROUP, 0, NO_GROUP, 2, NO_GROUP, NO_GROUP]);
    }

    #[test]
    fn a_key_of_another_type_is_refused() {
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let (groups, _) = Groups::of(&[keys], 1).unwrap();
        let text: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
        assert!(groups.find(&[text], 1).is_err());
        assert!(groups.find(&[], 1).is_err());
    }

    proptest! {
        #[test]
        fn equal_keys_and_no_others_share_a_group(
            small in prop::collection::vec(prop::option::of(-3_i8..3), 0..60),
            wide in prop::collection::vec(prop::option::of(prop_oneof![any::<i64>(), -2_i64..2]), 60),
            texts in prop::collection::vec(prop::option::of("[ab]{0,14}"), 60),
        ) {
            let rows = small.len();
            let (wide, texts) = (&wide[..rows], &texts[..rows]);
            let small_column: ArrayRef = Arc::new(Int8Array::from(small.clone()));
            let wide_column: ArrayRef = Arc::new(Int64Array::from(wide.to_vec()));
            let views: ArrayRef = Arc::new(texts.iter().map(Option::as_deref).collect::<StringViewArray>());
            let strings: ArrayRef = Arc::new(texts.iter().map(Option::as_deref).collect::<StringArray>());
            let narrow: ArrayRef = Arc::new(small.iter().map(|v| v.map(i32::from)).collect::<Int32Array>());
            let floats: ArrayRef = Arc::new(small.iter().map(|v| v.map(f64::from)).collect::<Float64Array>());
            let decimals: ArrayRef = Arc::new(wide.iter().map(|v| v.map(i128::from)).collect::<Decimal128Array>());
            for column in [&small_column, &narrow, &floats] {
                check(std::slice::from_ref(column), &shown(&small));
            }
            for column in [&wide_column, &decimals] {
                check(std::slice::from_ref(column), &shown(wide));
            }
            for column in [&views, &strings] {
                check(std::slice::from_ref(column), texts);
            }
            let all: Vec<Option<String>> = (0..rows)
                .map(|row| Some(format!("{} {} {}", small[row]?, wide[row]?, texts[row].as_ref()?)))
                .collect();
            check(&[small_column, wide_column, views], &all);
        }
    }
}
