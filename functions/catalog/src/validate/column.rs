//! Which test fits a column, and what it says.

use std::collections::BTreeMap;

use super::{EXACT_ONLY, Finding, Options, categorical, rank};
use crate::drift::cells::{Cell, Table};
use crate::drift::{Notes, Outcome, RankTest};
use crate::profile::{Metric, Profile, key_value, table, verdict};

/// Numbers with at most so many different values in both samples are categories.
const FEW_VALUES: usize = 20;

/// Tests one column from its profiles in the base and in the study sample.
///
/// `auto` is, for numbers, the Kolmogorov–Smirnov test, and a test of the share of missing values (NULL and NaN) where
/// there are any; for texts, and for numbers with at most 20 different values, the chi-square test of homogeneity with
/// NULL and NaN as categories. A column that cannot be tested is a finding with its reason. `of_rows` is what the tests that
/// [`needs_rows`](super::needs_rows) names gave of the rows; without it they are of the profiles, as far as these go.
#[must_use]
pub fn compare(
    feature: &str,
    base: &Profile,
    study: &Profile,
    options: &Options,
    of_rows: &[(RankTest, Outcome)],
) -> Vec<Finding> {
    if let Some(reason) = untestable(base, study) {
        let finding = Finding::untestable(feature, &reason);
        return vec![Finding { n_base: base.rows(), n_study: study.rows(), ..finding }];
    }
    let tests = asked(base, study, options).into_iter().map(|asked| match asked {
        Asked::Missing => finding(feature, "missing", missing(base, study)),
        Asked::FewValues(table) => finding(feature, "chi_square", categorical::test(table)),
        Asked::ChiSquare => finding(feature, "chi_square", categorical::test(table(base, study))),
        Asked::Metric(name) => {
            let exact = rank::outcome(name, base, study, options, of_rows);
            finding(feature, name, exact.unwrap_or_else(|| of_profiles(name, base, study, options)))
        }
    });
    tests.collect()
}

/// One test of a column.
pub(super) enum Asked<'a> {
    Missing,
    /// Numbers of few values, one cell a value.
    FewValues(Table),
    ChiSquare,
    /// By the name of a metric of two profiles, or of ranks.
    Metric(&'a str),
}

/// The tests that the options ask of a column that can be tested.
pub(super) fn asked<'a>(base: &Profile, study: &Profile, options: &'a Options) -> Vec<Asked<'a>> {
    if options.metrics.is_empty() {
        return fitting(base, study);
    }
    let tests = options.metrics.iter().flat_map(|metric| match metric.as_str() {
        "auto" => fitting(base, study),
        "missing" => vec![Asked::Missing],
        "chi_square" => vec![Asked::ChiSquare],
        name => vec![Asked::Metric(name)],
    });
    tests.collect()
}

fn finding(feature: &str, metric: &str, outcome: Outcome) -> Finding {
    Finding {
        feature: feature.to_owned(),
        metric: Some(metric.to_owned()),
        statistic: outcome.statistic,
        effect_size: outcome.effect_size,
        p_value: outcome.p_value,
        n_base: outcome.n_base,
        n_study: outcome.n_study,
        note: outcome.note,
        ..Finding::default()
    }
}

/// Why no metric of the column can be computed, if none can.
pub(super) fn untestable(base: &Profile, study: &Profile) -> Option<String> {
    match (base.rows(), study.rows()) {
        (0, 0) => Some("there is no row in either sample".to_owned()),
        (0, _) => Some("there is no row in the base sample to compare".to_owned()),
        (_, 0) => Some("there is no row in the study sample to compare".to_owned()),
        (m, n) if base.nulls() == m && study.nulls() == n => Some("all rows of both samples are NULL".to_owned()),
        _ if base.is_of_texts() && study.is_of_numbers() => {
            Some("the base holds texts, the study sample numbers".to_owned())
        }
        _ if base.is_of_numbers() && study.is_of_texts() => {
            Some("the base holds numbers, the study sample texts".to_owned())
        }
        _ => None,
    }
}

