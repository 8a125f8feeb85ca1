//! Which test fits a column, and what it says.

use std::collections::BTreeMap;

use super::{Finding, Options, categorical};
use crate::drift::cells::{Cell, Table};
use crate::drift::{Notes, Outcome};
use crate::profile::{Metric, Profile, key_value, table, verdict};

/// Numbers with at most so many different values in both samples are categories.
const FEW_VALUES: usize = 20;

/// Tests one column from its profiles in the base and in the study sample.
///
/// `auto` is, for numbers, the Kolmogorov–Smirnov test, and a test of the share of missing values (NULL and NaN) where
/// there are any; for texts, and for numbers with at most 20 different values, the chi-square test of homogeneity with
/// NULL and NaN as categories. A column that cannot be tested is a finding with its reason.
#[must_use]
pub fn compare(feature: &str, base: &Profile, study: &Profile, options: &Options) -> Vec<Finding> {
    if let Some(reason) = untestable(base, study) {
        let finding = Finding::untestable(feature, &reason);
        return vec![Finding { n_base: base.rows(), n_study: study.rows(), ..finding }];
    }
    let auto = ["auto".to_owned()];
    let metrics = if options.metrics.is_empty() { &auto[..] } else { &options.metrics[..] };
    let mut tests: Vec<(&str, Outcome)> = Vec::new();
    for metric in metrics {
        match metric.as_str() {
            "auto" => tests.extend(fitting(base, study, options)),
            "missing" => tests.push(("missing", missing(base, study))),
            "chi_square" => tests.push(("chi_square", categorical::test(table(base, study)))),
            name => tests.push(of_profiles(name, base, study, options)),
        }
    }
    tests.into_iter().map(|(metric, outcome)| finding(feature, metric, outcome)).collect()
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
fn untestable(base: &Profile, study: &Profile) -> Option<String> {
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

fn fitting(base: &Profile, study: &Profile, options: &Options) -> Vec<(&'static str, Outcome)> {
    let given = |profile: &Profile| profile.rows() - profile.nulls() - profile.nans();
    if base.is_of_texts() || study.is_of_texts() {
        return vec![("chi_square", categorical::test(table(base, study)))];
    }
    if let Some(table) = few_values(base, study) {
        return vec![("chi_square", categorical::test(table))];
    }
    let mut tests = Vec::new();
    if given(base) > 0 && given(study) > 0 {
        tests.push(of_profiles("ks", base, study, options));
    }
    if given(base) < base.rows() || given(study) < study.rows() {
        tests.push(("missing", missing(base, study)));
    }
    tests
}

/// The cells of numbers of few values, one a value; `None` where there are more.
fn few_values(base: &Profile, study: &Profile) -> Option<Table> {
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
fn missing(base: &Profile, study: &Profile) -> Outcome {
    let missing = Cell { base: base.nulls() + base.nans(), study: study.nulls() + study.nans() };
    let given = Cell { base: base.rows() - missing.base, study: study.rows() - missing.study };
    let (m, n) = (base.rows() as f64, study.rows() as f64);
    let outcome = categorical::test(Table::new(vec![missing, given], false, Notes::default()));
    // The share is what a reader looks for; the p-value is that of the cells.
    let difference = missing.study as f64 / n - missing.base as f64 / m;
    Outcome { statistic: Some(difference), effect_size: Some(difference.abs()), ..outcome }
}

/// A metric of two profiles; where they bound the p-value, the upper bound, so that no alarm is due to a sketch.
fn of_profiles<'a>(name: &'a str, base: &Profile, study: &Profile, options: &Options) -> (&'a str, Outcome) {
    let Ok(metric) = Metric::of(name) else {
        return (name, Outcome { note: Some(format!("there is no metric {name}")), ..Outcome::default() });
    };
    let mut verdict = verdict::compare(metric, base, study, options.alpha);
    let found = verdict.finding;
    if let Some((low, high)) = found.and_then(|found| found.p).filter(|(low, high)| low < high)
        && low <= options.alpha
        && high > options.alpha
    {
        verdict.notes.add(format!(
            "undecidable from profiles: the p-value lies between {low:.2e} and {high:.2e}; {name}_test on the rows decides"
        ));
    }
    let outcome = Outcome {
        statistic: found.map(|found| found.statistic),
        effect_size: found.and_then(|found| found.effect_size),
        p_value: found.and_then(|found| found.p).map(|(_, high)| high),
        n_base: verdict.n.0,
        n_study: verdict.n.1,
        note: verdict.notes.text(),
    };
    (name, outcome)
}
