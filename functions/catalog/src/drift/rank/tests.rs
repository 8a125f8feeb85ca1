use proptest::prelude::*;

use super::super::tests::{INF, NAN, outcome, rows, sample};
use super::*;
use crate::function::Value;

/// The function over rows of each test.
const FUNCTIONS: [(&str, RankTest); 7] = [
    ("ks_test", RankTest::Ks),
    ("mann_whitney_test", RankTest::MannWhitney),
    ("cramer_von_mises_test", RankTest::CramerVonMises),
    ("anderson_darling_test", RankTest::AndersonDarling),
    ("kuiper_test", RankTest::Kuiper),
    ("wasserstein_distance", RankTest::Wasserstein),
    ("energy_distance", RankTest::Energy),
];

fn given(values: &[f64], nulls: u64) -> Given {
    let nans = values.iter().filter(|value| value.is_nan()).count() as u64;
    Given { values: values.len() as u64 - nans, nulls, nans }
}

/// The outcomes of all tests over these values, passed in order one by one.
fn pass(base: &[f64], study: &[f64], nulls: (u64, u64)) -> Vec<(RankTest, Outcome)> {
    let tests = RankTest::ALL.map(|(_, test)| test);
    let mut pass = RankPass::new(&tests, given(base, nulls.0), given(study, nulls.1));
    let side = |values: &[f64], is_base: bool| values.iter().map(|x| (*x, is_base)).collect::<Vec<_>>();
    let mut pooled = [side(base, true), side(study, false)].concat();
    pooled.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (value, is_base) in pooled.into_iter().filter(|(value, _)| !value.is_nan()) {
        pass.add(value, u64::from(is_base), u64::from(!is_base)).unwrap();
    }
    pass.finish().unwrap()
}

fn equal_the_functions(base: &[f64], study: &[f64], nulls: (u64, u64)) {
    let mut rows = rows(base, study);
    for (count, is_base) in [(nulls.0, true), (nulls.1, false)] {
        rows.extend((0..count).map(|_| vec![Value::Null, Value::Boolean(is_base)]));
    }
    for (test, found) in pass(base, study, nulls) {
        let (name, _) = FUNCTIONS.iter().find(|(_, own)| *own == test).unwrap();
        let Value::Record(fields) = found.into_value() else { panic!("no record") };
        // Debug shows every bit but those of NaN.
        assert_eq!(format!("{fields:?}"), format!("{:?}", outcome(name, &rows)), "{name}");
    }
}

#[test]
fn sorted_values_give_what_the_rows_give() {
    let many: Vec<f64> = (0..300).map(|i| f64::from(i * 7919 % 1_009) / 8.0).collect();
    let moved: Vec<f64> = (0..200).map(|i| f64::from(i * 104_729 % 997) / 8.0 + 3.0).collect();
    equal_the_functions(&many, &moved, (0, 0));
    equal_the_functions(&many, &[], (3, 2));
    equal_the_functions(&[], &[], (1, 0));
    equal_the_functions(&[7.0; 9], &[7.0; 4], (0, 0));
    equal_the_functions(&[-INF, -0.0, 0.0, NAN, INF], &[-INF, -INF, 0.0, 5e-324, f64::MAX, NAN], (1, 1));
}

#[test]
fn values_out_of_order_are_refused() {
    let one = Given { values: 1, ..Given::default() };
    let mut pass = RankPass::new(&[RankTest::Ks], one, one);
    pass.add(-INF, 1, 0).unwrap();
    pass.add(2.0, 0, 1).unwrap();
    assert_eq!(pass.add(1.0, 1, 0), Err(RankPassError::Order { value: 1.0, before: 2.0 }));
    assert!(pass.add(NAN, 1, 0).is_err());
}

#[test]
fn other_values_than_were_to_come_are_named() {
    let (two, one) = (Given { values: 2, ..Given::default() }, Given { values: 1, ..Given::default() });
    let mut pass = RankPass::new(&RankTest::ALL.map(|(_, test)| test), two, one);
    for _ in 0..3 {
        pass.add(4.0, 0, 1).unwrap();
    }
    let error = pass.finish().unwrap_err();
    assert_eq!(error, RankPassError::Changed { sample: "base", expected: 2, found: 0 });
    assert!(error.to_string().contains("the base sample had 2 values when it was profiled and 0 when it was sorted"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bit_differs_from_the_functions(base in sample(), study in sample(), nulls in (0_u64..3, 0_u64..3)) {
        equal_the_functions(&base, &study, nulls);
    }
}
