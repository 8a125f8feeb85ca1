#![allow(clippy::float_cmp, reason = "these results are exact")]

use proptest::collection::vec;
use proptest::prelude::*;

use super::buckets::{COARSEST, LIMIT};
use super::categories::KEPT;
use super::*;
use crate::function::{Value, aggregate};

fn of_numbers(values: &[f64]) -> Profile {
    let mut profile = Profile::new();
    profile.update(values, None).unwrap();
    profile
}

fn of_texts(texts: &[Option<String>]) -> Profile {
    let mut profile = Profile::new();
    profile.update_texts(texts.iter().map(Option::as_deref)).unwrap();
    profile
}

/// The fractional parts of the multiples of the golden ratio, spread over some octaves.
fn spread(n: usize, shift: f64) -> Vec<f64> {
    (0..n)
        .map(|i| {
            let u = (i as f64 * 0.618_033_988_749_894_9 + shift).fract();
            let sign = if i % 3 == 0 { -1.0 } else { 1.0 };
            sign * libm::pow(10.0, 8.0 * u - 4.0)
        })
        .collect()
}

/// A normal sample, by quantiles of a low-discrepancy sequence.
fn normal(n: usize, start: f64, mean: f64) -> Vec<f64> {
    (0..n)
        .map(|i| {
            let u = (i as f64 * 0.618_033_988_749_894_9 + start).fract();
            crate::distribution::normal_quantile(u.clamp(1e-9, 1.0 - 1e-9)) + mean
        })
        .collect()
}

/// Numbers of many kinds: few and many different ones, special ones, of all magnitudes.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-20_i32..20).prop_map(f64::from),
        8 => -1e3..1e3,
        3 => any::<u64>().prop_map(f64::from_bits),
        1 => prop_oneof![Just(0.0), Just(-0.0), Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
    ]
}

fn text() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(String::new())),
        6 => (0_u32..2_000).prop_map(|i| Some(format!("category {i}"))),
        2 => (0_u32..3, 50_usize..80).prop_map(|(i, n)| Some("é".repeat(n) + &i.to_string())),
    ]
}

/// The parts, merged in pairs of some order, through bytes.
fn merged(mut parts: Vec<Profile>, picks: &[usize]) -> Profile {
    let mut picks = picks.iter().cycle();
    while parts.len() > 1 {
        let a = parts.swap_remove(picks.next().unwrap() % parts.len());
        let at = picks.next().unwrap() % parts.len();
        let mut b = Profile::from_bytes(&parts[at].to_bytes()).unwrap();
        b.merge(&a).unwrap();
        parts[at] = b;
    }
    parts.pop().unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn numbers_merge_to_the_bytes_of_one_pass(
        values in vec(number(), 0..6_000),
        cuts in vec(0_usize..6_000, 0..6),
        picks in vec(0_usize..100, 2..20),
        turn in 0_usize..6_000,
    ) {
        let whole = of_numbers(&values);
        let mut turned = values.clone();
        turned.rotate_left(turn % values.len().max(1));
        turned.reverse();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(values.len())).chain([0, values.len()]).collect();
        cuts.sort_unstable();
        let parts = cuts.windows(2).map(|cut| of_numbers(&turned[cut[0]..cut[1]])).collect();
        prop_assert_eq!(merged(parts, &picks).to_bytes(), whole.to_bytes());
    }

    #[test]
    fn texts_merge_to_the_bytes_of_one_pass(
        texts in vec(text(), 0..1_500),
        cuts in vec(0_usize..1_500, 0..6),
        picks in vec(0_usize..100, 2..20),
    ) {
        let whole = of_texts(&texts);
        let mut turned = texts.clone();
        turned.reverse();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(texts.len())).chain([0, texts.len()]).collect();
        cuts.sort_unstable();
        let parts = cuts.windows(2).map(|cut| of_texts(&turned[cut[0]..cut[1]])).collect();
        prop_assert_eq!(merged(parts, &picks).to_bytes(), whole.to_bytes());
    }

    #[test]
    fn quantiles_and_ranks_lie_in_their_bounds(values in vec(number(), 1..5_000), q in 0.0..=1.0, probe in number()) {
        let profile = of_numbers(&values);
        let mut sorted: Vec<f64> = values.into_iter().filter(|x| !x.is_nan()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        if let Some(bounds) = profile.quantile(q) {
            let rank = ((q * sorted.len() as f64).ceil() as usize).max(1);
            let truth = sorted[rank - 1];
            prop_assert!(bounds.low <= truth && truth <= bounds.high, "{truth} in {bounds:?}");
            prop_assert!(bounds.low <= bounds.value && bounds.value <= bounds.high);
            let near = bounds.high - bounds.low <= libm::ldexp(1.0, -7) * bounds.high.abs().max(bounds.low.abs());
            prop_assert!(near || bounds.low == bounds.high || bounds.high.abs() < 1e-300, "{bounds:?}");
        }
        if let Some(bounds) = profile.rank(probe) {
            let truth = sorted.iter().filter(|x| **x <= probe).count() as f64 / sorted.len() as f64;
            prop_assert!(bounds.low <= truth && truth <= bounds.high, "{truth} in {bounds:?}");
        }
        if let (Some((min, max)), Some(first)) = (profile.range(), sorted.iter().find(|x| x.is_finite())) {
            prop_assert_eq!(min, *first);
            prop_assert_eq!(max, *sorted.iter().rfind(|x| x.is_finite()).unwrap());
        }
    }
}

