use proptest::collection::vec;
use proptest::prelude::*;

use crate::function::{Column, Function, Kind, Section, Type, Value, aggregate, state, update};
use crate::{FUNCTIONS, find};

fn field(name: &str, rows: &[Vec<Value>], wanted: &str) -> Value {
    match aggregate(find(name).unwrap(), rows).unwrap() {
        Value::Record(fields) => fields.into_iter().find(|(name, _)| *name == wanted).unwrap().1,
        other => panic!("{other}"),
    }
}

fn note(name: &str, rows: &[Vec<Value>]) -> String {
    match field(name, rows, "note") {
        Value::Text(note) => note,
        _ => String::new(),
    }
}

fn refused(name: &str, rows: &[Vec<Value>]) -> String {
    aggregate(find(name).unwrap(), rows).unwrap_err().to_string()
}

fn measures() -> impl Iterator<Item = &'static dyn Function> {
    FUNCTIONS.iter().copied().filter(|f| f.section() == Section::Quality && f.kind() == Kind::Aggregate)
}

fn columns(args: &'static [crate::Arg], rows: &[Vec<Value>]) -> Vec<Column<'static>> {
    args.iter()
        .enumerate()
        .map(|(i, arg)| {
            let values: Vec<&Value> = rows.iter().map(|row| &row[i]).collect();
            let mut column = Column::empty(arg.data_type);
            assert!(column.append(&Column::from_values(arg.data_type, &values).unwrap()));
            column
        })
        .collect()
}

/// A value for an argument from three random numbers, sometimes NULL, NaN or out of range.
fn value(data_type: Type, seed: u16) -> Value {
    let x = f64::from(seed % 97) / 90.0;
    match (seed % 23, data_type) {
        (0, _) => Value::Null,
        (1, Type::Float64 | Type::Float64OrText) => f64::NAN.into(),
        (_, Type::Float64) => x.into(),
        (_, Type::Float64OrText) => f64::from(seed % 3).into(),
        (_, Type::Boolean) => seed.is_multiple_of(2).into(),
        (_, other) => panic!("{other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn order_and_merging_do_not_matter(seeds in vec(any::<[u16; 4]>(), 0..60), turn in 0_usize..60, cut in 0_usize..60) {
        for function in measures() {
            let required = function.args().iter().filter(|arg| arg.default.is_none()).count();
            let args = &function.args()[..required];
            let rows: Vec<Vec<Value>> =
                seeds.iter().map(|seeds| args.iter().zip(seeds).map(|(arg, s)| value(arg.data_type, *s)).collect()).collect();
            let want = format!("{:?}", aggregate(function, &rows).unwrap());
            let mut turned = rows.clone();
            turned.rotate_left(turn.min(rows.len()));
            turned.reverse();
            prop_assert_eq!(&want, &format!("{:?}", aggregate(function, &turned).unwrap()), "{}", function.name());
            let (left, right) = turned.split_at(cut.min(rows.len()));
            let part = |rows: &[Vec<Value>]| {
                let mut part = state(function, &[]).unwrap()?;
                update(function, part.as_mut(), &columns(args, rows), rows.len()).unwrap();
                Some(part)
            };
            if let (Some(left), Some(mut right)) = (part(left), part(right)) {
                right.merge(&left.to_bytes()).unwrap();
                prop_assert_eq!(&want, &format!("{:?}", right.finish().unwrap().value(0)), "{}", function.name());
                prop_assert!(right.merge(&[7; 11]).is_err());
            }
        }
    }

    #[test]
    fn an_interval_holds_its_value(seeds in vec(any::<[u16; 4]>(), 1..60)) {
        for function in measures().filter(|function| function.returns() == super::MEASURE) {
            let required = function.args().iter().filter(|arg| arg.default.is_none());
            let types: Vec<Type> = required.map(|arg| arg.data_type).collect();
            let rows: Vec<Vec<Value>> =
                seeds.iter().map(|seeds| types.iter().zip(seeds).map(|(t, s)| value(*t, *s)).collect()).collect();
            let [value, low, high] = ["value", "low", "high"].map(|name| field(function.name(), &rows, name));
            if let (Value::Float64(value), Value::Float64(low), Value::Float64(high)) = (&value, &low, &high) {
                prop_assert!(*low <= value + 1e-12 && *value <= high + 1e-12, "{}: {low} {value} {high}", function.name());
            } else {
                prop_assert!(low == Value::Null && high == Value::Null);
            }
            prop_assert!(value != Value::Null || !note(function.name(), &rows).is_empty());
        }
    }
}

fn labelled(rows: &[(&str, &str)]) -> Vec<Vec<Value>> {
    rows.iter().map(|(label, prediction)| vec![(*label).into(), (*prediction).into()]).collect()
}

#[test]
fn nothing_to_measure_is_null_and_says_why() {
    for function in measures() {
        let got = aggregate::<Vec<Value>>(function, &[]).unwrap();
        match &got {
            Value::Record(fields) => assert!(
                function.name() == "confusion_matrix"
                    || function.name() == "confusion_by_threshold"
                    || matches!(fields.last(), Some(("note", Value::Text(_)))),
                "{} {got}",
                function.name()
            ),
            other => assert_eq!(*other, Value::Null, "{}", function.name()),
        }
    }
    assert_eq!(note("precision", &labelled(&[("true", "false")])), "no row is predicted true");
    assert_eq!(field("precision", &labelled(&[("true", "false")]), "value"), Value::Null);
    assert_eq!(
        note("roc_auc", &[vec![true.into(), 0.5.into()]]),
        "all labels are the same, so there is no pair to order"
    );
}

#[test]
fn what_is_left_out_is_counted() {
    let rows = vec![
        vec![1.0.into(), 1.0.into()],
        vec![Value::Null, 1.0.into()],
        vec![f64::NAN.into(), 1.0.into()],
        vec![1.0.into(), f64::NAN.into()],
    ];
    assert_eq!(note("accuracy", &rows), "1 row with NULL left out; 2 rows with NaN left out");
    assert_eq!(field("accuracy", &rows, "n"), Value::Int64(1));
    let rows = vec![vec![true.into(), 1.5.into()], vec![true.into(), 0.5.into()], vec![false.into(), 0.5.into()]];
    assert_eq!(note("brier_score", &rows), "1 row whose probability is not from 0 to 1 left out");
    let rows = vec![vec![0.0.into(), 1.0.into()], vec![2.0.into(), 1.0.into()], vec![4.0.into(), 1.0.into()]];
    assert_eq!(note("mape", &rows), "1 row without a percentage (NaN, or a label of 0) left out");
}

#[test]
fn an_infinite_error_is_not_hidden() {
    let rows = vec![vec![1.0.into(), f64::INFINITY.into()], vec![1.0.into(), 1.0.into()]];
    for name in ["mae", "rmse", "mape", "pinball_loss"] {
        assert_eq!(field(name, &rows, "value"), f64::INFINITY.into(), "{name}");
        assert_eq!(field(name, &rows, "high"), Value::Null, "{name}");
    }
}

#[test]
fn the_positive_class_is_named_or_plain() {
    let rows = labelled(&[("yes", "yes"), ("no", "yes")]);
    assert!(refused("precision", &rows).contains("`positive => 'yes'`"));
    let with = |positive: Value| -> Vec<Vec<Value>> {
        rows.iter().map(|row| [row.clone(), vec![positive.clone()]].concat()).collect()
    };
    assert_eq!(field("precision", &with("yes".into()), "value"), 0.5.into());
    assert_eq!(field("recall", &with("no".into()), "value"), 0.0.into());
    let mixed = vec![vec!["true".into(), 1.0.into()]];
    assert!(refused("accuracy", &mixed).contains("CAST"));
    let numbers: Vec<Vec<Value>> =
        vec![vec![1.0.into(), 1.0.into()], vec![2.0.into(), 1.0.into()], vec![0.0.into(), 0.0.into()]];
    assert_eq!(note("precision", &numbers), "1 is measured against 2 other classes");
    let texts_named = vec![vec![1.0.into(), 1.0.into(), "yes".into()]];
    assert!(refused("precision", &texts_named).contains("the classes are numbers"));
}

#[test]
fn wrong_options_are_refused_by_name() {
    let row = |options: &[Value]| vec![[vec![true.into(), 0.5.into()], options.to_vec()].concat()];
    assert!(refused("brier_score", &row(&[1.0.into()])).contains("`confidence` is 1.0"));
    assert!(refused("ece", &row(&[0_i64.into()])).contains("`bins` is 0"));
    assert!(refused("ece", &row(&[5_i64.into(), "quantiles".into()])).contains("did you mean `quantile`?"));
    assert!(refused("roc_curve", &row(&[true.into(), 1_i64.into()])).contains("`max_points` is 1"));
    assert!(refused("precision_at_k", &row(&[0_i64.into()])).contains("`k` is 0"));
    assert!(refused("confusion_by_threshold", &row(&[[f64::NAN].into()])).contains("`thresholds`"));
    let texts = vec![vec!["a".into(), "a".into(), Value::Null, "makro".into()]];
    assert!(refused("f1_score", &texts).contains("did you mean `macro`?"));
    let corners = [0.5.into(), [1.0, 0.0].into(), [0.0, 1.0].into()];
    assert!(crate::function::call(find("calibrate_isotonic").unwrap(), &corners).is_err());
}

#[test]
fn a_long_curve_is_thinned_and_says_so() {
    let rows: Vec<Vec<Value>> =
        (0..50_u32).map(|i| vec![(i % 2 == 0).into(), f64::from(i).into(), true.into(), 4_i64.into()]).collect();
    let Value::Float64List(tpr) = field("roc_curve", &rows, "tpr") else { panic!() };
    assert_eq!(tpr.len(), 5);
    assert_eq!(tpr.last(), Some(&1.0));
    assert!(note("roc_curve", &rows).starts_with("4 of 50 points"));
}

#[test]
fn isotonic_corners_calibrate_to_the_frequencies() {
    let rows: Vec<Vec<Value>> =
        [(false, 1.0), (true, 2.0), (false, 3.0), (true, 4.0)].map(|(l, s)| vec![l.into(), s.into()]).into();
    let (x, y) = (field("isotonic_calibration", &rows, "x"), field("isotonic_calibration", &rows, "y"));
    assert_eq!(y, [0.0, 0.5, 0.5, 1.0].into());
    let at =
        |score: f64| crate::function::call(find("calibrate_isotonic").unwrap(), &[score.into(), x.clone(), y.clone()]);
    assert_eq!(at(2.5), Ok(0.5.into()));
    assert_eq!(at(f64::NEG_INFINITY), Ok(0.0.into()));
    assert_eq!(at(f64::INFINITY), Ok(1.0.into()));
}

#[test]
fn platt_keeps_its_digits_at_any_scale() {
    let fit = |scale: f64, shift: f64| {
        let rows: Vec<Vec<Value>> =
            (0..40_u32).map(|i| vec![(i * i % 7 < i / 8).into(), (f64::from(i) * scale + shift).into()]).collect();
        match (field("platt_calibration", &rows, "slope"), field("platt_calibration", &rows, "intercept")) {
            (Value::Float64(slope), Value::Float64(intercept)) => (slope * scale, intercept + slope * shift),
            _ => panic!(),
        }
    };
    let plain = fit(1.0, 0.0);
    for (scale, shift) in [(1e9, 0.0), (1e-9, 0.0), (1.0, 1e6)] {
        let other = fit(scale, shift);
        assert!((plain.0 - other.0).abs() < 1e-9 && (plain.1 - other.1).abs() < 1e-6, "{plain:?} {other:?}");
    }
}

#[test]
fn a_group_too_small_to_compare_is_named() {
    let rows = |sizes: &[(&str, usize, usize)]| -> Vec<Vec<Value>> {
        let of = |(group, n, positives): &(&str, usize, usize)| -> Vec<Vec<Value>> {
            (0..*n).map(|i| vec![(i < *positives).into(), (*group).into()]).collect()
        };
        sizes.iter().flat_map(of).collect()
    };
    let three = rows(&[("a", 40, 20), ("b", 40, 30), ("c", 3, 0)]);
    let name = "demographic_parity_difference";
    assert_eq!(field(name, &three, "value"), 0.25.into());
    assert_eq!(field(name, &three, "group_low"), "a".into());
    assert_eq!(note(name, &three), "selection rate of groups with fewer than 30 rows left out: c (3)");
    assert_eq!(field(name, &rows(&[("a", 40, 20)]), "value"), Value::Null);
    assert_eq!(
        note("demographic_parity_ratio", &rows(&[("a", 40, 0), ("b", 40, 0)])),
        "all rates are 0, so they have no ratio"
    );
    // Equal groups: the interval tells that nothing is shown.
    let equal = rows(&[("a", 40, 20), ("b", 40, 20), ("c", 40, 20)]);
    assert_eq!(field(name, &equal, "low"), 0.0.into());
    assert_eq!(field("demographic_parity_ratio", &equal, "high"), 1.0.into());
}

#[test]
fn performance_without_labels_needs_something_predicted() {
    let rows = vec![vec![0.25.into(), false.into()], vec![0.5.into(), false.into()]];
    assert_eq!(field("cbpe", &rows, "accuracy"), 0.625.into());
    assert_eq!(field("cbpe", &rows, "precision"), Value::Null);
    assert_eq!(note("cbpe", &rows), "precision has nothing to be of");
}

/// Uniform numbers, the same on every run.
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let mixed = (*state ^ (*state >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

#[test]
fn the_interval_of_the_calibration_error_holds_what_the_bins_have_without_chance() {
    type Truth = fn(f64) -> f64;
    let truths: [(&str, Truth); 3] = [("right", |p| p), ("half", |p| p / 2.0), ("part", |p| p.min(0.5))];
    let (mut state, runs, n) = (7, 250, 150);
    for (name, truth) in truths {
        for strategy in ["uniform", "quantile"] {
            // The scores are uniform: both kinds of bins are tenths, and none of the gaps has two signs in one bin.
            let error =
                (0..10_000).map(|i| (f64::from(i) + 0.5) / 10_000.0).map(|p| p - truth(p)).sum::<f64>() / 10_000.0;
            let (mut below, mut above) = (0, 0);
            for _ in 0..runs {
                let rows: Vec<Vec<Value>> = (0..n)
                    .map(|_| {
                        let p = uniform(&mut state);
                        let label = uniform(&mut state) < truth(p);
                        vec![label.into(), p.into(), 10_i64.into(), strategy.into(), 0.9.into()]
                    })
                    .collect();
                let Value::Float64(low) = field("ece", &rows, "low") else { panic!() };
                let Value::Float64(high) = field("ece", &rows, "high") else { panic!() };
                below += u32::from(high < error);
                above += u32::from(low > error + 1e-12);
            }
            // Each side may miss 5 % of 250, 12.5, which a sample exceeds 21 in about one of a hundred times.
            assert!(below <= 21 && above <= 21, "{name} {strategy}: {below} below and {above} above");
            assert!(name != "right" || above >= 2, "the interval is wider than it has to be: {above}");
        }
    }
}

#[test]
fn a_chunk_says_nothing_about_itself() {
    let rows = |odd: bool| -> Vec<Vec<Value>> {
        let of = |month: u32| {
            (0..40_u32).map(move |i| {
                // In the chunk at hand labels may be anything: its own estimate and band stay.
                let label = if month == 2 { odd ^ (i % 3 == 0) } else { i >= 20 + month };
                let label = if month == 4 { Value::Null } else { label.into() };
                vec![label, f64::from(i).into(), (i > 20).into(), f64::from(month).into(), "accuracy".into()]
            })
        };
        (0..5).flat_map(of).collect()
    };
    let list = |rows: &[Vec<Value>], name: &str| match field("cbpe_by_chunk", rows, name) {
        Value::Float64List(values) => values,
        other => panic!("{other}"),
    };
    let (one, other) = (rows(false), rows(true));
    for name in ["estimated", "low", "high"] {
        let (one, other) = (list(&one, name), list(&other, name));
        assert_eq!(one[2].to_bits(), other[2].to_bits(), "{name} of the chunk itself");
        // The upper end is 1 either way.
        assert!(name == "high" || one[4].to_bits() != other[4].to_bits(), "{name} of the chunk without labels");
    }
    assert!(list(&one, "realized")[4].is_nan());
    // Without its chunk a score is calibrated as if there were no such chunk.
    let without: Vec<Vec<Value>> = one.iter().filter(|row| row[3] != 2.0.into()).cloned().collect();
    assert_eq!(list(&without, "estimated")[3].to_bits(), {
        let mut unlabelled = one.clone();
        for row in unlabelled.iter_mut().filter(|row| row[3] == 2.0.into()) {
            row[0] = Value::Null;
        }
        list(&unlabelled, "estimated")[4].to_bits()
    });
    let many: Vec<Vec<Value>> =
        (0..1_001_u32).map(|i| vec![true.into(), 0.5.into(), true.into(), f64::from(i).into()]).collect();
    assert!(refused("cbpe_by_chunk", &many).contains("make the chunks longer"));
    let wrong = vec![vec![true.into(), 0.5.into(), true.into(), 1.0.into(), "auc".into()]];
    assert!(refused("cbpe_by_chunk", &wrong).contains("did you mean `roc_auc`?"));
}
