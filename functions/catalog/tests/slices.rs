//! The search for slices against numpy and scipy over the rows; `tests/golden/slices/make.py` made the file and asserts
//! their versions.

use serde_json::Value as Json;
use skewless_catalog::Tolerance;
use skewless_catalog::profile::Profile;
use skewless_catalog::validate::Correction;
use skewless_catalog::validate::slices::{Division, Literal, Losses, Options, Slice, find};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/slices/slices.json");

fn floats(json: &Json) -> Vec<f64> {
    json.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn search(case: &Json) -> Vec<Slice> {
    let options = Options {
        correction: Correction::named(case["correction"].as_str().unwrap()).unwrap(),
        min_rows: case["min_rows"].as_u64().unwrap(),
        top: 1_000,
        ..Options::default()
    };
    let columns: Vec<(&String, Vec<f64>)> =
        case["columns"].as_object().unwrap().iter().map(|(name, values)| (name, floats(values))).collect();
    let divide = |(name, values): &(&String, Vec<f64>)| {
        let mut profile = Profile::new();
        profile.update(values, None).unwrap();
        Division::of(name, Literal::Plain, &profile, &options)
    };
    let divisions: Vec<Division> = columns.iter().map(divide).collect();
    let mut losses = Losses::new(options.max_columns);
    for (row, loss) in floats(&case["losses"]).into_iter().enumerate() {
        let codes: Vec<u32> = divisions
            .iter()
            .zip(&columns)
            .map(|(division, (_, values))| division.coder().number(Some(values[row])))
            .collect();
        losses.add(Some(loss), &codes).unwrap();
    }
    find(&losses, &divisions, &options)
}

#[test]
fn every_slice_is_what_scipy_finds() {
    let golden: Json = serde_json::from_str(&std::fs::read_to_string(GOLDEN).unwrap()).unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let slices = search(case);
        let note = slices[0].note.as_deref().unwrap();
        assert!(note.starts_with(&format!("{} slices of 3 columns searched", case["searched"])), "{name}: {note}");
        let mut found = slices[1..].to_vec();
        found.sort_by(|a, b| a.condition.cmp(&b.condition));
        let wanted = case["found"].as_array().unwrap();
        let conditions: Vec<&str> = found.iter().map(|slice| slice.condition.as_str()).collect();
        let theirs: Vec<&str> = wanted.iter().map(|slice| slice["slice"].as_str().unwrap()).collect();
        assert_eq!(conditions, theirs, "{name}");
        for (ours, theirs) in found.iter().zip(wanted) {
            let (low, high) = ours.interval.unwrap();
            for (field, value) in [
                ("n", ours.n as f64),
                ("mean_loss", ours.mean_loss.unwrap()),
                ("mean_rest", ours.mean_rest.unwrap()),
                ("low", low),
                ("high", high),
                ("effect_size", ours.effect_size.unwrap()),
            ] {
                let want = theirs[field].as_f64().unwrap();
                assert!(Tolerance::Relative(1e-9).holds(value, want), "{name} {field}: {value} for {want}");
            }
            for (field, value) in [("p_value", ours.p_value.unwrap()), ("p_adjusted", ours.p_adjusted.unwrap())] {
                let want = theirs[field].as_f64().unwrap();
                // Losses of many values are taken for the ends of their sizes: the bound is a little larger, never less.
                let most = if name == "many values" { want * 1.02 } else { want };
                let holds = value >= want * (1.0 - 1e-8) && value <= most * (1.0 + 1e-8);
                assert!(holds, "{name} {} {field}: {value} for {want}", ours.condition);
            }
        }
    }
}
