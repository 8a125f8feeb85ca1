#![allow(clippy::float_cmp, reason = "these results are exact")]

use proptest::prelude::*;

use crate::function::{Error, Value, call};
use crate::{FUNCTIONS, find};

fn eval(name: &str, args: &[Value]) -> Result<Value, Error> {
    call(find(name)?, args)
}

fn float(name: &str, args: &[f64]) -> f64 {
    let args: Vec<Value> = args.iter().map(|x| Value::from(*x)).collect();
    match eval(name, &args) {
        Ok(Value::Float64(x)) => x,
        other => panic!("{name}: {other:?}"),
    }
}

fn refused(name: &str, args: &[Value]) -> String {
    eval(name, args).unwrap_err().to_string()
}

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

#[test]
fn null_in_any_argument_of_a_scalar_function_gives_null() {
    use crate::function::Kind;
    for function in FUNCTIONS.iter().filter(|function| function.kind() == Kind::Scalar) {
        let args = function.examples().into_iter().next().unwrap().rows.remove(0);
        for i in 0..args.len() {
            let mut with_null = args.clone();
            with_null[i] = Value::Null;
            assert_eq!(call(*function, &with_null), Ok(Value::Null), "{} argument {i}", function.name());
        }
    }
}

#[test]
fn scalers_keep_nan_and_infinities_and_take_no_spread_as_one() {
    for name in ["standard_scaler", "robust_scaler"] {
        assert!(float(name, &[NAN, 0.0, 1.0]).is_nan());
        assert!(float(name, &[0.0, NAN, 1.0]).is_nan());
        assert!(float(name, &[0.0, 0.0, NAN]).is_nan());
        assert_eq!(float(name, &[-INF, 0.0, 1.0]), -INF);
        assert_eq!(float(name, &[5.0, 3.0, 0.0]), 2.0);
        assert!(refused(name, &[1.0.into(), 0.0.into(), (-1.0).into()]).contains("is at least 0"));
    }
    assert!(float("min_max_scaler", &[NAN, 0.0, 1.0]).is_nan());
    assert_eq!(float("min_max_scaler", &[INF, 0.0, 1.0]), INF);
    assert_eq!(float("min_max_scaler", &[5.0, 3.0, 3.0]), 2.0);
    assert!(refused("min_max_scaler", &[1.0.into(), 2.0.into(), 1.0.into()]).contains("at most `max`"));
}

#[test]
fn bucketize_puts_infinities_at_the_ends_and_nan_nowhere() {
    let edges = || Value::from([0.0, 1.0]);
    assert_eq!(eval("bucketize", &[(-INF).into(), edges()]), Ok(Value::Int64(0)));
    assert_eq!(eval("bucketize", &[INF.into(), edges()]), Ok(Value::Int64(2)));
    assert_eq!(eval("bucketize", &[1.0.into(), edges()]), Ok(Value::Int64(2)));
    assert_eq!(eval("bucketize", &[NAN.into(), edges()]), Ok(Value::Null));
    assert_eq!(eval("bucketize", &[1.0.into(), Value::Float64List(vec![])]), Ok(Value::Int64(0)));
    for edges in [[1.0, 1.0], [2.0, 1.0], [0.0, NAN]] {
        assert!(refused("bucketize", &[0.0.into(), edges.into()]).contains("above the one before it"));
    }
    assert!(refused("bucketize", &[0.0.into(), [NAN].into()]).contains("above the one before it"));
}

#[test]
fn one_hot_knows_only_its_categories() {
    assert_eq!(eval("one_hot", &["sea".into(), ["SEA", "PDX"].into()]), Ok([0.0, 0.0].into()));
    assert_eq!(eval("one_hot", &["".into(), ["", "PDX"].into()]), Ok([1.0, 0.0].into()));
    assert_eq!(eval("one_hot", &["x".into(), Value::TextList(vec![])]), Ok(Value::Float64List(vec![])));
    assert!(refused("one_hot", &["a".into(), ["a", "a"].into()]).contains("'a' twice"));
}

#[test]
fn clip_moves_infinities_and_keeps_nan() {
    assert_eq!(float("clip", &[INF, 0.0, 1.0]), 1.0);
    assert_eq!(float("clip", &[7.0, -INF, INF]), 7.0);
    assert!(float("clip", &[NAN, 0.0, 1.0]).is_nan());
    for (low, high) in [(2.0, 1.0), (NAN, 1.0), (0.0, NAN)] {
        assert!(refused("clip", &[0.0.into(), low.into(), high.into()]).contains("at most `high`"));
    }
}

#[test]
fn log1p_at_its_edges() {
    assert_eq!(float("log1p", &[-1.0]), -INF);
    assert_eq!(float("log1p", &[INF]), INF);
    assert!(float("log1p", &[-1.5]).is_nan());
    assert!(float("log1p", &[NAN]).is_nan());
}

