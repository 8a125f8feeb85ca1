//! The server over a map, as Spin's store would be.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit};
use serde_json::{Value, json};
use skewless_udf::contract::{RowContract, RowRule};
use skewless_udf::view::{
    ColumnType, Feature, FeatureTable, FeatureValue, FeatureView, Kind, OnDemand, OnDemandFeature, Push, Recorded,
    Span, Window, chunk,
};

use crate::{KeyValue, Limits, Request, Response, Server};

#[derive(Default)]
struct Map(RefCell<BTreeMap<String, Vec<u8>>>);

impl KeyValue for Map {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        if key.contains("broken") {
            return Err("the disk is gone".to_owned());
        }
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

const HOUR: i64 = 3_600_000_000;
/// 2023-01-01T00:00:00Z.
const START: i64 = 1_672_531_200_000_000;
const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

fn inbound() -> FeatureView {
    let feature =
        |name: &str, data_type: DataType, value| Feature { name: name.to_owned(), data_type: data_type.into(), value };
    let window = |function: &str, args: &[&str]| {
        FeatureValue::Window(Window {
            function: function.to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            distinct: false,
            ignore_nulls: false,
            filter: None,
            range: Span::Time(24 * HOUR * 1_000),
        })
    };
    let columns = vec![
        ColumnType::new("tailnum", DataType::Utf8),
        ColumnType::new("departed", TIME),
        ColumnType::new("landed", TIME),
        ColumnType::new("delay", DataType::Float64),
    ];
    FeatureView::new(
        "inbound",
        "CREATE FEATURE VIEW inbound …",
        Kind::Recorded(Recorded {
            entity: vec!["tailnum".to_owned()],
            timestamp: "departed".to_owned(),
            available_at: Some("landed".to_owned()),
            ttl: Some(Span::Time(18 * HOUR * 1_000)),
            tie_break: Vec::new(),
            rows: columns,
            features: vec![
                feature("last_delay", DataType::Float64, FeatureValue::Plain { column: "delay".to_owned() }),
                feature("flights", DataType::Int64, window("count", &["delay"])),
            ],
            push: Some(Push {
                source: vec![
                    ColumnType::new("tail", DataType::Utf8),
                    ColumnType::new("departed", TIME),
                    ColumnType::new("landed", TIME),
                    ColumnType::new("arr_delay", DataType::Float64),
                ],
                filter: Some("tail <> 'test'".to_owned()),
                columns: ["tail", "departed", "landed", "arr_delay / 60.0"].map(str::to_owned).to_vec(),
            }),
            materialize_only: None,
        }),
    )
}

fn clock() -> FeatureView {
    FeatureView::new(
        "clock",
        "CREATE FEATURE VIEW clock ON DEMAND …",
        Kind::OnDemand(OnDemand {
            inputs: vec![
                ColumnType::new("distance", DataType::Float64),
                ColumnType::new("inbound__last_delay", DataType::Float64),
            ],
            features: vec![
                OnDemandFeature {
                    name: "half".to_owned(),
                    data_type: DataType::Float64.into(),
                    expression: "distance / 2.0".to_owned(),
                },
                OnDemandFeature {
                    name: "late_miles".to_owned(),
                    data_type: DataType::Float64.into(),
                    expression: "distance * inbound__last_delay".to_owned(),
                },
            ],
        }),
    )
}

/// One flight of N1 (departed 00:00, landed 03:00, delay 7) and two of N2.
fn rows() -> RecordBatch {
    let hours = |hours: &[i64]| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(hours.iter().map(|h| START + h * HOUR).collect::<Vec<_>>()))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["N1", "N2", "N2"])),
        hours(&[0, 0, 6]),
        hours(&[3, 2, 9]),
        Arc::new(Float64Array::from(vec![Some(7.0), Some(f64::NAN), None])),
    ];
    RecordBatch::try_new(inbound().rows_schema(), columns).unwrap()
}

fn table() -> FeatureTable {
    FeatureTable::new(Arc::new(inbound()), vec![rows()]).unwrap()
}

