//! The protocol over the golden models: ONNX Runtime's numbers, the session's own bits, and what is refused.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use skewless_model::{Tensor, Width};
use skewless_predict::{MAX_BODY, MAX_ROWS, Repository, Request, Response, handle};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/model")
}

static MODELS: LazyLock<Repository> = LazyLock::new(|| Repository::new(golden()));

/// One classifier over scalars with missing values, one over a vector.
const SCALARS: &str = "ordinal_forest";
const VECTOR: &str = "matrix_gradient_boosting";

fn get(path: &str) -> (u16, Value) {
    send("GET", path, None, b"")
}

fn infer(model: &str, body: &Value) -> (u16, Value) {
    send("POST", &format!("/v2/models/{model}/infer"), Some("application/json"), body.to_string().as_bytes())
}

fn send(method: &str, path: &str, content_type: Option<&str>, body: &[u8]) -> (u16, Value) {
    let Response { status, content_type, body, .. } = handle(Request { method, path, content_type, body }, &MODELS);
    let value: Value = serde_json::from_slice(&body).unwrap();
    if status == 200 {
        assert_eq!(content_type, "application/json");
    } else {
        assert_eq!(content_type, "application/problem+json");
        assert_eq!(value["status"], status);
        assert!(value["title"].is_string() && value["detail"].is_string());
    }
    (status, value)
}

fn refusal(model: &str, body: &Value) -> String {
    let (status, problem) = infer(model, body);
    assert_eq!(status, 400, "{problem}");
    problem["detail"].as_str().unwrap().to_owned()
}

/// The protocol's tensor for the values of one input in a golden file.
fn tensor(name: &str, values: &Value) -> Value {
    let rows = values.as_array().unwrap();
    let first = rows.iter().find(|value| !value.is_null()).unwrap_or(&Value::Null);
    let (shape, datatype) = match first {
        Value::Array(row) => (json!([rows.len(), row.len()]), "FP64"),
        Value::String(_) => (json!([rows.len()]), "BYTES"),
        Value::Bool(_) => (json!([rows.len()]), "BOOL"),
        Value::Number(_) if rows.iter().all(|value| value.is_i64() || value.is_null()) => {
            (json!([rows.len(), 1]), "INT64")
        }
        _ => (json!([rows.len()]), "FP64"),
    };
    json!({ "name": name, "shape": shape, "datatype": datatype, "data": values })
}

fn golden_request(model: &str) -> (Value, Value) {
    let text = std::fs::read_to_string(golden().join(model).with_extension("json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let inputs: Vec<_> =
        golden["inputs"].as_object().unwrap().iter().map(|(name, values)| tensor(name, values)).collect();
    (json!({ "id": model, "inputs": inputs }), golden["outputs"].clone())
}

fn flat(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values.iter().flat_map(flat).collect(),
        other => vec![other.clone()],
    }
}

fn close(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => (left - right).abs() <= 1e-5 * right.abs().max(1.0),
        _ if right.is_null() => left == "NaN",
        _ => left == right,
    }
}

#[test]
fn golden_models_answer_as_onnx_runtime_does() {
    let names = MODELS.names();
    assert!(names.len() > 10, "{names:?}");
    for model in names {
        let (request, expected) = golden_request(&model);
        let (status, answer) = infer(&model, &request);
        assert_eq!((status, &answer["id"]), (200, &json!(model)), "{answer}");
        for output in answer["outputs"].as_array().unwrap() {
            let name = output["name"].as_str().unwrap();
            // Where scikit-learn and ONNX Runtime disagree, the golden file leaves the output out.
            let Some(wanted) = expected.get(name) else { continue };
            let (given, wanted) = (flat(&output["data"]), flat(wanted));
            assert_eq!(given.len(), wanted.len(), "{model} {name}");
            for (row, (given, wanted)) in given.iter().zip(&wanted).enumerate() {
                assert!(close(given, wanted), "{model} {name} value {row}: {given}, not {wanted}");
            }
        }
    }
}

