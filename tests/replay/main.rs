//! The replay test: what the component answers for an instant is what a training set has for it.
//!
//! A history with late, missing, tied and premature rows is half materialized and half pushed, out of order. Then every
//! instant at which an answer can change is asked of both: a microsecond before, at and after each row's event, its
//! availability, its ttl and the ends of its windows.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use skewless_tests::{Served, run};

const MINUTE: i64 = 60_000_000;
/// 2024-03-09T00:00:00Z, in microseconds.
const START: i64 = 1_709_942_400_000_000;
const TTL: i64 = 90 * MINUTE;
const WINDOWS: [i64; 2] = [45 * MINUTE, 180 * MINUTE];
/// Rows of one request.
const ROWS: usize = 4_000;

const DEFINITIONS: &str = "
CREATE EXTERNAL TABLE rows (id VARCHAR, event TIMESTAMP, known TIMESTAMP, seq BIGINT, x DOUBLE)
  STORED AS JSON LOCATION 'rows.json';
CREATE FEATURE VIEW readings
  ENTITY (id) TIMESTAMP (event) AVAILABLE AT (known) TTL INTERVAL '90 minutes' TIE BREAK (seq)
  AS SELECT id, event, known, seq, x,
            sum(x) OVER (RANGE INTERVAL '45 minutes' PRECEDING) AS total,
            count(*) OVER (RANGE INTERVAL '45 minutes' PRECEDING) AS readings_45m,
            avg(x) OVER (RANGE INTERVAL '3 hours' PRECEDING) AS mean,
            stddev(x) OVER (RANGE INTERVAL '3 hours' PRECEDING) AS spread,
            max(x) OVER (RANGE INTERVAL '3 hours' PRECEDING) AS top,
            median(x) OVER (RANGE INTERVAL '3 hours' PRECEDING) AS middle,
            last_value(x) OVER (RANGE INTERVAL '3 hours' PRECEDING) AS latest
     FROM rows;
CREATE FEATURE VIEW everything
  NO ENTITY TIMESTAMP (event)
  AS SELECT event, x AS newest, id AS source, seq, count(x) OVER (RANGE INTERVAL '3 hours' PRECEDING) AS values_3h FROM rows;
";

/// One row of the source. Times are microseconds since [`START`].
struct Reading {
    id: Option<String>,
    event: Option<i64>,
    known: Option<i64>,
    seq: i64,
    x: Option<f64>,
}

/// A third of the rows are of one entity, so that its history takes several chunks; the others have a few each.
fn readings() -> Vec<Reading> {
    let mut state: u64 = 42;
    let mut below = |bound: i64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as i64) % bound
    };
    (0..4_500)
        .map(|_| {
            let hot = below(3) == 0;
            let id = if hot { "hot".to_owned() } else { format!("e{}", below(300)) };
            let event = if hot { below(1_200) * 5 * MINUTE } else { below(6_000) * MINUTE };
            // Known up to twenty minutes before it happened, or three hours after, or never.
            let known = event + (below(200) - 20) * MINUTE;
            Reading {
                id: (below(50) > 0).then_some(id),
                event: (below(60) > 0).then_some(event),
                known: (below(15) > 0).then_some(known),
                seq: below(4),
                x: (below(12) > 0).then(|| below(1_000_000) as f64 / 7.0),
            }
        })
        .collect()
}

/// A time as both SQL and HTTP read it.
fn instant(micros: i64) -> String {
    let at = chrono::DateTime::from_timestamp_micros(START + micros).unwrap_or_default();
    at.format("%Y-%m-%dT%H:%M:%S%.6f").to_string()
}

/// The columns of the source, each with a value for every row.
fn columns(readings: &[Reading]) -> Map<String, Value> {
    let column = |value: fn(&Reading) -> Value| readings.iter().map(value).collect::<Value>();
    [
        ("id", column(|row| json!(row.id))),
        ("event", column(|row| json!(row.event.map(instant)))),
        ("known", column(|row| json!(row.known.map(instant)))),
        ("seq", column(|row| json!(row.seq))),
        ("x", column(|row| json!(row.x))),
    ]
    .map(|(name, values)| (name.to_owned(), values))
    .into_iter()
    .collect()
}

fn write(file: &Path, columns: &Map<String, Value>, rows: std::ops::Range<usize>) -> Result<()> {
    let mut text = String::new();
    for row in rows {
        let row: Map<String, Value> = columns.iter().map(|(name, all)| (name.clone(), all[row].clone())).collect();
        writeln!(text, "{}", Value::Object(row))?;
    }
    std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))
}

/// Every key and instant at which an answer can change, and the microseconds around it.
fn questions(readings: &[Reading]) -> Vec<(Option<String>, i64)> {
    let mut edges: BTreeSet<(Option<String>, i64)> = BTreeSet::new();
    for row in readings {
        let Some(event) = row.event else { continue };
        let windows = WINDOWS.map(|length| event + length);
        for edge in [Some(event), row.known, Some(event + TTL)].into_iter().flatten().chain(windows) {
            edges.extend((edge - 1..=edge + 1).map(|at| (row.id.clone(), at)));
        }
    }
    // Half of some fifty thousand, and an entity that there is not.
    let half = edges.into_iter().enumerate().filter(|(nth, _)| nth % 2 == 0).map(|(_, edge)| edge);
    half.chain([(Some("nobody".to_owned()), 0)]).collect()
}

