//! Validation of columns: every column is answered, no plan changes the answer, and without drift alarms are rare.

#![allow(clippy::float_cmp, reason = "these results are exact")]

use proptest::prelude::*;

use super::*;
use crate::drift::RankTest;
use crate::profile::Profile;

fn numbers(values: &[f64]) -> Profile {
    let mut profile = Profile::new();
    profile.update(values, None).unwrap();
    profile
}

fn texts(values: &[Option<&str>]) -> Profile {
    let mut profile = Profile::new();
    profile.update_texts(values.iter().copied()).unwrap();
    profile
}

/// Numbers from 0 to 1 that have nothing to do with each other.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn one(base: &Profile, study: &Profile) -> Finding {
    let mut findings = compare("x", base, study, &Options::default(), &[]);
    decide(&mut findings.iter_mut().collect::<Vec<_>>(), &Options::default());
    findings.swap_remove(0)
}

#[test]
fn an_untestable_column_is_a_finding_with_its_reason() {
    let none = Profile::new();
    let some = numbers(&[1.0, 2.0]);
    let mut nulls = Profile::new();
    nulls.update(&[0.0, 0.0], Some(&[false, false])).unwrap();
    for (base, study, reason) in [
        (&none, &some, "no row in the base sample"),
        (&some, &none, "no row in the study sample"),
        (&nulls, &nulls, "all rows of both samples are NULL"),
        (&texts(&[Some("a")]), &some, "texts"),
        (&numbers(&[7.0]), &numbers(&[7.0, 7.0]), "one cell"),
    ] {
        let finding = one(base, study);
        assert_eq!((finding.p_value, finding.is_drift), (None, None));
        assert!(finding.note.as_deref().unwrap().contains(reason), "{finding:?}");
    }
}

#[test]
fn the_test_fits_the_column() {
    let mut draws = Draws(1);
    let many: Vec<f64> = (0..500).map(|_| draws.next()).collect();
    let few: Vec<f64> = many.iter().map(|x| (x * 5.0).floor()).collect();
    assert_eq!(one(&numbers(&many), &numbers(&many)).metric.as_deref(), Some("ks"));
    assert_eq!(one(&numbers(&few), &numbers(&few)).metric.as_deref(), Some("chi_square"));
    let words = texts(&[Some("a"), Some("b"), None]);
    assert_eq!(one(&words, &words).metric.as_deref(), Some("chi_square"));
    let mut with_null = numbers(&many);
    with_null.update(&[0.0], Some(&[false])).unwrap();
    let metrics: Vec<Option<String>> =
        compare("x", &with_null, &numbers(&many), &Options::default(), &[]).into_iter().map(|f| f.metric).collect();
    assert_eq!(metrics, [Some("ks".to_owned()), Some("missing".to_owned())]);
}

#[test]
fn what_goes_missing_is_drift() {
    let mut draws = Draws(2);
    let values: Vec<f64> = (0..1_000).map(|_| draws.next()).collect();
    let valid: Vec<bool> = (0..1_000).map(|row| row % 5 != 0).collect();
    let mut study = Profile::new();
    study.update(&values, Some(&valid)).unwrap();
    let mut findings = compare("x", &numbers(&values), &study, &Options::default(), &[]);
    decide(&mut findings.iter_mut().collect::<Vec<_>>(), &Options::default());
    let missing = findings.iter().find(|f| f.metric.as_deref() == Some("missing")).unwrap();
    assert_eq!((missing.effect_size, missing.is_drift), (Some(0.2), Some(true)));
    let nans: Vec<f64> = values.iter().zip(&valid).map(|(x, valid)| if *valid { *x } else { f64::NAN }).collect();
    let same = compare("x", &numbers(&values), &numbers(&nans), &Options::default(), &[]);
    assert_eq!(same.last().unwrap().p_value, missing.p_value);
}

#[test]
fn a_category_that_was_never_seen_is_part_of_the_test() {
    let base = texts(&[Some("a"); 200]);
    let study = texts(&[[Some("a"); 150].as_slice(), &[Some("new"); 50]].concat());
    assert_eq!(one(&base, &study).is_drift, Some(true));
}

