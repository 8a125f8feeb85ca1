//! The catalog against independent tools: scikit-learn, scipy, numpy, fairlearn, River, FarmHash's own and exact
//! fractions.
//! The `make.py` beside each file made it and asserts their versions.

use serde_json::Value as Json;
use skewless_catalog::function::{Function, aggregate};
use skewless_catalog::sum::ExactMoments;
use skewless_catalog::{Column, Tolerance, Value, evaluate, find, json};

const GOLDENS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden");

/// Files of cases, each `{"made_with": …, "cases": [{"function": …, "rows": …, "returns": …}]}`.
const FILES: &[&str] = &[
    "catalog/catalog.json",
    "drift/drift.json",
    "numeric/numeric.json",
    "profile/profile.json",
    "quality/quality.json",
];

fn golden(file: &str) -> Json {
    serde_json::from_str(&std::fs::read_to_string(format!("{GOLDENS}/{file}")).unwrap()).unwrap()
}

fn cases() -> Vec<Json> {
    FILES.iter().flat_map(|file| golden(file)["cases"].as_array().unwrap().clone()).collect()
}

/// Where two values differ by more than the tolerance.
fn difference(got: &Value, want: &Value, tolerance: Tolerance) -> Option<String> {
    match (got, want) {
        (Value::Float64(a), Value::Float64(b)) => (!tolerance.holds(*a, *b)).then(|| format!("{a:e} for {b:e}")),
        (Value::Record(got), Value::Record(want)) => got.iter().zip(want).find_map(|((name, got), (_, want))| {
            difference(got, want, tolerance).map(|difference| format!("{name}: {difference}"))
        }),
        (Value::Float64List(got), Value::Float64List(want)) if got.len() == want.len() => got
            .iter()
            .zip(want)
            .position(|(a, b)| !tolerance.holds(*a, *b))
            .map(|i| format!("at {i}: {:e} for {:e}", got[i], want[i])),
        (got, want) => (got != want).then(|| format!("{got} for {want}")),
    }
}

/// The rows of a case: given, or samples in few words, `options` after the values.
fn rows(case: &Json, function: &dyn Function) -> Vec<Vec<Value>> {
    let value = |json: &Json, index: usize| json::from_json(json, function.args()[index].data_type).unwrap();
    let options = case["options"].as_array().into_iter().flatten().enumerate();
    let options: Vec<Value> = options.map(|(i, json)| value(json, 2 + i)).collect();
    // How many values of each category there are in the base and in the study sample.
    if let Some(cells) = case["counts"].as_array() {
        let times = |cell: &Json, sample: usize| cell[1 + sample].as_u64().unwrap() as usize;
        let row = |cell: &Json, is_base: bool| [vec![value(&cell[0], 0), is_base.into()], options.clone()].concat();
        let sample = |cell, is_base| std::iter::repeat_n(row(cell, is_base), times(cell, usize::from(!is_base)));
        return cells.iter().flat_map(|cell| sample(cell, true).chain(sample(cell, false))).collect();
    }
    if let Some(rows) = case["rows"].as_array() {
        let row = |row: &Json| row.as_array().unwrap().iter().enumerate().map(|(i, json)| value(json, i)).collect();
        return rows.iter().map(row).collect();
    }
    // The fractional parts of the multiples of a step, scaled and shifted: base, then study.
    let sample = |sequence: &Json, is_base: bool| -> Vec<Vec<Value>> {
        let part = |i: usize| sequence[i].as_f64().unwrap();
        let x = |i: u64| (i as f64 * part(1)) % 1.0 * part(2) + part(3);
        let row = |i: u64| [vec![x(i).into(), is_base.into()], options.clone()].concat();
        (0..sequence[0].as_u64().unwrap()).map(row).collect()
    };
    [sample(&case["sequences"][0], true), sample(&case["sequences"][1], false)].concat()
}

