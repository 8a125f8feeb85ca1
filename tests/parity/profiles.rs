//! A profile has the same bytes wherever it is made and in whatever order it is merged: in Rust, in SQL, by the component
//! over HTTP, and by the page's WebAssembly.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value as Json, json};
use skewless_catalog::{find, json as catalog};
use skewless_tests::{Served, root, run};

const DEFINITIONS: &str = "
CREATE EXTERNAL TABLE rows (part BIGINT, event TIMESTAMP, x DOUBLE, c VARCHAR) STORED AS JSON LOCATION 'rows.json';
CREATE EXTERNAL TABLE merging (kind VARCHAR, event TIMESTAMP, profile VARCHAR) STORED AS JSON LOCATION 'merging.json';
CREATE FEATURE VIEW made
  ENTITY (part) TIMESTAMP (event)
  AS SELECT part, event, ml_profile(x) OVER (RANGE INTERVAL '30 days' PRECEDING) AS numbers,
            ml_profile(c) OVER (RANGE INTERVAL '30 days' PRECEDING) AS texts FROM rows;
CREATE FEATURE VIEW merged
  ENTITY (kind) TIMESTAMP (event)
  AS SELECT kind, event, ml_profile_merge(decode(profile, 'hex')) OVER (RANGE INTERVAL '30 days' PRECEDING) AS profile
     FROM merging;
";

/// The sizes of the parts: an empty one, some that a profile holds as they are, and some that it holds in buckets.
const SIZES: [usize; 5] = [0, 1, 90, 2_500, 700];

/// The values of a part: numbers of many sizes and signs, and categories of which some are frequent; some are NULL.
fn values(part: usize) -> (Vec<Json>, Vec<Json>) {
    let mut state = part as u64 + 1;
    let mut below = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    (0..SIZES[part])
        .map(|_| {
            let sign = if below(3) == 0 { -1.0 } else { 1.0 };
            let scale = [1e-300, 1e-3, 1.0, 1e9][below(4) as usize];
            let x = sign * below(1_000_000) as f64 / 7.0 * scale;
            let c = if below(2) == 0 { below(5) } else { below(100_000) };
            (
                if below(17) == 0 { Json::Null } else { x.into() },
                if below(11) == 0 { Json::Null } else { format!("c{c}").into() },
            )
        })
        .unzip()
}