/// What a training set has: one object for each question.
fn offline(project: &Path, questions: &[(Option<String>, i64)]) -> Result<Vec<Map<String, Value>>> {
    let spine: Vec<String> =
        questions.iter().map(|(id, at)| json!({"id": id, "at": instant(*at)}).to_string()).collect();
    std::fs::write(project.join("spine.json"), spine.join("\n"))?;
    let statement = format!(
        "CREATE EXTERNAL TABLE spine (id VARCHAR, at TIMESTAMP) STORED AS JSON LOCATION '{}';
         SELECT * FROM ml_training_set(spine => spine, timestamp => 'at', features => ['readings', 'everything'],
                                       status => true, witness => true)",
        project.join("spine.json").display()
    );
    let (code, rows, errors) =
        run(&["sql", "--project", &project.to_string_lossy(), "--format", "ndjson", "-c", &statement])?;
    if code != 0 {
        bail!("the training set failed: {errors}");
    }
    rows.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// What the component answers, in the same form.
async fn online(url: &str, questions: &[(Option<String>, i64)]) -> Result<Vec<Map<String, Value>>> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut answers = Vec::new();
    for some in questions.chunks(ROWS) {
        let body = json!({
            "features": ["readings", "everything"],
            "entities": {"id": some.iter().map(|(id, _)| json!(id)).collect::<Value>()},
            "as_of": some.iter().map(|(_, at)| json!(format!("{}Z", instant(*at)))).collect::<Value>(),
            "full_feature_names": true,
        });
        let response = client.post(format!("{url}/get-online-features")).body(body.to_string()).send().await?;
        let answer: Value = response.json().await?;
        let Some(names) = answer["metadata"]["feature_names"].as_array() else { bail!("{answer}") };
        for row in 0..some.len() {
            let mut found = Map::new();
            for (name, result) in names.iter().zip(answer["results"].as_array().into_iter().flatten()) {
                found.insert(name.as_str().unwrap_or_default().to_owned(), result["values"][row].clone());
            }
            for view in ["readings", "everything"] {
                for part in ["status", "event_time", "available_at"] {
                    found.insert(format!("{view}__{part}"), answer["skewless"]["views"][view][part][row].clone());
                }
            }
            answers.push(found);
        }
    }
    Ok(answers)
}

/// Whether two values are the same to the bit; instants are written with and without a zone.
fn same(offline: &Value, online: &Value) -> bool {
    match (offline, online) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a.to_bits() == b.to_bits())
        }
        (Value::String(a), Value::String(b)) => a.trim_end_matches('Z') == b.trim_end_matches('Z'),
        (a, b) => a == b,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_component_replays_a_training_set_at_every_edge() -> Result<()> {
    let project = tempfile::tempdir()?;
    std::fs::create_dir(project.path().join("definitions"))?;
    std::fs::write(project.path().join("skewless.toml"), "name = \"replay\"\n")?;
    std::fs::write(project.path().join("definitions/views.sql"), DEFINITIONS)?;
    let readings = readings();
    let columns = columns(&readings);
    let source = project.path().join("rows.json");
    let half = readings.len() / 2;
    write(&source, &columns, 0..half)?;
    let served = Served::project(project.path())?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    for view in ["readings", "everything"] {
        for start in (half..readings.len()).step_by(700) {
            let part = start..readings.len().min(start + 700);
            let df: Map<String, Value> = columns
                .iter()
                .map(|(name, all)| (name.clone(), part.clone().map(|row| all[row].clone()).collect()))
                .collect();
            let body = json!({"push_source_name": view, "df": df});
            let response = client.post(format!("{}/push", served.url)).body(body.to_string()).send().await?;
            let status = response.status();
            assert!(status.is_success(), "{}", response.text().await?);
        }
    }
    write(&source, &columns, 0..readings.len())?;

    let questions = questions(&readings);
    let offline = offline(project.path(), &questions)?;
    let online = online(&served.url, &questions).await?;
    assert_eq!((offline.len(), online.len()), (questions.len(), questions.len()));
    let mut statuses: BTreeSet<&str> = BTreeSet::new();
    for ((question, offline), online) in questions.iter().zip(&offline).zip(&online) {
        for (name, value) in offline.iter().filter(|(name, _)| *name != "at") {
            let found = &online[name];
            assert!(same(value, found), "{question:?}: {name} is {value} offline and {found} online");
        }
        statuses.extend(offline["readings__status"].as_str());
    }
    // The edges are worth replaying only if every reason is among them.
    let all = ["before_first", "expired", "no_entity", "not_yet_known", "null_key", "ok"];
    assert_eq!(statuses, BTreeSet::from(all));
    Ok(())
}
