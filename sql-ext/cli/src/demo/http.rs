//! Asks the served application about the sampled flights, as an application would: a request for the features of one
//! flight as of its prediction time, then one for each model's prediction from them.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Map, Value, json};

use super::answers::{Answers, Cell, Flight, Prediction, Sample};

/// Requests under way at once.
const CONCURRENCY: usize = 4;
/// The views that the flights project defines.
const VIEWS: [&str; 6] = ["weather", "inbound", "airport", "airline", "plane", "flight_plan"];

/// Median times of a request, in milliseconds, as the client sees them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latency {
    pub(super) features_ms: f64,
    pub(super) predict_ms: f64,
}

struct Answer {
    features: Vec<Cell>,
    late: Prediction,
    late_mlp: Prediction,
    features_ms: f64,
    predict_ms: f64,
}

/// Every flight of the sample, in order.
pub(super) async fn ask(url: &str, sample: &Sample) -> Result<(Answers, Latency)> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let signatures = [signature(&client, url, "late").await?, signature(&client, url, "late_mlp").await?];
    let progress = crate::progress::bar(sample.len() as u64, "flights");
    let answers: Vec<Answer> = futures::stream::iter(&sample.flights)
        .map(|flight| {
            let (client, signatures, progress) = (&client, &signatures, &progress);
            async move {
                let answer = one(client, url, sample, signatures, flight).await;
                progress.inc(1);
                answer
            }
        })
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    progress.finish_and_clear();
    let latency = Latency {
        features_ms: median(answers.iter().map(|answer| answer.features_ms).collect()),
        predict_ms: median(answers.iter().map(|answer| answer.predict_ms).collect()),
    };
    let mut out = Answers { surface: "HTTP", ..Answers::default() };
    for answer in answers {
        out.functions.push(sample.page_features(&answer.features));
        out.features.push(answer.features);
        out.late.push(answer.late);
        out.late_mlp.push(answer.late_mlp);
    }
    Ok((out, latency))
}

/// A model's inputs by name with their Open Inference Protocol types.
async fn signature(client: &reqwest::Client, url: &str, model: &str) -> Result<Vec<(String, String)>> {
    let answer = read(client.get(format!("{url}/v2/models/{model}"))).await?;
    let inputs = answer["inputs"].as_array().with_context(|| format!("model {model} has no inputs: {answer}"))?;
    Ok(inputs.iter().map(|input| (text(&input["name"]), text(&input["datatype"]))).collect())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

async fn one(
    client: &reqwest::Client,
    url: &str,
    sample: &Sample,
    signatures: &[Vec<(String, String)>; 2],
    flight: &Flight,
) -> Result<Answer> {
    let mut entities = Map::new();
    for (name, cell) in &flight.request {
        entities.insert((*name).to_owned(), json!([cell.to_json()]));
    }
    entities.insert("scheduled".to_owned(), json!([time(flight.scheduled_us)]));
    let request = json!({
        "features": VIEWS,
        "entities": entities,
        "full_feature_names": true,
        "as_of": time(flight.prediction_time_us),
    });
    let started = Instant::now();
    let answer = read(client.post(format!("{url}/get-online-features")).json(&request)).await?;
    let features_ms = started.elapsed().as_secs_f64() * 1e3;
    let names =
        answer["metadata"]["feature_names"].as_array().with_context(|| format!("no feature names: {answer}"))?;
    let features = sample
        .feature_names
        .iter()
        .map(|feature| {
            let at =
                names.iter().position(|name| name == feature).with_context(|| format!("HTTP gave no {feature}"))?;
            Cell::from_json(&answer["results"][at]["values"][0])
        })
        .collect::<Result<Vec<_>>>()?;

    let started = Instant::now();
    let late = predict(client, url, "late", &signatures[0], sample, flight, &features).await?;
    let predict_ms = started.elapsed().as_secs_f64() * 1e3;
    let late_mlp = predict(client, url, "late_mlp", &signatures[1], sample, flight, &features).await?;
    Ok(Answer { features, late, late_mlp, features_ms, predict_ms })
}

async fn predict(
    client: &reqwest::Client,
    url: &str,
    model: &str,
    signature: &[(String, String)],
    sample: &Sample,
    flight: &Flight,
    features: &[Cell],
) -> Result<Prediction> {
    let inputs = signature
        .iter()
        .map(|(name, datatype)| {
            let value = input(name, sample, flight, features)?;
            Ok(json!({"name": name, "datatype": datatype, "shape": [1], "data": [value.to_json()]}))
        })
        .collect::<Result<Vec<_>>>()?;
    let answer = read(client.post(format!("{url}/v2/models/{model}/infer")).json(&json!({ "inputs": inputs }))).await?;
    let outputs = answer["outputs"].as_array().with_context(|| format!("model {model} answered {answer}"))?;
    prediction(outputs.iter().map(|output| &output["data"])).with_context(|| format!("model {model} answered {answer}"))
}

/// A model's input: a feature, or a column of the request.
pub(super) fn input(name: &str, sample: &Sample, flight: &Flight, features: &[Cell]) -> Result<Cell> {
    let feature = sample.feature_names.iter().position(|feature| feature == name).and_then(|at| features.get(at));
    let request = || flight.request.iter().find(|(column, _)| *column == name).map(|(_, cell)| cell);
    feature.or_else(request).cloned().with_context(|| format!("no feature or column is called {name}"))
}

/// The label and the probability of being late, from the outputs' values: one label, two probabilities.
pub(super) fn prediction<'a>(outputs: impl Iterator<Item = &'a Value>) -> Result<Prediction> {
    let (mut label, mut probability) = (None, None);
    for data in outputs {
        match data.as_array().map(Vec::as_slice) {
            Some([value]) => label = value.as_i64(),
            Some([_, late]) => probability = late.as_f64().map(|p| p as f32),
            _ => {}
        }
    }
    Ok(Prediction {
        label: label.context("there is no label")?,
        probability: probability.context("there is no probability")?,
    })
}

/// RFC 3339 with microseconds.
pub(super) fn time(micros: i64) -> String {
    use arrow::temporal_conversions::timestamp_us_to_datetime;
    timestamp_us_to_datetime(micros)
        .map_or_else(String::new, |time| format!("{}Z", time.format("%Y-%m-%dT%H:%M:%S%.6f")))
}

async fn read(request: reqwest::RequestBuilder) -> Result<Value> {
    let answer = request.send().await?;
    let (status, url) = (answer.status(), answer.url().clone());
    let body = answer.text().await?;
    if !status.is_success() {
        bail!("{url} answered {status}: {body}");
    }
    serde_json::from_str(&body).with_context(|| format!("{url} answered no JSON: {body}"))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
