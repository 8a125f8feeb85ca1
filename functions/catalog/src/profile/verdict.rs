//! Two profiles compared: a statistic between its bounds, and the p-values that follow.

use super::Profile;
use super::cells::table;
use super::ecdf::{area, steps};
use super::numeric::Numeric;
use super::permutation::area_p_value;
use crate::distribution::student_two_sided;
use crate::drift::smoothing::Smoothing;
use crate::drift::{Notes, chi_square, hellinger_distance, js_distance, ks, psi, total_variation_distance};
use crate::suggest::did_you_mean;

/// How two profiles are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Metric {
    #[default]
    Psi,
    Ks,
    ChiSquare,
    JensenShannon,
    Hellinger,
    TotalVariation,
    Wasserstein,
    WelchT,
}

impl Metric {
    pub(crate) const ALL: [(&'static str, Self); 8] = [
        ("psi", Self::Psi),
        ("ks", Self::Ks),
        ("chi_square", Self::ChiSquare),
        ("js", Self::JensenShannon),
        ("hellinger", Self::Hellinger),
        ("total_variation", Self::TotalVariation),
        ("wasserstein", Self::Wasserstein),
        ("welch_t", Self::WelchT),
    ];

    pub(crate) fn of(name: &str) -> Result<Self, String> {
        let lower = name.to_lowercase();
        Self::ALL.into_iter().find(|(name, _)| *name == lower).map(|(_, metric)| metric).ok_or_else(|| {
            let names = Self::ALL.map(|(name, _)| name);
            let hint = did_you_mean(&lower, names);
            format!("`metric` is '{name}', but it has to be one of {}{hint}", names.join(", "))
        })
    }

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, metric)| *metric == self).map_or("", |(name, _)| name)
    }
}

/// What a comparison finds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Finding {
    pub(crate) statistic: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) effect_size: Option<f64>,
    pub(crate) p: Option<(f64, f64)>,
}

impl Finding {
    pub(crate) fn exact(statistic: f64, effect_size: f64, p_value: f64) -> Self {
        Self { statistic, low: statistic, high: statistic, effect_size: Some(effect_size), p: Some((p_value, p_value)) }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) metric: Metric,
    pub(crate) finding: Option<Finding>,
    pub(crate) alpha: f64,
    pub(crate) n: (u64, u64),
    pub(crate) notes: Notes,
}

impl Verdict {
    pub(crate) fn text(&self) -> &'static str {
        match self.finding.and_then(|finding| finding.p) {
            None => "untestable",
            Some((_, high)) if high <= self.alpha => "drift",
            Some((low, _)) if low > self.alpha => "no drift",
            Some(_) => "undecidable",
        }
    }
}

/// Compares two profiles.
pub(crate) fn compare(metric: Metric, base: &Profile, study: &Profile, alpha: f64) -> Verdict {
    let mut verdict = Verdict { metric, finding: None, alpha, n: (base.rows(), study.rows()), notes: Notes::default() };
    let found = match metric {
        _ if base.texts().is_some() && study.numbers().is_some() => {
            Err("the base holds texts, the study numbers".into())
        }
        _ if base.numbers().is_some() && study.texts().is_some() => {
            Err("the base holds numbers, the study texts".into())
        }
        Metric::Ks | Metric::Wasserstein | Metric::WelchT => of_numbers(base, study, &mut verdict),
        _ => of_cells(base, study, &mut verdict),
    };
    match found {
        Ok(finding) => verdict.finding = Some(finding),
        Err(reason) => verdict.notes.add(reason),
    }
    verdict
}

/// The metrics of cells that both profiles count exactly: the statistic has no error of a sketch.
fn of_cells(base: &Profile, study: &Profile, verdict: &mut Verdict) -> Result<Finding, String> {
    let table = table(base, study);
    if let Some(sample) = table.missing_sample() {
        return Err(format!("there is no row in the {sample} sample to compare"));
    }
    let outcome = match verdict.metric {
        Metric::Psi => psi::psi(table, Smoothing::Jeffreys),
        Metric::JensenShannon => js_distance::jensen_shannon(table, 2.0),
        Metric::Hellinger => hellinger_distance::hellinger(table),
        Metric::TotalVariation => total_variation_distance::total_variation(table),
        _ => chi_square::chi_square(table),
    };
    let Some(statistic) = outcome.statistic else { return Err(outcome.note.unwrap_or_default()) };
    if let Some(note) = outcome.note {
        verdict.notes.add(note);
    }
    let p = outcome.p_value.map(|p| (p, p));
    Ok(Finding { statistic, low: statistic, high: statistic, effect_size: outcome.effect_size, p })
}

fn missing(m: u64, n: u64) -> Option<&'static str> {
    if m == 0 {
        Some("base")
    } else if n == 0 {
        Some("study")
    } else {
        None
    }
}

