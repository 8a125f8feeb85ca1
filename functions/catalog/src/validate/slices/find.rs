//! All slices tested at once, and what is worth telling.

use std::collections::HashMap;

use super::bound::Pool;
use super::losses::Key;
use super::{Division, Losses, Options};
use crate::distribution::{student_quantile, student_two_sided};
use crate::drift::Notes;
use crate::drift::welch::{Means, compare_means};
use crate::sum::ExactMoments;
use crate::validate::multiple::adjust;

/// A slice, or all rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Slice {
    /// Its condition in SQL; `all rows` for all of them.
    pub condition: String,
    /// The columns that the condition reads.
    pub columns: Vec<String>,
    /// Its rows with a loss.
    pub n: u64,
    /// Their mean loss.
    pub mean_loss: Option<f64>,
    /// The mean loss of all other rows.
    pub mean_rest: Option<f64>,
    /// The first mean less the second.
    pub difference: Option<f64>,
    /// The ends of the interval of the difference, which holds for all slices of the search at once (Welch, Bonferroni).
    pub interval: Option<(f64, f64)>,
    /// The difference over the root of the mean of both variances.
    pub effect_size: Option<f64>,
    /// How probable so large a mean loss is for as many rows drawn by lot; an upper bound.
    pub p_value: Option<f64>,
    /// The p-value corrected for the number of slices searched.
    pub p_adjusted: Option<f64>,
    /// Whether its loss is worse.
    pub is_worse: Option<bool>,
    /// Another slice that is worse, without which this one would not be, or beyond which it says nothing.
    pub explained_by: Option<String>,
    /// What a reader has to know.
    pub note: Option<String>,
}

/// A slice under test.
struct Test<'a> {
    key: Key,
    moments: &'a ExactMoments,
    rest: ExactMoments,
    means: Option<Means>,
    p_value: f64,
    p_adjusted: f64,
    explained_by: Option<Key>,
}

/// How many slices there are that are not tested.
#[derive(Default)]
struct Untested {
    small: u64,
    whole: u64,
    same: u64,
}

/// All rows first, then the slices that are worse: those that no other explains before those that one does, the surest
/// first. The first row's note says what was searched and what was not.
#[must_use]
pub fn find(losses: &Losses, divisions: &[Division], options: &Options) -> Vec<Slice> {
    let (mut tests, mut untested) = tests(losses, options);
    untested.small += divisions.iter().map(Division::rare).sum::<u64>();
    let p_values: Vec<f64> = tests.iter().map(|test| test.p_value).collect();
    for (test, p) in tests.iter_mut().zip(adjust(&p_values, options.correction)) {
        test.p_adjusted = p;
    }
    let searched = tests.len();
    let is_large = |means: Option<Means>| {
        means.is_none_or(|means| means.deviation == 0.0 || means.difference / means.deviation >= options.min_effect)
    };
    tests.retain(|test| {
        test.moments.values().avg() > losses.all().values().avg()
            && test.p_adjusted <= options.alpha
            && is_large(test.means)
    });
    explain(&mut tests, options.alpha);
    tests.sort_by(|a, b| {
        let p_value = a.p_value.total_cmp(&b.p_value);
        let columns = || a.key.cells().len().cmp(&b.key.cells().len());
        let explained = a.explained_by.is_some().cmp(&b.explained_by.is_some());
        explained.then(p_value).then_with(columns).then_with(|| a.key.cmp(&b.key))
    });
    let all = Slice {
        condition: "all rows".to_owned(),
        n: losses.all().values().count(),
        mean_loss: losses.all().values().avg(),
        note: summary(losses, divisions, options, searched, tests.len(), &untested),
        ..Slice::default()
    };
    let tail = options.alpha / searched.max(1) as f64 / 2.0;
    let shown = tests.iter().take(options.top).map(|test| test.slice(divisions, tail));
    std::iter::once(all).chain(shown).collect()
}

/// The slices that can be tested. Which they are depends on how many rows they have, and not on any loss.
fn tests<'a>(losses: &'a Losses, options: &Options) -> (Vec<Test<'a>>, Untested) {
    let (all, mut untested, mut tests) = (losses.all(), Untested::default(), Vec::new());
    let slices = losses.slices();
    let rows: HashMap<Key, u64> = slices.iter().map(|(key, moments)| (*key, moments.values().count())).collect();
    let pool = all.values().avg().zip(all.stddev_pop());
    let pool = pool.and_then(|(mean, deviation)| Pool::new(&losses.points(), all.values().count(), mean, deviation));
    for (key, moments) in slices {
        let n = moments.values().count();
        if n < options.min_rows {
            untested.small += 1;
        } else if n >= all.values().count() {
            untested.whole += 1;
        } else if key.parents().iter().any(|parent| rows.get(parent) == Some(&n)) {
            untested.same += 1;
        } else {
            let mut rest = all.clone();
            rest.unmerge(moments);
            let p_value = match (&pool, moments.values().avg(), rest.values().avg()) {
                (Some(pool), Some(mean), Some(rest)) => pool.p_value(n, mean, rest),
                _ => 1.0,
            };
            let means = compare_means(&rest, moments);
            tests.push(Test { key, moments, rest, means, p_value, p_adjusted: 1.0, explained_by: None });
        }
    }
    (tests, untested)
}