fn store() -> Map {
    let map = Map::default();
    let mut keys = map.0.borrow_mut();
    keys.insert("skewless/views".to_owned(), br#"["inbound","clock"]"#.to_vec());
    for view in [inbound(), clock()] {
        keys.insert(format!("skewless/view/{}", view.name), view.to_json().unwrap().into_bytes());
    }
    for (entity, rows) in table().entities().unwrap() {
        keys.extend(chunk::store(&Arc::new(inbound()), &format!("skewless/rows/inbound/{entity}"), &rows).unwrap());
    }
    drop(keys);
    map
}

fn send(server: &Server, store: &Map, method: &str, path: &str, content_type: Option<&str>, body: &[u8]) -> Response {
    let request = Request { method, path, content_type, body, now: START + 12 * HOUR };
    pollster::block_on(server.handle(store, request))
}

fn post(store: &Map, path: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let response = send(&Server::default(), store, "POST", path, Some("application/json"), body.as_bytes());
    let kind = if response.status == 200 { "application/json" } else { "application/problem+json" };
    assert_eq!(response.content_type, kind);
    (response.status, serde_json::from_slice(&response.body).unwrap())
}

fn refused(path: &str, body: &Value, status: u16, detail: &str) {
    let (found, problem) = post(&store(), path, body);
    assert_eq!((found, &problem["status"]), (status, &json!(status)), "{problem}");
    let text = problem["detail"].as_str().unwrap();
    assert!(text.contains(detail), "`{text}` does not say `{detail}`");
}

#[test]
fn the_answer_has_the_shape_that_feast_s_client_reads() {
    let entities = json!({"tailnum": ["N1", "N9"]});
    let body = json!({"features": ["inbound:last_delay", "inbound:flights"], "entities": entities});
    let (status, answer) = post(&store(), "/get-online-features", &body);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        answer,
        json!({
            "metadata": {"feature_names": ["tailnum", "last_delay", "flights"]},
            "results": [
                {
                    "values": ["N1", "N9"], "statuses": ["PRESENT", "PRESENT"],
                    "event_timestamps": ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"],
                },
                {
                    "values": [7.0, null], "statuses": ["PRESENT", "NOT_FOUND"],
                    "event_timestamps": ["2023-01-01T00:00:00Z", "1970-01-01T00:00:00Z"],
                },
                {
                    "values": [1, 0], "statuses": ["PRESENT", "PRESENT"],
                    "event_timestamps": ["2023-01-01T00:00:00Z", "1970-01-01T00:00:00Z"],
                },
            ],
            "skewless": {"views": {"inbound": {
                "status": ["ok", "no_entity"],
                "event_time": ["2023-01-01T00:00:00Z", null],
                "available_at": ["2023-01-01T03:00:00Z", null],
            }}},
        })
    );
}

#[test]
fn each_row_has_its_own_as_of_time_and_says_why_it_has_no_value() {
    let body = json!({
        "features": ["inbound:last_delay"],
        "entities": {"tailnum": ["N1", "N1", "N1", "N1", "N2", "N2", null, "N1"]},
        "as_of": [
            "2022-12-31T23:00:00Z", "2023-01-01T02:59:59.999999Z", "2023-01-01T04:00:00+01:00", "2023-01-02T00:00:00Z",
            "2023-01-01T05:00:00Z", "2023-01-01T09:00:00.000000001Z", "2023-01-01T09:00:00Z", null,
        ],
    });
    let (status, answer) = post(&store(), "/get-online-features", &body);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["results"][1]["values"], json!([null, null, 7.0, null, "NaN", null, null, null]));
    assert_eq!(
        answer["results"][1]["statuses"],
        json!([
            "NOT_FOUND",
            "NOT_FOUND",
            "PRESENT",
            "OUTSIDE_MAX_AGE",
            "PRESENT",
            "NULL_VALUE",
            "NOT_FOUND",
            "NOT_FOUND"
        ])
    );
    assert_eq!(
        answer["skewless"]["views"]["inbound"]["status"],
        json!(["before_first", "not_yet_known", "ok", "expired", "ok", "ok", "null_key", "null_time"])
    );
}