fn fitting<'a>(base: &Profile, study: &Profile) -> Vec<Asked<'a>> {
    let given = |profile: &Profile| profile.rows() - profile.nulls() - profile.nans();
    if base.is_of_texts() || study.is_of_texts() {
        return vec![Asked::ChiSquare];
    }
    if let Some(table) = few_values(base, study) {
        return vec![Asked::FewValues(table)];
    }
    let mut tests = Vec::new();
    if given(base) > 0 && given(study) > 0 {
        tests.push(Asked::Metric("ks"));
    }
    if given(base) < base.rows() || given(study) < study.rows() {
        tests.push(Asked::Missing);
    }
    tests
}

/// The cells of numbers of few values, one a value; `None` where there are more.
pub(super) fn few_values(base: &Profile, study: &Profile) -> Option<Table> {
    let mut values: BTreeMap<i64, Cell> = BTreeMap::new();
    for (profile, is_base) in [(base, true), (study, false)] {
        for (key, count) in profile.exact_numbers()? {
            let cell = values.entry(key).or_default();
            cell.add_all(if is_base { Cell { base: count, study: 0 } } else { Cell { base: 0, study: count } });
            if values.len() > FEW_VALUES {
                return None;
            }
        }
    }
    let mut cells: Vec<Cell> = values.into_values().collect();
    cells.push(Cell { base: base.nans(), study: study.nans() });
    cells.push(Cell { base: base.nulls(), study: study.nulls() });
    Some(Table::new(cells, false, Notes::default()))
}

/// The numbers of a profile with their counts, in order, where they are few different ones.
pub(super) fn few_numbers(profile: &Profile) -> Option<Vec<(f64, u64)>> {
    let numbers = profile.exact_numbers().filter(|numbers| numbers.len() <= FEW_VALUES)?;
    Some(numbers.into_iter().map(|(key, count)| (key_value(key), count)).collect())
}

/// The share of missing values, NULL or NaN.
pub(super) fn missing(base: &Profile, study: &Profile) -> Outcome {
    let missing = Cell { base: base.nulls() + base.nans(), study: study.nulls() + study.nans() };
    let given = Cell { base: base.rows() - missing.base, study: study.rows() - missing.study };
    let (m, n) = (base.rows() as f64, study.rows() as f64);
    let outcome = categorical::test(Table::new(vec![missing, given], false, Notes::default()));
    // The share is what a reader looks for; the p-value is that of the cells.
    let difference = missing.study as f64 / n - missing.base as f64 / m;
    Outcome { statistic: Some(difference), effect_size: Some(difference.abs()), ..outcome }
}

/// A metric of two profiles; where they bound the p-value, the upper bound, so that no alarm is due to a sketch.
pub(super) fn of_profiles(name: &str, base: &Profile, study: &Profile, options: &Options) -> Outcome {
    let Ok(metric) = Metric::of(name) else {
        let reason = if EXACT_ONLY.contains(&name) {
            format!("{name} reads the values in order, which profiles do not hold; ask for exact tests")
        } else {
            format!("there is no metric {name}")
        };
        return Outcome { note: Some(reason), n_base: base.rows(), n_study: study.rows(), ..Outcome::default() };
    };
    let mut verdict = verdict::compare(metric, base, study, options.alpha);
    let found = verdict.finding;
    if let Some((low, high)) = found.and_then(|found| found.p).filter(|(low, high)| low < high)
        && low <= options.alpha
        && high > options.alpha
    {
        verdict.notes.add(format!(
            "undecidable from profiles: the p-value lies between {low:.2e} and {high:.2e}; exact => true, or {name}_test on \
             the rows, decides"
        ));
    }
    Outcome {
        statistic: found.map(|found| found.statistic),
        effect_size: found.and_then(|found| found.effect_size),
        p_value: found.and_then(|found| found.p).map(|(_, high)| high),
        n_base: verdict.n.0,
        n_study: verdict.n.1,
        note: verdict.notes.text(),
    }
}