/// Adjusted p-values of scipy 1.17.1: `scipy.stats.false_discovery_control`.
#[test]
fn p_values_are_adjusted_for_their_number() {
    let p = [0.01, 0.04, 0.03, 0.005, 0.5];
    let adjusted = |correction| {
        let mut findings: Vec<Finding> =
            p.iter().map(|p| Finding { p_value: Some(*p), ..Finding::default() }).collect();
        findings.insert(2, Finding::untestable("y", "no reason"));
        decide(&mut findings.iter_mut().collect::<Vec<_>>(), &Options { correction, ..Options::default() });
        assert_eq!((findings[2].p_adjusted, findings[2].is_drift), (None, None));
        findings
            .iter()
            .filter_map(|finding| finding.p_adjusted)
            .map(|p| (p * 1e12).round() / 1e12)
            .collect::<Vec<f64>>()
    };
    assert_eq!(adjusted(Correction::BenjaminiHochberg), [0.025, 0.05, 0.05, 0.025, 0.5]);
    assert_eq!(adjusted(Correction::Bonferroni), [0.05, 0.2, 0.15, 0.025, 1.0]);
    assert_eq!(adjusted(Correction::Holm), [0.04, 0.09, 0.09, 0.025, 0.5]);
    assert_eq!(
        adjusted(Correction::BenjaminiYekutieli),
        [0.057_083_333_333, 0.114_166_666_667, 0.114_166_666_667, 0.057_083_333_333, 1.0]
    );
    assert_eq!(adjusted(Correction::None), p);
}

#[test]
fn drift_with_a_small_effect_is_not_reported_where_asked() {
    let mut draws = Draws(3);
    let base: Vec<f64> = (0..20_000).map(|_| draws.next()).collect();
    let study: Vec<f64> = base.iter().map(|x| x + 0.05).collect();
    let options = Options { min_effect: 0.2, ..Options::default() };
    let mut findings = compare("x", &numbers(&base), &numbers(&study), &options, &[]);
    decide(&mut findings.iter_mut().collect::<Vec<_>>(), &options);
    assert!(findings[0].p_adjusted.unwrap() < 1e-6);
    assert_eq!(findings[0].is_drift, Some(false));
}

/// The share of alarms at alpha 5 % over trials without drift.
fn alarms(trials: usize, sizes: (usize, usize), mut sample: impl FnMut(usize) -> Profile) -> f64 {
    let alarms = (0..trials).filter(|_| one(&sample(sizes.0), &sample(sizes.1)).is_drift == Some(true)).count();
    alarms as f64 / trials as f64
}

/// The grid of the guide's page in small, with a fixed seed: no cell may exceed 5 % by more than chance allows.
#[test]
fn without_drift_the_rate_of_false_alarms_holds() {
    let trials = 400;
    let bound = 0.05 + 3.0 * (0.05_f64 * 0.95 / trials as f64).sqrt();
    let mut draws = Draws(20_260);
    for sizes in [(100, 100), (500, 500), (2_000, 100), (5_000, 50), (100, 10_000)] {
        let mut found = vec![alarms(trials, sizes, |n| {
            numbers(&(0..n).map(|_| -libm::log(1.0 - draws.next())).collect::<Vec<_>>())
        })];
        for categories in [2, 3, 10, 100, 1_000] {
            // Zipf's law: category k is drawn with a weight of 1 / k.
            let weights: Vec<f64> = (1..=categories).map(|k| 1.0 / f64::from(k)).collect();
            let total: f64 = weights.iter().sum();
            found.push(alarms(trials, sizes, |n| {
                let draw = |draws: &mut Draws| {
                    let mut left = draws.next() * total;
                    weights.iter().position(|weight| {
                        left -= weight;
                        left < 0.0
                    })
                };
                let names: Vec<String> = (0..n).map(|_| format!("{:?}", draw(&mut draws))).collect();
                texts(&names.iter().map(|name| Some(name.as_str())).collect::<Vec<_>>())
            }));
        }
        assert!(found.iter().all(|rate| *rate <= bound), "{sizes:?}: {found:?}");
    }
}

#[test]
fn exact_tests_need_the_rows_where_profiles_do_not_hold_every_value() {
    let mut draws = Draws(4);
    let mut sample = |n: usize| (0..n).map(|_| draws.next()).collect::<Vec<f64>>();
    let (few, many, more) = (numbers(&sample(1_000)), numbers(&sample(9_000)), numbers(&sample(9_000)));
    let of = |metrics: &[&str], exact: bool| {
        let metrics = metrics.iter().map(|metric| (*metric).to_owned()).collect();
        Options { metrics, exact, ..Options::default() }
    };
    assert_eq!(needs_rows(&many, &more, &of(&[], true)), [RankTest::Ks]);
    assert_eq!(
        needs_rows(&many, &more, &of(&["kuiper", "psi", "ks", "kuiper"], true)),
        [RankTest::Ks, RankTest::Kuiper]
    );
    for options in [of(&[], false), of(&["psi", "chi_square", "missing"], true)] {
        assert_eq!(needs_rows(&many, &more, &options), []);
    }
    let words = texts(&[Some("a"), Some("b")]);
    for (base, study) in [(&few, &few), (&words, &words), (&many, &Profile::new()), (&words, &many)] {
        assert_eq!(needs_rows(base, study, &of(&["ks"], true)), []);
    }

    // What the profiles hold is told at once; what they do not is not made up.
    let found = compare("x", &few, &few, &of(&["energy", "wasserstein"], true), &[]);
    assert_eq!(found[0].statistic, Some(0.0));
    assert!(found.iter().all(|f| f.note.as_deref() == Some("exact: from every value, which the profiles hold")));
    assert!(found[0].p_value.is_none() && found[1].p_value.is_some());
    let found = compare("x", &many, &more, &of(&["energy"], true), &[]);
    assert_eq!(found[0].statistic, None);
    assert!(found[0].note.as_deref().unwrap().contains("which profiles do not hold"), "{found:?}");
}

