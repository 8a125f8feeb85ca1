use proptest::collection::vec;
use proptest::prelude::*;

use super::super::tests::{INF, NAN, field, note, outcome, rows, sample, shuffled};
use super::{Integral, SplitMix64, steps};
use crate::find;
use crate::function::{self, Column, Value, aggregate};

const TESTS: [&str; 8] = [
    "ks_test",
    "kuiper_test",
    "cramer_von_mises_test",
    "anderson_darling_test",
    "mann_whitney_test",
    "welch_t_test",
    "epps_singleton_test",
    "mmd_test",
];
const BY_RANK: [&str; 5] =
    ["ks_test", "kuiper_test", "cramer_von_mises_test", "anderson_darling_test", "mann_whitney_test"];
const DISTANCES: [&str; 2] = ["wasserstein_distance", "energy_distance"];
const VALUES: [&str; 2] = ["wasserstein_distance_value", "energy_distance_value"];

fn all() -> impl Iterator<Item = &'static str> {
    TESTS.into_iter().chain(DISTANCES)
}

fn float(name: &str, rows: &[Vec<Value>], wanted: &str) -> f64 {
    match field(name, rows, wanted) {
        Value::Float64(value) => value,
        other => panic!("{name}: {wanted} is {other}: {}", note(name, rows)),
    }
}

/// `n` values that look random, from 0 to 1.
fn uniform(n: u64, seed: u64) -> Vec<f64> {
    let mut random = SplitMix64::new(seed);
    (0..n).map(|_| random.below(1 << 53) as f64 / (1_u64 << 53) as f64).collect()
}

fn with_option(base: &[f64], study: &[f64], options: &[Value]) -> Vec<Vec<Value>> {
    rows(base, study).into_iter().map(|row| [row, options.to_vec()].concat()).collect()
}

#[test]
fn an_empty_sample_has_no_result_and_says_so() {
    for name in all() {
        for (base, study, missing) in
            [(vec![], vec![1.0], "base"), (vec![1.0; 9], vec![NAN], "study"), (vec![], vec![], "base")]
        {
            let rows = rows(&base, &study);
            for wanted in ["statistic", "effect_size", "p_value"] {
                assert_eq!(field(name, &rows, wanted), Value::Null, "{name}");
            }
            assert!(note(name, &rows).contains(&format!("no value in the {missing} sample")), "{name} {missing}");
        }
    }
    for name in VALUES {
        assert_eq!(aggregate(find(name).unwrap(), &rows(&[1.0], &[])), Ok(Value::Null), "{name}");
    }
}

#[test]
fn every_value_left_out_is_counted() {
    let many: Vec<f64> = (0..9).map(f64::from).collect();
    let mut rows = rows(&[many.as_slice(), &[NAN]].concat(), &many);
    rows.push(vec![Value::Null, true.into()]);
    rows.push(vec![5.0.into(), Value::Null]);
    for name in all() {
        assert_eq!(field(name, &rows, "n_base"), Value::Int64(9), "{name}");
        let note = note(name, &rows);
        assert!(note.contains("1 NULL and 1 NaN of the base sample"), "{name}: {note}");
        assert!(note.contains("1 rows with NULL in is_base"), "{name}: {note}");
        assert!(matches!(field(name, &rows, "statistic"), Value::Float64(_)), "{name}");
    }
}

#[test]
fn too_few_values_are_named() {
    for (name, needed) in
        [("cramer_von_mises_test", 2), ("welch_t_test", 2), ("mmd_test", 2), ("epps_singleton_test", 5)]
    {
        let rows = rows(&[1.0, 2.0, 3.0, 4.0, 5.0], &[3.0]);
        assert_eq!(field(name, &rows, "p_value"), Value::Null);
        let note = note(name, &rows);
        assert!(
            note.contains("only 1 value in the study sample") && note.contains(&needed.to_string()),
            "{name}: {note}"
        );
    }
    assert!(note("anderson_darling_test", &rows(&[1.0], &[2.0, 3.0])).contains("where 4 are needed"));
}

