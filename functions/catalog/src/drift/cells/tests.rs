use std::borrow::Cow;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::find;
use crate::function::{Column, Function, State, Type, Value, Values, aggregate, state, update};

/// The struct forms.
const TESTS: [&str; 12] = [
    "psi",
    "chi_square_test",
    "chi_square_gof_test",
    "g_test",
    "cramers_v",
    "fisher_exact_test",
    "two_proportion_z_test",
    "js_distance",
    "kl_divergence",
    "hellinger_distance",
    "total_variation_distance",
    "l_infinity_distance",
];

const SYMMETRIC: [&str; 7] = [
    "chi_square_test",
    "g_test",
    "cramers_v",
    "js_distance",
    "hellinger_distance",
    "total_variation_distance",
    "l_infinity_distance",
];

const BOUNDED: [&str; 5] =
    ["cramers_v", "js_distance", "hellinger_distance", "total_variation_distance", "l_infinity_distance"];

type Row = (Value, Value);

fn function(name: &str) -> &'static dyn Function {
    find(name).unwrap()
}

/// The outcome of rows, with options by name.
fn outcome(name: &str, rows: &[Row], options: &[(&str, Value)]) -> Result<Vec<(&'static str, Value)>, String> {
    let given = function(name).args().iter().skip(2).map(|arg| {
        options.iter().find(|(option, _)| *option == arg.name).map_or(Value::Null, |(_, value)| value.clone())
    });
    let given: Vec<Value> = given.collect();
    let rows: Vec<Vec<Value>> =
        rows.iter().map(|(value, is_base)| [vec![value.clone(), is_base.clone()], given.clone()].concat()).collect();
    match aggregate(function(name), &rows) {
        Ok(Value::Record(fields)) => Ok(fields),
        Ok(other) => panic!("{other}"),
        Err(error) => Err(error.to_string()),
    }
}

fn field(name: &str, rows: &[Row], options: &[(&str, Value)], wanted: &str) -> Value {
    outcome(name, rows, options).unwrap().into_iter().find(|(field, _)| *field == wanted).unwrap().1
}

fn float(value: &Value) -> f64 {
    match value {
        Value::Float64(x) => *x,
        other => panic!("{other}"),
    }
}

fn note(name: &str, rows: &[Row], options: &[(&str, Value)]) -> String {
    match field(name, rows, options, "note") {
        Value::Text(note) => note,
        _ => String::new(),
    }
}

fn counted(cells: &[(&str, usize, usize)]) -> Vec<Row> {
    let sample = |is_base: bool| {
        cells.iter().flat_map(move |(category, base, study)| {
            let times = if is_base { *base } else { *study };
            std::iter::repeat_n((Value::from(*category), is_base.into()), times)
        })
    };
    sample(true).chain(sample(false)).collect()
}

fn numbers(base: &[f64], study: &[f64]) -> Vec<Row> {
    let row = |is_base: bool| move |x: &f64| ((*x).into(), is_base.into());
    base.iter().map(row(true)).chain(study.iter().map(row(false))).collect()
}

fn columns(rows: &[Row]) -> Vec<Column<'static>> {
    let values: Vec<&Value> = rows.iter().map(|row| &row.0).collect();
    let value = Column::from_values(Type::Float64OrText, &values).unwrap();
    // A batch of SQL knows its type even where all of it is NULL, but as the catalog reads it that is nothing yet.
    let value = match value.values {
        Values::Text(texts) => Column {
            values: Values::Text(texts.into_iter().map(|text| Cow::Owned(text.into_owned())).collect()),
            valid: value.valid.map(|valid| Cow::Owned(valid.into_owned())),
        },
        Values::Float64(floats) => Column {
            values: Values::Float64(Cow::Owned(floats.into_owned())),
            valid: value.valid.map(|valid| Cow::Owned(valid.into_owned())),
        },
        other => panic!("{other:?}"),
    };
    let is_base: Vec<bool> = rows.iter().map(|row| row.1 == Value::Boolean(true)).collect();
    let known: Vec<bool> = rows.iter().map(|row| row.1 != Value::Null).collect();
    vec![value, Column::with_validity(Values::Boolean(is_base.into()), known)]
}