#[test]
fn outputs_are_the_sessions_own_bits() {
    for name in [SCALARS, VECTOR] {
        let (request, _) = golden_request(name);
        let (_, answer) = infer(name, &request);
        let model = MODELS.model(name).unwrap();
        let text = std::fs::read_to_string(golden().join(name).with_extension("json")).unwrap();
        let golden: Value = serde_json::from_str(&text).unwrap();
        let signature = model.bundle.signature();
        let float = |value: &Value| value.as_f64();
        let columns: Vec<_> = signature
            .columns()
            .iter()
            .map(|column| {
                let input = &signature.inputs[column.input];
                let values = golden["inputs"][&input.name].as_array().unwrap().clone();
                let values: Vec<Value> = match input.width {
                    Width::Scalar => values,
                    Width::Vector(_) => values.iter().map(|row| row[column.place].clone()).collect(),
                };
                if values.iter().any(Value::is_string) {
                    let text = values.iter().map(|value| value.as_str().map(str::to_owned));
                    skewless_model::InputColumn::String(text.collect())
                } else {
                    skewless_model::InputColumn::Float64(values.iter().map(float).collect())
                }
            })
            .collect();
        let named: Vec<_> = signature.columns().iter().map(|column| column.name).zip(columns).collect();
        let outputs = model.session.run(&signature.bind(&named).unwrap()).unwrap();
        for (tensor, answer) in outputs.iter().zip(answer["outputs"].as_array().unwrap()) {
            assert_eq!(answer["shape"], json!(tensor.shape()));
            let parsed = answer["data"].as_array().unwrap();
            match tensor {
                Tensor::Float32(array) => {
                    for (value, parsed) in array.data().iter().zip(parsed) {
                        assert_eq!(parsed.as_f64().unwrap().to_bits(), f64::from(*value).to_bits());
                    }
                }
                other => assert_eq!(
                    json!(other.to_f64().unwrap().iter().map(|v| *v as i64).collect::<Vec<_>>()),
                    answer["data"]
                ),
            }
        }
    }
}

#[test]
fn tells_about_itself_and_its_models() {
    assert_eq!(get("/v2").1["name"], "skewless");
    assert_eq!(get("/v2/").0, 200);
    assert_eq!(get("/v2/health/live"), (200, json!({ "live": true })));
    assert_eq!(get("/v2/health/ready"), (200, json!({ "ready": true })));
    let (_, model) = get(&format!("/v2/models/{SCALARS}"));
    assert_eq!(model["name"], SCALARS);
    assert_eq!(model["versions"], json!(["1"]));
    assert_eq!(model["inputs"][0], json!({ "name": "distance", "datatype": "FP32", "shape": [-1] }));
    assert_eq!(model["parameters"]["digest"].as_str().unwrap().len(), 64);
    let (_, model) = get(&format!("/v2/models/{VECTOR}/versions/1"));
    assert_eq!(model["inputs"][0]["shape"], json!([-1, 4]));
    assert_eq!(model["inputs"][0]["parameters"]["columns"].as_array().unwrap().len(), 4);
    assert_eq!(get(&format!("/v2/models/{VECTOR}/ready")).1["ready"], true);
    assert_eq!(send("HEAD", "/v2/health/live", None, b"").0, 200);
}

#[test]
fn selects_outputs_and_takes_a_vector_by_its_columns() {
    let (mut request, _) = golden_request(VECTOR);
    request["outputs"] = json!([{ "name": "output_probability", "parameters": { "binary_data": false } }]);
    let (_, whole) = infer(VECTOR, &request);
    assert_eq!(whole["outputs"].as_array().unwrap().len(), 1);

    let (_, model) = get(&format!("/v2/models/{VECTOR}"));
    let names = model["inputs"][0]["parameters"]["columns"].as_array().unwrap().clone();
    let rows = request["inputs"][0]["data"].as_array().unwrap().clone();
    let by_columns: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(place, name)| {
            let values: Vec<_> = rows.iter().map(|row| row[place].clone()).collect();
            json!({ "name": name, "shape": [rows.len()], "datatype": "FP64", "data": values })
        })
        .collect();
    request["inputs"] = json!(by_columns);
    let (status, by_columns) = infer(VECTOR, &request);
    assert_eq!((status, &by_columns["outputs"]), (200, &whole["outputs"]), "{by_columns}");
}