#[test]
fn constants_are_a_sample_like_others_or_untestable() {
    let (same, other) = (rows(&[7.0; 12], &[7.0; 20]), rows(&[7.0; 12], &[8.0; 20]));
    for name in ["ks_test", "kuiper_test", "cramer_von_mises_test", "mann_whitney_test"] {
        assert!(float(name, &same, "p_value") >= 1.0, "{name}");
    }
    for name in BY_RANK {
        assert!(float(name, &other, "p_value") < 0.01, "{name}");
    }
    assert_eq!(field("cramer_von_mises_test", &same, "effect_size"), Value::Float64(0.0));
    for (name, reason) in [
        ("anderson_darling_test", "all values are equal"),
        ("mmd_test", "all values are equal"),
        ("welch_t_test", "variance of zero"),
        ("epps_singleton_test", "interquartile range"),
    ] {
        assert_eq!(field(name, &same, "p_value"), Value::Null, "{name}");
        assert!(note(name, &same).contains(reason), "{name}");
    }
    assert!(note("welch_t_test", &other).contains("variance of zero"));
    assert!(float("mmd_test", &other, "p_value") <= 0.005);
    for name in DISTANCES {
        assert_eq!(field(name, &same, "statistic"), Value::Float64(0.0), "{name}");
    }
    assert_eq!(field("wasserstein_distance", &other, "statistic"), Value::Float64(1.0));
    assert_eq!(field("wasserstein_distance", &other, "effect_size"), Value::Null);
    assert!(note("wasserstein_distance", &other).contains("the base is constant"));
    assert_eq!(field("energy_distance", &other, "effect_size"), Value::Float64(1.0));
}

#[test]
fn the_normed_distance_is_in_standard_deviations_of_the_base() {
    let (base, study) = ([0.0, 2.0], [3.0, 5.0]);
    let normed = with_option(&base, &study, &[true.into()]);
    assert_eq!(field("wasserstein_distance", &normed, "statistic"), Value::Float64(3.0));
    assert_eq!(aggregate(find("wasserstein_distance_value").unwrap(), &normed), Ok(Value::Float64(3.0)));
    let constant = with_option(&[1.0, 1.0], &study, &[true.into()]);
    assert_eq!(field("wasserstein_distance", &constant, "statistic"), Value::Null);
    assert!(note("wasserstein_distance", &constant).contains("the base is constant"));
    assert_eq!(aggregate(find("wasserstein_distance_value").unwrap(), &constant), Ok(Value::Null));
}

#[test]
fn infinities_are_ranks_but_have_no_moments() {
    let base: Vec<f64> = (0..20).map(f64::from).collect();
    let (mut study, mut large) = (base.clone(), base.clone());
    study[19] = INF;
    large[19] = 1e9;
    for name in BY_RANK {
        assert_eq!(outcome(name, &rows(&base, &study)), outcome(name, &rows(&base, &large)), "{name}");
    }
    for name in ["welch_t_test", "epps_singleton_test", "mmd_test"] {
        let rows = rows(&base, &study);
        assert_eq!(field(name, &rows, "statistic"), Value::Null, "{name}");
        assert!(note(name, &rows).contains("1 infinite values"), "{name}");
        assert_eq!(field(name, &rows, "n_study"), Value::Int64(20), "{name}");
    }
    for name in DISTANCES {
        assert_eq!(field(name, &rows(&base, &study), "statistic"), Value::Float64(INF), "{name}");
        assert!(note(name, &rows(&base, &study)).contains("1 infinite values"), "{name}");
        let shared = rows(&[-INF, 1.0, INF], &[-INF, 3.0, INF]);
        assert!(float(name, &shared, "statistic").is_finite(), "{name}");
        assert_eq!(field(name, &shared, "effect_size"), Value::Null, "{name}");
    }
}

#[test]
fn numbers_at_the_end_of_the_range_break_nothing() {
    let (base, study) = ([-f64::MAX, -1e308, 0.0, 1e308, f64::MAX], [-f64::MAX, 5e-324, 1e-310, 1e300, f64::MAX]);
    for name in all() {
        for rows in [rows(&base, &study), rows(&base, &base), rows(&[5e-324; 6], &study), rows(&study, &[f64::MAX; 7])]
        {
            for wanted in ["statistic", "effect_size", "p_value"] {
                if let Value::Float64(value) = field(name, &rows, wanted) {
                    assert!(!value.is_nan(), "{name} {wanted}");
                }
            }
        }
    }
    let mut integral = Integral::default();
    for step in steps(&[-f64::MAX, f64::MAX], &[f64::MAX, f64::MAX]) {
        integral.add(&step, |step| step.distance((2, 2)));
    }
    assert!(integral.value().is_finite(), "{}", integral.value());
}

#[test]
fn a_small_sample_against_a_huge_one_is_tested_by_a_sum_of_uniforms() {
    let base: Vec<f64> = (0..1_000_001).map(f64::from).collect();
    let rows = rows(&base, &[-1.0]);
    // Of 1,000,002 equally likely places the lowest or the highest.
    assert!((float("mann_whitney_test", &rows, "p_value") * 1_000_002.0 - 2.0).abs() < 1e-4);
}

