//! A verdict on two profiles.

use std::borrow::Cow;

use super::distance::{self, Cell};
use super::ecdf::{area, steps};
use super::ml_profile::numbers;
use super::numeric::Numeric;
use super::permutation::area_p_value;
use super::{Profile, cells};
use crate::distribution::student_two_sided;
use crate::drift::ks;
use crate::function::{Arg, Call, Column, Error, Example, Function, Section, Tolerance, Type, Values};
use crate::suggest::did_you_mean;

/// `ml_drift(metric, base, study)`.
pub struct MlDrift;

const FIELDS: &[(&str, Type)] = &[
    ("metric", Type::Text),
    ("statistic", Type::Float64),
    ("statistic_low", Type::Float64),
    ("statistic_high", Type::Float64),
    ("effect_size", Type::Float64),
    ("p_low", Type::Float64),
    ("p_high", Type::Float64),
    ("alpha", Type::Float64),
    ("verdict", Type::Text),
    ("n_base", Type::Int64),
    ("n_study", Type::Int64),
    ("note", Type::Text),
];

/// How two profiles are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Metric {
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
    const ALL: [(&'static str, Self); 8] = [
        ("psi", Self::Psi),
        ("ks", Self::Ks),
        ("chi_square", Self::ChiSquare),
        ("js", Self::JensenShannon),
        ("hellinger", Self::Hellinger),
        ("total_variation", Self::TotalVariation),
        ("wasserstein", Self::Wasserstein),
        ("welch_t", Self::WelchT),
    ];

    fn of(name: &str) -> Result<Self, String> {
        let lower = name.to_lowercase();
        Self::ALL.into_iter().find(|(name, _)| *name == lower).map(|(_, metric)| metric).ok_or_else(|| {
            let names = Self::ALL.map(|(name, _)| name);
            let hint = did_you_mean(&lower, names);
            format!("`metric` is '{name}', but it has to be one of {}{hint}", names.join(", "))
        })
    }

    fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, metric)| *metric == self).map_or("", |(name, _)| name)
    }
}

/// What a comparison finds.
#[derive(Debug, Clone, Copy, Default)]
struct Finding {
    statistic: f64,
    low: f64,
    high: f64,
    effect_size: Option<f64>,
    p: Option<(f64, f64)>,
}

impl Finding {
    fn exact(statistic: f64, effect_size: f64, p_value: f64) -> Self {
        Self { statistic, low: statistic, high: statistic, effect_size: Some(effect_size), p: Some((p_value, p_value)) }
    }
}

#[derive(Debug, Clone, Default)]
struct Verdict {
    metric: Metric,
    finding: Option<Finding>,
    alpha: f64,
    n: (u64, u64),
    notes: Vec<String>,
}

impl Verdict {
    fn text(&self) -> &'static str {
        match self.finding.and_then(|finding| finding.p) {
            None => "untestable",
            Some((_, high)) if high <= self.alpha => "drift",
            Some((low, _)) if low > self.alpha => "no drift",
            Some(_) => "undecidable",
        }
    }
}

impl Function for MlDrift {
    fn name(&self) -> &'static str {
        "ml_drift"
    }

    fn section(&self) -> Section {
        Section::Profiles
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            Arg::new(
                "metric",
                Type::Text,
                "psi, ks, chi_square, js, hellinger, total_variation, wasserstein or welch_t",
            ),
            Arg::new("base", Type::Bytes, "the profile of the base sample"),
            Arg::new("study", Type::Bytes, "the profile of the study sample"),
            Arg::option("alpha", Type::Float64, "0.05", "up to which p-value there is drift, between 0 and 1"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Record(FIELDS)
    }

    fn short(&self) -> &'static str {
        "Has a distribution moved? A verdict on two profiles that counts in their sizes and what they leave open."
    }

    fn long(&self) -> &'static str {
        include_str!("ml_drift.md")
    }

    fn examples(&self) -> Vec<Example> {
        let verdict = Verdict {
            metric: Metric::Ks,
            finding: Some(Finding::exact(0.0, 0.0, 1.0)),
            alpha: 0.05,
            n: (3, 3),
            notes: Vec::new(),
        };
        vec![Example::scalar(["ks".into(), numbers(), numbers()], column(&[verdict]).value(0))]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let (metrics, bases, studies) = (call.texts(0)?, call.bytes(1)?, call.bytes(2)?);
        let alphas = call.arg(3).map(|_| call.floats(3)).transpose()?;
        // A base that all rows share is read once.
        let constant = match bases.constant() {
            Some(bytes) if (0..call.rows()).any(|row| call.is_valid(row)) => {
                Some(Profile::from_argument("base", bytes).map_err(|reason| call.refuse(reason))?)
            }
            _ => None,
        };
        let verdicts = call.map(|row| {
            let metric = Metric::of(metrics.at(row).map(AsRef::as_ref).unwrap_or_default())?;
            let alpha = alphas.map_or(0.05, |alphas| alphas.get(row));
            if !(alpha > 0.0 && alpha < 1.0) {
                return Err(format!("`alpha` is {alpha}, but it has to be between 0 and 1"));
            }
            let study = Profile::from_argument("study", studies.at(row).map(AsRef::as_ref).unwrap_or_default())?;
            if let Some(base) = &constant {
                return Ok(compare(metric, base, &study, alpha));
            }
            let base = Profile::from_argument("base", bases.at(row).map(AsRef::as_ref).unwrap_or_default())?;
            Ok(compare(metric, &base, &study, alpha))
        })?;
        Ok(column(&verdicts))
    }
}