#[test]
fn values_are_those_of_the_look_up_that_training_sets_use() {
    let hours: Vec<i64> = (-2..40).collect();
    let tails: Vec<&str> = ["N1", "N2", "N3"].into_iter().cycle().take(hours.len()).collect();
    let times: ArrayRef =
        Arc::new(TimestampMicrosecondArray::from(hours.iter().map(|h| START + h * HOUR).collect::<Vec<_>>()));
    let keys: ArrayRef = Arc::new(StringArray::from(tails.clone()));
    let expected = table().lookup(&[keys], &times).unwrap();
    let as_of: Vec<Value> = (0..hours.len()).map(|row| crate::json::instant(&times, row).unwrap().into()).collect();
    let body = json!({"features": ["inbound"], "entities": {"tailnum": tails}, "as_of": as_of});
    let (_, answer) = post(&store(), "/get-online-features", &body);
    for (feature, column) in expected.values.iter().enumerate() {
        assert_eq!(answer["results"][feature + 1]["values"], Value::Array(crate::json::values(column).unwrap()));
    }
    let status: Vec<&str> = expected.status.iter().map(|status| status.as_str()).collect();
    assert_eq!(answer["skewless"]["views"]["inbound"]["status"], json!(status));
}

#[test]
fn a_view_without_a_key_needs_no_entities() {
    let store = store();
    let mut view = inbound();
    view.name = "all".to_owned();
    if let Kind::Recorded(recorded) = &mut view.kind {
        recorded.entity.clear();
    }
    let table = FeatureTable::new(Arc::new(view.clone()), vec![rows()]).unwrap();
    let (entity, rows) = table.entities().unwrap().next().unwrap();
    let mut keys = store.0.borrow_mut();
    keys.insert("skewless/view/all".to_owned(), view.to_json().unwrap().into_bytes());
    keys.extend(chunk::store(&Arc::new(view), &format!("skewless/rows/all/{entity}"), &rows).unwrap());
    drop(keys);
    let ask = |entities: Value, as_of: Value| {
        let body = json!({"features": ["all:flights"], "entities": entities, "as_of": as_of});
        let (status, answer) = post(&store, "/get-online-features", &body);
        assert_eq!(status, 200, "{answer}");
        answer["results"].as_array().unwrap().last().unwrap()["values"].clone()
    };
    assert_eq!(ask(json!({}), Value::Null), json!([2]));
    assert_eq!(ask(json!({}), json!(["2023-01-01T01:00:00Z", "2023-01-01T02:30:00Z"])), json!([0, 1]));
    assert_eq!(ask(json!({"__dummy_id": [""]}), Value::Null), json!([2]));
}

#[test]
fn an_on_demand_view_takes_its_inputs_from_the_request_and_from_other_views() {
    let body = json!({
        "features": ["clock", "inbound:last_delay"],
        "entities": {"tailnum": ["N1", "N9", "N1"], "distance": [100, "NaN", "-Infinity"], "spare": [1, 2, 3]},
        "full_feature_names": true,
    });
    let (status, answer) = post(&store(), "/get-online-features", &body);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        answer["metadata"]["feature_names"],
        json!(["distance", "spare", "tailnum", "clock__half", "clock__late_miles", "inbound__last_delay"])
    );
    assert_eq!(answer["results"][3]["values"], json!([50.0, "NaN", "-Infinity"]));
    assert_eq!(answer["results"][4]["values"], json!([700.0, null, "-Infinity"]));
    assert_eq!(answer["results"][4]["statuses"], json!(["PRESENT", "NULL_VALUE", "PRESENT"]));
}