#[test]
fn missing_values_and_infinities_are_scored_and_no_rows_give_no_rows() {
    let mut request = golden_request(SCALARS).0;
    let inputs = request["inputs"].as_array_mut().unwrap();
    for input in inputs.iter_mut() {
        let value = match input["datatype"].as_str().unwrap() {
            "FP64" => json!(["NaN"]),
            "BYTES" => json!(["never seen"]),
            _ => json!([3]),
        };
        input["data"] = value;
        input["shape"] = json!([1]);
    }
    assert_eq!(infer(SCALARS, &request).0, 200);
    for input in request["inputs"].as_array_mut().unwrap() {
        input["data"] = json!([]);
        input["shape"] = json!([0]);
    }
    let (status, answer) = infer(SCALARS, &request);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["outputs"][0]["data"], json!([]));
}

#[test]
fn unknown_names_are_refused_with_the_nearest() {
    let (status, problem) = get("/v2/models/ordinal_forrest");
    assert!(
        status == 404 && problem["detail"].as_str().unwrap().contains("did you mean `ordinal_forest`"),
        "{problem}"
    );
    assert_eq!(get(&format!("/v2/models/{SCALARS}/versions/2")).0, 404);
    for path in ["/", "/v2/x", "/v2/models", "/v2/models/..%2f..%2fetc", "/v2/models/%2e%2e", "/v2/models//ready"] {
        assert_eq!(get(path).0, 404, "{path}");
    }
    let (mut request, _) = golden_request(SCALARS);
    request["inputs"][0]["name"] = json!("distanse");
    let error = refusal(SCALARS, &request);
    assert!(error.contains("`distanse`") && error.contains("did you mean `distance`"), "{error}");
    let (mut request, _) = golden_request(SCALARS);
    request["outputs"] = json!([{ "name": "output_labl" }]);
    assert!(refusal(SCALARS, &request).contains("did you mean `output_label`"));
}

#[test]
fn wrong_tensors_are_refused_by_name_reason_and_remedy() {
    let edit = |change: &dyn Fn(&mut Value)| {
        let (mut request, _) = golden_request(SCALARS);
        change(&mut request);
        refusal(SCALARS, &request)
    };
    let missing = edit(&|request| drop(request["inputs"].as_array_mut().unwrap().remove(0)));
    assert!(missing.contains("`distance` is missing"), "{missing}");
    let twice = edit(&|request| {
        let again = request["inputs"][0].clone();
        request["inputs"].as_array_mut().unwrap().push(again);
    });
    assert!(twice.contains("twice"), "{twice}");
    let text = edit(&|request| {
        request["inputs"][0] = json!({ "name": "distance", "shape": [1], "datatype": "BYTES", "data": ["x"] });
    });
    assert!(text.contains("`distance`"), "{text}");
    let rows = edit(&|request| {
        request["inputs"][0] = json!({ "name": "distance", "shape": [1], "datatype": "FP64", "data": [1] });
    });
    assert!(rows.contains("rows"), "{rows}");
    let shape = edit(&|request| request["inputs"][0]["shape"] = json!([1]));
    assert!(shape.contains("`distance`") && shape.contains("does not hold"), "{shape}");
    let binary = edit(&|request| request["inputs"][0]["parameters"] = json!({ "binary_data_size": 8 }));
    assert!(binary.contains("JSON"), "{binary}");
    let none = edit(&|request| drop(request["inputs"][0].as_object_mut().unwrap().remove("data")));
    assert!(none.contains("has no `data`"), "{none}");
}