#[test]
fn a_large_sample_is_thinned_the_same_way_in_any_order() {
    let (base, study) = (uniform(1_500, 1), uniform(1_200, 2));
    let ordered = with_option(&base, &study, &[19_i64.into(), 7_i64.into()]);
    let result = outcome("mmd_test", &ordered);
    assert_eq!(result, outcome("mmd_test", &shuffled(&ordered, 3)));
    assert_eq!(field("mmd_test", &ordered, "n_base"), Value::Int64(1_000));
    assert!(note("mmd_test", &ordered).starts_with(
        "1000 of the 1500 values of the base sample were drawn; 1000 of the 1200 values of the study sample were drawn"
    ));
    assert_ne!(result, outcome("mmd_test", &with_option(&base, &study, &[19_i64.into(), 8_i64.into()])));
}

#[test]
fn permutations_are_some_and_not_too_many() {
    for permutations in [0_i64, -1, 10_001] {
        let rows = with_option(&[1.0, 2.0], &[3.0, 4.0], &[permutations.into()]);
        let error = aggregate(find("mmd_test").unwrap(), &rows).unwrap_err().to_string();
        assert!(
            error.contains(&format!("`permutations` is {permutations}, but it has to be from 1 to 10000")),
            "{error}"
        );
    }
}

#[test]
fn samples_of_one_distribution_are_seldom_told_apart() {
    for name in TESTS {
        let alarms = (0..200_u64)
            .filter(|i| {
                let rows = rows(&uniform(30, 2 * i), &uniform(40, 2 * i + 1));
                float(name, &rows, "p_value") <= 0.05
            })
            .count();
        // Binomial with 200 trials at 0.05: 20 or more have a probability of 0.2%.
        assert!(alarms < 20, "{name}: {alarms}");
    }
}

#[test]
fn counts_of_one_distribution_are_seldom_told_apart() {
    // Not by the table of `anderson_darling_test`, which says so.
    for name in TESTS.into_iter().filter(|name| *name != "anderson_darling_test") {
        let counts = |n: u64, seed: u64| uniform(n, seed).iter().map(|x| (x * 4.0).floor()).collect::<Vec<f64>>();
        let alarms = (0..200_u64)
            .filter(|i| float(name, &rows(&counts(30, 2 * i), &counts(60, 2 * i + 1)), "p_value") <= 0.05)
            .count();
        assert!(alarms < 20, "{name}: {alarms}");
    }
    let rows = rows(&[0.0, 1.0, 1.0, 1.0], &[0.0, 0.0, 1.0]);
    assert!(note("anderson_darling_test", &rows).contains("4 of 7 values are equal"));
}

#[test]
fn shifts_are_seen() {
    for name in TESTS {
        let shifted: Vec<f64> = uniform(60, 2).iter().map(|x| x + 0.4).collect();
        assert!(float(name, &rows(&uniform(60, 1), &shifted), "p_value") < 0.01, "{name}");
    }
}

/// The state of a function after these rows.
fn state_of(name: &str, rows: &[Vec<Value>]) -> Box<dyn function::State> {
    let function = find(name).unwrap();
    let mut state = function::state(function, &[]).unwrap().unwrap();
    let column = |index: usize| {
        let values: Vec<&Value> = rows.iter().map(|row| &row[index]).collect();
        Column::from_values(function.args()[index].data_type, &values).unwrap()
    };
    function::update(function, state.as_mut(), &[column(0), column(1)], rows.len()).unwrap();
    state
}

#[test]
fn bytes_that_are_no_state_are_refused() {
    let mut state = state_of("welch_t_test", &rows(&[1.0], &[2.0, 3.0]));
    let bytes = state.to_bytes();
    for length in 0..bytes.len() {
        assert!(state.merge(&bytes[..length]).is_err(), "{length}");
    }
    assert!(state.merge(&[bytes.as_slice(), &[0]].concat()).is_err());
    assert_eq!(state.to_bytes(), bytes);
}

