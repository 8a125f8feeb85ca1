//! Detectors of a change in a stream: one file a detector, which the SQL functions of its name run over a window and
//! components feed value by value.

mod adwin;
mod cusum;
mod ddm;
mod eddm;
mod kswin;
mod page_hinkley;

pub use adwin::{Adwin, AdwinDetector, AdwinOptions};
pub use cusum::{Cusum, CusumDetector, CusumOptions};
pub use ddm::{Ddm, DdmDetector, DdmOptions};
pub use eddm::{Eddm, EddmDetector, EddmOptions};
pub use kswin::{Kswin, KswinDetector, KswinOptions};
pub use page_hinkley::{PageHinkley, PageHinkleyDetector, PageHinkleyMode, PageHinkleyOptions};

use crate::function::{Arg, BadState, Call, Column, Error, Type, Value, Values};

/// What a detector says after a value.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Verdict {
    /// A change was detected at this value; the detector starts anew with the next one.
    pub drift: bool,
    /// A change may be under way. Always false for a detector without a warning zone.
    pub warning: bool,
    /// What the detector watches; none where it does not know it yet.
    pub statistic: Option<f64>,
}

/// A detector: its options and all it remembers of the stream.
pub trait Detector: Sized {
    /// Reads one finite value.
    fn advance(&mut self, value: f64) -> Verdict;

    /// Options and memory: [`Detector::from_bytes`] continues the stream from them.
    fn to_bytes(&self) -> Vec<u8>;

    /// The detector that [`Detector::to_bytes`] wrote.
    fn from_bytes(bytes: &[u8]) -> Result<Self, BadState>;

    /// Reads one value. A NaN or infinity leaves the detector as it was and has no verdict.
    fn update(&mut self, value: f64) -> Option<Verdict> {
        value.is_finite().then(|| self.advance(value))
    }
}

/// The struct of a detector for each row.
pub const DRIFT: Type = Type::Record(&[("drift", Type::Boolean), ("statistic", Type::Float64)]);

/// The struct of a detector with a warning zone for each row.
pub const DRIFT_AND_WARNING: Type =
    Type::Record(&[("drift", Type::Boolean), ("warning", Type::Boolean), ("statistic", Type::Float64)]);

const VALUE: Arg = Arg::new("value", Type::Float64, "the value, in the order of the stream");
const ERROR: Arg = Arg::new("error", Type::Boolean, "whether the prediction was wrong, in the order of the stream");

/// The verdicts of a detector on the rows of a call whose first argument is the stream, as a column of type `returns`.
fn run(call: &Call<'_>, mut detector: impl Detector, returns: Type) -> Result<Column<'static>, Error> {
    let is_binary = call.arg(0).is_some_and(|column| column.values.data_type() == Type::Boolean);
    let verdicts: Vec<Option<Verdict>> = if is_binary {
        let errors = call.booleans(0)?;
        let value = |row| if errors.get(row) { 1.0 } else { 0.0 };
        (0..call.rows()).map(|row| call.is_given(0, row).then(|| detector.update(value(row))).flatten()).collect()
    } else {
        let values = call.floats(0)?;
        (0..call.rows()).map(|row| call.is_given(0, row).then(|| detector.update(values.get(row))).flatten()).collect()
    };
    let flags = |flag: fn(&Verdict) -> bool| {
        let flags: Vec<bool> = verdicts.iter().map(|verdict| verdict.as_ref().is_some_and(flag)).collect();
        Column::new(Values::Boolean(flags.into()))
    };
    let statistics: Vec<Option<f64>> = verdicts.iter().map(|verdict| verdict.and_then(|v| v.statistic)).collect();
    let known: Vec<bool> = statistics.iter().map(Option::is_some).collect();
    let statistics: Vec<f64> = statistics.into_iter().map(Option::unwrap_or_default).collect();
    let mut fields = vec![("drift", flags(|verdict| verdict.drift))];
    if returns == DRIFT_AND_WARNING {
        fields.push(("warning", flags(|verdict| verdict.warning)));
    }
    fields.push(("statistic", Column::with_validity(Values::Float64(statistics.into()), known)));
    let read: Vec<bool> = verdicts.iter().map(Option::is_some).collect();
    Ok(Column::with_validity(Values::Record(fields), read))
}

/// A float option that is valid, or an error that tells the range.
fn float_option(
    call: &Call<'_>,
    index: usize,
    (name, default): (&str, f64),
    is_valid: impl Fn(f64) -> bool,
    range: &str,
) -> Result<f64, Error> {
    match call.option(index) {
        None => Ok(default),
        Some(Value::Float64(value)) if is_valid(value) => Ok(value),
        Some(other) => Err(call.refuse(format!("`{name}` is {other}, but it has to be {range}"))),
    }
}

/// A whole option from `least` to a million.
fn count_option(call: &Call<'_>, index: usize, (name, default): (&str, u64), least: u64) -> Result<u64, Error> {
    const MOST: u64 = 1_000_000;
    match call.option(index) {
        None => Ok(default),
        Some(Value::Int64(value)) if u64::try_from(value).is_ok_and(|n| (least..=MOST).contains(&n)) => {
            Ok(value as u64)
        }
        Some(other) => Err(call.refuse(format!("`{name}` is {other}, but it has to be from {least} to {MOST}"))),
    }
}

#[cfg(test)]
mod tests;