#[test]
fn bodies_methods_and_sizes_are_checked() {
    let path = format!("/v2/models/{SCALARS}/infer");
    let json = Some("application/json; charset=utf-8");
    for body in ["", "{", "[]", "null", "{}", r#"{"inputs":3}"#, r#"{"inputs":[{"name":3}]}"#, r#"{"inputs":[1e999]}"#]
    {
        assert_eq!(send("POST", &path, json, body.as_bytes()).0, 400, "{body}");
    }
    assert_eq!(send("POST", &path, json, b"\xff\xfe").0, 400);
    assert_eq!(send("POST", &path, None, b"{").0, 400);
    assert_eq!(send("POST", &path, Some("application/octet-stream"), b"{}").0, 415);
    assert_eq!(send("POST", &path, json, &vec![b' '; MAX_BODY + 1]).0, 413);
    let deep = format!(
        "{{\"inputs\":[{{\"name\":\"distance\",\"shape\":[1],\"datatype\":\"FP64\",\"data\":{}",
        "[".repeat(100_000)
    );
    assert_eq!(send("POST", &path, json, deep.as_bytes()).0, 400);
    let refused = handle(Request { method: "GET", path: &path, content_type: None, body: b"" }, &MODELS);
    assert_eq!((refused.status, refused.allow), (405, Some("POST")));
    let refused = handle(Request { method: "DELETE", path: "/v2", content_type: None, body: b"" }, &MODELS);
    assert_eq!((refused.status, refused.allow), (405, Some("GET, HEAD")));
    let rows = MAX_ROWS + 1;
    let many =
        json!({ "inputs": [{ "name": "distance", "shape": [rows], "datatype": "FP64", "data": vec![1; rows] }] });
    assert!(refusal(SCALARS, &many).contains("over the limit of 100000"));
}

#[test]
fn a_damaged_model_is_named_and_makes_the_server_unready_but_not_dead() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(golden().join("mlp_value.onnx"), folder.path().join("good.onnx")).unwrap();
    std::fs::write(folder.path().join("bad.onnx"), b"no model").unwrap();
    std::fs::write(folder.path().join("worse.skew"), b"PK\x03\x04 no archive").unwrap();
    let models = Repository::new(folder.path());
    let get = |path: &str| {
        let answer = handle(Request { method: "GET", path, content_type: None, body: b"" }, &models);
        (answer.status, String::from_utf8(answer.body).unwrap())
    };
    assert_eq!(models.names(), ["bad", "good", "worse"]);
    assert_eq!(get("/v2/models/good/ready").0, 200);
    for name in ["bad", "worse"] {
        let (status, body) = get(&format!("/v2/models/{name}/ready"));
        assert!(status == 500 && body.contains(&format!("`{name}`")), "{body}");
    }
    assert_eq!(get("/v2/health/ready").0, 503);
    assert_eq!(get("/v2/health/live").0, 200);
    assert!(Repository::new(folder.path().join("none")).names().is_empty());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof!["[a-z]{0,4}", Just("NaN".to_owned()), Just("FP32".to_owned()), Just("BYTES".to_owned())]
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let key =
            prop_oneof!["[a-z]{0,3}", Just("data".to_owned()), Just("shape".to_owned()), Just("inputs".to_owned())];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6).prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// A request that is right but for one place.
fn one_place_wrong() -> impl Strategy<Value = Value> {
    let place = prop_oneof![Just("name"), Just("shape"), Just("datatype"), Just("data"), Just("parameters")];
    (0usize..5, place, any_json()).prop_map(|(input, place, value)| {
        let (mut request, _) = golden_request(SCALARS);
        request["inputs"][input][place] = value;
        request
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_body_makes_it_panic(body in prop_oneof![any_json(), one_place_wrong()]) {
        let (status, _) = infer(SCALARS, &body);
        prop_assert!(status == 200 || status == 400, "{status}");
    }

    #[test]
    fn no_bytes_and_no_path_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200), path in "(/|v2|models|%|[0-9a-f]|infer|é){0,9}") {
        let path = path.as_str();
        handle(Request { method: "POST", path, content_type: None, body: &body }, &MODELS);
        let path = &format!("/v2/models/{SCALARS}/infer");
        let answer = handle(Request { method: "POST", path, content_type: None, body: &body }, &MODELS);
        prop_assert_eq!(answer.status, 400);
    }
}
