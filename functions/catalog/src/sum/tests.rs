#![allow(clippy::float_cmp, reason = "these results are exact")]

use super::limbs::Magnitude;
use super::{ExactMoments, ExactSum, limbs};
use proptest::collection::vec;
use proptest::prelude::*;

fn sum_of(values: &[f64]) -> ExactSum {
    let mut sum = ExactSum::new();
    for value in values {
        sum.add(*value);
    }
    sum
}

fn moments_of(values: &[f64]) -> ExactMoments {
    let mut moments = ExactMoments::new();
    for value in values {
        moments.add(*value);
    }
    moments
}

#[test]
fn what_cancels_leaves_what_is_left() {
    assert_eq!(sum_of(&[1e308, 1.0, -1e308]).sum().to_bits(), 1.0_f64.to_bits());
    assert_eq!(sum_of(&[0.1; 10]).sum().to_bits(), 1.0_f64.to_bits());
    assert_eq!(sum_of(&[1.0, 2f64.powi(-53), 2f64.powi(-105)]).sum().to_bits(), (1.0 + f64::EPSILON).to_bits());
    assert_eq!(sum_of(&[5e-324, 5e-324]).sum().to_bits(), 2);
}

#[test]
fn zeros_are_positive_and_no_values_are_zero() {
    assert_eq!(ExactSum::new().sum().to_bits(), 0.0_f64.to_bits());
    assert_eq!(sum_of(&[-0.0, -0.0]).sum().to_bits(), 0.0_f64.to_bits());
    assert_eq!(ExactSum::new().avg(), None);
}

#[test]
fn infinities_and_nan_decide_the_result_until_they_are_taken_back() {
    let mut sum = sum_of(&[1.0, f64::INFINITY]);
    assert_eq!(sum.sum(), f64::INFINITY);
    sum.add(f64::NEG_INFINITY);
    assert!(sum.sum().is_nan());
    sum.subtract(f64::NEG_INFINITY);
    sum.subtract(f64::INFINITY);
    assert_eq!(sum.to_bytes(), sum_of(&[1.0]).to_bytes());
    assert!(moments_of(&[1.0, f64::INFINITY]).var().is_some_and(f64::is_nan));
}

#[test]
fn a_mean_does_not_overflow_where_its_sum_does() {
    let sum = sum_of(&[f64::MAX, f64::MAX]);
    assert_eq!(sum.sum(), f64::INFINITY);
    assert_eq!(sum.avg(), Some(f64::MAX));
}

#[test]
fn variance_is_exact_where_the_textbook_formula_cancels() {
    assert_eq!(moments_of(&[1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0]).var(), Some(1.0));
    assert_eq!(moments_of(&[0.1; 7]).var_pop(), Some(0.0));
    assert_eq!(moments_of(&[3.0]).var(), None);
    assert_eq!(moments_of(&[3.0]).var_pop(), Some(0.0));
    assert_eq!(moments_of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).stddev_pop(), Some(2.0));
    assert_eq!(moments_of(&[5e-324, 0.0]).var(), Some(0.0));
    assert_eq!(moments_of(&[f64::MAX, -f64::MAX]).var(), Some(f64::INFINITY));
}

#[test]
fn foreign_bytes_are_refused() {
    assert!(ExactSum::from_bytes(&[]).is_err());
    let mut bytes = sum_of(&[1.5, -2.5]).to_bytes();
    assert!(ExactMoments::from_bytes(&bytes).is_err());
    bytes.push(0);
    assert!(ExactSum::from_bytes(&bytes).is_err());
    assert!(ExactSum::from_bytes(&[0xff; 64]).is_err());
}

fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |x| x.is_finite()),
        -1e3..1e3,
        (-1000_i32..1000).prop_map(f64::from),
        Just(0.0),
        Just(f64::MIN_POSITIVE / 4.0),
    ]
}

/// Sums of a few values by 128-bit integers: values are multiples of 2^-20 below 2^20.
fn small_exact() -> impl Strategy<Value = f64> {
    (-(1_i64 << 40)..(1_i64 << 40)).prop_map(|i| i as f64 / f64::from(1 << 20))
}

