//! Runs the page in Chromium over the sampled flights: the models in WebAssembly, and the catalog's functions.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use skewless_sql::ModelRegistry;

use super::answers::{Answers, Cell, Flight, Prediction, Sample};
use super::http::input;

/// Every flight of the sample, in order. Features are SQL's: the page assembles them from the same server.
pub(super) async fn ask(
    root: &Path,
    url: &str,
    output: &Path,
    models: &ModelRegistry,
    sample: &Sample,
) -> Result<Answers> {
    let calls: Vec<Value> = sample.flights.iter().flat_map(calls).collect();
    let page = Page { root, url, output, models, sample };
    let (late, values) = page.score("late", calls).await?;
    let (late_mlp, _) = page.score("late_mlp", vec![]).await?;
    let functions = values.chunks(Sample::PAGE_FEATURES.len()).map(<[Cell]>::to_vec).collect();
    Ok(Answers { surface: "browser", features: vec![], functions, late, late_mlp })
}

/// The calls that compute [`Sample::PAGE_FEATURES`] of a flight; the route's cross is computed first, by its own call.
fn calls(flight: &Flight) -> Vec<Value> {
    let column = |name: &str| {
        flight.request.iter().find(|(column, _)| *column == name).map_or(Value::Null, |(_, cell)| cell.to_json())
    };
    let at = |name: &str| json!({"name": name, "args": [flight.scheduled_us]});
    let cross = json!({"name": "feature_cross", "args": [column("carrier"), column("dest")]});
    vec![
        at("hour_sin"),
        at("hour_cos"),
        at("month_sin"),
        at("month_cos"),
        json!({"name": "log1p", "args": [column("distance")]}),
        json!({"name": "hash_bucket", "args": [cross, 256]}),
    ]
}

/// The page and what it is asked about.
struct Page<'a> {
    root: &'a Path,
    url: &'a str,
    output: &'a Path,
    models: &'a ModelRegistry,
    sample: &'a Sample,
}

impl Page<'_> {
    /// A model's predictions of every flight, and the values of the calls.
    async fn score(&self, model: &str, calls: Vec<Value>) -> Result<(Vec<Prediction>, Vec<Cell>)> {
        let Self { root, url, output, models, sample } = *self;
        let loaded = models.get(model)?;
        let inputs: Vec<&str> = loaded.signature().columns().iter().map(|column| column.name).collect();
        let rows = sample
            .flights
            .iter()
            .map(|flight| {
                let mut row = Map::new();
                for name in &inputs {
                    row.insert((*name).to_owned(), input(name, sample, flight, &flight.features)?.to_json());
                }
                Ok(Value::Object(row))
            })
            .collect::<Result<Vec<_>>>()?;
        let (request, answer) =
            (output.join(format!("page-{model}.json")), output.join(format!("page-{model}-out.json")));
        std::fs::write(&request, serde_json::to_vec(&json!({"model": model, "rows": rows, "functions": calls}))?)?;
        let mut node = Command::new("node");
        node.arg(root.join("tests/browser/score.mjs"))
            .args(["--url", &format!("{url}/"), "--input"])
            .arg(&request)
            .arg("--output")
            .arg(&answer)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let status = tokio::task::spawn_blocking(move || node.status())
            .await?
            .context("node cannot be started: run `cargo xtask setup`, or the demo with --no-browser")?;
        if !status.success() {
            bail!("the page did not answer: tests/browser/score.mjs ended with {status}");
        }
        let answer: Value = serde_json::from_slice(&std::fs::read(&answer)?).context("score.mjs wrote no JSON")?;
        let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
        let predictions = list("predictions")
            .iter()
            .map(|prediction| {
                Ok(Prediction {
                    label: prediction["label"]
                        .as_i64()
                        .with_context(|| format!("the page gave no label: {prediction}"))?,
                    probability: prediction["probabilities"][1]
                        .as_f64()
                        .with_context(|| format!("the page gave no probability: {prediction}"))?
                        as f32,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        if predictions.len() != sample.len() {
            bail!("the page answered {} of {} flights", predictions.len(), sample.len());
        }
        Ok((predictions, list("functions").iter().map(Cell::from_json).collect::<Result<_>>()?))
    }
}