#[test]
fn a_pushed_row_is_what_materializing_its_source_would_have_stored() {
    let store = store();
    let push = json!({"push_source_name": "inbound", "to": "online", "df": {
        "tail": ["N1", "N7", "test", null],
        "departed": ["2023-01-01T10:00:00Z", "2023-01-01T01:00:00Z", "2023-01-01T01:00:00Z", "2023-01-01T01:00:00Z"],
        "landed": ["2023-01-01T11:00:00Z", "2023-01-01T02:00:00Z", "2023-01-01T02:00:00Z", "2023-01-01T02:00:00Z"],
        "arr_delay": [90, "Infinity", 1, 2],
        "carrier": ["AS", "AS", "AS", "AS"],
    }});
    let (status, answer) = post(&store, "/push", &push);
    // A NULL tail is neither equal nor unequal to 'test', so the view's WHERE leaves that row out too.
    assert_eq!((status, &answer), (200, &json!({"recorded": 2, "entities": 2, "filtered": 2, "null_key": 0})));

    let body = json!({"features": ["inbound"], "entities": {"tailnum": ["N1", "N7"]}});
    let (_, answer) = post(&store, "/get-online-features", &body);
    assert_eq!(answer["results"][1]["values"], json!([1.5, "Infinity"]));
    assert_eq!(answer["results"][2]["values"], json!([2, 1]));
}

#[test]
fn a_view_that_was_stored_again_is_read_again() {
    let (server, store) = (Server::default(), store());
    let body = json!({"features": ["clock:half"], "entities": {"tailnum": ["N1"], "distance": [100]}}).to_string();
    let ask = || {
        let response = send(&server, &store, "POST", "/get-online-features", None, body.as_bytes());
        serde_json::from_slice::<Value>(&response.body).unwrap()["results"][2]["values"].clone()
    };
    assert_eq!(ask(), json!([50.0]));
    let text = clock().to_json().unwrap().replace("/ 2.0", "/ 4.0");
    store.0.borrow_mut().insert("skewless/view/clock".to_owned(), text.into_bytes());
    assert_eq!(ask(), json!([25.0]));
}

#[test]
fn what_is_wrong_with_a_request_is_said_with_the_remedy() {
    let get = "/get-online-features";
    let tail = json!({"tailnum": ["N1"]});
    refused(get, &json!({"features": ["inbond:flights"], "entities": tail}), 404, "did you mean `inbound`?");
    refused(get, &json!({"features": ["inbound:flihgts"], "entities": tail}), 404, "did you mean `flights`?");
    refused(get, &json!({"features": ["../views"], "entities": tail}), 404, "no feature view `../views`");
    refused(
        get,
        &json!({"features": ["inbound"], "entities": {"tailnumber": ["N1"]}}),
        400,
        "did you mean `tailnumber`?",
    );
    refused(
        get,
        &json!({"features": ["inbound"], "entities": {"tailnum": [1]}}),
        400,
        "is a string, and row 0 gives 1",
    );
    let uneven = json!({"tailnum": ["N1"], "x": [1, 2]});
    refused(get, &json!({"features": ["inbound"], "entities": uneven}), 400, "one value for each row");
    refused(get, &json!({"features": ["inbound"], "entities": {}}), 400, "needs the entity `tailnum`");
    refused(get, &json!({"entities": tail}), 400, "features is missing");
    refused(get, &json!({"feature_service": "late", "entities": tail}), 400, "there are no feature services");
    refused(get, &json!({"features": ["inbound"], "entities": tail, "asof": "x"}), 400, "unknown field `asof`");
    refused(get, &json!({"features": ["inbound"], "entities": tail, "as_of": "yesterday"}), 400, "such as \"2023");
    refused(get, &json!({"features": ["inbound"], "entities": tail, "as_of": [null, null]}), 400, "list of 2 times");
    refused(get, &json!({"features": ["clock"], "entities": {"tailnum": ["N1"]}}), 400, "needs the input `distance`");
    let text = json!({"tailnum": ["N1"], "distance": ["far"]});
    refused(get, &json!({"features": ["clock"], "entities": text}), 400, "row 0 gives \"far\"");
    let many = json!({"tailnum": vec!["N1"; 10_001]});
    refused(get, &json!({"features": ["inbound"], "entities": many}), 400, "the limit is 10000");

    refused("/push", &json!({"push_source_name": "clock", "df": {"a": [1]}}), 400, "ON DEMAND");
    refused("/push", &json!({"push_source_name": "inbound", "df": {"tial": ["N1"]}}), 400, "no column `tail`");
    refused("/push", &json!({"push_source_name": "inbound", "df": {}}), 400, "no rows");
    refused("/push", &json!({"push_source_name": "inbound", "df": {"a": [1]}, "to": "offline"}), 400, "`online` only");
    refused("/get-online-featuers", &json!({}), 404, "did you mean `/get-online-features`?");
}

