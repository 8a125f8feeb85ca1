//! A limit on drift: what a contract promises of a column, against a base that it keeps as a profile.

use serde::{Deserialize, Serialize};

use super::Options;
use super::column::{few_values, missing, untestable};
use super::{EXACT_ONLY, METRICS, categorical};
use crate::drift::Outcome;
use crate::drift::cells::ONE_CELL;
use crate::profile::verdict::{Finding, compare};
use crate::profile::{Metric, Profile, table};
use crate::suggest::did_you_mean;

/// How far a column may drift from its base: the effect size stays below a limit, or what is seen is chance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// One of [`METRICS`] but not of [`EXACT_ONLY`]; `auto` takes the test that fits both samples, as [`compare`](super::compare) does, but for the
    /// test of missing values.
    pub metric: String,
    /// What the effect size has to stay below, in the metric's own unit.
    pub effect: f64,
    /// The rate of false alarms that is accepted.
    pub alpha: f64,
}

impl Default for Limit {
    fn default() -> Self {
        Self { metric: "auto".to_owned(), effect: 0.0, alpha: Options::default().alpha }
    }
}

/// Whether a limit is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// `None` where the profiles cannot decide, or nothing can be tested.
    pub is_kept: Option<bool>,
    /// What was found, or why nothing could be: the metric, its effect and p-value, and how many values took part.
    pub reason: String,
}

impl Limit {
    /// The same limit, checked: an unknown metric, an effect that is not positive and finite, and an `alpha` outside 0 to
    /// 1 are refused.
    pub fn checked(self) -> Result<Self, String> {
        let known: Vec<&str> = METRICS.iter().copied().filter(|metric| !EXACT_ONLY.contains(metric)).collect();
        if !known.contains(&self.metric.as_str()) {
            let hint = did_you_mean(&self.metric, known.iter().copied());
            return Err(format!(
                "there is no metric `{}` of profiles{hint}; there are {}",
                self.metric,
                known.join(", ")
            ));
        }
        if !(self.effect > 0.0 && self.effect.is_finite()) {
            return Err(format!("the limit is {}, but an effect stays below a positive number", self.effect));
        }
        if !(self.alpha > 0.0 && self.alpha < 1.0) {
            return Err(format!("alpha is {}, but it has to be between 0 and 1", self.alpha));
        }
        Ok(self)
    }

    /// Compares a study sample with the base.
    ///
    /// The limit is broken where both are sure, whatever the profiles leave open: that the p-value is at most `alpha`, and
    /// that the effect is at least the limit. It is kept where either is surely not so.
    #[must_use]
    pub fn check(&self, base: &Profile, study: &Profile) -> Judgement {
        if let Some(reason) = untestable(base, study) {
            return Judgement { is_kept: None, reason };
        }
        let (metric, finding, n, note) = self.test(base, study);
        let Some(finding) = finding else {
            return Judgement { is_kept: None, reason: note.unwrap_or_default() };
        };
        let (low, high) = effect(&finding);
        let is_kept = match finding.p {
            Some((p_low, _)) if p_low > self.alpha => Some(true),
            _ if high.is_some_and(|high| high < self.effect) => Some(true),
            Some((_, p_high)) if p_high <= self.alpha && low.is_some_and(|low| low >= self.effect) => Some(false),
            _ => None,
        };
        let range = |low: String, high: String| if low == high { low } else { format!("{low} to {high}") };
        let found = match (low, high) {
            (Some(low), Some(high)) => range(format!("{low:.4}"), format!("{high:.4}")),
            _ => "unknown".to_owned(),
        };
        let p =
            finding.p.map_or("unknown".to_owned(), |(low, high)| range(format!("{low:.2e}"), format!("{high:.2e}")));
        let open = if is_kept.is_none() { "undecidable from profiles: " } else { "" };
        let mut reason = format!(
            "{open}{metric} effect {found} (limit {}), p-value {p} (alpha {}), {} base and {} study values",
            self.effect, self.alpha, n.0, n.1
        );
        if let (None, Some(note)) = (is_kept, note) {
            reason.push_str("; ");
            reason.push_str(&note);
        }
        Judgement { is_kept, reason }
    }

    fn test(&self, base: &Profile, study: &Profile) -> (&str, Option<Finding>, (u64, u64), Option<String>) {
        let of_cells = |name, outcome: Outcome| {
            let n = (outcome.n_base, outcome.n_study);
            let finding = outcome.statistic.zip(outcome.effect_size).zip(outcome.p_value);
            let finding = match finding {
                // A test needs two cells, but samples of one value are the same.
                None if outcome.note.as_deref() == Some(ONE_CELL) => Some(Finding::exact(0.0, 0.0, 1.0)),
                found => found.map(|((statistic, effect), p)| Finding::exact(statistic, effect, p)),
            };
            (name, finding, n, outcome.note)
        };
        let fitting = match self.metric.as_str() {
            "auto" if base.is_of_texts() || study.is_of_texts() => Some(table(base, study)),
            "auto" => few_values(base, study),
            "chi_square" => Some(table(base, study)),
            "missing" => return of_cells("missing", missing(base, study)),
            _ => None,
        };
        if let Some(table) = fitting {
            return of_cells("chi_square", categorical::test(table));
        }
        // A name that is none was refused by `checked`.
        let metric = Metric::of(&self.metric).unwrap_or(Metric::Ks);
        let verdict = compare(metric, base, study, self.alpha);
        (metric.name(), verdict.finding, verdict.n, verdict.notes.text())
    }
}

/// Between what the size of an effect lies: as the statistic, in the effect's own unit.
fn effect(finding: &Finding) -> (Option<f64>, Option<f64>) {
    let Some(effect) = finding.effect_size else { return (None, None) };
    let at = |bound: f64| {
        if bound.total_cmp(&finding.statistic).is_eq() {
            Some(effect.abs())
        } else if finding.statistic == 0.0 {
            None
        } else {
            Some((effect * bound / finding.statistic).abs())
        }
    };
    (at(finding.low), at(finding.high))
}