#[test]
fn every_function_gives_what_independent_tools_give() {
    let mut failures = Vec::new();
    for case in &cases() {
        let function = find(case["function"].as_str().unwrap()).unwrap();
        let want = json::from_json(&case["returns"], function.returns()).unwrap();
        let got = aggregate(function, &rows(case, function)).unwrap();
        if let Some(difference) = difference(&got, &want, function.tolerance()) {
            let call = case.to_string();
            failures.push(format!("{}: {difference} in {}", function.name(), &call[..call.len().min(300)]));
        }
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

/// Streams with River's verdicts: the rows of drifts and warnings, and statistics by row.
fn streams() -> Vec<Json> {
    golden("quality/quality.json")["streams"].as_array().unwrap().clone()
}

#[test]
fn every_detector_agrees_with_river_at_every_row() {
    for case in &streams() {
        let function = find(case["function"].as_str().unwrap()).unwrap();
        let types = function.args().iter().map(|arg| arg.data_type);
        let argument = |json: &Json, data_type| json::from_json(json, data_type).unwrap();
        let options: Vec<Value> = case["options"]
            .as_array()
            .unwrap()
            .iter()
            .zip(types.clone().skip(1))
            .map(|(json, data_type)| argument(json, data_type))
            .collect();
        let stream = case["values"].as_array().unwrap();
        let values: Vec<Value> = stream.iter().map(|json| argument(json, function.args()[0].data_type)).collect();
        let mut columns =
            vec![Column::from_values(function.args()[0].data_type, &values.iter().collect::<Vec<_>>()).unwrap()];
        columns.extend(options.iter().zip(types.skip(1)).map(|(value, t)| Column::from_values(t, &[value]).unwrap()));
        let verdicts = evaluate(function, &columns, values.len()).unwrap();
        let is_listed = |list: &str, row: usize| case[list].as_array().unwrap().contains(&Json::from(row));
        for row in 0..values.len() {
            let Value::Record(fields) = verdicts.value(row) else { panic!() };
            for (name, got) in fields {
                let place = || format!("{}{:?} {name} at {row}", function.name(), case["options"]);
                match (name, &case["statistic"][row.to_string()]) {
                    ("statistic", want) if !want.is_null() => {
                        let want = Value::Float64(want.as_f64().unwrap());
                        assert_eq!(difference(&got, &want, function.tolerance()), None, "{}", place());
                    }
                    ("statistic", _) if case["statistic"].get(row.to_string()).is_none() => {}
                    ("statistic", _) => assert_eq!(got, Value::Null, "{}", place()),
                    _ => assert_eq!(got, Value::Boolean(is_listed(name, row)), "{}", place()),
                }
            }
        }
    }
}

#[test]
fn every_function_has_a_golden() {
    let cases = [cases(), streams()].concat();
    let tested: Vec<&str> = cases.iter().filter_map(|case| case["function"].as_str()).collect();
    let needs_none = ["feature_cross"]; // text only: its examples and property test say it all
    for function in skewless_catalog::FUNCTIONS {
        assert!(
            tested.contains(&function.name()) || needs_none.contains(&function.name()),
            "{} has no golden: add it to tests/golden/catalog/make.py",
            function.name()
        );
    }
}

#[test]
fn sums_and_moments_are_exact_fractions_rounded_once() {
    for entry in golden("catalog/catalog.json")["sums"].as_array().unwrap() {
        let mut moments = ExactMoments::new();
        for value in entry["values"].as_array().unwrap() {
            moments.add(value.as_f64().unwrap());
        }
        assert_eq!(moments.values().sum().to_bits(), entry["sum"].as_f64().unwrap().to_bits());
        assert_eq!(moments.values().avg().map(f64::to_bits), entry["avg"].as_f64().map(f64::to_bits));
        let var = match &entry["var"] {
            Json::Null => None,
            Json::String(_) => Some(f64::INFINITY),
            number => number.as_f64(),
        };
        assert_eq!(moments.var().map(f64::to_bits), var.map(f64::to_bits));
    }
}

#[test]
fn every_example_survives_the_way_through_json() {
    const PARITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/parity/functions.json");
    let parity: Json = serde_json::from_str(&std::fs::read_to_string(PARITY).unwrap()).unwrap();
    for entry in parity["functions"].as_array().unwrap() {
        let function = find(entry["name"].as_str().unwrap()).unwrap();
        for example in entry["examples"].as_array().unwrap() {
            let rows: Vec<Vec<Json>> =
                example["rows"].as_array().unwrap().iter().map(|row| row.as_array().unwrap().clone()).collect();
            assert_eq!(json::call(function, &rows).unwrap(), example["returns"], "{}", function.name());
        }
    }
}