#[test]
fn a_view_that_can_only_be_materialized_refuses_pushes_with_the_reason() {
    let store = store();
    let mut view = inbound();
    if let Kind::Recorded(recorded) = &mut view.kind {
        recorded.push = None;
        recorded.materialize_only = Some("its body joins two tables".to_owned());
    }
    store.0.borrow_mut().insert("skewless/view/inbound".to_owned(), view.to_json().unwrap().into_bytes());
    let (status, problem) = post(&store, "/push", &json!({"push_source_name": "inbound", "df": {"tail": ["N1"]}}));
    assert_eq!(status, 400);
    assert!(problem["detail"].as_str().unwrap().contains("only materialized: its body joins two tables"));
}

#[test]
fn methods_media_types_and_bodies_are_checked_before_anything_is_read() {
    let (server, store) = (Server::default(), store());
    let path = "/get-online-features";
    let get = send(&server, &store, "GET", path, None, b"");
    assert_eq!((get.status, get.allow), (405, Some("POST")));
    assert_eq!(send(&server, &store, "POST", path, Some("text/csv"), b"{}").status, 415);
    assert_eq!(send(&server, &store, "POST", path, Some("application/json; charset=utf-8"), b"{").status, 400);
    assert_eq!(send(&server, &store, "POST", path, None, b"\xff\xfe").status, 400);
    assert_eq!(send(&server, &store, "POST", path, None, "[".repeat(100_000).as_bytes()).status, 400);
    let small = Server::new(Limits { body: 10, ..Limits::default() });
    assert_eq!(send(&small, &store, "POST", path, None, b"{          }").status, 413);
    assert_eq!(send(&server, &store, "GET", "/nowhere", None, b"").status, 404);
}

#[test]
fn health_is_whether_there_is_something_to_serve() {
    let server = Server::default();
    assert_eq!(send(&server, &store(), "GET", "/health", None, b"").status, 200);
    assert_eq!(send(&server, &Map::default(), "GET", "/health", None, b"").status, 503);
}

#[test]
fn a_store_that_fails_or_holds_rubbish_is_an_error_of_the_server() {
    let store = store();
    store.0.borrow_mut().insert("skewless/view/clock".to_owned(), b"{}".to_vec());
    store.0.borrow_mut().insert("skewless/rows/inbound/[\"N1\"]".to_owned(), b"rubbish".to_vec());
    let ask = |view: &str, entities: Value| {
        post(&store, "/get-online-features", &json!({"features": [view], "entities": entities}))
    };
    assert_eq!(ask("clock", json!({"distance": [1]})).0, 500);
    assert_eq!(ask("inbound", json!({"tailnum": ["N1"]})).0, 500);
    assert_eq!(ask("broken", json!({"tailnum": ["N1"]})).0, 503);
    assert_eq!(ask("inbound", json!({"tailnum": ["broken"]})).0, 503);
}

#[test]
fn integers_keep_all_their_digits() {
    let array: ArrayRef = Arc::new(Int64Array::from(vec![i64::MIN, 9_007_199_254_740_993]));
    let values = crate::json::values(&array).unwrap();
    assert_eq!(Value::Array(values.clone()).to_string(), "[-9223372036854775808,9007199254740993]");
    let back = crate::json::column("x", &values, &DataType::Int64).unwrap();
    assert_eq!(&back, &array);
}

