//! The profile of a column.

use std::borrow::Cow;

use super::{Profile, Values as Held};
use crate::function::{Arg, BadState, Call, Column, Error, Example, State, Tolerance, Type, Value, Values, define};

define! {
    /// `ml_profile(x)`.
    pub struct MlProfile {
        name: "ml_profile",
        kind: Aggregate,
        section: Profiles,
        args: &[Arg::new("x", Type::Float64OrText, "the value: a number, or a category")],
        returns: Type::Bytes,
        short: "The distribution of a column as a value that can be kept, merged and compared.",
        long: include_str!("ml_profile.md"),
        examples: vec![
            Example { rows: [1.0, 2.0, 2.0].map(|x| vec![x.into()]).into(), returns: numbers() },
            Example { rows: vec![vec!["SEA".into()], vec![Value::Null], vec!["SEA".into()]], returns: texts() },
        ],
        tolerance: Tolerance::Exact,
        state: |_options| Ok(Some(Box::new(Profile::new()))),
    }
}

/// The profile of 1, 2 and 2.
pub(super) fn numbers() -> Value {
    Value::Bytes(b"SKWP\x01\x01\x07\x01\x03\x00\x00\x00\x00\x00\x02\x08\x02\x00\x34\xfe\x0f\x01\x00\x02".to_vec())
}

/// The profile of `SEA`, NULL and `SEA`.
pub(super) fn texts() -> Value {
    Value::Bytes(b"SKWP\x01\x01\x04\x02\x03\x01\x00\x05\x07\x01\x00\x06SEA\x02".to_vec())
}

/// A column of one row of bytes.
pub(super) fn bytes(profile: &Profile) -> Column<'static> {
    Column::new(Values::Bytes(vec![Cow::Owned(profile.to_bytes())]))
}

impl State for Profile {
    fn update(&mut self, call: &Call<'_>) -> Result<(), Error> {
        let result = if let Ok(texts) = call.texts(0) {
            let given = |row| call.is_given(0, row).then(|| texts.at(row)).flatten();
            self.update_texts((0..call.rows()).map(|row| given(row).map(AsRef::as_ref)))
        } else {
            let numbers = call.floats(0)?;
            match call.arg(0).map(|column| (&column.values, column.valid.as_deref())) {
                Some((Values::Float64(values), valid)) if values.len() == call.rows() => {
                    Self::update(self, values, valid)
                }
                // A constant.
                _ => (0..call.rows())
                    .try_for_each(|row| Self::update(self, &[numbers.get(row)], Some(&[call.is_given(0, row)]))),
            }
        };
        result.map_err(|error| call.refuse(error.to_string()))
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<(), BadState> {
        let other = Self::read(bytes).map_err(|_| BadState)?;
        Self::merge(self, &other).map_err(|_| BadState)
    }

    fn to_bytes(&self) -> Vec<u8> {
        Self::to_bytes(self)
    }

    fn finish(&self) -> Result<Column<'static>, Error> {
        Ok(bytes(self))
    }

    fn heap_size(&self) -> usize {
        Self::heap_size(self)
    }
}

impl Profile {
    /// The profile in the argument of a call, or why it is none.
    pub(super) fn from_argument(name: &str, bytes: &[u8]) -> Result<Self, String> {
        Self::read(bytes).map_err(|error| {
            let start = Value::Bytes(bytes.iter().take(8).copied().collect());
            format!("`{name}` is {} bytes that start with {start}: {error}", bytes.len())
        })
    }

    /// What it holds, as a noun.
    pub(super) fn kind_name(&self) -> &'static str {
        match self.values {
            Held::Undecided => "undecided",
            Held::Numbers(_) => "numbers",
            Held::Texts(_) => "texts",
        }
    }
}
