use proptest::collection::vec;
use proptest::prelude::*;

use crate::function::{Arg, Column, Function, Kind, Type, Value, aggregate, retract, slides, state, update};
use crate::{FUNCTIONS, find};

fn sliding() -> impl Iterator<Item = &'static dyn Function> {
    FUNCTIONS.iter().copied().filter(|function| slides(*function))
}

/// Values that repeat, with NULL, NaN and infinities among them; the second kind of number or category is text.
fn value(data_type: Type, is_text: bool, seed: u8) -> Value {
    let seed_of_three = f64::from(seed % 3);
    match (seed % 19, data_type) {
        (0, _) => Value::Null,
        (1, Type::Float64) => f64::NAN.into(),
        (1, Type::Float64OrText) if !is_text => f64::NAN.into(),
        (2, Type::Float64) => f64::INFINITY.into(),
        (3, Type::Float64) => (-0.0).into(),
        (_, Type::Float64) => (f64::from(seed % 7) / 6.0).into(),
        (_, Type::Float64OrText) if is_text => ["false", "true", "maybe"][usize::from(seed % 2)].into(),
        (4, Type::Float64OrText) => 7.5.into(),
        (_, Type::Float64OrText) => seed_of_three.into(),
        (_, Type::Boolean) => seed.is_multiple_of(2).into(),
        (_, other) => panic!("{other}"),
    }
}

/// The options that make other states than the defaults do.
fn options(function: &dyn Function) -> Vec<Vec<Value>> {
    let given = |wanted: &str, value: Value| {
        let options = function.args().iter().filter(|arg| arg.default.is_some());
        let at = options.clone().position(|arg| arg.name == wanted)?;
        Some([vec![Value::Null; at], vec![value]].concat())
    };
    let others = [
        given("edges", [0.5, 1.5].into()),
        given("binning", "equal_width".into()),
        given("strategy", "quantile".into()),
        given("average", "macro".into()),
        given("min_support", 1_i64.into()),
    ];
    std::iter::once(Vec::new()).chain(others.into_iter().flatten()).collect()
}

/// The columns of rows, the options as columns of one row.
fn columns(function: &dyn Function, is_text: bool, rows: &[Vec<Value>], options: &[Value]) -> Vec<Column<'static>> {
    let owned = |data_type: Type, values: &[&Value]| {
        let data_type = match data_type {
            Type::Float64OrText if is_text => Type::Text,
            other => other,
        };
        let mut column = Column::empty(data_type);
        assert!(column.append(&Column::from_values(data_type, values).unwrap()));
        column
    };
    let (required, optional): (Vec<&Arg>, Vec<&Arg>) = function.args().iter().partition(|arg| arg.default.is_none());
    let collected = required.iter().enumerate().map(|(i, arg)| {
        let values: Vec<&Value> = rows.iter().map(|row| &row[i]).collect();
        owned(arg.data_type, &values)
    });
    let constants = optional.iter().zip(options).map(|(arg, value)| owned(arg.data_type, &[value]));
    collected.chain(constants).collect()
}

#[test]
fn the_functions_whose_state_is_counts_or_exact_sums_slide() {
    for name in
        ["psi", "welch_t_test", "two_proportion_z_test", "f1_score", "log_loss", "ece", "equalized_odds_difference"]
    {
        assert!(slides(find(name).unwrap()), "{name}");
    }
    for name in ["ks_test", "ml_profile", "roc_auc", "clip"] {
        assert!(!slides(find(name).unwrap()), "{name}");
    }
    let function = find("ml_profile").unwrap();
    let mut profile = state(function, &[]).unwrap().unwrap();
    let refusal = retract(function, profile.as_mut(), &[Column::from(vec![1.0])], 1).unwrap_err();
    assert_eq!(refusal.to_string(), "ml_profile: its state cannot give rows back");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_sliding_frame_has_the_bits_of_its_rows_alone(seeds in vec(any::<[u8; 4]>(), 1..40), width in 1_usize..12) {
        for (function, is_text) in sliding().flat_map(|function| [(function, false), (function, true)]) {
            prop_assert_eq!(function.kind(), Kind::Aggregate);
            let types: Vec<Type> = function.args().iter().filter(|arg| arg.default.is_none()).map(|arg| arg.data_type).collect();
            if is_text && !types.contains(&Type::Float64OrText) {
                continue;
            }
            let rows: Vec<Vec<Value>> =
                seeds.iter().map(|seeds| types.iter().zip(seeds).map(|(t, s)| value(*t, is_text, *s)).collect()).collect();
            for options in options(function) {
                if is_text && matches!(options.last(), Some(Value::Float64List(_))) {
                    continue;
                }
                let constants: Vec<Column<'_>> = columns(function, is_text, &[], &options).split_off(types.len());
                let mut sliding = state(function, &constants).unwrap().unwrap();
                prop_assert!(sliding.slide());
                for end in 0..rows.len() {
                    let start = (end + 1).saturating_sub(width);
                    let row = |i: usize| columns(function, is_text, &rows[i..=i], &options);
                    update(function, sliding.as_mut(), &row(end), 1).unwrap();
                    if start > 0 {
                        retract(function, sliding.as_mut(), &row(start - 1), 1).unwrap();
                    }
                    let frame = &rows[start..=end];
                    let mut fresh = state(function, &constants).unwrap().unwrap();
                    update(function, fresh.as_mut(), &columns(function, is_text, frame, &options), frame.len()).unwrap();
                    prop_assert_eq!(
                        format!("{:?}", sliding.finish()), format!("{:?}", fresh.finish()), "{} {:?}", function.name(), &options
                    );
                }
            }
        }
    }

    #[test]
    fn a_frame_that_has_lost_all_rows_is_empty(seeds in vec(any::<[u8; 4]>(), 1..40)) {
        for function in sliding() {
            let types: Vec<Type> = function.args().iter().filter(|arg| arg.default.is_none()).map(|arg| arg.data_type).collect();
            let rows: Vec<Vec<Value>> =
                seeds.iter().map(|seeds| types.iter().zip(seeds).map(|(t, s)| value(*t, false, *s)).collect()).collect();
            let mut sliding = state(function, &[]).unwrap().unwrap();
            prop_assert!(sliding.slide());
            let columns = columns(function, false, &rows, &[]);
            update(function, sliding.as_mut(), &columns, rows.len()).unwrap();
            retract(function, sliding.as_mut(), &columns, rows.len()).unwrap();
            let nothing = aggregate::<Vec<Value>>(function, &[]).unwrap();
            prop_assert_eq!(format!("{:?}", sliding.finish().unwrap().value(0)), format!("{nothing:?}"), "{}", function.name());
        }
    }
}