/// Marks a slice that is not worse than the rest of a wider one that was found; and a wider one that is not worse than the
/// rows outside it once an unmarked slice inside it is taken away.
fn explain(found: &mut [Test<'_>], alpha: f64) {
    let places: HashMap<Key, usize> = found.iter().enumerate().map(|(place, test)| (test.key, place)).collect();
    let mut marks = Vec::new();
    for (place, child) in found.iter().enumerate() {
        let wider = || child.key.parents().into_iter().filter_map(|parent| found.get(*places.get(&parent)?));
        let explains = |parent: &&Test<'_>| !is_worse(child.moments, &without(parent.moments, child.moments), alpha);
        marks.extend(wider().find(explains).map(|parent| (place, parent.key)));
    }
    mark(found, &marks);
    let mut order: Vec<&Test<'_>> = found.iter().filter(|test| test.explained_by.is_none()).collect();
    order.sort_by(|a, b| a.p_value.total_cmp(&b.p_value).then_with(|| a.key.cmp(&b.key)));
    let mut marks = Vec::new();
    for child in order {
        for parent in child.key.parents() {
            let Some((place, parent)) = places.get(&parent).and_then(|place| Some((*place, found.get(*place)?))) else {
                continue;
            };
            if !is_worse(&without(parent.moments, child.moments), &parent.rest, alpha) {
                marks.push((place, child.key));
            }
        }
    }
    mark(found, &marks);
}

fn mark(found: &mut [Test<'_>], marks: &[(usize, Key)]) {
    for (place, key) in marks {
        if let Some(test) = found.get_mut(*place) {
            test.explained_by.get_or_insert(*key);
        }
    }
}

/// The moments of the rows that a narrower slice leaves.
fn without(moments: &ExactMoments, narrower: &ExactMoments) -> ExactMoments {
    let mut rest = moments.clone();
    rest.unmerge(narrower);
    rest
}

/// Welch's test, one-sided.
fn is_worse(moments: &ExactMoments, than: &ExactMoments, alpha: f64) -> bool {
    compare_means(than, moments).is_some_and(|means| {
        means.difference > 0.0
            && (means.error == 0.0 || student_two_sided(means.difference / means.error, means.freedom) / 2.0 <= alpha)
    })
}

fn conditions(key: Key, divisions: &[Division]) -> String {
    let cells = key.cells();
    let conditions = cells.iter().filter_map(|(column, code)| Some(divisions.get(*column)?.condition(*code)));
    conditions.collect::<Vec<_>>().join(" AND ")
}

impl Test<'_> {
    fn slice(&self, divisions: &[Division], tail: f64) -> Slice {
        let mut notes = Notes::default();
        let means = self.means.filter(|means| means.error.is_finite());
        let interval = means.map(|means| {
            let half = if means.error > 0.0 { -student_quantile(tail, means.freedom) * means.error } else { 0.0 };
            (means.difference - half, means.difference + half)
        });
        match interval {
            None => notes.add("the rest is a single row, so there is no interval"),
            Some((low, _)) if low <= 0.0 => {
                notes.add("the interval, which allows for unlike variances, reaches 0");
            }
            Some(_) => {}
        }
        let (mean_loss, mean_rest) = (self.moments.values().avg(), self.rest.values().avg());
        let name = |(column, _): (usize, u32)| Some(divisions.get(column)?.name().to_owned());
        Slice {
            condition: conditions(self.key, divisions),
            columns: self.key.cells().into_iter().filter_map(name).collect(),
            n: self.moments.values().count(),
            mean_loss,
            mean_rest,
            difference: mean_loss.zip(mean_rest).map(|(slice, rest)| slice - rest),
            interval,
            effect_size: means.filter(|means| means.deviation > 0.0).map(|means| means.difference / means.deviation),
            p_value: Some(self.p_value),
            p_adjusted: Some(self.p_adjusted),
            is_worse: Some(true),
            explained_by: self.explained_by.map(|key| conditions(key, divisions)),
            note: notes.text(),
        }
    }
}

/// What was searched, and what was not.
fn summary(
    losses: &Losses,
    divisions: &[Division],
    options: &Options,
    searched: usize,
    found: usize,
    untested: &Untested,
) -> Option<String> {
    let mut notes = Notes::default();
    let columns = divisions.iter().filter(|division| division.problem().is_none()).count();
    notes.add(format!("{searched} slices of {columns} columns searched, {found} worse"));
    if found > options.top {
        notes.add(format!("the {} surest shown", options.top));
    }
    let (nulls, unusable) = losses.left_out();
    for (count, what) in [
        (untested.small, format!("slices of fewer than {} rows not tested, nor their conjunctions", options.min_rows)),
        (untested.same, "conjunctions have the rows of one of their parts".to_owned()),
        (untested.whole, "slices are all rows".to_owned()),
        (nulls, "rows without a loss left out".to_owned()),
        (unusable, "rows whose loss is NaN or infinite left out".to_owned()),
    ] {
        if count > 0 {
            notes.add(format!("{count} {what}"));
        }
    }
    for division in divisions {
        if let Some(problem) = division.problem() {
            notes.add(format!("{} not searched: {problem}", division.name()));
        }
    }
    notes.text()
}
