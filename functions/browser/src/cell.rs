//! A value as JavaScript has it.

/// One JavaScript value, of those that a row or an argument may hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// `null` or `undefined`.
    Null,
    /// A number, NaN and infinities included.
    Number(f64),
    /// A `BigInt` within 64 bits.
    Integer(i64),
    /// A truth value.
    Boolean(bool),
    /// Text.
    Text(String),
    /// A `Date`, in milliseconds since 1970.
    Date(f64),
    /// An array.
    List(Vec<Cell>),
    /// An object: the result of an aggregate.
    Record(Vec<(&'static str, Cell)>),
}

/// The largest integer up to which every integer is a number of JavaScript.
const SAFE: i64 = 9_007_199_254_740_991;

impl Cell {
    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Number(_) => "a number",
            Self::Integer(_) => "a BigInt",
            Self::Boolean(_) => "a boolean",
            Self::Text(_) => "a string",
            Self::Date(_) => "a Date",
            Self::List(_) => "an array",
            Self::Record(_) => "an object",
        }
    }

    /// As a float: a number, an integer, or the texts by which JSON says NaN and infinities.
    pub fn to_float(&self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(*value),
            Self::Integer(value) => Some(*value as f64),
            Self::Text(text) => match text.as_str() {
                "NaN" => Some(f64::NAN),
                "Infinity" => Some(f64::INFINITY),
                "-Infinity" => Some(f64::NEG_INFINITY),
                _ => None,
            },
            _ => None,
        }
    }

    /// As an integer: a `BigInt`, or a number that is whole and exact.
    pub fn to_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            Self::Number(value) if value.abs() <= SAFE as f64 && value.fract() == 0.0 => Some(*value as i64),
            _ => None,
        }
    }

    /// An integer as a number where that is exact, else as a `BigInt`.
    pub fn from_integer(value: i64) -> Self {
        if value.unsigned_abs() <= SAFE.unsigned_abs() { Self::Number(value as f64) } else { Self::Integer(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_keep_every_digit() {
        assert_eq!(Cell::from_integer(SAFE), Cell::Number(SAFE as f64));
        assert_eq!(Cell::from_integer(SAFE + 1), Cell::Integer(SAFE + 1));
        assert_eq!(Cell::from_integer(i64::MIN), Cell::Integer(i64::MIN));
        assert_eq!(Cell::Number(3.0).to_integer(), Some(3));
        for not_whole in [3.5, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(Cell::Number(not_whole).to_integer(), None, "{not_whole}");
        }
    }

    #[test]
    fn json_has_words_for_what_its_numbers_lack() {
        assert!(Cell::Text("NaN".into()).to_float().is_some_and(f64::is_nan));
        assert_eq!(Cell::Text("-Infinity".into()).to_float(), Some(f64::NEG_INFINITY));
        assert_eq!(Cell::Text("12".into()).to_float(), None, "text is not read as a number");
    }
}
