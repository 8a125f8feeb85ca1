//! Every column of two samples compared: which test fits it, and which of many tests found drift.
//!
//! [`compare`] tests one column from its two profiles, [`decide`] corrects for how many tests there were; [`Limit`] is a
//! promise on one column. SQL's `ml_validate_drift` and `ml_validate_data`, the browser and components call them.
//! [`needs_rows`] tells which tests a second pass over the rows has to make first, where exact ones are asked for.

mod categorical;
mod column;
mod limit;
mod multiple;
mod rank;
pub mod slices;

use serde::{Deserialize, Serialize};

pub use column::compare;
pub use limit::{Judgement, Limit};
pub use multiple::decide;
pub use rank::needs_rows;

/// The names of what can be asked for; `auto` is the test that fits the column.
pub const METRICS: &[&str] = &[
    "auto",
    "ks",
    "chi_square",
    "psi",
    "js",
    "hellinger",
    "total_variation",
    "wasserstein",
    "welch_t",
    "missing",
    "mann_whitney",
    "cramer_von_mises",
    "anderson_darling",
    "kuiper",
    "energy",
];

/// Those among [`METRICS`] that only the values themselves tell, and profiles do not: they need [`Options::exact`].
pub const EXACT_ONLY: &[&str] = &["mann_whitney", "cramer_von_mises", "anderson_darling", "kuiper", "energy"];

/// How p-values are corrected for the number of tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Correction {
    /// The share of false alarms among all alarms stays below alpha (Benjamini and Hochberg, 1995).
    #[default]
    BenjaminiHochberg,
    /// The same however the tests depend on each other (Benjamini and Yekutieli, 2001).
    BenjaminiYekutieli,
    /// The chance of any false alarm stays below alpha (Holm, 1979).
    Holm,
    /// The same, each p-value times the number of tests.
    Bonferroni,
    /// Each test by itself.
    None,
}

impl Correction {
    /// All of them, by name.
    pub const ALL: [(&str, Self); 5] = [
        ("benjamini_hochberg", Self::BenjaminiHochberg),
        ("benjamini_yekutieli", Self::BenjaminiYekutieli),
        ("holm", Self::Holm),
        ("bonferroni", Self::Bonferroni),
        ("none", Self::None),
    ];

    /// The correction of a name, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, correction)| *correction)
    }
}

/// What is tested, and how sure it has to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Names out of [`METRICS`]; none stands for `auto`.
    pub metrics: Vec<String>,
    /// The rate of false alarms that is accepted.
    pub alpha: f64,
    /// How p-values are corrected for the number of tests.
    pub correction: Correction,
    /// Drift with an effect below this is not reported as such: at millions of rows every difference is significant.
    pub min_effect: f64,
    /// Whether the tests and distances of ranks are of the values themselves, in order, where profiles do not hold them.
    pub exact: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { metrics: Vec::new(), alpha: 0.05, correction: Correction::default(), min_effect: 0.0, exact: false }
    }
}

/// One test of one column.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Finding {
    /// The column.
    pub feature: String,
    /// What was computed; `None` where nothing could be.
    pub metric: Option<String>,
    /// The metric's own statistic.
    pub statistic: Option<f64>,
    /// How large the difference is, whatever the sizes of the samples; see the metric.
    pub effect_size: Option<f64>,
    /// The p-value; where a sketch bounds it, the upper bound.
    pub p_value: Option<f64>,
    /// The p-value corrected for the number of tests.
    pub p_adjusted: Option<f64>,
    /// What `p_adjusted` has to be at most for drift.
    pub threshold: Option<f64>,
    /// Whether the column drifts; `None` where there is no p-value to say so.
    pub is_drift: Option<bool>,
    /// Rows of the base sample.
    pub n_base: u64,
    /// Rows of the study sample.
    pub n_study: u64,
    /// What a reader has to know: why there is no result, what was merged or left out.
    pub note: Option<String>,
}

impl Finding {
    /// A column that cannot be tested, and why.
    #[must_use]
    pub fn untestable(feature: &str, reason: &str) -> Self {
        Self { feature: feature.to_owned(), note: Some(reason.to_owned()), ..Self::default() }
    }
}

#[cfg(test)]
mod tests;
