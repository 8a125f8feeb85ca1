//! Exact tests and distances of ranks: from the values that profiles hold, or from what a second pass over the rows found.

use super::Options;
use super::column::{Asked, asked, of_profiles, untestable};
use crate::drift::{Given, Notes, Outcome, RankPass, RankTest};
use crate::profile::Profile;

/// The tests of a column that only its rows decide: those of ranks that [`Options::exact`] asks for, unless the profiles hold
/// every value. A [`RankPass`] makes them.
#[must_use]
pub fn needs_rows(base: &Profile, study: &Profile, options: &Options) -> Vec<RankTest> {
    if !options.exact || untestable(base, study).is_some() || is_of_texts(base, study) {
        return Vec::new();
    }
    if base.is_exact() && study.is_exact() {
        return Vec::new();
    }
    let mut tests: Vec<RankTest> = asked(base, study, options)
        .into_iter()
        .filter_map(|asked| if let Asked::Metric(name) = asked { RankTest::named(name) } else { None })
        .collect();
    tests.sort_unstable();
    tests.dedup();
    tests
}

/// The exact outcome of a metric; `None` where it is not one of ranks, or exact ones are not asked for.
pub(super) fn outcome(
    name: &str,
    base: &Profile,
    study: &Profile,
    options: &Options,
    of_rows: &[(RankTest, Outcome)],
) -> Option<Outcome> {
    let test = RankTest::named(name).filter(|_| options.exact)?;
    if is_of_texts(base, study) {
        let note = Some(format!("{name} compares numbers, and these are texts"));
        return Some(Outcome { n_base: base.rows(), n_study: study.rows(), note, ..Outcome::default() });
    }
    let (mut outcome, source) = match of_rows.iter().find(|(own, _)| *own == test) {
        Some((_, outcome)) => (outcome.clone(), "exact: from the rows in order"),
        None => (of_values(test, base, study)?, "exact: from every value, which the profiles hold"),
    };
    if test == RankTest::Wasserstein {
        // The distance of the values has no p-value; that of the same values moved to the profiles' buckets is one of the
        // same hypothesis, and keeps its rate of false alarms.
        outcome.p_value = of_profiles(name, base, study, options).p_value;
    }
    let mut notes = Notes::default();
    notes.add(source);
    outcome.note.into_iter().for_each(|note| notes.add(note));
    outcome.note = notes.text();
    Some(outcome)
}

fn is_of_texts(base: &Profile, study: &Profile) -> bool {
    base.is_of_texts() || study.is_of_texts()
}

/// The values of both profiles in order, with how many each has; `None` where one of them is a sketch.
fn held(base: &Profile, study: &Profile) -> Option<Vec<(f64, u64, u64)>> {
    let side = |profile: &Profile, is_base: bool| -> Option<Vec<(f64, u64, u64)>> {
        let values = profile.exact_values()?.into_iter();
        Some(values.map(|(x, n)| if is_base { (x, n, 0) } else { (x, 0, n) }).collect())
    };
    let mut values = side(base, true)?;
    values.extend(side(study, false)?);
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    Some(values)
}

fn of_values(test: RankTest, base: &Profile, study: &Profile) -> Option<Outcome> {
    let mut pass = RankPass::new(&[test], Given::of(base), Given::of(study));
    for (value, base, study) in held(base, study)? {
        pass.add(value, base, study).ok()?;
    }
    pass.finish().ok()?.pop().map(|(_, outcome)| outcome)
}