fn empty_state(name: &str, options: &[Column<'_>]) -> Box<dyn State> {
    state(function(name), options).unwrap().unwrap()
}

fn fill(name: &str, options: &[Column<'_>], rows: &[Row]) -> Box<dyn State> {
    let mut state = empty_state(name, options);
    let columns = columns(rows);
    update(function(name), state.as_mut(), &columns, rows.len()).unwrap();
    state
}

/// `bins` of 4, or edges, as columns.
fn options(name: &str, has_edges: bool) -> Vec<Column<'static>> {
    let options = function(name).args().iter().skip(2).map(|arg| match arg.name {
        "bins" => Column::from(vec![4_i64]),
        "edges" if has_edges => Column::new(Values::Float64List(vec![Cow::Owned(vec![-1.0, 0.0, 1.5])])),
        _ => Column::with_validity(Column::empty(arg.data_type).values, vec![]),
    });
    let null = |column: Column<'static>| match column.values {
        Values::Text(_) => Column::with_validity(Values::Text(vec![Cow::Borrowed("")]), vec![false]),
        Values::Float64(_) => Column::with_validity(Values::Float64(vec![0.0].into()), vec![false]),
        Values::Float64List(_) => Column::with_validity(Values::Float64List(vec![Cow::Owned(vec![])]), vec![false]),
        other => Column::new(other),
    };
    options.map(|column| if column.is_empty() { null(column) } else { column }).collect()
}

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

#[test]
fn a_sample_without_rows_and_a_single_cell_are_untestable_and_say_so() {
    for name in TESTS {
        for (cells, missing) in
            [(vec![("a", 0, 3), ("b", 0, 1)], "base"), (vec![("a", 3, 0)], "study"), (vec![], "base")]
        {
            let rows = counted(&cells);
            for null in ["statistic", "effect_size", "p_value"] {
                assert_eq!(field(name, &rows, &[], null), Value::Null, "{name}");
            }
            assert!(note(name, &rows, &[]).contains(missing), "{name}");
        }
        let rows = counted(&[("a", 3, 4)]);
        assert_eq!(field(name, &rows, &[], "p_value"), Value::Null, "{name}");
        assert_eq!(field(name, &rows, &[], "n_study"), Value::Int64(4), "{name}");
        assert!(note(name, &rows, &[]).contains("one cell, so there is nothing to test"), "{name}");
    }
    for name in ["js_distance_value", "kl_divergence_value", "hellinger_distance_value"] {
        let rows: Vec<Vec<Value>> = vec![vec!["a".into(), true.into()]];
        assert_eq!(aggregate(function(name), &rows), Ok(Value::Null));
        let rows = vec![vec!["a".into(), true.into()], vec!["a".into(), false.into()]];
        assert_eq!(aggregate(function(name), &rows), Ok(Value::Float64(0.0)));
    }
}

#[test]
fn null_and_nan_are_cells_and_rows_of_no_sample_are_counted() {
    let mut rows = numbers(&[1.0, 1.0, NAN], &[1.0, 1.0, 1.0]);
    rows.push((Value::Null, false.into()));
    rows.push((1.0.into(), Value::Null));
    for name in TESTS.into_iter().filter(|name| !["fisher_exact_test", "two_proportion_z_test"].contains(name)) {
        assert_eq!(field(name, &rows, &[], "n_base"), Value::Int64(3), "{name}");
        assert_eq!(field(name, &rows, &[], "n_study"), Value::Int64(4), "{name}");
        assert!(note(name, &rows, &[]).starts_with("1 rows with NULL in is_base"), "{name}");
    }
    // 2/3 1/3 0 against 3/4 0 1/4
    assert!((float(&field("l_infinity_distance", &rows, &[], "statistic")) - 1.0 / 3.0).abs() < 1e-15);
    let note = note("fisher_exact_test", &rows, &[]);
    assert!(note.contains("0 NULL and 1 NaN of the base sample are left out"), "{note}");
    assert!(note.contains("1 NULL and 0 NaN of the study sample are left out"), "{note}");
}

