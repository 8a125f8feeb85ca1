//! The component on the local host: what it answers over HTTP is, byte for byte, what the same rows give natively.
//! `cargo xtask component features` builds what this needs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use serde_json::{Value, json};
use skewless_features::{KeyValue, Request, Server};
use skewless_host::{Options, key_value::Store, up};
use skewless_udf::contract::{RowContract, RowRule};
use skewless_udf::view::{
    ColumnType, Feature, FeatureTable, FeatureValue, FeatureView, Kind, OnDemand, OnDemandFeature, Push, Recorded,
    Span, Window, chunk,
};

const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
const HOUR: i64 = 3_600_000_000;
/// 2023-01-01T00:00:00Z.
const START: i64 = 1_672_531_200_000_000;

struct Map(RefCell<BTreeMap<String, Vec<u8>>>);

impl KeyValue for Map {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.0.borrow().get(key).cloned())
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<(), String> {
        self.0.borrow_mut().insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), String> {
        self.0.borrow_mut().remove(key);
        Ok(())
    }
}

fn delays() -> FeatureView {
    let window = |function: &str, hours: i64| {
        FeatureValue::Window(Window {
            function: function.to_owned(),
            args: vec!["delay".to_owned()],
            distinct: false,
            ignore_nulls: false,
            filter: None,
            range: Span::Time(hours * HOUR * 1_000),
        })
    };
    let feature =
        |name: &str, data_type: DataType, value| Feature { name: name.to_owned(), data_type: data_type.into(), value };
    FeatureView::new(
        "delays",
        "",
        Kind::Recorded(Recorded {
            entity: vec!["tailnum".to_owned()],
            timestamp: "departed".to_owned(),
            available_at: None,
            ttl: Some(Span::Time(18 * HOUR * 1_000)),
            tie_break: Vec::new(),
            rows: vec![
                ColumnType::new("tailnum", DataType::Utf8),
                ColumnType::new("departed", TIME),
                ColumnType::new("delay", DataType::Float64),
            ],
            features: vec![
                feature("last", DataType::Float64, FeatureValue::Plain { column: "delay".to_owned() }),
                feature("mean", DataType::Float64, window("avg", 24)),
                feature("spread", DataType::Float64, window("stddev", 48)),
                feature("total", DataType::Float64, window("sum", 24)),
                feature("flights", DataType::Int64, window("count", 24)),
            ],
            push: Some(Push {
                source: vec![
                    ColumnType::new("tailnum", DataType::Utf8),
                    ColumnType::new("departed", TIME),
                    ColumnType::new("minutes", DataType::Float64),
                ],
                filter: None,
                columns: ["tailnum", "departed", "ln(minutes) * 60.0"].map(str::to_owned).to_vec(),
            }),
            materialize_only: None,
        }),
    )
}

fn clock() -> FeatureView {
    let feature = |name: &str, expression: &str| OnDemandFeature {
        name: name.to_owned(),
        data_type: DataType::Float64.into(),
        expression: expression.to_owned(),
    };
    FeatureView::new(
        "clock",
        "",
        Kind::OnDemand(OnDemand {
            inputs: vec![ColumnType::new("distance", DataType::Float64), ColumnType::new("scheduled", TIME)],
            features: vec![
                feature("log_miles", "ln(distance)"),
                feature("wave", "sin(distance)"),
                feature("grown", "exp(distance / 100.0)"),
                feature("hour", "hour_sin(scheduled)"),
            ],
        }),
    )
}

/// A contract that some of the numbers break, by a function that other libraries compute otherwise.
fn near() -> RowContract {
    let rule = RowRule {
        name: "near".to_owned(),
        text: "CHECK (ln(distance) < 8)".to_owned(),
        columns: vec!["distance".to_owned()],
        condition: "(ln(distance) < 8.0)".to_owned(),
    };
    RowContract { name: "near_ok".to_owned(), is_enforced: false, rules: vec![rule] }
}

/// Numbers with all their digits, the same on every run.
fn numbers(count: usize) -> Vec<f64> {
    let mut state: u64 = 7;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 40) as f64
    };
    (0..count).map(|_| next()).collect()
}

fn table() -> FeatureTable {
    let count = 600;
    let tails: Vec<String> = (0..count).map(|i| format!("N{}", i % 13)).collect();
    let times: Vec<i64> = (0..count as i64).map(|i| START + i * HOUR / 7).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(tails)),
        Arc::new(TimestampMicrosecondArray::from(times)),
        Arc::new(Float64Array::from(numbers(count))),
    ];
    let view = Arc::new(delays());
    let rows = RecordBatch::try_new(view.rows_schema(), columns).unwrap();
    FeatureTable::new(view, vec![rows]).unwrap()
}

