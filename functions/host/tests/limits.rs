//! What the host does with components that misbehave, and with requests that are too much: hand-written components of
//! `wasi:http/incoming-handler@0.2`, in their text form.

use std::path::Path;
use std::time::{Duration, Instant};

use skewless_host::{Options, Running, up};

/// A component whose handler has the given body; more imports and memories can be added.
fn component(body: &str) -> String {
    format!(
        r#"(component
            (import "wasi:http/types@0.2.0" (instance $types
                (export "incoming-request" (type (sub resource)))
                (export "response-outparam" (type (sub resource)))))
            (alias export $types "incoming-request" (type $request))
            (alias export $types "response-outparam" (type $out))
            (core module $module
                (memory 1)
                (func (export "handle") (param i32 i32) {body}))
            (core instance $instance (instantiate $module))
            (func $handle (param "request" (own $request)) (param "response-out" (own $out))
                (canon lift (core func $instance "handle")))
            (instance $handler (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    )
}

const TRAP: &str = "unreachable";
const SPIN: &str = "(loop $forever (br $forever))";
/// Asks for 64 MiB; traps if it does not get them, is busy for ever otherwise.
const GROW: &str =
    "(if (i32.eq (memory.grow (i32.const 1024)) (i32.const -1)) (then unreachable)) (loop $forever (br $forever))";

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), wat::parse_str(text).unwrap()).unwrap();
}

/// An app with one component per name, routed at `/<name>/...`.
fn app(components: &[(&str, &str)]) -> (tempfile::TempDir, Options) {
    let folder = tempfile::tempdir().unwrap();
    let mut manifest = vec!["spin_manifest_version = 2\napplication.name = \"test\"".to_owned()];
    for (name, text) in components {
        write(folder.path(), &format!("{name}.wasm"), text);
        manifest.push(format!(
            "[[trigger.http]]\nroute = \"/{name}/...\"\ncomponent = \"{name}\"\n\
             [component.{name}]\nsource = \"{name}.wasm\""
        ));
    }
    std::fs::write(folder.path().join("spin.toml"), manifest.join("\n")).unwrap();
    let mut options = Options::new(folder.path().join("spin.toml"));
    options.listen = ([127, 0, 0, 1], 0).into();
    options.cache_dir = Some(folder.path().join("cache"));
    (folder, options)
}

async fn get(running: &Running, path: &str) -> (u16, serde_json::Value) {
    checked(reqwest::get(format!("http://{}{path}", running.addr())).await.unwrap()).await
}

/// Every refusal of the host is a problem of the right type that repeats its status.
async fn checked(response: reqwest::Response) -> (u16, serde_json::Value) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: serde_json::Value = response.json().await.unwrap();
    assert_eq!(problem["status"], status);
    (status, problem)
}

async fn refusal(options: Options) -> String {
    up(options).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_trap_is_a_500_that_tells_nothing_of_the_inside_and_the_next_request_is_served() {
    let (_folder, options) = app(&[("trap", &component(TRAP))]);
    let running = up(options).await.unwrap();
    for _ in 0..3 {
        let (status, problem) = get(&running, "/trap/x").await;
        assert_eq!(status, 500);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("`trap`") && !detail.contains("unreachable"), "{detail}");
    }
    running.shutdown().await;
}