#[test]
fn goodness_of_fit_is_infinite_where_the_base_has_nothing() {
    let rows = counted(&[("a", 30, 10), ("b", 20, 8), ("c", 0, 1)]);
    assert_eq!(field("chi_square_gof_test", &rows, &[], "statistic"), Value::Float64(INF));
    assert_eq!(field("chi_square_gof_test", &rows, &[], "p_value"), Value::Float64(0.0));
    assert!(note("chi_square_gof_test", &rows, &[]).contains("1 cell has values of the study sample alone"));
    let rows = counted(&[("a", 30, 10), ("b", 20, 8), ("c", 50, 0)]);
    assert!(float(&field("chi_square_gof_test", &rows, &[], "statistic")).is_finite());
}

#[test]
fn kl_without_smoothing_is_infinite_only_where_the_base_has_nothing() {
    let none = [("smoothing", "none".into())];
    let unseen = counted(&[("a", 30, 10), ("b", 0, 8)]);
    assert_eq!(field("kl_divergence", &unseen, &none, "statistic"), Value::Float64(INF));
    assert!(note("kl_divergence", &unseen, &none).contains("without smoothing KL is infinite"));
    assert!(float(&field("kl_divergence", &unseen, &[], "statistic")).is_finite());
    assert!(note("kl_divergence", &unseen, &[]).contains("Jeffreys"));
    let gone = counted(&[("a", 30, 20), ("b", 30, 0)]);
    let divergence = float(&field("kl_divergence", &gone, &none, "statistic"));
    assert!((divergence - std::f64::consts::LN_2).abs() < 1e-15);
    assert_eq!(note("kl_divergence", &gone, &none), "");
}

#[test]
fn small_expected_counts_are_told() {
    let rows = counted(&[("a", 30, 30), ("b", 1, 3), ("c", 6, 3)]);
    for name in TESTS.into_iter().filter(|name| !["psi", "fisher_exact_test", "two_proportion_z_test"].contains(name)) {
        let note = note(name, &rows, &[]);
        let small = if name == "chi_square_gof_test" { 1 } else { 2 };
        let said = format!("expected counts below 5 in {small} of 3 cells: the p-value is approximate");
        assert!(note.contains(&said), "{name}: {note}");
    }
}

#[test]
fn a_test_of_two_values_refuses_more_in_its_outcome() {
    let rows = counted(&[("a", 3, 3), ("b", 1, 3), ("c", 6, 3)]);
    for name in ["fisher_exact_test", "two_proportion_z_test"] {
        assert_eq!(field(name, &rows, &[], "statistic"), Value::Null);
        assert_eq!(field(name, &rows, &[], "n_base"), Value::Int64(10));
        assert!(note(name, &rows, &[]).contains("more than two values; test them with chi_square_test"));
        let numbers = numbers(&[0.0, -0.0, -1.0], &[0.0, -1.0, -1.0]);
        assert_ne!(field(name, &numbers, &[], "statistic"), Value::Null);
    }
}

#[test]
fn the_greater_value_is_the_one_counted() {
    let odds = |rows: &[Row]| float(&field("fisher_exact_test", rows, &[], "statistic"));
    let z = |rows: &[Row]| float(&field("two_proportion_z_test", rows, &[], "statistic"));
    let more_true = counted(&[("false", 30, 10), ("true", 10, 30)]);
    assert!(odds(&more_true) > 1.0 && z(&more_true) > 0.0);
    let of = |low: f64, high: f64| numbers(&[low, low, high], &[low, high, high]);
    for (low, high) in [(-2.0, -1.0), (-1.0, 0.0), (0.0, 1.0), (-INF, 3.0), (1.5, INF)] {
        assert!(odds(&of(low, high)) > 1.0 && z(&of(low, high)) > 0.0);
    }
    assert!(odds(&counted(&[("a", 2, 0), ("b", 3, 1)])).is_infinite());
}

