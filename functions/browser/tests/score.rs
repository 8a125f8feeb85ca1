//! The page's way through a model, from an archive's bytes and rows of values, against ONNX Runtime's answers.

use std::path::Path;

use serde_json::Value;
use skewless_browser::Cell;
use skewless_browser::score::Scorer;
use skewless_model::Bundle;

const GOLDEN: &str = "gradient_boosting_binary";

fn golden() -> (Scorer, Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/model");
    let onnx = std::fs::read(folder.join(GOLDEN).with_extension("onnx")).expect("the model");
    let archive = Bundle::from_onnx(GOLDEN, &onnx).and_then(|bundle| bundle.to_archive()).expect("an archive");
    let json = std::fs::read(folder.join(GOLDEN).with_extension("json")).expect("its golden");
    (Scorer::open(&archive).expect("opened"), serde_json::from_slice(&json).expect("JSON"))
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Number(number) => Cell::Number(number.as_f64().expect("a float")),
        Value::String(text) => Cell::Text(text.clone()),
        _ => Cell::Null,
    }
}

fn rows(golden: &Value) -> Vec<Vec<(String, Cell)>> {
    let inputs = golden["inputs"].as_object().expect("inputs by name");
    let count = inputs.values().next().and_then(Value::as_array).map_or(0, Vec::len);
    (0..count).map(|row| inputs.iter().map(|(name, values)| (name.clone(), cell(&values[row]))).collect()).collect()
}

fn output<'a>(prediction: &'a [(String, Cell)], name: &str) -> &'a Cell {
    &prediction.iter().find(|(key, _)| key == name).expect("the output").1
}

#[test]
fn rows_of_the_page_give_what_onnx_runtime_gave() {
    let (scorer, golden) = golden();
    let predictions = scorer.predict(&rows(&golden)).expect("predictions");
    let labels = golden["outputs"]["output_label"].as_array().expect("labels");
    assert_eq!(predictions.len(), labels.len());
    for (row, prediction) in predictions.iter().enumerate() {
        assert_eq!(output(prediction, "label"), &cell(&labels[row]), "row {row}");
        let Cell::List(got) = output(prediction, "probabilities") else { panic!("no probabilities in row {row}") };
        for (class, got) in got.iter().enumerate() {
            let expected = golden["outputs"]["output_probability"][row][class].as_f64().expect("a probability");
            let got = got.to_float().expect("a probability");
            assert!((got - expected).abs() <= 1e-5, "row {row}, class {class}: {got} and {expected}");
        }
    }
}

#[test]
fn a_row_alone_is_scored_as_among_others_and_a_name_left_out_is_missing() {
    let (scorer, golden) = golden();
    let rows = rows(&golden);
    let together = scorer.predict(&rows).expect("predictions");
    for (row, expected) in rows.iter().zip(&together).take(20) {
        assert_eq!(scorer.predict(std::slice::from_ref(row)).expect("one")[0], *expected);
    }
    let without_nulls: Vec<Vec<(String, Cell)>> =
        rows.iter().map(|row| row.iter().filter(|(_, cell)| *cell != Cell::Null).cloned().collect()).collect();
    assert_eq!(scorer.predict(&without_nulls).expect("predictions"), together);
    assert_eq!(scorer.predict(&[]).expect("no rows"), Vec::<Vec<(String, Cell)>>::new());
}

#[test]
fn a_wrong_name_and_a_damaged_archive_are_refused_with_their_reason() {
    let (scorer, golden) = golden();
    let mut row = rows(&golden).swap_remove(0);
    row.push(("distanc".to_owned(), Cell::Number(1.0)));
    let message = scorer.predict(&[row]).expect_err("refused").to_string();
    assert!(message.contains("`distanc`") && message.contains("did you mean `distance`"), "{message}");
    assert!(scorer.predict(&[vec![]]).expect_err("refused").to_string().contains("is missing"));
    assert!(Scorer::open(b"PK\x03\x04 no archive").is_err());
    assert!(Scorer::open(b"").is_err());
}