#[tokio::test]
async fn a_busy_loop_is_ended_at_the_deadline_while_others_are_served() {
    let (_folder, mut options) = app(&[("spin", &component(SPIN)), ("trap", &component(TRAP))]);
    let deadline = Duration::from_millis(1500);
    options.limits.deadline = deadline;
    let running = up(options).await.unwrap();
    let start = Instant::now();
    let (spin, trap) = tokio::join!(get(&running, "/spin"), async {
        let answer = get(&running, "/trap").await;
        (answer, start.elapsed())
    });
    assert_eq!(spin.0, 504, "{}", spin.1);
    assert!((deadline..deadline * 4).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(trap.0.0, 500);
    assert!(trap.1 < deadline, "{:?}", trap.1);
    running.shutdown().await;
}

#[tokio::test]
async fn memory_is_bounded_per_instance() {
    let (_folder, mut options) = app(&[("grow", &component(GROW))]);
    options.limits.deadline = Duration::from_millis(300);
    for (memory, status) in [(32 << 20, 500), (128 << 20, 504)] {
        options.limits.memory = memory;
        let running = up(options.clone()).await.unwrap();
        assert_eq!(get(&running, "/grow").await.0, status);
        running.shutdown().await;
    }
}

#[tokio::test]
async fn a_handler_that_returns_no_response_is_a_500() {
    let (_folder, options) = app(&[("silent", &component("nop"))]);
    let running = up(options).await.unwrap();
    assert_eq!(get(&running, "/silent").await.0, 500);
    running.shutdown().await;
}

#[tokio::test]
async fn requests_over_a_limit_are_refused_before_the_component_sees_them() {
    let (_folder, mut options) = app(&[("trap", &component(TRAP))]);
    options.limits.body = 1000;
    options.limits.header_bytes = 16 << 10;
    let running = up(options).await.unwrap();
    let client = reqwest::Client::new();
    let url = format!("http://{}/trap", running.addr());
    let (status, problem) = checked(client.post(&url).body(vec![b' '; 1001]).send().await.unwrap()).await;
    assert_eq!(status, 413);
    assert!(problem["detail"].as_str().unwrap().contains("1000 bytes"), "{problem}");
    assert_eq!(checked(client.post(&url).body(vec![b' '; 8 << 20]).send().await.unwrap()).await.0, 413);
    assert_eq!(checked(client.post(&url).body(vec![b' '; 1000]).send().await.unwrap()).await.0, 500);
    let many = client.get(&url).header("x-a", "a".repeat(9000)).header("x-b", "b".repeat(9000));
    assert_eq!(many.send().await.unwrap().status(), 431);
    running.shutdown().await;
}

#[tokio::test]
async fn requests_beyond_the_concurrency_wait_and_are_then_refused() {
    let (_folder, mut options) = app(&[("spin", &component(SPIN))]);
    options.limits.concurrency = 1;
    options.limits.deadline = Duration::from_millis(400);
    let running = up(options).await.unwrap();
    let (first, second) = tokio::join!(get(&running, "/spin"), get(&running, "/spin"));
    let mut statuses = [first.0, second.0];
    statuses.sort_unstable();
    // The second either got the permit just before its own deadline or did not.
    assert!(statuses == [503, 504] || statuses == [504, 504], "{statuses:?}");
    running.shutdown().await;
}

#[tokio::test]
async fn an_unknown_route_is_a_404_that_lists_the_routes_and_health_is_the_hosts_own() {
    let (_folder, options) = app(&[("trap", &component(TRAP))]);
    let running = up(options).await.unwrap();
    let (status, problem) = get(&running, "/other").await;
    assert_eq!(status, 404);
    assert!(problem["detail"].as_str().unwrap().contains("/trap/..."), "{problem}");
    let health = reqwest::get(format!("http://{}/.well-known/spin/health", running.addr())).await.unwrap();
    assert_eq!(health.text().await.unwrap(), "OK");
    running.shutdown().await;
}

#[tokio::test]
async fn shutting_down_lets_a_request_in_progress_end_and_takes_no_more() {
    let (_folder, mut options) = app(&[("spin", &component(SPIN))]);
    options.limits.deadline = Duration::from_millis(500);
    let running = up(options).await.unwrap();
    let url = format!("http://{}/spin", running.addr());
    let request = tokio::spawn(reqwest::get(url.clone()));
    tokio::time::sleep(Duration::from_millis(150)).await;
    running.shutdown().await;
    assert_eq!(request.await.unwrap().unwrap().status(), 504);
    assert!(reqwest::get(url).await.is_err());
}

#[tokio::test]
async fn what_a_component_lacks_or_needs_is_said_at_the_start() {
    let (folder, options) = app(&[("c", &component(TRAP))]);
    let replace = |text: &str| write(folder.path(), "c.wasm", text);

    replace("(module)");
    assert!(refusal(options.clone()).await.contains("wasm32-wasip2"));
    replace("(component)");
    assert!(refusal(options.clone()).await.contains("exports no HTTP handler"));
    replace(r#"(component (import "spin:sqlite/sqlite@3.1.0" (instance (export "open" (func)))))"#);
    let error = refusal(options.clone()).await;
    assert!(error.contains("component `c`") && error.contains("spin:sqlite/sqlite@3.1.0"), "{error}");
    std::fs::write(folder.path().join("c.wasm"), b"\0asm truncated").unwrap();
    assert!(refusal(options.clone()).await.contains("component `c`"));

    std::fs::remove_file(folder.path().join("c.wasm")).unwrap();
    let error = refusal(options.clone()).await;
    assert!(error.contains("c.wasm") && error.contains("cargo xtask component c"), "{error}");
    std::fs::remove_file(folder.path().join("spin.toml")).unwrap();
    assert!(refusal(options).await.contains("-f path/to/spin.toml"));
}

#[tokio::test]
async fn a_port_in_use_is_refused() {
    let (_folder, mut options) = app(&[("c", &component(TRAP))]);
    let running = up(options.clone()).await.unwrap();
    options.listen = running.addr();
    assert!(refusal(options).await.contains("--listen"));
    running.shutdown().await;
}