/// The metrics of numbers in their order.
fn of_numbers(base: &Profile, study: &Profile, verdict: &mut Verdict) -> Result<Finding, String> {
    if base.texts().is_some() || study.texts().is_some() {
        return Err(format!("{} compares numbers, and these are texts", verdict.metric.name()));
    }
    for (profile, sample) in [(base, "base"), (study, "study")] {
        let (nulls, nans) = (profile.nulls(), profile.nans());
        if nulls + nans > 0 {
            let lack = if verdict.metric == Metric::WelchT { "mean" } else { "rank" };
            verdict
                .notes
                .add(format!("{nulls} NULL and {nans} NaN of the {sample} sample have no {lack} and are left out"));
        }
    }
    verdict.n = (base.rows() - base.nulls() - base.nans(), study.rows() - study.nulls() - study.nans());
    let (Some(numbers), Some(others), None) = (base.numbers(), study.numbers(), missing(verdict.n.0, verdict.n.1))
    else {
        let sample = missing(verdict.n.0, verdict.n.1).unwrap_or("study");
        return Err(format!("there is no value in the {sample} sample to test"));
    };
    let infinite = [base, study].iter().any(|profile| profile.infinities() != (0, 0));
    match verdict.metric {
        Metric::Ks => Ok(kolmogorov_smirnov(numbers, others, verdict.n)),
        _ if infinite => Err("there are infinite values, from which no finite distance is measured".to_owned()),
        Metric::Wasserstein => wasserstein(base, study, verdict),
        _ => welch(numbers, others),
    }
}

/// The largest distance of the distribution functions: at least what is seen where both are known, at most what can hide
/// within buckets.
fn kolmogorov_smirnov(base: &Numeric, study: &Numeric, (m, n): (u64, u64)) -> Finding {
    let steps = steps(&base.ranked(), &study.ranked());
    let least = steps.iter().map(|step| step.least).max().unwrap_or(0);
    let most = steps.iter().map(|step| step.most).max().unwrap_or(0);
    let (low, p_at_low) = ks::p_value(m, n, least);
    let (high, p_at_high) = if most == least { (low, p_at_low) } else { ks::p_value(m, n, most) };
    // The methods by which p-values are computed may differ in the last digits.
    let p = Some((p_at_high.min(p_at_low), p_at_low.max(p_at_high)));
    Finding { statistic: low, low, high, effect_size: Some(low), p }
}

fn wasserstein(base: &Profile, study: &Profile, verdict: &mut Verdict) -> Result<Finding, String> {
    let (Some(numbers), Some(others)) = (base.numbers(), study.numbers()) else { return Err(String::new()) };
    let (m, n) = verdict.n;
    let (low, high) = area(&steps(&numbers.ranked(), &others.ranked()), m, n);
    let mut pooled = base.clone();
    pooled.merge(study).map_err(|error| error.to_string())?;
    let (statistic, p_value) = area_p_value(&pooled, numbers, others);
    let statistic = if numbers.is_exact() && others.is_exact() { low } else { statistic.clamp(low, high) };
    let unit = numbers.moments().stddev_pop().filter(|deviation| *deviation > 0.0 && deviation.is_finite());
    if unit.is_none() {
        verdict.notes.add("the base has no standard deviation to measure the effect by".to_owned());
    }
    Ok(Finding { statistic, low, high, effect_size: unit.map(|unit| statistic / unit), p: Some((p_value, p_value)) })
}

/// Welch's t, of the study less the base; exact, as the moments are.
#[allow(clippy::many_single_char_names, reason = "the names of the formulas")]
fn welch(base: &Numeric, study: &Numeric) -> Result<Finding, String> {
    let (x, y) = (base.moments(), study.moments());
    let (Some(mean_x), Some(mean_y)) = (x.values().avg(), y.values().avg()) else {
        return Err("there is no value to test".to_owned());
    };
    let (Some(var_x), Some(var_y)) = (x.var(), y.var()) else {
        return Err("a sample of fewer than two values has no variance".to_owned());
    };
    let (m, n) = (x.values().count() as f64, y.values().count() as f64);
    let (error_x, error_y) = (var_x / m, var_y / n);
    let error = error_x + error_y;
    if error <= 0.0 || !error.is_finite() {
        return Err("the samples have no variance to measure the difference of their means by".to_owned());
    }
    let difference = mean_y - mean_x;
    let t = difference / error.sqrt();
    // Shares of the error, so that no square overflows.
    let (share_x, share_y) = (error_x / error, error_y / error);
    let df = 1.0 / (share_x * share_x / (m - 1.0) + share_y * share_y / (n - 1.0));
    let effect = difference / f64::midpoint(var_x, var_y).sqrt();
    Ok(Finding::exact(t, effect, student_two_sided(t, df)))
}
