//! Two-sample tests and distances between a base (reference) and a study sample: one file a method, over slices.

pub mod anderson_darling;
pub(crate) mod cells;
pub mod chi_square;
pub mod chi_square_gof;
pub mod cramer_von_mises;
pub mod cramers_v;
pub mod energy;
pub mod epps_singleton;
pub mod fisher_exact;
pub mod g_test;
pub mod hellinger_distance;
pub mod js_distance;
pub mod kl_divergence;
mod kolmogorov;
pub mod ks;
pub mod kuiper;
pub mod l_infinity_distance;
pub mod mann_whitney;
pub mod mmd;
pub mod psi;
mod rank;
mod samples;
pub(crate) mod smoothing;
pub mod total_variation_distance;
pub mod two_proportion_z;
pub mod wasserstein;
pub mod welch;

pub use anderson_darling::AndersonDarlingTest;
pub use chi_square::ChiSquareTest;
pub use chi_square_gof::ChiSquareGofTest;
pub use cramer_von_mises::CramerVonMisesTest;
pub use cramers_v::{CramersV, CramersVValue};
pub use energy::{EnergyDistance, EnergyDistanceValue};
pub use epps_singleton::EppsSingletonTest;
pub use fisher_exact::FisherExactTest;
pub use g_test::GTest;
pub use hellinger_distance::{HellingerDistance, HellingerDistanceValue};
pub use js_distance::{JsDistance, JsDistanceValue};
pub use kl_divergence::{KlDivergence, KlDivergenceValue};
pub use ks::KsTest;
pub use kuiper::KuiperTest;
pub use l_infinity_distance::{LInfinityDistance, LInfinityDistanceValue};
pub use mann_whitney::MannWhitneyTest;
pub use mmd::MmdTest;
pub use psi::{Psi, PsiValue};
pub use rank::{Given, RankPass, RankPassError, RankTest};
pub use total_variation_distance::{TotalVariationDistance, TotalVariationDistanceValue};
pub use two_proportion_z::TwoProportionZTest;
pub use wasserstein::{WassersteinDistance, WassersteinDistanceValue};
pub use welch::WelchTTest;

use std::borrow::Cow;

use samples::Finding;

use crate::function::{Arg, Call, Column, Error, Example, Type, Value, Values};

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
    /// The outcome of a comparison, or of none and why.
    fn of(finding: Result<Finding, String>, (n_base, n_study): (u64, u64), mut notes: Notes) -> Self {
        let (statistic, effect_size, p_value) = match finding {
            Ok(finding) => (Some(finding.statistic), finding.effect_size, finding.p_value),
            Err(reason) => {
                notes.add(reason);
                (None, None, None)
            }
        };
        Self { statistic, effect_size, p_value, n_base, n_study, note: notes.text() }
    }

    /// The statistic alone, as a column of one row.
    fn into_statistic(self) -> Column<'static> {
        let valid = vec![self.statistic.is_some()];
        Column::with_validity(Values::Float64(vec![self.statistic.unwrap_or_default()].into()), valid)
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

    /// Counts the NULLs and NaNs of a sample that lack what is compared.
    fn left_out(&mut self, (nulls, nans): (u64, u64), sample: &str, lack: &str) {
        if nulls + nans > 0 {
            self.add(format!("{nulls} NULL and {nans} NaN of the {sample} sample have no {lack} and are left out"));
        }
    }

    /// Counts the rows that belong to no sample.
    fn unassigned(&mut self, rows: usize) {
        if rows > 0 {
            self.add(format!("{rows} rows with NULL in is_base belong to no sample"));
        }
    }

    pub(crate) fn text(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join("; "))
    }
}

const VALUE: Arg = Arg::new("value", Type::Float64, "the value");
const IS_BASE: Arg = Arg::new("is_base", Type::Boolean, "true in the base sample, false in the study sample");
const TWO_SAMPLES: &[Arg] = &[VALUE, IS_BASE];

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
    fn new(call: &Call<'_>, get: impl Fn(usize) -> Option<T>) -> Result<Self, Error> {
        let mut split =
            Self { base: Vec::new(), study: Vec::new(), base_nulls: 0, study_nulls: 0, notes: Notes::default() };
        let unassigned = each_row(call, |is_base, row| match (is_base, row.and_then(&get)) {
            (true, Some(value)) => split.base.push(value),
            (false, Some(value)) => split.study.push(value),
            (true, None) => split.base_nulls += 1,
            (false, None) => split.study_nulls += 1,
        })?;
        split.notes.unassigned(unassigned);
        Ok(split)
    }
}

/// Tells of each row of a call `(value, is_base, …)` whether it is of the base, and which it is, unless its value is NULL;
/// gives how many rows belong to no sample.
fn each_row(call: &Call<'_>, mut tell: impl FnMut(bool, Option<usize>)) -> Result<usize, Error> {
    let is_base = call.booleans(1)?;
    let mut unassigned = 0;
    for row in 0..call.rows() {
        if call.is_given(1, row) {
            tell(is_base.get(row), call.is_given(0, row).then_some(row));
        } else {
            unassigned += 1;
        }
    }
    Ok(unassigned)
}

/// A call whose base and study samples have so many of each category.
fn counts(categories: &[(&str, usize, usize)], returns: Value) -> Example {
    let sample = |is_base: bool| {
        categories.iter().flat_map(move |(category, base, study)| {
            let times = if is_base { *base } else { *study };
            std::iter::repeat_n(vec![Value::from(*category), is_base.into()], times)
        })
    };
    Example { rows: sample(true).chain(sample(false)).collect(), returns }
}

/// Of the examples: the counts of two categories in the base and in the study sample.
const SHIFT: &[(&str, usize, usize)] = &[("a", 3, 1), ("b", 1, 3)];

/// What a test gives of [`SHIFT`].
fn shift(statistic: f64, effect_size: f64, p_value: f64) -> Example {
    let outcome = Outcome {
        statistic: Some(statistic),
        effect_size: Some(effect_size),
        p_value: Some(p_value),
        n_base: 4,
        n_study: 4,
        note: Some("expected counts below 5 in 2 of 2 cells: the p-value is approximate".to_owned()),
    };
    counts(SHIFT, outcome.into_value())
}

#[cfg(test)]
mod tests;