#[test]
fn a_long_history_pushed_in_any_order_answers_as_one_stored_at_once() {
    let hour = |hour: i64| {
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![START + hour * HOUR]));
        crate::json::instant(&times, 0).unwrap()
    };
    // 3,000 flights of N1, every 7 hours; each lands 5 hours later, some never.
    let flights: Vec<i64> = (0..3_000).map(|i| i * 1_103 % 3_000).collect();
    let store = store();
    for part in flights.chunks(700) {
        let df = json!({
            "tail": vec!["N3"; part.len()],
            "departed": part.iter().map(|i| hour(i * 7)).collect::<Vec<_>>(),
            "landed": part.iter().map(|i| (i % 11 > 0).then(|| hour(i * 7 + 5))).collect::<Vec<_>>(),
            "arr_delay": part.iter().map(|i| i % 97).collect::<Vec<_>>(),
        });
        let (status, answer) = post(&store, "/push", &json!({"push_source_name": "inbound", "df": df}));
        assert_eq!((status, &answer["recorded"]), (200, &json!(part.len())), "{answer}");
    }
    let chunks = store.0.borrow().keys().filter(|key| key.contains("[\"N3\"]#")).count();
    assert!((2..6).contains(&chunks), "{chunks}");

    let mut sorted = flights.clone();
    sorted.sort_unstable();
    let times = |hours: Vec<Option<i64>>| -> ArrayRef {
        let times = hours.into_iter().map(|hour| hour.map(|hour| START + hour * HOUR));
        Arc::new(times.collect::<TimestampMicrosecondArray>())
    };
    let rows = RecordBatch::try_new(
        inbound().rows_schema(),
        vec![
            Arc::new(StringArray::from(vec!["N3"; sorted.len()])),
            times(sorted.iter().map(|i| Some(i * 7)).collect()),
            times(sorted.iter().map(|i| (i % 11 > 0).then_some(i * 7 + 5)).collect()),
            Arc::new(sorted.iter().map(|i| Some((i % 97) as f64 / 60.0)).collect::<Float64Array>()),
        ],
    );
    let whole = FeatureTable::new(Arc::new(inbound()), vec![rows.unwrap()]).unwrap();
    let asked: Vec<i64> = (-3..21_100).step_by(5).collect();
    let keys: ArrayRef = Arc::new(StringArray::from(vec!["N3"; asked.len()]));
    let expected = whole.lookup(&[keys], &times(asked.iter().map(|hour| Some(*hour)).collect())).unwrap();
    let body = json!({
        "features": ["inbound"],
        "entities": {"tailnum": vec!["N3"; asked.len()]},
        "as_of": asked.iter().map(|at| hour(*at)).collect::<Vec<_>>(),
    });
    let (_, answer) = post(&store, "/get-online-features", &body);
    for (feature, column) in expected.values.iter().enumerate() {
        assert_eq!(answer["results"][feature + 1]["values"], Value::Array(crate::json::values(column).unwrap()));
    }
    let status: Vec<&str> = expected.status.iter().map(|status| status.as_str()).collect();
    assert_eq!(answer["skewless"]["views"]["inbound"]["status"], json!(status));
    // The same instants one by one: each request reads few chunks and sees the same.
    for row in (0..asked.len()).step_by(97) {
        let body = json!({"features": ["inbound"], "entities": {"tailnum": ["N3"]}, "as_of": hour(asked[row])});
        let (_, one) = post(&store, "/get-online-features", &body);
        for feature in 1..=expected.values.len() {
            assert_eq!(one["results"][feature]["values"][0], answer["results"][feature]["values"][row]);
        }
    }
}

