//! The app's own components on this host, end to end: the page from its files, and the models with the very numbers
//! that the same bundles give natively. `cargo xtask component page predict` builds what these tests need.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use skewless_host::{Options, Running, key_value, up};
use skewless_model::{Bundle, CpuEngine, Engine as _, InputColumn, Tensor, Width};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A built component; a test without it must not pass unseen.
fn built(component: &str) -> PathBuf {
    let folder = std::env::var_os("SKEWLESS_COMPONENTS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| workspace().join("target/components"));
    let path = folder.join(component).with_extension("wasm");
    assert!(path.is_file(), "{} is missing: run `cargo xtask component {component}`", path.display());
    path
}

struct App {
    folder: tempfile::TempDir,
    options: Options,
}

/// A copy of the components in a folder of its own, under the given rest of a manifest.
fn app(components: &[&str], manifest: &str) -> App {
    let folder = tempfile::tempdir().unwrap();
    for component in components {
        std::fs::copy(built(component), folder.path().join(component).with_extension("wasm")).unwrap();
    }
    let manifest = format!("spin_manifest_version = 2\napplication.name = \"test\"\n{manifest}");
    std::fs::write(folder.path().join("spin.toml"), manifest).unwrap();
    let mut options = Options::new(folder.path().join("spin.toml"));
    options.listen = ([127, 0, 0, 1], 0).into();
    App { folder, options }
}

fn url(running: &Running, path: &str) -> String {
    format!("http://{}{path}", running.addr())
}

const GOLDEN: [&str; 5] =
    ["ordinal_forest", "matrix_gradient_boosting", "hist_gradient_boosting_missing", "logistic_three", "mlp_three"];

const PREDICT: &str = r#"
    [[trigger.http]]
    route = "/v2/..."
    component = "predict"
    [component.predict]
    source = "predict.wasm"
    files = [{ source = "models", destination = "/models" }]
"#;

fn predict() -> App {
    let app = app(&["predict"], PREDICT);
    let models = app.folder.path().join("models");
    std::fs::create_dir(&models).unwrap();
    for name in GOLDEN {
        let bundle = Bundle::open(&workspace().join("tests/golden/model").join(format!("{name}.onnx"))).unwrap();
        // One of each form that a repository takes.
        let written = match name {
            "ordinal_forest" => std::fs::write(models.join("ordinal_forest.skew"), bundle.to_archive().unwrap()),
            "logistic_three" => bundle.write_dir(&models.join(name)).map_err(std::io::Error::other),
            _ => std::fs::write(models.join(format!("{name}.onnx")), bundle.onnx()),
        };
        written.unwrap();
    }
    app
}

/// The golden inputs of a model as a request, and the outputs of the native session for them.
fn case(name: &str) -> (Value, Vec<(String, Tensor)>) {
    let folder = workspace().join("tests/golden/model");
    let golden: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap()).unwrap();
    let bundle = Bundle::open(&folder.join(format!("{name}.onnx"))).unwrap();
    let signature = bundle.signature();
    let mut columns = Vec::new();
    let mut inputs = Vec::new();
    for column in signature.columns() {
        let input = &signature.inputs[column.input];
        let rows = golden["inputs"][&input.name].as_array().unwrap();
        let values: Vec<Value> = match input.width {
            Width::Scalar => rows.clone(),
            Width::Vector(_) => rows.iter().map(|row| row[column.place].clone()).collect(),
        };
        let text = values.iter().any(Value::is_string);
        inputs.push(json!({
            "name": column.name, "shape": [values.len()], "datatype": if text { "BYTES" } else { "FP64" }, "data": values,
        }));
        let column_values = if text {
            InputColumn::String(values.iter().map(|value| value.as_str().map(str::to_owned)).collect())
        } else {
            InputColumn::Float64(values.iter().map(Value::as_f64).collect())
        };
        columns.push((column.name, column_values));
    }
    let outputs = CpuEngine.load(&bundle).unwrap().run(&signature.bind(&columns).unwrap()).unwrap();
    let names = signature.outputs.iter().map(|output| output.name.clone());
    (json!({ "inputs": inputs }), names.zip(outputs).collect())
}