proptest! {
    #[test]
    fn no_order_or_cut_of_the_rows_changes_a_finding(
        rows in proptest::collection::vec((any::<bool>(), proptest::option::of(-50_i32..50)), 1..300),
        cut in 0_usize..300,
    ) {
        let profile = |rows: &[(bool, Option<i32>)], is_base: bool| {
            let own: Vec<Option<i32>> = rows.iter().filter(|row| row.0 == is_base).map(|row| row.1).collect();
            let values: Vec<f64> = own.iter().map(|x| f64::from(x.unwrap_or(0)) / 7.0).collect();
            let valid: Vec<bool> = own.iter().map(Option::is_some).collect();
            let mut profile = Profile::new();
            profile.update(&values, Some(&valid)).unwrap();
            profile
        };
        let whole = compare("x", &profile(&rows, true), &profile(&rows, false), &Options::default(), &[]);
        let (a, b) = rows.split_at(cut.min(rows.len()));
        let merged = |is_base| {
            let mut merged = profile(b, is_base);
            merged.merge(&profile(a, is_base)).unwrap();
            merged
        };
        prop_assert_eq!(&whole, &compare("x", &merged(true), &merged(false), &Options::default(), &[]));
        for finding in &whole {
            prop_assert!(finding.p_value.is_none_or(|p| (0.0..=1.0).contains(&p)));
        }
    }
}

fn shifted(n: u32, by: f64) -> Profile {
    let mut draws = Draws(7);
    numbers(&(0..n).map(|_| draws.next() + by).collect::<Vec<f64>>())
}

fn limit(metric: &str, effect: f64) -> Limit {
    Limit { metric: metric.to_owned(), effect, ..Limit::default() }.checked().unwrap()
}

#[test]
fn a_limit_is_broken_by_an_effect_that_is_large_and_no_chance() {
    let base = shifted(1000, 0.0);
    for (metric, effect, by, kept) in [
        ("ks", 0.1, 0.0, true),
        ("ks", 0.1, 0.05, true),
        ("ks", 0.1, 0.3, false),
        ("auto", 0.1, 0.3, false),
        ("psi", 0.2, 0.3, false),
        ("wasserstein", 0.5, 0.3, false),
        ("wasserstein", 1.5, 0.3, true),
        ("welch_t", 0.5, -0.3, false),
        ("missing", 0.1, 0.3, true),
    ] {
        let judgement = limit(metric, effect).check(&base, &shifted(900, by));
        assert_eq!(judgement.is_kept, Some(kept), "{metric} {effect} {by}: {}", judgement.reason);
    }
    assert_eq!(limit("auto", 0.1).check(&numbers(&[7.0]), &numbers(&[7.0, 7.0])).is_kept, Some(true));
    // Three values are far off, but that is chance: with a test the size of a sample counts.
    assert_eq!(limit("ks", 0.1).check(&base, &numbers(&[0.9, 0.95, 0.5])).is_kept, Some(true));
    let cities = texts(&[Some("SEA"), Some("PDX")].repeat(100));
    assert_eq!(limit("auto", 0.1).check(&cities, &texts(&[Some("SEA")].repeat(100))).is_kept, Some(false));
}

#[test]
fn a_limit_that_profiles_cannot_decide_says_so() {
    // Two sketches whose largest bucket hides more than the limit.
    let base = shifted(200_000, 0.0);
    let study = shifted(200_000, 0.003);
    let Judgement { is_kept, reason } = limit("ks", 0.0032).check(&base, &study);
    assert_eq!(is_kept, None, "{reason}");
    assert!(reason.starts_with("undecidable from profiles: ks effect 0.00") && reason.contains(" to "), "{reason}");
    for (base, study, said) in
        [(&Profile::new(), &base, "no row in the base sample"), (&texts(&[Some("a")]), &base, "texts")]
    {
        let judgement = limit("auto", 0.1).check(base, study);
        assert_eq!(judgement.is_kept, None);
        assert!(judgement.reason.contains(said), "{}", judgement.reason);
    }
}

#[test]
fn a_limit_that_is_none_is_refused() {
    let check = |metric: &str, effect, alpha| Limit { metric: metric.to_owned(), effect, alpha }.checked().unwrap_err();
    assert!(check("pis", 0.1, 0.05).contains("did you mean `psi`?"));
    assert!(check("psi", 0.0, 0.05).contains("a positive number"));
    assert!(check("psi", f64::NAN, 0.05).contains("a positive number"));
    assert!(check("psi", 0.1, 1.0).contains("between 0 and 1"));
}
