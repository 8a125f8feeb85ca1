use proptest::collection::vec;
use proptest::prelude::*;

use super::samples::SplitMix64;
use crate::find;
use crate::function::{Value, aggregate};

pub(super) fn rows(base: &[f64], study: &[f64]) -> Vec<Vec<Value>> {
    let row = |x: &f64, is_base: bool| vec![Value::Float64(*x), Value::Boolean(is_base)];
    base.iter().map(|x| row(x, true)).chain(study.iter().map(|x| row(x, false))).collect()
}

pub(super) fn outcome(name: &str, rows: &[Vec<Value>]) -> Vec<(&'static str, Value)> {
    match aggregate(find(name).unwrap(), rows).unwrap() {
        Value::Record(fields) => fields,
        other => panic!("{other}"),
    }
}

pub(super) fn field(name: &str, rows: &[Vec<Value>], wanted: &str) -> Value {
    outcome(name, rows).into_iter().find(|(name, _)| *name == wanted).unwrap().1
}

pub(super) fn note(name: &str, rows: &[Vec<Value>]) -> String {
    match field(name, rows, "note") {
        Value::Text(note) => note,
        _ => String::new(),
    }
}

pub(super) const NAN: f64 = f64::NAN;
pub(super) const INF: f64 = f64::INFINITY;

#[test]
fn an_empty_sample_has_no_result_and_says_so() {
    for name in ["psi", "ks_test"] {
        for (base, study, missing) in
            [(vec![], vec![1.0], "base"), (vec![1.0], vec![], "study"), (vec![], vec![], "base")]
        {
            let rows = rows(&base, &study);
            assert_eq!(field(name, &rows, "statistic"), Value::Null);
            assert_eq!(field(name, &rows, "p_value"), Value::Null);
            assert!(note(name, &rows).contains(missing), "{name} {missing}");
        }
    }
    assert_eq!(aggregate(find("psi_value").unwrap(), &rows(&[1.0], &[])), Ok(Value::Null));
}

#[test]
fn ks_counts_what_it_leaves_out() {
    let mut rows = rows(&[1.0, 2.0, NAN], &[1.0, INF]);
    rows.push(vec![Value::Null, true.into()]);
    rows.push(vec![5.0.into(), Value::Null]);
    assert_eq!(field("ks_test", &rows, "n_base"), Value::Int64(2));
    assert_eq!(field("ks_test", &rows, "statistic"), Value::Float64(0.5));
    let note = note("ks_test", &rows);
    assert!(note.contains("1 NULL and 1 NaN of the base sample"), "{note}");
    assert!(note.contains("1 rows with NULL in is_base"), "{note}");
}

#[test]
fn ties_step_together() {
    assert_eq!(field("ks_test", &rows(&[1.0; 5], &[1.0; 7]), "statistic"), Value::Float64(0.0));
    assert_eq!(field("ks_test", &rows(&[1.0; 5], &[1.0; 7]), "p_value"), Value::Float64(1.0));
    assert_eq!(field("ks_test", &rows(&[0.0], &[-0.0]), "statistic"), Value::Float64(0.0));
}

#[test]
fn psi_sees_a_column_go_missing() {
    let mut rows = rows(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.0]);
    let before = field("psi", &rows, "statistic");
    assert_eq!(before, Value::Float64(0.0));
    rows.extend((0..4).map(|_| vec![Value::Null, false.into()]));
    assert!(matches!(field("psi", &rows, "statistic"), Value::Float64(psi) if psi > 0.1));
    assert!(note("psi", &rows).contains("Jeffreys"));
    assert_eq!(field("psi", &rows, "n_study"), Value::Int64(8));
}

#[test]
fn psi_without_smoothing_is_infinite_where_a_cell_is_empty() {
    let mut rows: Vec<Vec<Value>> = [("a", true), ("a", false), ("b", false)]
        .map(|(category, is_base)| vec![category.into(), is_base.into(), "none".into(), Value::Null])
        .into();
    assert_eq!(field("psi", &rows, "statistic"), Value::Float64(INF));
    assert_eq!(field("psi", &rows, "p_value"), Value::Float64(0.0));
    for row in &mut rows {
        row[2] = "sometimes".into();
    }
    assert!(aggregate(find("psi").unwrap(), &rows).unwrap_err().to_string().contains("'jeffreys' or 'none'"));
    for row in &mut rows {
        row[3] = 1_i64.into();
    }
    assert!(aggregate(find("psi").unwrap(), &rows).unwrap_err().to_string().contains("from 2 to 1000"));
}

#[test]
fn psi_of_a_constant_column_is_zero() {
    let rows = rows(&[7.0; 20], &[7.0; 30]);
    assert_eq!(field("psi", &rows, "statistic"), Value::Float64(0.0));
    assert_eq!(field("psi", &rows, "p_value"), Value::Null);
}

#[test]
fn infinities_fall_into_the_open_ends() {
    let base: Vec<f64> = (0..100).map(f64::from).collect();
    let mut study = base.clone();
    study[0] = -INF;
    study[99] = INF;
    assert_eq!(field("psi", &rows(&base, &study), "statistic"), Value::Float64(0.0));
    assert!(matches!(field("psi", &rows(&study, &base), "statistic"), Value::Float64(psi) if psi.is_finite()));
}

/// The rows in another order.
pub(super) fn shuffled(rows: &[Vec<Value>], seed: u64) -> Vec<Vec<Value>> {
    let mut shuffled = rows.to_vec();
    let mut random = SplitMix64::new(seed);
    for i in (1..shuffled.len()).rev() {
        shuffled.swap(i, random.below(i as u64 + 1) as usize);
    }
    shuffled
}

pub(super) fn sample() -> impl Strategy<Value = Vec<f64>> {
    vec(prop_oneof![-3.0..3.0, Just(0.0), Just(1.0), Just(NAN), Just(INF)], 0..40)
}

proptest! {
    #[test]
    fn the_order_of_the_rows_does_not_matter(base in sample(), study in sample(), seed in any::<u64>()) {
        let rows = rows(&base, &study);
        let shuffled = shuffled(&rows, seed);
        for name in ["psi", "ks_test"] {
            prop_assert_eq!(format!("{:?}", outcome(name, &rows)), format!("{:?}", outcome(name, &shuffled)));
        }
    }

    #[test]
    fn ks_is_symmetric_and_a_probability(base in vec(-3.0..3.0, 1..30), study in vec(-3.0..3.0, 1..30)) {
        let (there, back) = (rows(&base, &study), rows(&study, &base));
        for wanted in ["statistic", "p_value"] {
            let (a, b) = (field("ks_test", &there, wanted), field("ks_test", &back, wanted));
            prop_assert_eq!(&a, &b);
            prop_assert!(matches!(a, Value::Float64(x) if (0.0..=1.0).contains(&x)));
        }
    }

    #[test]
    fn psi_is_not_negative(base in sample(), study in sample()) {
        if let Value::Float64(psi) = field("psi", &rows(&base, &study), "statistic") {
            prop_assert!(psi >= 0.0);
        }
    }

    #[test]
    fn no_sizes_break_the_distribution(n in 0_u64..5_000, d in any::<f64>(), m in 1_u64..60, k in 1_u64..60, h in 0_u64..4_000) {
        let p = super::kolmogorov::one_sample_sf(n, d);
        prop_assert!(p.is_nan() == (n == 0 || d.is_nan()));
        prop_assert!((0.0..=1.0).contains(&super::kolmogorov::two_sample_exact(m, k, h)));
    }
}