fn entries() -> BTreeMap<String, Vec<u8>> {
    let mut entries = BTreeMap::from([("skewless/views".to_owned(), br#"["clock","delays"]"#.to_vec())]);
    for view in [delays(), clock().with_contracts(vec![near()])] {
        entries.insert(format!("skewless/view/{}", view.name), view.to_json().unwrap().into_bytes());
    }
    for (entity, rows) in table().entities().unwrap() {
        let key = format!("skewless/rows/delays/{entity}");
        entries.extend(chunk::store(table().view(), &key, &rows).unwrap());
    }
    entries
}

fn component() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = std::env::var_os("SKEWLESS_COMPONENTS").map_or_else(|| root.join("target/components"), PathBuf::from);
    let path = folder.join("features.wasm");
    assert!(path.is_file(), "{} is missing: run `cargo xtask component features`", path.display());
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn the_component_answers_the_bytes_of_the_native_look_up() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(component(), folder.path().join("features.wasm")).unwrap();
    let manifest = r#"
        spin_manifest_version = 2
        application.name = "test"
        [[trigger.http]]
        route = "/..."
        component = "features"
        [component.features]
        source = "features.wasm"
        key_value_stores = ["default"]
    "#;
    std::fs::write(folder.path().join("spin.toml"), manifest).unwrap();
    let state = folder.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let store = Store::open(state.join("sqlite_key_value.db")).unwrap();
    store.replace_prefix("skewless/", entries()).unwrap();

    let mut options = Options::new(folder.path().join("spin.toml"));
    options.listen = ([127, 0, 0, 1], 0).into();
    options.state_dir = Some(state);
    let running = up(options).await.unwrap();
    let client = reqwest::Client::new();
    let url = format!("http://{}", running.addr());
    let ask = async |path: &str, body: &Value| {
        let response = client.post(format!("{url}{path}")).body(body.to_string()).send().await.unwrap();
        (response.status().as_u16(), response.bytes().await.unwrap().to_vec())
    };
    let map = Map(RefCell::new(entries()));
    let native = Server::default();
    let natively = |path: &str, body: &Value| {
        let body = body.to_string();
        let request = Request { method: "POST", path, content_type: None, body: body.as_bytes(), now: 0 };
        let response = pollster::block_on(native.handle(&map, request));
        (response.status, response.body)
    };

    let rows = 400;
    let tails: Vec<String> = (0..rows).map(|i| format!("N{}", i % 15)).collect();
    let instants: Vec<i64> = (0..rows as i64).map(|i| START + i * HOUR / 3 - 5 * HOUR).collect();
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(instants.clone()));
    let as_of: Vec<String> = instants
        .iter()
        .map(|t| {
            let second = t.div_euclid(1_000_000);
            let (days, rest) = (second.div_euclid(86_400), second.rem_euclid(86_400));
            let date = days - 19_358;
            let (month, day) = if date < 0 { ("2022-12", date + 32) } else { ("2023-01", date + 1) };
            let clock = format!("{:02}:{:02}:{:02}", rest / 3_600, rest / 60 % 60, rest % 60);
            format!("{month}-{day:02}T{clock}.{:06}Z", t.rem_euclid(1_000_000))
        })
        .collect();
    let body = json!({
        "features": ["delays", "clock"],
        "entities": {"tailnum": tails, "distance": numbers(rows), "scheduled": as_of},
        "as_of": as_of,
        "full_feature_names": true,
    });
    let answered = ask("/get-online-features", &body).await;
    assert_eq!(answered.0, 200, "{}", String::from_utf8_lossy(&answered.1));
    assert!(answered == natively("/get-online-features", &body), "the bytes differ from the native ones");

    // The very bits of the look-up that training sets use, through JSON and back.
    let answer: Value = serde_json::from_slice(&answered.1).unwrap();
    let broken = numbers(rows).iter().filter(|distance| distance.ln() >= 8.0).count();
    assert!(broken > 0);
    assert_eq!(answer["skewless"]["violations"][0]["violations"], broken);
    let keys: ArrayRef = Arc::new(StringArray::from(tails));
    let lookup = table().lookup(&[keys], &times).unwrap();
    let names: Vec<&str> =
        answer["metadata"]["feature_names"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for (field, column) in delays().feature_fields().iter().zip(&lookup.values) {
        let at = names.iter().position(|name| *name == format!("delays__{}", field.name())).unwrap();
        let values = answer["results"][at]["values"].as_array().unwrap();
        assert_eq!(values.len(), rows);
        for (row, value) in values.iter().enumerate() {
            match column.data_type() {
                _ if column.is_null(row) => assert!(value.is_null()),
                DataType::Int64 => assert_eq!(value.as_i64(), Some(column.as_primitive::<Int64Type>().value(row))),
                _ => {
                    let expected = column.as_primitive::<Float64Type>().value(row);
                    assert_eq!(value.as_f64().map(f64::to_bits), Some(expected.to_bits()), "{} {row}", field.name());
                }
            }
        }
    }

    let push = json!({"push_source_name": "delays", "df": {
        "tailnum": ["N3", "N99"],
        "departed": ["2023-01-02T00:00:00Z", "2023-01-02T00:00:00Z"],
        "minutes": [3.7, 0.0],
    }});
    let answered = ask("/push", &push).await;
    assert_eq!(answered, natively("/push", &push));
    assert_eq!(answered.0, 200, "{}", String::from_utf8_lossy(&answered.1));
    let body = json!({
        "features": ["delays"], "entities": {"tailnum": ["N3", "N99"]}, "as_of": "2023-01-02T00:00:00Z",
    });
    let answered = ask("/get-online-features", &body).await;
    assert!(answered == natively("/get-online-features", &body), "the bytes differ after a push");
    let answer: Value = serde_json::from_slice(&answered.1).unwrap();
    assert_eq!(answer["results"][1]["values"][1], "-Infinity");

    let (status, problem) =
        ask("/get-online-features", &json!({"features": ["delay"], "entities": {"tailnum": ["N3"]}})).await;
    let problem: Value = serde_json::from_slice(&problem).unwrap();
    assert_eq!((status, &problem["status"]), (404, &json!(404)));
    let health = client.get(format!("{url}/health")).send().await.unwrap();
    assert_eq!(health.status(), 200);
    let csv = client.post(format!("{url}/push")).header("content-type", "text/csv").body("a,b").send().await.unwrap();
    assert_eq!(
        (csv.status().as_u16(), csv.headers()["content-type"].to_str().unwrap()),
        (415, "application/problem+json")
    );
    running.shutdown().await;
}
