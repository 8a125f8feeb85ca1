//! What the measures of quality share: their result, intervals, and rows that take no part.

use crate::bytes::{Reader, Writer};
use crate::distribution::{normal_quantile, student_quantile};
use crate::drift::Notes;
use crate::function::{Arg, BadState, Call, Column, Error, Step, Type, Value, Values};

/// The struct that a measure with an interval returns.
pub const MEASURE: Type = Type::Record(&[
    ("value", Type::Float64),
    ("low", Type::Float64),
    ("high", Type::Float64),
    ("n", Type::Int64),
    ("note", Type::Text),
]);

/// A measure with its interval.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measure {
    /// The measure of the sample.
    pub value: Option<f64>,
    /// The lower end of the interval.
    pub low: Option<f64>,
    /// The upper end of the interval.
    pub high: Option<f64>,
    /// Rows that took part.
    pub n: u64,
    /// What a reader has to know: rows left out, why there is no value or interval.
    pub note: Option<String>,
}

impl Measure {
    /// A measure of `n` rows with its interval, where it has one.
    pub(super) fn new(value: Option<f64>, interval: Option<(f64, f64)>, n: u64, notes: &Notes) -> Self {
        Self { value, low: interval.map(|i| i.0), high: interval.map(|i| i.1), n, note: notes.text() }
    }

    /// As a column of one row.
    pub(super) fn into_column(self) -> Column<'static> {
        let fields = [float(self.value), float(self.low), float(self.high), count(self.n), text(self.note)];
        record(MEASURE, &fields)
    }
}

pub(crate) fn float(value: Option<f64>) -> Value {
    value.map_or(Value::Null, Value::Float64)
}

pub(crate) fn count(value: u64) -> Value {
    Value::Int64(value as i64)
}

pub(crate) fn text(value: Option<String>) -> Value {
    value.map_or(Value::Null, Value::Text)
}

/// A column of one value of a type; NULL where the value is of another.
fn single(data_type: Type, value: &Value) -> Column<'static> {
    let null = &Value::Null;
    let mut column = Column::empty(data_type);
    for value in [value, null] {
        if Column::from_values(data_type, &[value]).is_ok_and(|one| column.append(&one)) {
            break;
        }
    }
    column
}

/// A column of one struct of a type from the values of its fields.
pub(crate) fn record(data_type: Type, values: &[Value]) -> Column<'static> {
    let Type::Record(fields) = data_type else { return Column::empty(data_type) };
    Column::new(Values::Record(
        fields.iter().zip(values).map(|((name, data_type), value)| (*name, single(*data_type, value))).collect(),
    ))
}

/// The option `confidence`.
pub(super) const CONFIDENCE: Arg =
    Arg::option("confidence", Type::Float64, "0.95", "how sure the interval is, between 0 and 1");

/// How sure an interval is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level(f64);

impl Level {
    /// The option [`CONFIDENCE`] at an index.
    pub(super) fn option(call: &Call<'_>, index: usize) -> Result<Self, Error> {
        match call.option(index) {
            None => Ok(Self(0.95)),
            Some(Value::Float64(level)) if level > 0.0 && level < 1.0 => Ok(Self(level)),
            Some(other) => Err(call.refuse(format!("`confidence` is {other}, but it has to be between 0 and 1"))),
        }
    }

    /// How many standard errors the interval reaches to each side.
    pub(super) fn z(self) -> f64 {
        self.z_among(1)
    }

    /// The same for one of several intervals that are to hold all at once (Bonferroni).
    pub(super) fn z_among(self, intervals: u64) -> f64 {
        -normal_quantile((1.0 - self.0) / 2.0 / intervals as f64)
    }

    /// The same where the standard error is estimated with so many degrees of freedom.
    pub(super) fn t(self, freedom: f64) -> f64 {
        -student_quantile((1.0 - self.0) / 2.0, freedom)
    }
}

/// Wilson's interval for the proportion `successes / n`.
pub(super) fn wilson(successes: f64, n: f64, z: f64) -> (f64, f64) {
    let (p, square) = (successes / n, z * z);
    let middle = (p + square / (2.0 * n)) / (1.0 + square / n);
    let half = z / (1.0 + square / n) * (p * (1.0 - p) / n + square / (4.0 * n * n)).sqrt();
    let low = if successes <= 0.0 { 0.0 } else { (middle - half).max(0.0) };
    let high = if successes >= n { 1.0 } else { (middle + half).min(1.0) };
    (low, high)
}

/// A value and its interval, where there are such.
pub(super) type Estimate = (Option<f64>, Option<(f64, f64)>);

/// A proportion with Wilson's interval; `None` of nothing.
pub(super) fn proportion(successes: u64, n: u64, level: Level) -> Estimate {
    if n == 0 {
        return (None, None);
    }
    let (successes, n) = (successes as f64, n as f64);
    (Some(successes / n), Some(wilson(successes, n, level.z())))
}