fn column(verdicts: &[Verdict]) -> Column<'static> {
    let floats = |get: &dyn Fn(&Finding) -> Option<f64>| {
        let values = verdicts.iter().map(|verdict| verdict.finding.as_ref().and_then(get));
        let valid: Vec<bool> = values.clone().map(|value| value.is_some()).collect();
        let values: Vec<f64> = values.map(Option::unwrap_or_default).collect();
        Column::with_validity(Values::Float64(values.into()), valid)
    };
    let texts = |get: &dyn Fn(&Verdict) -> &'static str| {
        Column::new(Values::Text(verdicts.iter().map(|verdict| Cow::Borrowed(get(verdict))).collect()))
    };
    let counts = |get: &dyn Fn(&Verdict) -> u64| -> Column<'static> {
        verdicts.iter().map(|verdict| get(verdict) as i64).collect::<Vec<i64>>().into()
    };
    let has_note: Vec<bool> = verdicts.iter().map(|verdict| !verdict.notes.is_empty()).collect();
    let notes: Vec<Cow<'static, str>> = verdicts.iter().map(|verdict| Cow::Owned(verdict.notes.join("; "))).collect();
    let alphas: Vec<f64> = verdicts.iter().map(|verdict| verdict.alpha).collect();
    let columns = [
        texts(&|verdict| verdict.metric.name()),
        floats(&|finding| Some(finding.statistic)),
        floats(&|finding| Some(finding.low)),
        floats(&|finding| Some(finding.high)),
        floats(&|finding| finding.effect_size),
        floats(&|finding| finding.p.map(|(low, _)| low)),
        floats(&|finding| finding.p.map(|(_, high)| high)),
        alphas.into(),
        texts(&Verdict::text),
        counts(&|verdict| verdict.n.0),
        counts(&|verdict| verdict.n.1),
        Column::with_validity(Values::Text(notes), has_note),
    ];
    Column::new(Values::Record(FIELDS.iter().map(|(name, _)| *name).zip(columns).collect()))
}

fn compare(metric: Metric, base: &Profile, study: &Profile, alpha: f64) -> Verdict {
    let mut verdict = Verdict { metric, finding: None, alpha, n: (base.rows(), study.rows()), notes: Vec::new() };
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
        Err(reason) => verdict.notes.push(reason),
    }
    verdict
}

/// The metrics of cells that both profiles count exactly: the statistic has no error of a sketch.
fn of_cells(base: &Profile, study: &Profile, verdict: &mut Verdict) -> Result<Finding, String> {
    if let Some(sample) = missing(base.rows(), study.rows()) {
        return Err(format!("there is no row in the {sample} sample to compare"));
    }
    let cells = cells::cells(base, study, &mut verdict.notes);
    let finding = measure(verdict.metric, &cells, &mut verdict.notes);
    if cells.len() > 1 {
        Ok(finding)
    } else {
        verdict.notes.push("all values fall into one cell, so there is nothing to test".to_owned());
        Ok(Finding { p: None, ..finding })
    }
}

fn measure(metric: Metric, cells: &[Cell], notes: &mut Vec<String>) -> Finding {
    let (m, n) = distance::totals(cells);
    if metric == Metric::Psi {
        let (psi, one_sided) = distance::psi(cells);
        if one_sided > 0 {
            let cells = if one_sided == 1 { "1 cell has".to_owned() } else { format!("{one_sided} cells have") };
            notes.push(format!("{cells} values on one side only: 0.5 added to every count (Jeffreys)"));
        }
        let p_value = distance::p_value(cells, psi / (1.0 / m as f64 + 1.0 / n as f64));
        return Finding::exact(psi, psi, p_value);
    }
    let small = distance::small_cells(cells);
    if small > 0 && cells.len() > 1 {
        notes.push(format!("expected counts below 5 in {small} of {} cells: the p-value is approximate", cells.len()));
    }
    let chi_square = distance::chi_square(cells);
    let p_value = distance::p_value(cells, chi_square);
    let of_distance = |distance| Finding::exact(distance, distance, p_value);
    match metric {
        Metric::JensenShannon => of_distance(distance::jensen_shannon(cells)),
        Metric::Hellinger => of_distance(distance::hellinger(cells)),
        Metric::TotalVariation => of_distance(distance::total_variation(cells)),
        _ => Finding::exact(chi_square, (chi_square / (m + n) as f64).sqrt(), p_value),
    }
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
                .push(format!("{nulls} NULL and {nans} NaN of the {sample} sample have no {lack} and are left out"));
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
        verdict.notes.push("the base has no standard deviation to measure the effect by".to_owned());
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