/// The largest difference between an answer and the native session; trees and what follows them must have none.
fn difference(answer: &Value, native: &[(String, Tensor)]) -> f64 {
    let mut largest = 0.0f64;
    for (output, (name, tensor)) in answer["outputs"].as_array().unwrap().iter().zip(native) {
        assert_eq!(output["name"], *name);
        assert_eq!(output["shape"], json!(tensor.shape()));
        let given = output["data"].as_array().unwrap();
        match tensor.to_f64() {
            Some(native) => {
                assert_eq!(given.len(), native.len());
                for (given, native) in given.iter().zip(native) {
                    let difference = (given.as_f64().unwrap() - native).abs();
                    largest = largest.max(difference);
                }
            }
            None => assert!(matches!(tensor, Tensor::String(array) if json!(array.data()) == output["data"])),
        }
    }
    largest
}

#[tokio::test]
async fn models_answer_over_http_with_the_numbers_of_the_native_session() {
    let mut app = predict();
    app.options.limits.deadline = Duration::from_mins(1);
    let running = up(app.options).await.unwrap();
    let client = reqwest::Client::new();
    assert!(client.get(url(&running, "/v2/health/ready")).send().await.unwrap().status().is_success());
    for name in GOLDEN {
        let (request, native) = case(name);
        let infer = client.post(url(&running, &format!("/v2/models/{name}/infer"))).json(&request);
        let response = infer.send().await.unwrap();
        assert_eq!(response.status(), 200, "{name}");
        let difference = difference(&response.json().await.unwrap(), &native);
        let allowed = if name.starts_with("mlp") { 1e-6 } else { 0.0 };
        assert!(difference <= allowed, "{name}: {difference}");
    }

    // All at once: instances take one request at a time, and there are as many as it needs.
    let infer = url(&running, "/v2/models/ordinal_forest/infer");
    let (request, native) = case("ordinal_forest");
    let many = (0..40).map(|_| {
        let request = client.post(&infer).json(&request);
        tokio::spawn(async move { request.send().await.unwrap().json::<Value>().await.unwrap() })
    });
    for answer in many.collect::<Vec<_>>() {
        assert_eq!(difference(&answer.await.unwrap(), &native).to_bits(), 0);
    }

    // The component's refusals reach the client as they are.
    let refused = client.post(&infer).header("content-type", "application/json").body("{").send().await.unwrap();
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    assert_eq!(client.get(&infer).send().await.unwrap().headers()["allow"], "POST");
    running.shutdown().await;
}

#[tokio::test]
async fn the_page_is_served_from_mounted_files_and_sees_nothing_else() {
    let manifest = r#"
        [[trigger.http]]
        route = "/..."
        component = "page"
        [component.page]
        source = "page.wasm"
        files = [{ source = "site", destination = "/page" }]
    "#;
    let app = app(&["page"], manifest);
    let site = app.folder.path().join("site");
    std::fs::create_dir(&site).unwrap();
    std::fs::write(site.join("index.html"), "<!doctype html>").unwrap();
    std::fs::write(app.folder.path().join("secret.txt"), "secret").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("../secret.txt", site.join("link.txt")).unwrap();
    let running = up(app.options).await.unwrap();
    let page = reqwest::get(url(&running, "/")).await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(page.text().await.unwrap(), "<!doctype html>");
    assert_eq!(reqwest::get(url(&running, "/missing.js")).await.unwrap().status(), 404);
    let link = reqwest::get(url(&running, "/link.txt")).await.unwrap();
    assert!(!link.status().is_success(), "a link out of the folder was followed");
    // Files are read when they are asked for, not copied at the start.
    std::fs::write(site.join("later.txt"), "later").unwrap();
    assert_eq!(reqwest::get(url(&running, "/later.txt")).await.unwrap().text().await.unwrap(), "later");
    running.shutdown().await;
}