/// Values that rank tests, moments and ties are made of.
fn finite(sizes: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    vec(prop_oneof![-3.0..3.0, Just(0.0), Just(-0.0), Just(1.0)], sizes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_the_rows_does_not_matter(base in sample(), study in sample(), seed in any::<u64>()) {
        let rows = rows(&base, &study);
        let shuffled = shuffled(&rows, seed);
        for name in all() {
            prop_assert_eq!(format!("{:?}", outcome(name, &rows)), format!("{:?}", outcome(name, &shuffled)));
        }
    }

    #[test]
    fn zeros_are_one_value(base in finite(6..20), study in finite(6..20)) {
        let positive = |values: &[f64]| values.iter().map(|x| if *x == 0.0 { 0.0 } else { *x }).collect::<Vec<f64>>();
        for name in all() {
            let (mixed, clean) = (rows(&base, &study), rows(&positive(&base), &positive(&study)));
            prop_assert_eq!(format!("{:?}", outcome(name, &mixed)), format!("{:?}", outcome(name, &clean)));
        }
    }

    #[test]
    fn ranks_are_all_that_rank_tests_see(base in finite(2..30), study in finite(2..30)) {
        let stretched = |values: &[f64]| values.iter().map(|x| (*x + 3.0).powi(3) * 1e100).collect::<Vec<f64>>();
        for name in BY_RANK {
            let (plain, other) = (rows(&base, &study), rows(&stretched(&base), &stretched(&study)));
            prop_assert_eq!(outcome(name, &plain), outcome(name, &other), "{}", name);
        }
    }

    #[test]
    fn which_sample_is_the_base_decides_signs_only(base in finite(5..30), study in finite(5..30)) {
        let (there, back) = (rows(&base, &study), rows(&study, &base));
        for name in all() {
            let (Value::Float64(a), Value::Float64(b)) = (field(name, &there, "statistic"), field(name, &back, "statistic"))
            else {
                prop_assert_eq!(field(name, &there, "statistic"), field(name, &back, "statistic"));
                continue;
            };
            let mirrored = match name {
                "welch_t_test" => -b,
                "mann_whitney_test" => (base.len() * study.len()) as f64 - b,
                _ => b,
            };
            prop_assert!((a - mirrored).abs() <= 1e-9 * a.abs().max(1.0), "{} {} {}", name, a, b);
            if let (Value::Float64(p), Value::Float64(q)) = (field(name, &there, "p_value"), field(name, &back, "p_value")) {
                // With samples of one size the splits of `mmd_test` count for the other one.
                let noise = if name == "mmd_test" && base.len() == study.len() { 0.25 } else { 1e-9 };
                prop_assert!((p - q).abs() <= noise, "{} {} {}", name, p, q);
            }
        }
    }

    #[test]
    fn p_values_are_probabilities_and_effects_in_their_range(base in sample(), study in sample()) {
        let rows = rows(&base, &study);
        for name in all() {
            if let Value::Float64(p) = field(name, &rows, "p_value") {
                prop_assert!((0.0..=1.0).contains(&p), "{} {}", name, p);
            }
            let most = match name {
                "ks_test" | "kuiper_test" | "mann_whitney_test" | "energy_distance" => 1.0,
                "cramer_von_mises_test" => 0.5,
                "mmd_test" => std::f64::consts::SQRT_2,
                "welch_t_test" => continue,
                _ => INF,
            };
            if let Value::Float64(effect) = field(name, &rows, "effect_size") {
                prop_assert!(effect >= 0.0 && effect <= most * (1.0 + 1e-12), "{} {}", name, effect);
            }
        }
    }

    #[test]
    fn a_distance_moves_with_the_unit(base in finite(1..20), study in finite(1..20)) {
        let scaled = |values: &[f64]| values.iter().map(|x| x * 4.0).collect::<Vec<f64>>();
        let (plain, other) = (rows(&base, &study), rows(&scaled(&base), &scaled(&study)));
        let factors = [("wasserstein_distance", 4.0), ("energy_distance", 2.0)];
        for (name, factor) in factors {
            prop_assert_eq!(Value::Float64(float(name, &plain, "statistic") * factor), field(name, &other, "statistic"));
            prop_assert_eq!(field(name, &plain, "effect_size"), field(name, &other, "effect_size"));
        }
    }

    #[test]
    fn the_steps_count_every_value_once(base in finite(0..20), study in finite(0..20)) {
        let in_order = |values: Vec<f64>| {
            let mut values: Vec<f64> = values.iter().map(|x| x + 0.0).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let (base, study) = (in_order(base), in_order(study));
        for step in steps(&base, &study) {
            let below = |values: &[f64]| values.iter().filter(|x| **x < step.at).count() as u64;
            let there = |values: &[f64]| values.iter().filter(|x| x.total_cmp(&step.at).is_eq()).count() as u64;
            prop_assert_eq!((step.base_below, step.base_tied), (below(&base), there(&base)));
            prop_assert_eq!((step.study_below, step.study_tied), (below(&study), there(&study)));
        }
        let tied: u64 = steps(&base, &study).map(|step| step.tied()).sum();
        prop_assert_eq!(tied, (base.len() + study.len()) as u64);
    }

    #[test]
    fn states_merge_to_the_state_of_all_rows(base in sample(), study in sample(), cut in 0_usize..80) {
        let rows = rows(&base, &study);
        let (head, tail) = rows.split_at(cut.min(rows.len()));
        let whole = state_of("welch_t_test", &rows);
        let (mut there, mut back) = (state_of("welch_t_test", head), state_of("welch_t_test", tail));
        let (first, second) = (there.to_bytes(), back.to_bytes());
        there.merge(&second).unwrap();
        back.merge(&first).unwrap();
        for merged in [there, back] {
            prop_assert_eq!(merged.to_bytes(), whole.to_bytes());
            prop_assert_eq!(format!("{:?}", merged.finish()), format!("{:?}", whole.finish()));
        }
    }
}