/// Values of the kinds that tables hold, and a few that no short sum holds.
fn measured() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (-1000_i32..1000).prop_map(f64::from),
        6 => (-100_000_i32..100_000).prop_map(|cents| f64::from(cents) / 100.0),
        3 => -1e3..1e3,
        2 => (-30_i32..30).prop_map(|e| 10f64.powi(e)),
        1 => finite(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn sums_of_few_digits_are_rounded_as_those_of_many(values in vec(measured(), 1..40), kinds in 1_usize..40) {
        // Fewer kinds of values leave fewer digits.
        let moments = moments_of(&values.iter().cycle().take(kinds.max(values.len())).copied().collect::<Vec<_>>());
        let (sum, n) = (moments.values(), moments.values().count());
        for divisor in [1, n] {
            if let Some(short) = sum.short(divisor) {
                prop_assert_eq!(short.to_bits(), sum.long(divisor).to_bits());
            }
        }
        for rest in [n, n - 1] {
            if rest > 0 && let Some(short) = moments.short(n, rest) {
                prop_assert_eq!(short.to_bits(), moments.long(n, rest).to_bits());
            }
        }
    }

    #[test]
    fn a_rounded_ratio_is_that_of_the_digits(
        mantissa in prop_oneof![any::<u64>().prop_map(u128::from), any::<u128>(), 0_u128..9],
        divisor in prop_oneof![1_u64..10, any::<u64>()],
        shift in 0_u32..128,
    ) {
        let (magnitude, divisor) = (mantissa >> shift, divisor.max(1));
        let digits = Magnitude::of(magnitude).divide(&[divisor]).round();
        if let Some(short) = limbs::short_ratio(magnitude, limbs::VALUE.unit, divisor) {
            prop_assert_eq!(short.to_bits(), digits.to_bits());
        }
        let scaled = limbs::short_ratio(magnitude, 0, divisor);
        let long = Magnitude::of(magnitude).scaled(0).divide(&[divisor]).round();
        prop_assert_eq!(scaled.map(f64::to_bits), Some(long.to_bits()));
    }
}

proptest! {
    #[test]
    fn state_depends_on_neither_order_nor_partition(values in vec(finite(), 0..40), cut in 0_usize..40, turn in 0_usize..40) {
        let whole = moments_of(&values);
        let (left, right) = values.split_at(cut.min(values.len()));
        let mut merged = moments_of(right);
        merged.merge(&moments_of(left));
        prop_assert_eq!(merged.to_bytes(), whole.to_bytes());
        let mut rotated = values.clone();
        rotated.rotate_left(turn % values.len().max(1));
        rotated.reverse();
        prop_assert_eq!(moments_of(&rotated).to_bytes(), whole.to_bytes());
        let restored = ExactMoments::from_bytes(&whole.to_bytes()).unwrap();
        prop_assert_eq!(restored.to_bytes(), whole.to_bytes());
        prop_assert_eq!(restored.var().map(f64::to_bits), whole.var().map(f64::to_bits));
    }

    #[test]
    fn many_values_at_once_are_the_values_one_by_one(
        values in vec(prop_oneof![9 => finite(), 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)], 1..40),
        n in 1_u64..2_000,
    ) {
        let many: Vec<f64> = values.iter().cycle().take(n as usize).copied().collect();
        let mut all = ExactMoments::new();
        all.add_all(&many);
        prop_assert_eq!(all.to_bytes(), moments_of(&many).to_bytes());
        let mut times = ExactMoments::new();
        times.add_times(values[0], n);
        prop_assert_eq!(times.to_bytes(), moments_of(&vec![values[0]; n as usize]).to_bytes());
    }

    #[test]
    fn taking_back_leaves_what_was_there(values in vec(finite(), 0..30), more in vec(finite(), 0..30)) {
        let before = moments_of(&values);
        let mut after = before.clone();
        for value in &more {
            after.add(*value);
        }
        for value in more.iter().rev() {
            after.subtract(*value);
        }
        prop_assert_eq!(after.to_bytes(), before.to_bytes());
        let mut merged = before.clone();
        merged.merge(&moments_of(&more));
        merged.unmerge(&moments_of(&more));
        prop_assert_eq!(merged.to_bytes(), before.to_bytes());
    }

    #[test]
    fn mean_and_variance_are_the_rounded_rationals(values in vec(small_exact(), 2..20)) {
        let scaled: Vec<i128> = values.iter().map(|x| (x * f64::from(1 << 20)) as i128).collect();
        let n = scaled.len() as i128;
        let total: i128 = scaled.iter().sum();
        let squares: i128 = scaled.iter().map(|x| x * x).sum();
        let numerator = n * squares - total * total;
        let var = numerator as f64 / (n * (n - 1)) as f64 / 2f64.powi(40);
        let ours = moments_of(&values).var().unwrap();
        prop_assert!((ours - var).abs() <= 2.0 * f64::EPSILON * var, "{ours} {var}");
        let mean = total as f64 / n as f64 / f64::from(1 << 20);
        prop_assert_eq!(sum_of(&values).avg().unwrap(), mean);
        prop_assert!(ours >= 0.0);
    }
}
