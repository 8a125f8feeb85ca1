//! Columns of values with a validity mask: the form in which functions take their arguments and give their results.

use std::borrow::Cow;

use super::{Type, Value};

/// The values of a column; where the column says NULL, a value of any kind stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Values<'a> {
    /// Floats.
    Float64(Cow<'a, [f64]>),
    /// Integers.
    Int64(Cow<'a, [i64]>),
    /// Booleans.
    Boolean(Cow<'a, [bool]>),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(Cow<'a, [i64]>),
    /// Texts.
    Text(Vec<Cow<'a, str>>),
    /// Byte strings.
    Bytes(Vec<Cow<'a, [u8]>>),
    /// Lists of floats.
    Float64List(Vec<Cow<'a, [f64]>>),
    /// Lists of texts.
    TextList(Vec<Vec<Cow<'a, str>>>),
    /// Structs, one column for each field.
    Record(Vec<(&'static str, Column<'a>)>),
}

impl Values<'_> {
    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Float64(values) => values.len(),
            Self::Int64(values) | Self::Timestamp(values) => values.len(),
            Self::Boolean(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Bytes(values) => values.len(),
            Self::Float64List(values) => values.len(),
            Self::TextList(values) => values.len(),
            Self::Record(fields) => fields.first().map_or(0, |(_, column)| column.len()),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their type; the fields of a record are not told.
    #[must_use]
    pub fn data_type(&self) -> Type {
        match self {
            Self::Float64(_) => Type::Float64,
            Self::Int64(_) => Type::Int64,
            Self::Boolean(_) => Type::Boolean,
            Self::Timestamp(_) => Type::Timestamp,
            Self::Text(_) => Type::Text,
            Self::Bytes(_) => Type::Bytes,
            Self::Float64List(_) => Type::Float64List,
            Self::TextList(_) => Type::TextList,
            Self::Record(_) => Type::Record(&[]),
        }
    }

    /// Whether an argument of this type takes them.
    #[must_use]
    pub fn is(&self, data_type: Type) -> bool {
        match data_type {
            Type::Float64OrText => matches!(self, Self::Float64(_) | Self::Text(_)),
            Type::Int64OrText => matches!(self, Self::Int64(_) | Self::Text(_)),
            Type::Record(_) => matches!(self, Self::Record(_)),
            other => self.data_type() == other,
        }
    }
}

/// A column: values, and which of them are not NULL (all, where there is no mask).
#[derive(Debug, Clone, PartialEq)]
pub struct Column<'a> {
    /// The values.
    pub values: Values<'a>,
    /// `false` where the value is NULL; as long as the values.
    pub valid: Option<Cow<'a, [bool]>>,
}

impl<'a> Column<'a> {
    /// A column without NULL.
    #[must_use]
    pub fn new(values: Values<'a>) -> Self {
        Self { values, valid: None }
    }

    /// A column with NULL where `valid` is `false`.
    #[must_use]
    pub fn with_validity(values: Values<'a>, valid: impl Into<Cow<'a, [bool]>>) -> Self {
        let valid = valid.into();
        Self { values, valid: valid.contains(&false).then_some(valid) }
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether it has no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether a row is not NULL.
    #[must_use]
    pub fn is_valid(&self, row: usize) -> bool {
        row < self.len() && self.valid.as_ref().is_none_or(|valid| valid.get(row).copied().unwrap_or(false))
    }

    /// NULL also where `valid` is `false`.
    #[must_use]
    pub(super) fn masked(self, valid: &[bool]) -> Self {
        let both: Vec<bool> = valid.iter().enumerate().map(|(row, is_valid)| *is_valid && self.is_valid(row)).collect();
        Self::with_validity(self.values, both)
    }

    /// An empty column for values of a type that an aggregate collects.
    #[must_use]
    pub fn empty(data_type: Type) -> Column<'static> {
        Column::new(match data_type {
            Type::Float64 | Type::Float64OrText => Values::Float64(Cow::Owned(Vec::new())),
            Type::Int64 | Type::Int64OrText => Values::Int64(Cow::Owned(Vec::new())),
            Type::Boolean => Values::Boolean(Cow::Owned(Vec::new())),
            Type::Timestamp => Values::Timestamp(Cow::Owned(Vec::new())),
            Type::Text => Values::Text(Vec::new()),
            Type::Bytes => Values::Bytes(Vec::new()),
            Type::Float64List => Values::Float64List(Vec::new()),
            Type::TextList => Values::TextList(Vec::new()),
            Type::Record(_) => Values::Record(Vec::new()),
        })
    }

    /// Adds the rows of a column of the same type; `false`, and nothing added, where it is of another.
    #[must_use]
    pub fn append(&mut self, other: &Column<'_>) -> bool {
        let before = self.len();
        match (&mut self.values, &other.values) {
            (Values::Float64(ours), Values::Float64(theirs)) => ours.to_mut().extend_from_slice(theirs),
            (Values::Int64(ours), Values::Int64(theirs)) | (Values::Timestamp(ours), Values::Timestamp(theirs)) => {
                ours.to_mut().extend_from_slice(theirs);
            }
            (Values::Boolean(ours), Values::Boolean(theirs)) => ours.to_mut().extend_from_slice(theirs),
            (Values::Text(ours), Values::Text(theirs)) => {
                ours.extend(theirs.iter().map(|text| Cow::Owned(text.clone().into_owned())));
            }
            (Values::Bytes(ours), Values::Bytes(theirs)) => {
                ours.extend(theirs.iter().map(|bytes| Cow::Owned(bytes.clone().into_owned())));
            }
            (Values::Float64List(ours), Values::Float64List(theirs)) => {
                ours.extend(theirs.iter().map(|list| Cow::Owned(list.clone().into_owned())));
            }
            (Values::TextList(ours), Values::TextList(theirs)) => ours.extend(
                theirs.iter().map(|list| list.iter().map(|text| Cow::Owned(text.clone().into_owned())).collect()),
            ),
            _ => return false,
        }
        if self.valid.is_some() || other.valid.is_some() {
            let mask = self.valid.get_or_insert_with(|| Cow::Owned(vec![true; before])).to_mut();
            match &other.valid {
                Some(valid) => mask.extend_from_slice(valid),
                None => mask.resize(before + other.len(), true),
            }
        }
        true
    }

    /// Bytes held on the heap, were everything owned.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        let mask = self.valid.as_ref().map_or(0, |valid| valid.len());
        mask + match &self.values {
            Values::Float64(values) => values.len() * size_of::<f64>(),
            Values::Int64(values) | Values::Timestamp(values) => values.len() * size_of::<i64>(),
            Values::Boolean(values) => values.len(),
            Values::Text(values) => values.iter().map(|text| size_of::<Cow<'_, str>>() + text.len()).sum(),
            Values::Bytes(values) => values.iter().map(|bytes| size_of::<Cow<'_, [u8]>>() + bytes.len()).sum(),
            Values::Float64List(values) => {
                values.iter().map(|list| size_of::<Cow<'_, [f64]>>() + size_of_val(&**list)).sum()
            }
            Values::TextList(values) => {
                values.iter().flatten().map(|text| size_of::<Cow<'_, str>>() + text.len()).sum::<usize>()
            }
            Values::Record(fields) => fields.iter().map(|(_, column)| column.heap_size()).sum(),
        }
    }

    /// The value of a row; NULL beyond the last.
    #[must_use]
    pub fn value(&self, row: usize) -> Value {
        if !self.is_valid(row) {
            return Value::Null;
        }
        let value = match &self.values {
            Values::Float64(values) => values.get(row).copied().map(Value::Float64),
            Values::Int64(values) => values.get(row).copied().map(Value::Int64),
            Values::Boolean(values) => values.get(row).copied().map(Value::Boolean),
            Values::Timestamp(values) => values.get(row).copied().map(Value::Timestamp),
            Values::Text(values) => values.get(row).map(|text| Value::Text(text.clone().into_owned())),
            Values::Bytes(values) => values.get(row).map(|bytes| Value::Bytes(bytes.to_vec())),
            Values::Float64List(values) => values.get(row).map(|list| Value::Float64List(list.to_vec())),
            Values::TextList(values) => {
                values.get(row).map(|list| Value::TextList(list.iter().map(|text| text.clone().into_owned()).collect()))
            }
            Values::Record(fields) => {
                Some(Value::Record(fields.iter().map(|(name, column)| (*name, column.value(row))).collect()))
            }
        };
        value.unwrap_or(Value::Null)
    }

    /// A column of a type from single values, or what the first value that does not fit is.
    pub fn from_values(data_type: Type, values: &[&'a Value]) -> Result<Self, String> {
        let data_type = match data_type {
            Type::Float64OrText | Type::Int64OrText if values.iter().any(|value| matches!(value, Value::Text(_))) => {
                Type::Text
            }
            Type::Float64OrText => Type::Float64,
            Type::Int64OrText => Type::Int64,
            other => other,
        };
        let valid: Vec<bool> = values.iter().map(|value| **value != Value::Null).collect();
        let values = match data_type {
            Type::Float64 | Type::Float64OrText => Values::Float64(collect(values, Value::as_float)?.into()),
            Type::Int64 | Type::Int64OrText => Values::Int64(collect(values, Value::as_int)?.into()),
            Type::Boolean => Values::Boolean(collect(values, Value::as_boolean)?.into()),
            Type::Timestamp => Values::Timestamp(collect(values, Value::as_timestamp)?.into()),
            Type::Text => Values::Text(collect(values, |v| v.as_text().map(Cow::Borrowed))?),
            Type::Bytes => Values::Bytes(collect(values, |v| v.as_bytes().map(Cow::Borrowed))?),
            Type::Float64List => Values::Float64List(collect(values, |v| v.as_floats().map(Cow::Borrowed))?),
            Type::TextList => Values::TextList(collect(values, |v| {
                v.as_texts().map(|list| list.iter().map(|t| Cow::Borrowed(t.as_str())).collect())
            })?),
            Type::Record(_) => return Err("a struct".to_owned()),
        };
        Ok(Self::with_validity(values, valid))
    }
}

fn collect<'a, T: Default + Clone>(
    values: &[&'a Value],
    read: impl Fn(&'a Value) -> Option<T>,
) -> Result<Vec<T>, String> {
    values
        .iter()
        .map(
            |value| {
                if **value == Value::Null { Ok(T::default()) } else { read(value).ok_or_else(|| value.to_string()) }
            },
        )
        .collect()
}

/// The rows in which no argument is NULL; `None` where that is all of them.
pub(super) fn all_valid(args: &[Column<'_>], rows: usize) -> Option<Vec<bool>> {
    let mut valid: Option<Vec<bool>> = None;
    for mask in args.iter().filter_map(|column| column.valid.as_ref()) {
        let valid = valid.get_or_insert_with(|| vec![true; rows]);
        if mask.len() == 1 {
            let constant = mask.first().copied().unwrap_or(false);
            if !constant {
                valid.fill(false);
            }
        } else {
            for (row, is_valid) in valid.iter_mut().zip(mask.iter()) {
                *row &= is_valid;
            }
        }
    }
    valid
}

impl From<Vec<f64>> for Column<'static> {
    fn from(values: Vec<f64>) -> Self {
        Self::new(Values::Float64(values.into()))
    }
}

impl From<Vec<i64>> for Column<'static> {
    fn from(values: Vec<i64>) -> Self {
        Self::new(Values::Int64(values.into()))
    }
}

impl From<Vec<String>> for Column<'static> {
    fn from(values: Vec<String>) -> Self {
        Self::new(Values::Text(values.into_iter().map(Cow::Owned).collect()))
    }
}

/// The values of an argument by row; a constant gives its one value for every row.
#[derive(Debug, Clone, Copy)]
pub struct Slice<'a, T> {
    values: &'a [T],
    step: usize,
}

impl<'a, T> Slice<'a, T> {
    pub(super) fn new(values: &'a [T], rows: usize) -> Self {
        Self { values, step: usize::from(values.len() == rows) }
    }

    /// The value of a row, where there is one.
    #[must_use]
    pub fn at(&self, row: usize) -> Option<&'a T> {
        self.values.get(row * self.step)
    }

    /// The one value of all rows, if it is a constant.
    #[must_use]
    pub fn constant(&self) -> Option<&'a T> {
        if self.step == 0 || self.values.len() == 1 { self.values.first() } else { None }
    }
}

impl<T: Copy + Default> Slice<'_, T> {
    /// The value of a row.
    #[must_use]
    pub fn get(&self, row: usize) -> T {
        self.at(row).copied().unwrap_or_default()
    }
}
