//! Two-sample tests and distances between a base (reference) and a study sample: one file a method, over slices.

mod kolmogorov;
pub mod ks;
pub mod psi;

pub use ks::KsTest;
pub use psi::{Psi, PsiValue};

use std::borrow::Cow;

use crate::function::{Arg, Call, Column, Error, Type, Value, Values};

/// What every test gives.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// The test's own statistic.
    pub statistic: Option<f64>,
    /// How large the difference is, whatever the sizes of the samples.
    pub effect_size: Option<f64>,
    /// How probable a statistic at least as large is when both samples come from one distribution.
    pub p_value: Option<f64>,
    /// Values of the base sample that took part.
    pub n_base: u64,
    /// Values of the study sample that took part.
    pub n_study: u64,
    /// What a reader has to know: values left out, smoothing, why there is no result.
    pub note: Option<String>,
}

/// The struct that a test returns.
pub const OUTCOME: Type = Type::Record(&[
    ("statistic", Type::Float64),
    ("effect_size", Type::Float64),
    ("p_value", Type::Float64),
    ("n_base", Type::Int64),
    ("n_study", Type::Int64),
    ("note", Type::Text),
]);

impl Outcome {
    /// An outcome without a result, and why.
    fn untestable(n_base: usize, n_study: usize, notes: &Notes) -> Self {
        Self { n_base: n_base as u64, n_study: n_study as u64, note: notes.text(), ..Self::default() }
    }

    /// As one value: what an example expects.
    fn into_value(self) -> Value {
        self.into_column().value(0)
    }

    /// As a column of one row.
    fn into_column(self) -> Column<'static> {
        fn one<T: Default>(value: Option<T>, wrap: impl Fn(Vec<T>) -> Values<'static>) -> Column<'static> {
            let valid = vec![value.is_some()];
            Column::with_validity(wrap(vec![value.unwrap_or_default()]), valid)
        }
        let float = |value| one(value, |v| Values::Float64(v.into()));
        let int = |value: u64| one(Some(value as i64), |v| Values::Int64(v.into()));
        let text = |value: Option<String>| one(value.map(Cow::Owned), Values::Text);
        Column::new(Values::Record(vec![
            ("statistic", float(self.statistic)),
            ("effect_size", float(self.effect_size)),
            ("p_value", float(self.p_value)),
            ("n_base", int(self.n_base)),
            ("n_study", int(self.n_study)),
            ("note", text(self.note)),
        ]))
    }
}

/// Remarks, collected into one note.
#[derive(Debug, Default)]
pub(crate) struct Notes(Vec<String>);

impl Notes {
    pub(crate) fn add(&mut self, note: impl Into<String>) {
        self.0.push(note.into());
    }

    pub(crate) fn text(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join("; "))
    }
}

const VALUE: Arg = Arg::new("value", Type::Float64, "the value");
const IS_BASE: Arg = Arg::new("is_base", Type::Boolean, "true in the base sample, false in the study sample");

/// The rows of a call `(value, is_base, …)`, split by sample.
#[derive(Debug)]
struct Split<T> {
    base: Vec<T>,
    study: Vec<T>,
    base_nulls: usize,
    study_nulls: usize,
    notes: Notes,
}

impl<T> Split<T> {
    fn new<'a>(call: &Call<'a>, get: impl Fn(usize) -> Option<T>) -> Result<Self, Error> {
        let is_base = call.booleans(1)?;
        let is_valid = |index: usize, row: usize| {
            call.arg(index)
                .is_some_and(|column: &'a Column<'a>| column.is_valid(if column.len() == 1 { 0 } else { row }))
        };
        let mut split =
            Self { base: Vec::new(), study: Vec::new(), base_nulls: 0, study_nulls: 0, notes: Notes::default() };
        let mut unassigned = 0_usize;
        for row in 0..call.rows() {
            if !is_valid(1, row) {
                unassigned += 1;
                continue;
            }
            let value = if is_valid(0, row) { get(row) } else { None };
            match (is_base.get(row), value) {
                (true, Some(value)) => split.base.push(value),
                (false, Some(value)) => split.study.push(value),
                (true, None) => split.base_nulls += 1,
                (false, None) => split.study_nulls += 1,
            }
        }
        if unassigned > 0 {
            split.notes.add(format!("{unassigned} rows with NULL in is_base belong to no sample"));
        }
        Ok(split)
    }
}

#[cfg(test)]
mod tests;