/// A store whose views have a contract: of the source's rows, and of the inputs.
fn store_with_contracts(is_enforced: bool) -> Map {
    let rule = |name: &str, text: &str, columns: &[&str], condition: &str| RowRule {
        name: name.to_owned(),
        text: text.to_owned(),
        columns: columns.iter().map(|&column| column.to_owned()).collect(),
        condition: condition.to_owned(),
    };
    let contract = |name: &str, rules| vec![RowContract { name: name.to_owned(), is_enforced, rules }];
    let rows = contract(
        "rows_ok",
        vec![
            rule("tail_not_null", "NOT NULL", &["tail"], "(tail IS NOT NULL)"),
            rule("landed_later", "CHECK (landed > departed)", &["departed", "landed"], "(landed > departed)"),
        ],
    );
    let inputs = contract(
        "inputs_ok",
        vec![rule(
            "distance_check",
            "CHECK (distance BETWEEN 1 AND 3000)",
            &["distance"],
            "(distance BETWEEN 1.0 AND 3000.0)",
        )],
    );
    let store = store();
    for view in [inbound().with_contracts(rows), clock().with_contracts(inputs)] {
        store.0.borrow_mut().insert(format!("skewless/view/{}", view.name), view.to_json().unwrap().into_bytes());
    }
    store
}

fn pushed() -> Value {
    json!({"push_source_name": "inbound", "df": {
        "tail": ["N1", null, "N3"],
        "departed": ["2023-01-01T10:00:00Z", "2023-01-01T10:00:00Z", "2023-01-01T12:00:00Z"],
        "landed": ["2023-01-01T11:00:00Z", null, "2023-01-01T11:00:00Z"],
        "arr_delay": [90, 1, 2],
    }})
}

#[test]
fn rows_that_break_an_enforced_contract_are_refused_with_the_rule_the_row_and_its_values() {
    let store = store_with_contracts(true);
    let before = store.0.borrow().clone();
    let (status, problem) = post(&store, "/push", &pushed());
    assert_eq!((status, &problem["title"]), (422, &json!("Unprocessable Content")), "{problem}");
    assert_eq!(
        problem["detail"],
        "row 1 breaks the rule `tail_not_null` of the contract `rows_ok`, NOT NULL: tail is null; 2 violations in all, see \
         `violations`"
    );
    assert_eq!(
        problem["violations"],
        json!([
            {"contract": "rows_ok", "rule": "tail_not_null", "promise": "NOT NULL", "columns": ["tail"], "enforced": true,
             "violations": 1, "examples": [{"row": 1, "values": {"tail": null}}]},
            {"contract": "rows_ok", "rule": "landed_later", "promise": "CHECK (landed > departed)",
             "columns": ["departed", "landed"], "enforced": true, "violations": 1,
             "examples": [{"row": 2, "values": {"departed": "2023-01-01T12:00:00Z", "landed": "2023-01-01T11:00:00Z"}}]},
        ])
    );
    assert_eq!(*store.0.borrow(), before, "nothing was recorded");
}

#[test]
fn rows_that_break_a_contract_that_is_not_enforced_are_recorded_and_counted() {
    let (status, answer) = post(&store_with_contracts(false), "/push", &pushed());
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["recorded"], &answer["violations"][1]["violations"]), (&json!(2), &json!(1)), "{answer}");
    assert_eq!(answer["violations"][0]["enforced"], false);
}

#[test]
fn inputs_are_checked_before_they_are_used() {
    let ask = |enforced: bool, distances: Value| {
        let body = json!({"features": ["clock:half"], "entities": {"tailnum": vec!["N1"; 12], "distance": distances}});
        post(&store_with_contracts(enforced), "/get-online-features", &body)
    };
    let mut distances = vec![json!(0.5); 12];
    distances[3] = json!(100);
    distances[4] = Value::Null;
    distances[5] = json!("NaN");
    let (status, problem) = ask(true, json!(distances));
    assert_eq!(status, 422, "{problem}");
    let found = &problem["violations"][0];
    // NULL passes a CHECK, and NaN is above every number.
    assert_eq!((&found["violations"], found["examples"].as_array().unwrap().len()), (&json!(10), 10), "{problem}");
    assert_eq!(found["examples"][3], json!({"row": 5, "values": {"distance": "NaN"}}));
    let (status, answer) = ask(false, json!(distances));
    assert_eq!((status, &answer["skewless"]["violations"][0]["violations"]), (200, &json!(10)), "{answer}");
    let (status, answer) = ask(true, json!(vec![json!(1); 12]));
    assert_eq!((status, &answer["skewless"]["violations"]), (200, &json!([])), "{answer}");
}