fn bytes(base64: &Json) -> Result<String> {
    let bytes = base64.as_str().and_then(catalog::from_base64).with_context(|| format!("{base64} is no base64"))?;
    Ok(bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}

fn base64(hex: &str) -> Json {
    let byte = |at: usize| hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or_default();
    catalog::base64(&(0..hex.len()).step_by(2).map(byte).collect::<Vec<u8>>()).into()
}

/// Calls of aggregates of one column, in Rust.
fn in_rust(calls: &[(&str, Vec<Json>)]) -> Result<Vec<String>> {
    let call = |(name, column): &(&str, Vec<Json>)| {
        let rows: Vec<Vec<Json>> = column.iter().map(|value| vec![value.clone()]).collect();
        bytes(&catalog::call(find(name)?, &rows)?)
    };
    calls.iter().map(call).collect()
}

/// The same, by the page's WebAssembly in Node.
fn in_the_page(calls: &[(&str, Vec<Json>)]) -> Result<Vec<String>> {
    let package = root().join("target/page/pkg");
    if !package.join("skewless_bg.wasm").is_file() {
        bail!("{} is missing: run `cargo xtask component browser`", package.display());
    }
    let mut node = Command::new("node")
        .arg(root().join("tests/browser/evaluate.mjs"))
        .arg(package)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("node cannot be started")?;
    let calls: Vec<Json> = calls.iter().map(|(name, column)| json!({"name": name, "args": [column]})).collect();
    // Dropped at once, which ends the input.
    node.stdin.take().context("node has no input")?.write_all(Json::from(calls).to_string().as_bytes())?;
    let output = node.wait_with_output()?;
    if !output.status.success() {
        bail!("node failed: {}", output.status);
    }
    let results: Vec<Json> = serde_json::from_slice(&output.stdout)?;
    results.iter().map(bytes).collect()
}

/// The one column of text that a query gives.
fn in_sql(project: &Path, query: &str) -> Result<Vec<String>> {
    let (code, rows, errors) =
        run(&["sql", "--project", &project.to_string_lossy(), "--format", "ndjson", "-c", query])?;
    if code != 0 {
        bail!("{query} failed: {errors}");
    }
    let text = |row: &str| {
        let row: Json = serde_json::from_str(row)?;
        row["profile"].as_str().map(str::to_owned).with_context(|| format!("no profile in {row}"))
    };
    rows.lines().map(text).collect()
}

/// A feature of entities, over HTTP.
async fn over_http(url: &str, feature: &str, key: &str, entities: &[Json]) -> Result<Vec<String>> {
    let body = json!({"features": [feature], "entities": {key: entities}, "as_of": "2024-01-20T00:00:00Z"});
    let client = reqwest::Client::builder().no_proxy().build()?;
    let response = client.post(format!("{url}/get-online-features")).body(body.to_string()).send().await?;
    let answer: Json = response.json().await?;
    let names = answer["metadata"]["feature_names"].as_array().with_context(|| answer.to_string())?;
    let name = feature.rsplit(':').next().unwrap_or(feature);
    let at = names.iter().position(|found| found == name).with_context(|| answer.to_string())?;
    let values = answer["results"][at]["values"].as_array().with_context(|| answer.to_string())?;
    values.iter().map(|value| value.as_str().map(str::to_owned).with_context(|| answer.to_string())).collect()
}

/// All orders of the first `n` numbers.
fn orders(n: usize) -> Vec<Vec<usize>> {
    let Some(last) = n.checked_sub(1) else { return vec![vec![]] };
    let insert = |order: Vec<usize>| {
        (0..n).map(move |at| {
            let mut order = order.clone();
            order.insert(at, last);
            order
        })
    };
    orders(last).into_iter().flat_map(insert).collect()
}

fn lines(path: &Path, rows: impl Iterator<Item = Json>) -> Result<()> {
    let text = rows.fold(String::new(), |text, row| text + &row.to_string() + "\n");
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_has_the_same_bytes_on_every_surface_and_in_every_order_of_merging() -> Result<()> {
    let parts: Vec<(Vec<Json>, Vec<Json>)> = (0..SIZES.len()).map(values).collect();
    let makes: Vec<(&str, Vec<Json>)> =
        parts.iter().flat_map(|(x, c)| [("ml_profile", x.clone()), ("ml_profile", c.clone())]).collect();
    // Of a column without a value nothing says whether it is of numbers or of texts.
    let made = in_rust(&makes)?;
    let kind = |text: usize| made.iter().skip(text).step_by(2).cloned().collect::<Vec<_>>();
    let kinds = [("numbers", kind(0)), ("texts", kind(1))];

    let project = tempfile::tempdir()?;
    let folder = project.path();
    std::fs::create_dir(folder.join("definitions"))?;
    std::fs::write(folder.join("skewless.toml"), "name = \"profiles\"\n")?;
    std::fs::write(folder.join("definitions/views.sql"), DEFINITIONS)?;
    let row = |part: usize, i: usize| {
        let (x, c) = &parts[part];
        let event = format!("2024-01-01T{:02}:{:02}:{:02}", i / 3_600, i / 60 % 60, i % 60);
        json!({"part": part, "event": event, "x": x[i], "c": c[i]})
    };
    lines(
        &folder.join("rows.json"),
        (0..SIZES.len()).flat_map(|part| (0..SIZES[part]).map(move |i| (part, i))).map(|(part, i)| row(part, i)),
    )?;
    let orders = orders(SIZES.len());
    let merging = kinds.iter().flat_map(|(kind, profiles)| {
        orders.iter().enumerate().flat_map(move |(nth, order)| {
            order.iter().enumerate().map(move |(at, part)| {
                json!({"kind": format!("{kind} {nth}"), "event": format!("2024-01-01T00:00:0{at}"), "profile": profiles[*part]})
            })
        })
    });
    lines(&folder.join("merging.json"), merging)?;
    let served = Served::project(folder)?;

    // Made: the same bytes. A part without rows is no group in SQL and no entity in a view.
    assert_eq!(in_the_page(&makes)?, made, "made in the page");
    let entities: Vec<Json> = (1..SIZES.len()).map(Json::from).collect();
    for ((kind, profiles), column) in kinds.iter().zip(["x", "c"]) {
        let query = format!(
            "SELECT part, encode(ml_profile({column}), 'hex') AS profile FROM rows GROUP BY part ORDER BY part"
        );
        assert_eq!(in_sql(folder, &query)?, profiles[1..], "{kind} made in SQL");
        assert_eq!(
            over_http(&served.url, &format!("made:{kind}"), "part", &entities).await?,
            profiles[1..],
            "{kind} made over HTTP"
        );
        let empty = format!("SELECT encode(ml_profile({column}), 'hex') AS profile FROM rows WHERE part = 0");
        assert_eq!(in_sql(folder, &empty)?, profiles[..1], "{kind} of nothing in SQL");
    }

    // Merged, in every order: the bytes of the profile of all rows.
    let whole = in_rust(&[0, 1].map(|text| {
        let column = |(x, c): &(Vec<Json>, Vec<Json>)| if text == 0 { x.clone() } else { c.clone() };
        ("ml_profile", parts.iter().flat_map(column).collect())
    }))?;
    for ((kind, profiles), whole) in kinds.iter().zip(&whole) {
        let wanted = vec![whole.clone(); orders.len()];
        let merges: Vec<(&str, Vec<Json>)> = orders
            .iter()
            .map(|order| ("ml_profile_merge", order.iter().map(|part| base64(&profiles[*part])).collect()))
            .collect();
        assert!(in_rust(&merges)? == wanted, "{kind} merged in Rust");
        assert!(in_the_page(&merges)? == wanted, "{kind} merged in the page");
        let query = format!(
            "SELECT kind, encode(ml_profile_merge(decode(profile, 'hex')), 'hex') AS profile FROM merging \
             WHERE kind LIKE '{kind} %' GROUP BY kind ORDER BY kind"
        );
        assert!(in_sql(folder, &query)? == wanted, "{kind} merged in SQL");
        let entities: Vec<Json> = (0..orders.len()).map(|nth| format!("{kind} {nth}").into()).collect();
        assert!(
            over_http(&served.url, "merged:profile", "kind", &entities).await? == wanted,
            "{kind} merged over HTTP"
        );
    }
    Ok(())
}