#[test]
fn edges_are_open_at_the_ends_and_closed_above() {
    let edges = [("edges", Value::from([1.0, 2.0]))];
    let base = numbers(&[-INF, 1.0, 2.0, 2.5], &[]);
    let study = |values: &[f64]| [base.clone(), numbers(&[], values)].concat();
    let distance = |values: &[f64]| field("total_variation_distance", &study(values), &edges, "statistic");
    assert_eq!(distance(&[0.0, 1.0, 1.5, INF]), Value::Float64(0.0));
    assert_eq!(distance(&[0.0, 1.000_001, 1.5, INF]), Value::Float64(0.25));
    assert_eq!(distance(&[0.0, 1.0, 1.5, NAN]), Value::Float64(0.25));
}

#[test]
fn equal_widths_part_the_finite_range() {
    let options = [("binning", "EQUAL_WIDTH".into()), ("bins", 4_i64.into())];
    let base = [0.0, 1.0, 1.5, 2.0, 3.9, 4.0, INF];
    let distance = |study: &[f64]| field("total_variation_distance", &numbers(&base, study), &options, "statistic");
    assert_eq!(distance(&[-5.0, 0.5, 1.1, 1.9, 3.1, 9.0, 5.0]), Value::Float64(0.0));
    assert_ne!(distance(&[-5.0, 0.5, 1.1, 2.1, 3.1, 9.0, 5.0]), Value::Float64(0.0));
    let wide = numbers(&[f64::MIN, f64::MAX, -0.9, 0.9], &[f64::MIN, f64::MAX, -0.9, 0.9]);
    assert_eq!(field("total_variation_distance", &wide, &options, "statistic"), Value::Float64(0.0));
    let infinite = numbers(&[INF, -INF], &[INF, INF]);
    assert_eq!(field("total_variation_distance", &infinite, &options, "statistic"), Value::Float64(0.0));
}

#[test]
fn a_constant_base_is_left_on_either_side() {
    for binning in ["quantile", "equal_width"] {
        let options = [("binning", binning.into())];
        for away in [6.0, 8.0, -INF, INF, NAN] {
            let rows = numbers(&[7.0; 10], &[away; 10]);
            let distance = field("total_variation_distance", &rows, &options, "statistic");
            assert_eq!(distance, Value::Float64(1.0), "{away}");
        }
    }
}