#[test]
fn cycles_are_exact_at_the_quarters_and_refuse_no_period() {
    for (x, sin, cos) in [(0.0, 0.0, 1.0), (3.0, 1.0, 0.0), (6.0, 0.0, -1.0), (9.0, -1.0, 0.0), (12e15, 0.0, 1.0)] {
        assert_eq!(float("cyclical_sin", &[x, 12.0]), sin);
        assert_eq!(float("cyclical_cos", &[x, 12.0]), cos);
    }
    assert!(float("cyclical_sin", &[INF, 12.0]).is_nan());
    assert!(float("cyclical_cos", &[NAN, 12.0]).is_nan());
    for period in [0.0, -1.0, NAN, INF] {
        assert!(refused("cyclical_sin", &[1.0.into(), period.into()]).contains("above 0 and finite"));
    }
}

#[test]
fn latitudes_beyond_the_poles_are_no_place() {
    assert!(float("haversine_km", &[91.0, 0.0, 0.0, 0.0]).is_nan());
    assert!(float("haversine_km", &[0.0, 0.0, -90.5, 0.0]).is_nan());
    assert!(float("haversine_km", &[0.0, INF, 0.0, 0.0]).is_nan());
    assert!((float("haversine_km", &[0.0, 0.0, 0.0, 180.0]) - 20_015.114_442).abs() < 1e-3);
}

#[test]
fn hash_bucket_needs_a_bucket() {
    for n in [0_i64, -5] {
        assert!(refused("hash_bucket", &["a".into(), n.into()]).contains("at least 1 bucket"));
    }
}

#[test]
fn an_error_in_a_row_with_null_is_not_raised() {
    assert_eq!(eval("standard_scaler", &[Value::Null, 0.0.into(), (-1.0).into()]), Ok(Value::Null));
}

proptest! {
    #[test]
    fn scaling_is_undone_by_its_inverse(x in -1e6..1e6, mean in -1e6..1e6, std in 1e-3..1e6) {
        let z = float("standard_scaler", &[x, mean, std]);
        prop_assert!((z * std + mean - x).abs() <= 1e-9 * (x.abs() + mean.abs()));
        let z = float("min_max_scaler", &[x, mean, mean + std]);
        prop_assert!((z * std + mean - x).abs() <= 1e-9 * (x.abs() + mean.abs() + 1.0));
    }

    #[test]
    fn scaled_extremes_are_zero_and_one(low in -1e300..1e300_f64, width in 1e-300..1e300_f64) {
        let high = low + width;
        prop_assume!(high > low);
        prop_assert_eq!(float("min_max_scaler", &[low, low, high]), 0.0);
        prop_assert_eq!(float("min_max_scaler", &[high, low, high]), 1.0);
    }

    #[test]
    fn a_bucket_lies_between_its_edges(x in any::<f64>(), mut edges in proptest::collection::vec(-100_i32..100, 0..8)) {
        edges.sort_unstable();
        edges.dedup();
        let edges: Vec<f64> = edges.into_iter().map(f64::from).collect();
        match eval("bucketize", &[x.into(), Value::Float64List(edges.clone())]) {
            Ok(Value::Int64(bucket)) => {
                let bucket = bucket as usize;
                prop_assert!(bucket == 0 || edges[bucket - 1] <= x);
                prop_assert!(bucket == edges.len() || x < edges[bucket]);
            }
            other => prop_assert!(x.is_nan() && other == Ok(Value::Null)),
        }
    }

    #[test]
    fn different_pairs_cross_to_different_categories(
        a in "[ab_\\\\]{0,4}", b in "[ab_\\\\]{0,4}", c in "[ab_\\\\]{0,4}", d in "[ab_\\\\]{0,4}",
    ) {
        let cross = |x: &str, y: &str| eval("feature_cross", &[x.into(), y.into()]);
        prop_assert_eq!(cross(&a, &b) == cross(&c, &d), (&a, &b) == (&c, &d));
    }

    #[test]
    fn a_place_in_a_cycle_lies_on_the_circle_and_comes_round(x in -1e9..1e9, period in 1e-3..1e6_f64) {
        let (sin, cos) = (float("cyclical_sin", &[x, period]), float("cyclical_cos", &[x, period]));
        prop_assert!((sin * sin + cos * cos - 1.0).abs() < 1e-12);
        prop_assert_eq!(sin, -float("cyclical_sin", &[-x, period]));
        prop_assert_eq!(cos, float("cyclical_cos", &[-x, period]));
    }

    #[test]
    fn the_way_back_is_as_long(a in -90.0..90.0, b in -180.0..180.0, c in -90.0..90.0, d in -180.0..180.0) {
        let there = float("haversine_km", &[a, b, c, d]);
        prop_assert_eq!(there, float("haversine_km", &[c, d, a, b]));
        prop_assert!((0.0..=20_015.2).contains(&there));
    }

    #[test]
    fn a_bucket_is_within_bounds_whatever_the_text(text in "\\PC{0,40}", n in 1_i64..) {
        match eval("hash_bucket", &[text.as_str().into(), n.into()]) {
            Ok(Value::Int64(bucket)) => prop_assert!((0..n).contains(&bucket)),
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