#[tokio::test]
async fn compiled_components_are_kept_in_the_cache() {
    let mut app = app(
        &["page"],
        "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"page\"\n[component.page]\nsource = \"page.wasm\"\n",
    );
    let cache = app.folder.path().join("cache");
    app.options.cache_dir = Some(cache.clone());
    assert!(!cache.exists());
    up(app.options.clone()).await.unwrap().shutdown().await;
    let size = |folder: &Path| {
        let mut stack = vec![folder.to_path_buf()];
        let mut bytes = 0;
        while let Some(folder) = stack.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let data = entry.metadata().unwrap();
                if data.is_dir() { stack.push(entry.path()) } else { bytes += data.len() }
            }
        }
        bytes
    };
    assert!(size(&cache) > 10_000, "{} bytes", size(&cache));
    up(app.options).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn the_key_value_store_lies_where_spin_looks_for_it() {
    let app = app(
        &["page"],
        "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"page\"\n[component.page]\nsource = \"page.wasm\"\n",
    );
    up(app.options.clone()).await.unwrap().shutdown().await;
    let path = app.folder.path().join(".spin/sqlite_key_value.db");
    assert!(path.is_file());
    assert_eq!(key_value::default_path(&app.options.manifest), path);
}

const PROBE: &str = r#"
    [variables]
    region = { default = "eu" }
    [[trigger.http]]
    route = "/probe/:what/..."
    component = "probe"
    [component.probe]
    source = "probe.wasm"
    files = ["data/*.txt"]
    environment = { LEVEL = "debug" }
    variables = { url = "https://{{ region }}.example.com" }
    key_value_stores = ["default", "other"]
    allowed_outbound_hosts = ["http://127.0.0.1:*", "http://*.spin.internal"]
    [[trigger.http]]
    route = { private = true }
    component = "inner"
    [component.inner]
    source = "probe.wasm"
"#;

fn probe() -> App {
    let app = app(&["probe"], PROBE);
    std::fs::create_dir(app.folder.path().join("data")).unwrap();
    std::fs::write(app.folder.path().join("data/a.txt"), "a").unwrap();
    std::fs::write(app.folder.path().join("data/b.bin"), "b").unwrap();
    app
}