/// Profiles of every kind.
fn samples() -> Vec<Profile> {
    let categories = |n: u32| (0..n).map(|i| Some(format!("category {i}"))).collect::<Vec<_>>();
    vec![
        Profile::new(),
        of_texts(&[None, None]),
        of_numbers(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
        of_numbers(&[0.0, -0.0, 1.5, -1.5, f64::MAX, 5e-324]),
        of_numbers(&(0..1_000).map(f64::from).collect::<Vec<_>>()),
        of_numbers(&(0..5_000).map(f64::from).collect::<Vec<_>>()),
        of_numbers(&normal(3_000, 0.0, 100.0)),
        of_numbers(&spread(20_000, 0.0)),
        of_texts(&categories(3)),
        of_texts(&categories(3_000)),
        of_texts(&[Some("x".repeat(1_000)), Some("é".repeat(40)), Some(String::new()), None]),
    ]
}

#[test]
fn every_profile_survives_the_way_through_bytes() {
    for profile in samples() {
        let read = Profile::from_bytes(&profile.to_bytes()).unwrap();
        assert_eq!(read.to_bytes(), profile.to_bytes());
        assert_eq!(read.to_json(), profile.to_json());
        let twice = |mut profile: Profile| {
            profile.merge(&read).unwrap();
            profile.to_bytes()
        };
        assert_eq!(twice(read.clone()), twice(profile));
    }
}

#[test]
fn bytes_that_end_early_are_refused() {
    for profile in samples() {
        let bytes = profile.to_bytes();
        for end in 0..bytes.len().min(3_000) {
            assert!(Profile::from_bytes(&bytes[..end]).is_err());
        }
        assert!(Profile::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    }
}

/// What is read of any bytes answers every question, and is spelled as it was.
fn is_harmless(bytes: &[u8]) {
    if let Ok(profile) = Profile::from_bytes(bytes) {
        assert_eq!(profile.to_bytes(), bytes);
        let _ = (profile.to_json(), profile.quantile(0.5), profile.rank(1.0), profile.distinct(), profile.heap_size());
        let mut twice = profile.clone();
        if twice.merge(&profile).is_ok() {
            Profile::from_bytes(&twice.to_bytes()).unwrap();
        }
        for metric in METRICS {
            let args = [metric.into(), Value::Bytes(bytes.into()), Value::Bytes(bytes.into())];
            aggregate(&MlDrift, &[args]).unwrap();
        }
    }
}

const METRICS: [&str; 8] = ["psi", "ks", "chi_square", "js", "hellinger", "total_variation", "wasserstein", "welch_t"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_are_refused_or_harmless(bytes in vec(any::<u8>(), 0..200)) {
        is_harmless(&bytes);
        is_harmless(&[b"SKWP\x01", &bytes[..]].concat());
    }

    #[test]
    fn changed_bytes_are_refused_or_harmless(pick in 0_usize..11, places in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = samples().swap_remove(pick).to_bytes();
        for (place, byte) in places {
            // Near the start, where the structure is, more often than in the many counts.
            let len = bytes.len();
            let place = if byte % 2 == 0 { place.index(len) } else { place.index(len.min(40)) };
            bytes[place] = byte;
        }
        is_harmless(&bytes);
    }
}

#[test]
fn a_later_format_is_told_from_rubbish() {
    let mut bytes = of_numbers(&[1.0]).to_bytes();
    bytes.extend([6, 0]);
    assert!(matches!(Profile::from_bytes(&bytes), Err(Error::Later(_))));
    bytes[4] = 2;
    let error = Profile::from_bytes(&bytes).unwrap_err().to_string();
    assert!(error.contains("written by a later version, in format 2 where 1 is known"), "{error}");
    assert!(matches!(Profile::from_bytes(b"no profile"), Err(Error::Bytes(_))));
}

#[test]
fn numbers_and_texts_do_not_mix() {
    let mut profile = of_numbers(&[1.0]);
    let before = profile.to_bytes();
    assert_eq!(profile.update_texts([Some("a")]), Err(Error::Kinds));
    assert_eq!(profile.merge(&of_texts(&[Some("a".to_owned())])), Err(Error::Kinds));
    assert_eq!(profile.to_bytes(), before);
    profile.merge(&of_texts(&[None])).unwrap();
    assert_eq!((profile.rows(), profile.nulls()), (2, 1));
}

#[test]
fn so_many_different_numbers_are_held_exactly() {
    let values: Vec<f64> = (0..LIMIT).map(|i| i as f64 * 0.1).collect();
    let mut profile = of_numbers(&values);
    assert!(profile.is_exact());
    assert_eq!(profile.distinct(), Distinct { estimate: LIMIT as f64, standard_error: 0.0 });
    profile.update(&values, None).unwrap();
    assert!(profile.is_exact());
    profile.update(&[-1.0], None).unwrap();
    assert!(!profile.is_exact());
    let median = profile.quantile(0.5).unwrap();
    assert!(median.high - median.low < 0.2, "{median:?}");
    assert_eq!(profile.moments().unwrap().values().count(), 2 * LIMIT as u64 + 1);
}

#[test]
fn what_narrow_values_have_in_common_costs_no_precision() {
    // Microseconds of a year: all in one stretch of relative width 2^-7.
    let times: Vec<f64> = spread(100_000, 0.0).iter().map(|x| 1.7e15 + x.abs() * 3e9).collect();
    let profile = of_numbers(&times);
    let median = profile.quantile(0.5).unwrap();
    assert!(median.high - median.low <= 3e13 / 500.0, "{median:?}");
    assert!(profile.numbers().unwrap().shift() < COARSEST);
}

#[test]
fn values_of_a_point_are_known_as_one() {
    let mut values = spread(50_000, 0.0);
    values.extend(std::iter::repeat_n(123_456.0, 40_000));
    values.extend(std::iter::repeat_n(0.0, 30_000));
    let profile = of_numbers(&values);
    assert_eq!(profile.zeros(), 30_000);
    let rank = |x: f64| profile.rank(x).unwrap();
    assert_eq!(rank(0.0).low, rank(0.0).high);
}

#[test]
fn distinct_values_are_estimated_within_their_error() {
    for n in [3_000_usize, 20_000, 300_000] {
        let numbers: Vec<f64> = (0..n).map(|i| i as f64).collect();
        let texts: Vec<Option<String>> = (0..n).map(|i| Some(format!("N{i}"))).collect();
        for profile in [of_numbers(&numbers), of_texts(&texts)] {
            let distinct = profile.distinct();
            assert!((distinct.estimate - n as f64).abs() < 4.0 * distinct.standard_error, "{n}: {distinct:?}");
        }
    }
}

#[test]
fn kept_categories_have_exact_counts() {
    let text = |i: usize| format!("category {}", i * i % 1_009);
    let texts: Vec<Option<String>> = (0..20_000).map(|i| Some(text(i))).collect();
    let profile = of_texts(&texts);
    let categories = profile.categories();
    assert_eq!(categories.len(), KEPT);
    for category in &categories {
        let count = texts.iter().filter(|text| text.as_deref() == Some(category.text)).count() as u64;
        assert_eq!(category.count, count, "{}", category.text);
    }
    let kept: u64 = categories.iter().map(|category| category.count).sum();
    assert_eq!(kept + profile.other_categories(), profile.rows());
}

fn drift(metric: &str, base: &Profile, study: &Profile) -> Vec<(&'static str, Value)> {
    let args = [metric.into(), Value::Bytes(base.to_bytes()), Value::Bytes(study.to_bytes())];
    let Value::Record(fields) = aggregate(&MlDrift, &[args]).unwrap() else { panic!("no record") };
    fields
}

fn field(verdict: &[(&'static str, Value)], name: &str) -> Value {
    verdict.iter().find(|(field, _)| *field == name).unwrap().1.clone()
}

fn float(verdict: &[(&'static str, Value)], name: &str) -> f64 {
    if let Value::Float64(x) = field(verdict, name) { x } else { panic!("{name}: {verdict:?}") }
}

/// What a test of rows gives.
fn of_rows(test: &str, base: &[Value], study: &[Value]) -> Vec<(&'static str, Value)> {
    let base = base.iter().map(|x| vec![x.clone(), true.into()]);
    let rows: Vec<_> = base.chain(study.iter().map(|x| vec![x.clone(), false.into()])).collect();
    let Value::Record(fields) = aggregate(crate::find(test).unwrap(), &rows).unwrap() else { panic!("no record") };
    fields
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn profiles_of_small_samples_give_what_the_rows_give(
        base in vec(prop_oneof![9 => -5.0..5.0, 3 => (-3_i32..3).prop_map(f64::from), 1 => Just(f64::INFINITY), 1 => Just(f64::NAN)], 1..60),
        study in vec(prop_oneof![9 => -4.0..6.0, 3 => (-3_i32..3).prop_map(f64::from), 1 => Just(f64::NAN)], 1..60),
    ) {
        let values = |sample: &[f64]| sample.iter().map(|x| Value::Float64(*x)).collect::<Vec<_>>();
        for (metric, test) in [("ks", "ks_test"), ("psi", "psi")] {
            let ours = drift(metric, &of_numbers(&base), &of_numbers(&study));
            let rows = of_rows(test, &values(&base), &values(&study));
            for (name, same) in [("statistic_low", "statistic"), ("statistic_high", "statistic"), ("p_low", "p_value"), ("p_high", "p_value"), ("n_base", "n_base"), ("note", "note")] {
                prop_assert_eq!(format!("{:?}", field(&ours, name)), format!("{:?}", field(&rows, same)), "{} {}", metric, name);
            }
        }
    }

    #[test]
    fn profiles_of_texts_give_what_the_rows_give(base in vec(0_u32..9, 1..60), study in vec(0_u32..12, 1..60)) {
        let texts = |sample: &[u32]| sample.iter().map(|i| (*i > 0).then(|| format!("c{i}"))).collect::<Vec<_>>();
        let values = |sample: &[u32]| {
            texts(sample).into_iter().map(|text| text.map_or(Value::Null, Value::Text)).collect::<Vec<_>>()
        };
        // With NULLs alone nothing says that the column holds texts.
        prop_assume!(base.iter().chain(&study).any(|i| *i > 0));
        let ours = drift("psi", &of_texts(&texts(&base)), &of_texts(&texts(&study)));
        let rows = of_rows("psi", &values(&base), &values(&study));
        for (name, same) in [("statistic", "statistic"), ("p_low", "p_value"), ("n_study", "n_study"), ("note", "note")] {
            prop_assert_eq!(field(&ours, name), field(&rows, same), "{}", name);
        }
    }
}

#[test]
fn statistics_of_sketches_bound_those_of_the_rows() {
    for (m, n, shift) in [(20_000, 30_000, 0.01), (5_000, 50_000, 0.0), (3_000, 1_000, 0.3), (40_000, 40_000, 0.05)] {
        let (base, study) = (normal(m, 0.0, 0.0), normal(n, 0.4, shift));
        let (a, b) = (of_numbers(&base), of_numbers(&study));
        let values = |sample: &[f64]| sample.iter().map(|x| Value::Float64(*x)).collect::<Vec<_>>();
        let truth = of_rows("ks_test", &values(&base), &values(&study));
        let ks = drift("ks", &a, &b);
        let (low, high) = (float(&ks, "statistic_low"), float(&ks, "statistic_high"));
        let (d, p) = (float(&truth, "statistic"), float(&truth, "p_value"));
        assert!(low <= d && d <= high, "{low} {d} {high}");
        assert!(float(&ks, "p_low") <= p && p <= float(&ks, "p_high"), "{ks:?} {p}");
        let area = drift("wasserstein", &a, &b);
        let truth = exact_area(&base, &study);
        let (low, high) = (float(&area, "statistic_low"), float(&area, "statistic_high"));
        assert!(low <= truth && truth <= high, "{low} {truth} {high}");
        assert!((float(&area, "statistic") - truth).abs() < 0.01 * truth.max(0.05), "{truth} {area:?}");
    }
}

fn exact_area(base: &[f64], study: &[f64]) -> f64 {
    let mut all: Vec<(f64, f64)> = base.iter().map(|x| (*x, 1.0 / base.len() as f64)).collect();
    all.extend(study.iter().map(|x| (*x, -1.0 / study.len() as f64)));
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut difference = 0.0;
    all.windows(2)
        .map(|pair| {
            difference += pair[0].1;
            f64::abs(difference) * (pair[1].0 - pair[0].0)
        })
        .sum()
}

#[test]
fn verdicts_say_drift_no_drift_or_why_neither() {
    let verdict = |metric, base: &Profile, study: &Profile| match field(&drift(metric, base, study), "verdict") {
        Value::Text(verdict) => verdict,
        other => panic!("{other:?}"),
    };
    let (base, same, moved) = (
        of_numbers(&normal(30_000, 0.0, 0.0)),
        of_numbers(&normal(30_000, 0.3, 0.0)),
        of_numbers(&normal(30_000, 0.3, 0.1)),
    );
    for metric in METRICS {
        assert_eq!(verdict(metric, &base, &same), "no drift", "{metric}");
        assert_eq!(verdict(metric, &base, &moved), "drift", "{metric}");
        assert_eq!(verdict(metric, &base, &Profile::new()), "untestable", "{metric}");
        assert_eq!(verdict(metric, &base, &of_texts(&[Some("a".to_owned())])), "untestable", "{metric}");
    }
    // Both are one distribution, but a stretch holds more of them than a significant difference is.
    let (large, larger) = (of_numbers(&normal(1_000_000, 0.0, 0.0)), of_numbers(&normal(1_000_000, 0.3, 0.0015)));
    assert_eq!(verdict("ks", &large, &larger), "undecidable");
    assert_eq!(verdict("chi_square", &large, &larger), "no drift");
    let texts =
        |n: usize, step: usize| of_texts(&(0..n).map(|i| Some(format!("{}", i * step % 1_000))).collect::<Vec<_>>());
    assert_eq!(verdict("chi_square", &texts(20_000, 7), &texts(30_000, 11)), "no drift");
    assert_eq!(verdict("chi_square", &texts(20_000, 7), &texts(30_000, 25)), "drift");
    assert_eq!(verdict("ks", &texts(20, 7), &texts(30, 25)), "untestable");
}

#[test]
fn null_is_a_cell_of_its_own() {
    let mut base = of_numbers(&normal(1_000, 0.0, 0.0));
    let study = base.clone();
    base.update(&[0.0; 200], Some(&[false; 200])).unwrap();
    for metric in ["psi", "chi_square", "js", "hellinger", "total_variation"] {
        assert_eq!(field(&drift(metric, &base, &study), "verdict"), "drift".into(), "{metric}");
    }
    assert_eq!(
        field(&drift("ks", &base, &study), "note"),
        "200 NULL and 0 NaN of the base sample have no rank and are left out".into()
    );
}

#[test]
fn a_wrong_call_is_refused_by_name() {
    let bytes = Value::Bytes(of_numbers(&[1.0]).to_bytes());
    let call = |metric: &str, base: Value, alpha: f64| {
        aggregate(&MlDrift, &[[metric.into(), base, bytes.clone(), alpha.into()]]).unwrap_err().to_string()
    };
    assert!(call("chisquare", bytes.clone(), 0.05).contains("did you mean `chi_square`"));
    assert!(call("psi", bytes.clone(), 1.5).contains("`alpha` is 1.5"));
    let error = call("psi", Value::Bytes(b"0123456789".to_vec()), 0.05);
    assert!(
        error.contains("`base` is 10 bytes that start with X'3031323334353637': the bytes are no profile"),
        "{error}"
    );
    let texts = Value::Bytes(of_texts(&[Some("a".to_owned())]).to_bytes());
    let error = aggregate(&MlProfileMerge, &[[bytes.clone()], [texts]]).unwrap_err().to_string();
    assert!(error.contains("a profile of texts is to be merged with one of numbers"), "{error}");
    let error = aggregate(&MlProfileQuantile, &[[bytes, 2.0.into()]]).unwrap_err().to_string();
    assert!(error.contains("`q` is 2"), "{error}");
}

#[test]
fn the_p_value_of_a_wasserstein_distance_holds_its_level() {
    let mut random = 1_u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 11) as f64 / (1_u64 << 53) as f64
    };
    for (m, n, runs) in [(60_usize, 40_usize, 200), (7_000, 6_000, 20)] {
        let mut alarms = 0;
        for _ in 0..runs {
            let base: Vec<f64> = (0..m).map(|_| -libm::log(1.0 - next())).collect();
            let study: Vec<f64> = (0..n).map(|_| -libm::log(1.0 - next())).collect();
            let verdict = drift("wasserstein", &of_numbers(&base), &of_numbers(&study));
            alarms += usize::from(float(&verdict, "p_high") <= 0.1);
        }
        let share = alarms as f64 / f64::from(runs);
        assert!((0.0..=0.2).contains(&share), "{m} {n}: {share}");
    }
}