#[test]
fn wrong_options_are_refused_with_what_is_right() {
    let rows = numbers(&[1.0], &[2.0]);
    for (option, value, said) in [
        ("bins", Value::from(1_i64), "`bins` is 1, but it has to be from 2 to 1000"),
        ("binning", "quantil".into(), "it has to be 'quantile' or 'equal_width'; did you mean `quantile`?"),
        ("edges", [1.0, 1.0].into(), "each larger than the one before"),
        ("edges", [1.0, NAN].into(), "edges have to be finite"),
    ] {
        for name in ["psi", "chi_square_test", "js_distance"] {
            let error = outcome(name, &rows, &[(option, value.clone())]).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
    for (name, option, value, said) in [
        ("js_distance", "base", Value::from(1.0), "`base` is 1.0, but it has to be finite and above 1"),
        ("kl_divergence", "smoothing", "jefreys".into(), "did you mean `jeffreys`?"),
    ] {
        let error = outcome(name, &rows, &[(option, value)]).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
    let error = outcome("psi", &counted(&[("a", 1, 1)]), &[("edges", [1.0].into())]).unwrap_err();
    assert!(error.contains("`edges` are edges of numbers, but `value` is a text"), "{error}");
}

#[test]
fn the_base_of_the_logarithm_scales_the_distance() {
    let rows = counted(&[("a", 5, 0), ("b", 0, 9)]);
    assert_eq!(field("js_distance", &rows, &[], "statistic"), Value::Float64(1.0));
    let e = [("base", std::f64::consts::E.into())];
    assert_eq!(field("js_distance", &rows, &e, "statistic"), Value::Float64(std::f64::consts::LN_2.sqrt()));
}

#[test]
fn more_categories_than_the_limit_are_refused_with_a_remedy() {
    let limit = 1_000_000;
    let texts = |from: usize, to: usize| {
        let texts = (from..to).map(|i| Cow::Owned(format!("{i}"))).collect();
        [Column::new(Values::Text(texts)), Column::new(Values::Boolean(vec![true].into()))]
    };
    let psi = function("psi");
    let mut state = empty_state("psi", &[]);
    update(psi, state.as_mut(), &texts(0, limit), limit).unwrap();
    assert!(state.finish().is_ok());
    let mut other = empty_state("psi", &[]);
    update(psi, other.as_mut(), &texts(limit, limit + 1), 1).unwrap();
    state.merge(&other.to_bytes()).unwrap();
    let refused = "more than 1000000 categories; group the rare ones";
    assert!(state.finish().unwrap_err().to_string().contains(refused));
    assert!(update(psi, state.as_mut(), &texts(0, 1), 1).unwrap_err().to_string().contains(refused));
    other.merge(&state.to_bytes()).unwrap();
    assert_eq!(other.to_bytes().len() < 20, state.heap_size() < 1_000);
    assert!(other.finish().is_err());
}

#[test]
fn a_state_of_categories_does_not_grow_with_its_rows() {
    let rows = counted(&[("a", 3_000, 2_000), ("b", 1_000, 4_000)]);
    let state = fill("psi", &[], &rows);
    assert!(state.heap_size() < 1_000);
    assert!(state.to_bytes().len() < 40);
    let numbers = numbers(&vec![0.5; 5_000], &vec![7.5; 5_000]);
    assert!(fill("psi", &options("psi", true), &numbers).heap_size() < 1_000);
    assert!(fill("fisher_exact_test", &[], &numbers).heap_size() < 1_000);
    assert!(fill("psi", &[], &numbers).heap_size() >= 80_000);
}

#[test]
fn numbers_and_texts_do_not_mix() {
    let mut state = fill("psi", &[], &counted(&[("a", 1, 1)]));
    let numbers = fill("psi", &[], &numbers(&[1.0], &[2.0]));
    assert!(state.merge(&numbers.to_bytes()).is_err());
    let missing = fill("psi", &[], &[(Value::Null, true.into())]);
    assert!(state.merge(&missing.to_bytes()).is_ok());
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-3.0..3.0).prop_map(Value::Float64),
        2 => prop_oneof![Just(0.0), Just(-0.0), Just(1.0), Just(INF), Just(-INF)].prop_map(Value::Float64),
        1 => Just(Value::Float64(NAN)),
        1 => Just(Value::Null),
    ]
}

fn is_base() -> impl Strategy<Value = Value> {
    prop_oneof![8 => any::<bool>().prop_map(Value::Boolean), 1 => Just(Value::Null)]
}

/// Rows of numbers, of texts, or of two numbers.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    let text = prop_oneof![4 => "[a-e]".prop_map(Value::Text), 1 => Just(Value::Null)];
    let two = prop_oneof![Just(0.0), Just(-0.0), Just(1.0), Just(NAN)].prop_map(Value::Float64);
    prop_oneof![vec((value(), is_base()), 0..40), vec((text, is_base()), 0..40), vec((two, is_base()), 0..40)]
}

fn shuffled<T: Clone>(items: &[T], mut seed: u64) -> Vec<T> {
    let mut items = items.to_vec();
    for i in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(i, (seed >> 33) as usize % (i + 1));
    }
    items
}