/// Puts a question to the probe.
async fn ask(running: &Running, question: Value) -> Value {
    let request = reqwest::Client::new().post(url(running, "/probe/now/a/b?q=1"));
    request.header("spin-path-match-forged", "x").json(&question).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn a_component_sees_its_route_environment_variables_and_files() {
    let mut app = probe();
    app.options.variables.insert("region".to_owned(), "us".to_owned());
    let running = up(app.options).await.unwrap();

    let headers = ask(&running, json!({ "do": "headers" })).await;
    for (name, value) in [
        ("spin-path-info", "/a/b"),
        ("spin-matched-route", "/probe/:what/..."),
        ("spin-component-route", "/probe/:what"),
        ("spin-path-match-what", "now"),
        ("spin-base-path", "/"),
    ] {
        assert_eq!(headers[name], value, "{name}: {headers}");
    }
    assert_eq!(headers["spin-full-url"], url(&running, "/probe/now/a/b?q=1"));
    assert!(headers["spin-client-addr"].as_str().unwrap().starts_with("127.0.0.1:"), "{headers}");
    assert_eq!(headers["spin-path-match-forged"], Value::Null);

    assert_eq!(ask(&running, json!({ "do": "environment" })).await, json!({ "LEVEL": "debug" }));
    assert_eq!(ask(&running, json!({ "do": "variable", "name": "url" })).await, "https://us.example.com");
    let unknown = ask(&running, json!({ "do": "variable", "name": "urll" })).await;
    assert!(unknown["error"].as_str().unwrap().contains("did you mean `url`"), "{unknown}");

    assert_eq!(ask(&running, json!({ "do": "read", "path": "/data/a.txt" })).await, "a");
    for (question, path) in [("read", "/data/b.bin"), ("read", "/etc/passwd"), ("write", "/data/a.txt")] {
        let refused = ask(&running, json!({ "do": question, "path": path })).await;
        assert!(refused["error"].is_string(), "{question} {path}: {refused}");
    }
    ask(&running, json!({ "do": "print", "line": "a line\u{1b}[2J" })).await;
    running.shutdown().await;
}

#[tokio::test]
async fn an_instance_is_used_again_until_it_fails() {
    let running = up(probe().options).await.unwrap();
    for seen in 1..=3 {
        assert_eq!(ask(&running, json!({ "do": "seen" })).await, seen);
    }
    let failed = ask(&running, json!({ "do": "panic" })).await;
    assert_eq!(failed["status"], 500, "{failed}");
    assert_eq!(ask(&running, json!({ "do": "seen" })).await, 1);
    running.shutdown().await;
}

#[tokio::test]
async fn key_value_stores_are_shared_with_the_host_and_only_those_granted_open() {
    let app = probe();
    let store = key_value::Store::open(key_value::default_path(&app.options.manifest)).unwrap();
    store.set("deleted", b"x").unwrap();
    let running = up(app.options).await.unwrap();
    let key_value =
        |label: &str, value: Value| json!({ "do": "key-value", "label": label, "key": "k", "value": value });
    let answer = ask(&running, key_value("default", json!("1"))).await;
    assert_eq!(answer, json!({ "value": "1", "exists": true, "keys": ["deleted", "k"] }));
    assert_eq!(ask(&running, key_value("default", Value::Null)).await["keys"], json!(["k"]));
    assert_eq!(ask(&running, key_value("other", Value::Null)).await["exists"], false);
    assert!(ask(&running, key_value("third", Value::Null)).await["error"].is_string());
    assert_eq!(store.get("k").unwrap().as_deref(), Some(&b"1"[..]));
    store.set("k", b"2").unwrap();
    assert_eq!(ask(&running, key_value("default", Value::Null)).await["value"], "2");
    running.shutdown().await;
}

#[tokio::test]
async fn outgoing_requests_reach_allowed_hosts_and_other_components_only() {
    let mut app = probe();
    // A component that waits for another needs no second permit.
    app.options.limits.concurrency = 1;
    let running = up(app.options).await.unwrap();
    let health = url(&running, "/.well-known/spin/health");
    let answer = ask(&running, json!({ "do": "get", "url": health })).await;
    assert_eq!(answer, json!({ "status": 200, "body": "OK" }));
    let refused = ask(&running, json!({ "do": "get", "url": "http://192.0.2.1/" })).await;
    assert!(refused["error"].is_string(), "{refused}");

    let chain = |component: &str, question: Value| json!({ "do": "ask", "url": format!("http://{component}.spin.internal/x/y"), "question": question });
    let headers = ask(&running, chain("inner", json!({ "do": "headers" }))).await;
    assert_eq!(headers["spin-path-info"], "/x/y", "{headers}");
    assert_eq!(ask(&running, chain("inner", json!({ "do": "environment" }))).await, json!({}));
    // The inner component is granted nothing.
    let through = chain("inner", json!({ "do": "get", "url": health }));
    assert!(ask(&running, through).await["error"].is_string());
    assert_eq!(ask(&running, chain("nobody", json!({}))).await["status"], 500);
    let endless = (0..20).fold(json!({ "do": "seen" }), |question, _| chain("probe", question));
    assert_eq!(ask(&running, endless).await["status"], 500);
    assert_eq!(reqwest::get(url(&running, "/inner")).await.unwrap().status(), 404);
    running.shutdown().await;
}