/// "1 row", "7 rows".
pub(super) fn rows(n: u64) -> String {
    if n == 1 { "1 row".to_owned() } else { format!("{n} rows") }
}

/// The note of a measure of nothing.
pub(super) const NO_ROWS: &str = "there is no row to measure";

/// Rows that take no part.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LeftOut {
    pub(super) nulls: u64,
    /// Rows with a value that the measure is not defined for.
    pub(super) unusable: u64,
}

impl LeftOut {
    /// Says how many, `unusable` being what is the matter with the second kind.
    pub(super) fn note(self, notes: &mut Notes, unusable: &str) {
        for (n, what) in [(self.nulls, "with NULL"), (self.unusable, unusable)] {
            if n > 0 {
                notes.add(format!("{} {what} left out", rows(n)));
            }
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.nulls += other.nulls;
        self.unusable += other.unusable;
    }

    pub(super) fn write(self, out: &mut Writer) {
        out.u64(self.nulls).u64(self.unusable);
    }

    pub(super) fn read(bytes: &mut Reader<'_>) -> Result<Self, BadState> {
        Ok(Self { nulls: bytes.u64()?, unusable: bytes.u64()? })
    }
}

/// What is the matter with a probability that is left out.
pub(super) const NO_PROBABILITY: &str = "whose probability is not from 0 to 1";

pub(super) const LABEL: Arg = Arg::new("label", Type::Boolean, "what was true");
pub(super) const SCORE: Arg = Arg::new("score", Type::Float64, "how likely the model held it to be, on any scale");
pub(super) const PROBABILITY: Arg = Arg::new("probability", Type::Float64, "the predicted probability, from 0 to 1");

/// Calls `take` with each row of `(label BOOLEAN, x DOUBLE, …)` that has no NULL; it says whether it can use `x`. The others
/// are counted, as rows that come or go.
pub(super) fn each_labelled(
    call: &Call<'_>,
    step: Step,
    left_out: &mut LeftOut,
    mut take: impl FnMut(bool, f64) -> bool,
) -> Result<(), Error> {
    let (label, x) = (call.booleans(0)?, call.floats(1)?);
    for row in 0..call.rows() {
        if !(call.is_given(0, row) && call.is_given(1, row)) {
            step.count(&mut left_out.nulls);
        } else if !take(label.get(row), x.get(row)) {
            step.count(&mut left_out.unusable);
        }
    }
    Ok(())
}

/// Rows of one score: how many are true, and how many are not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tie {
    pub(super) score: f64,
    pub(super) positives: u64,
    pub(super) negatives: u64,
}

impl Tie {
    pub(super) fn n(self) -> u64 {
        self.positives + self.negatives
    }
}

/// The rows of a call `(label, score, …)` by score, the highest first, without those that `usable` refuses.
pub(super) fn ranked(
    call: &Call<'_>,
    usable: impl Fn(f64) -> bool,
    unusable: &str,
) -> Result<(Vec<Tie>, Notes), Error> {
    let (mut left_out, mut notes, mut scored) = (LeftOut::default(), Notes::default(), Vec::new());
    each_labelled(call, Step::Add, &mut left_out, |label, score| {
        let is_usable = usable(score);
        if is_usable {
            // One zero.
            scored.push((score + 0.0, label));
        }
        is_usable
    })?;
    left_out.note(&mut notes, unusable);
    scored.sort_unstable_by(|a: &(f64, bool), b| b.0.total_cmp(&a.0));
    Ok((ties(scored), notes))
}

/// Rows in the order of their scores, those of one score together.
pub(super) fn ties(scored: impl IntoIterator<Item = (f64, bool)>) -> Vec<Tie> {
    let mut ties: Vec<Tie> = Vec::new();
    for (score, label) in scored {
        let (positives, negatives) = (u64::from(label), u64::from(!label));
        match ties.last_mut() {
            Some(tie) if tie.score.to_bits() == score.to_bits() => {
                tie.positives += positives;
                tie.negatives += negatives;
            }
            _ => ties.push(Tie { score, positives, negatives }),
        }
    }
    ties
}

/// [`ranked`] by any score that is a number.
pub(super) fn ranked_by_score(call: &Call<'_>) -> Result<(Vec<Tie>, Notes), Error> {
    ranked(call, |score| !score.is_nan(), "with NaN in score")
}

/// How many rows are true, and how many are not.
pub(super) fn totals(ties: &[Tie]) -> (u64, u64) {
    ties.iter().fold((0, 0), |(positives, negatives), tie| (positives + tie.positives, negatives + tie.negatives))
}

/// Rows of two arguments, for examples.
pub(super) fn pairs<A: Copy + Into<Value>, B: Copy + Into<Value>>(rows: &[(A, B)]) -> Vec<Vec<Value>> {
    rows.iter().map(|(a, b)| vec![(*a).into(), (*b).into()]).collect()
}