proptest! {
    #[test]
    fn order_split_and_merge_do_not_matter(rows in rows(), seed in any::<u64>(), parts in 1_usize..5, has_edges: bool) {
        let has_edges = has_edges && !rows.iter().any(|row| matches!(row.0, Value::Text(_)));
        for name in TESTS {
            let options = options(name, has_edges);
            let whole = fill(name, &options, &rows);
            let shuffled_rows = shuffled(&rows, seed);
            let states: Vec<Vec<u8>> = shuffled_rows
                .chunks(rows.len().div_ceil(parts).max(1))
                .map(|part| fill(name, &options, part).to_bytes())
                .collect();
            let mut merged = empty_state(name, &options);
            for bytes in shuffled(&states, !seed) {
                merged.merge(&bytes).unwrap();
            }
            prop_assert_eq!(merged.to_bytes(), whole.to_bytes());
            let (a, b) = (whole.finish().unwrap().value(0), merged.finish().unwrap().value(0));
            prop_assert_eq!(format!("{a:?}"), format!("{b:?}"));
            let Value::Record(fields) = aggregate(function(name), &shuffled_rows.iter().map(|(value, is_base)| {
                let mut row = vec![value.clone(), is_base.clone()];
                row.extend(options.iter().map(|option| option.value(0)));
                row
            }).collect::<Vec<_>>()).unwrap() else { panic!("{name}") };
            // Without rows there are no options either.
            if !rows.is_empty() {
                prop_assert_eq!(format!("{a:?}"), format!("{:?}", Value::Record(fields)));
            }
        }
    }

    #[test]
    fn distances_are_in_range_and_symmetric(cells in vec((0_usize..30, 0_usize..30), 1..6)) {
        let names = ["a", "b", "c", "d", "e", "f"];
        let there: Vec<_> = names.iter().zip(&cells).map(|(name, (base, study))| (*name, *base, *study)).collect();
        let back: Vec<_> = there.iter().map(|(name, base, study)| (*name, *study, *base)).collect();
        let (there, back) = (counted(&there), counted(&back));
        for name in SYMMETRIC {
            for wanted in ["statistic", "p_value"] {
                let (a, b) = (field(name, &there, &[], wanted), field(name, &back, &[], wanted));
                prop_assert_eq!(format!("{a:?}"), format!("{b:?}"), "{}", name);
            }
        }
        for name in TESTS {
            if let Value::Float64(p) = field(name, &there, &[], "p_value") {
                prop_assert!((0.0..=1.0).contains(&p), "{} {}", name, p);
            }
            if let (Value::Float64(x), true) = (field(name, &there, &[], "statistic"), name != "two_proportion_z_test") {
                prop_assert!(x >= 0.0 && (x <= 1.0 || !BOUNDED.contains(&name)), "{} {}", name, x);
            }
        }
    }

    #[test]
    fn equal_samples_have_no_distance(cells in vec(1_usize..30, 2..6)) {
        let names = ["a", "b", "c", "d", "e", "f"];
        let rows: Vec<_> = names.iter().zip(&cells).map(|(name, count)| (*name, *count, 3 * count)).collect();
        let rows = counted(&rows);
        for name in TESTS {
            let statistic = field(name, &rows, &[], "statistic");
            match name {
                "fisher_exact_test" | "two_proportion_z_test" if cells.len() > 2 => prop_assert_eq!(statistic, Value::Null),
                "fisher_exact_test" => prop_assert_eq!(statistic, Value::Float64(1.0)),
                _ => {
                    prop_assert!(float(&statistic).abs() < 1e-30, "{} {}", name, statistic);
                    prop_assert_eq!(field(name, &rows, &[], "p_value"), Value::Float64(1.0));
                }
            }
        }
    }

    #[test]
    fn bytes_that_are_no_state_are_refused(bytes in vec(any::<u8>(), 0..60), has_edges: bool) {
        for name in ["psi", "fisher_exact_test"] {
            let mut state = empty_state(name, &options(name, has_edges));
            if state.merge(&bytes).is_ok() {
                let _ = state.finish();
            }
        }
    }
}
