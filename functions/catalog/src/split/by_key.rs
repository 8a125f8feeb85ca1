use std::borrow::Cow;

use super::{Fractions, place};
use crate::function::{Arg, Call, Column, Error, Example, Function, Slice, Tolerance, Type, Value, Values};

/// `split(key, train, validation, test, seed)`, which everybody calls `ml_split`.
pub struct Split;

impl Function for Split {
    fn name(&self) -> &'static str {
        "split"
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            Arg::new("key", Type::Int64OrText, "what stays together: rows of one key are in one split"),
            Arg::new("train", Type::Float64, "the share of the keys in 'train', from 0 to 1"),
            Arg::new("validation", Type::Float64, "the share in 'validation'; 0 for none"),
            Arg::new("test", Type::Float64, "the share in 'test'; the three have the sum 1"),
            Arg::option("seed", Type::Int64OrText, "''", "another seed deals the keys out anew"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Text
    }

    fn short(&self) -> &'static str {
        "The split that a key is in: 'train', 'validation' or 'test'"
    }

    fn long(&self) -> &'static str {
        include_str!("by_key.md")
    }

    fn examples(&self) -> Vec<Example> {
        let call = |key: Value, seed: Value| [key, 0.8.into(), 0.1.into(), 0.1.into(), seed];
        vec![
            Example::scalar(["N14228".into(), 0.8.into(), 0.1.into(), 0.1.into()], "test"),
            Example::scalar(call("N14228".into(), 42_i64.into()), "train"),
            Example::scalar(call(1_545_i64.into(), "2024".into()), "validation"),
        ]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Exact
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let shares = [call.floats(1)?, call.floats(2)?, call.floats(3)?];
        let key = Texts::of(call, 0)?;
        let seed = call.arg(4).map(|_| Texts::of(call, 4)).transpose()?;
        let constant = match shares.map(|share| share.constant().copied()) {
            [Some(train), Some(validation), Some(test)] if (0..call.rows()).any(|row| call.is_valid(row)) => {
                Some(Fractions::new([train, validation, test]).map_err(|reason| call.refuse(reason))?)
            }
            _ => None,
        };
        let splits = call.map(|row| {
            let fractions = match constant {
                Some(fractions) => fractions,
                None => Fractions::new(shares.map(|share| share.get(row)))?,
            };
            let seed = seed.as_ref().map_or(Cow::Borrowed(""), |seed| seed.at(row));
            Ok(fractions.name_of(place(&seed, &key.at(row))))
        })?;
        Ok(Column::new(Values::Text(splits.into_iter().map(Cow::Borrowed).collect())))
    }
}

/// Integers, as their decimal digits, or texts.
enum Texts<'a> {
    Int64(Slice<'a, i64>),
    Text(Slice<'a, Cow<'a, str>>),
}

impl<'a> Texts<'a> {
    fn of(call: &Call<'a>, index: usize) -> Result<Self, Error> {
        match call.arg(index).map(|column| &column.values) {
            Some(Values::Int64(_)) => call.ints(index).map(Self::Int64),
            _ => call.texts(index).map(Self::Text),
        }
    }

    fn at(&self, row: usize) -> Cow<'a, str> {
        match self {
            Self::Int64(values) => Cow::Owned(values.get(row).to_string()),
            Self::Text(values) => values.at(row).map_or(Cow::Borrowed(""), |text| Cow::Borrowed(&**text)),
        }
    }
}
