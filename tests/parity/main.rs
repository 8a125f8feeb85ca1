//! Every surface gives the same answers: the demo, whole, on real flights, with its training set checked against DuckDB.

mod profiles;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use skewless_tests::{root, run};

/// Flights asked over HTTP and in the page; `cargo xtask demo` asks more.
const FLIGHTS: &str = "200";

#[test]
fn every_surface_answers_alike_and_the_training_set_is_what_duckdb_makes() -> Result<()> {
    let output = tempfile::tempdir()?;
    let folder = output.path().to_string_lossy().into_owned();
    let (code, table, errors) = run(&["demo", "--flights", FLIGHTS, "--output", &folder])?;
    assert_eq!(code, 0, "{errors}\n{table}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(output.path().join("report.json"))?)?;
    assert_eq!(report["flights"], 193_809, "rows in = rows out");
    matrix(&report["parity"])?;

    let golden = std::fs::read(root().join("tests/golden/flights/training_set.json"))?;
    let golden: serde_json::Value = serde_json::from_slice(&golden)?;
    let training_set = output.path().join("training_set.parquet");
    against_duckdb(&golden, &training_set.to_string_lossy())
}

/// Counts of values per column exactly; sampled values exactly, but for the last digits of floats that DuckDB sums and
/// computes in another order or with another mathematics library.
fn against_duckdb(golden: &serde_json::Value, path: &str) -> Result<()> {
    let counts = golden["counts"].as_object().context("the golden has counts")?;
    let columns: Vec<&String> = counts.keys().collect();
    let list = columns.iter().map(|name| format!("count({name}) AS {name}")).collect::<Vec<_>>().join(", ");
    let got = &query(&format!("SELECT {list} FROM '{path}'"))?[0];
    for (name, count) in counts {
        assert_eq!(&got[name], count, "how many values {name} has");
    }

    let every = golden["every"].as_u64().context("the golden says which rows it holds")?;
    let list = columns.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let rows = query(&format!("SELECT {list} FROM '{path}' WHERE n % {every} = 1 ORDER BY n"))?;
    let sample = golden["sample"].as_array().context("the golden has a sample")?;
    assert_eq!(rows.len(), sample.len());
    for (row, expected) in rows.iter().zip(sample) {
        for name in &columns {
            let (got, expected) = (&row[name.as_str()], &expected[name.as_str()]);
            let alike = match (got.as_f64(), expected.as_f64()) {
                (Some(got), Some(expected)) => (got - expected).abs() <= 1e-9 * expected.abs().max(1.0),
                _ => text(got) == text(expected),
            };
            assert!(alike, "{name} is {got}, DuckDB says {expected}, in {row}");
        }
    }
    Ok(())
}

/// A value as text, a time without a zone.
fn text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| text.trim_end_matches('Z').to_owned())
}

fn query(sql: &str) -> Result<Vec<serde_json::Value>> {
    let (code, rows, errors) = run(&["sql", "--format", "ndjson", "-c", sql])?;
    assert_eq!(code, 0, "{errors}");
    rows.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// The matrix in the README says what was just measured; `SKEWLESS_BLESS=1` writes it.
fn matrix(parity: &serde_json::Value) -> Result<()> {
    let rows = parity.as_array().context("the report has a parity table")?;
    let mut pairs: Vec<&str> = vec![];
    let mut cells: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let mut things: Vec<&str> = vec![];
    for row in rows {
        let what = row["what"].as_str().context("what is compared")?;
        let pair = row["pair"].as_str().context("a pair of surfaces")?;
        let allowed = row["allowed"].as_f64().context("what is allowed")?;
        // The largest difference of a perceptron varies with the processor; what is promised does not.
        let cell = if row["largest"] == 0.0 && allowed == 0.0 {
            "bit-equal"
        } else if allowed <= 1e-6 {
            "≤ 1e-6"
        } else {
            "≤ 1e-4"
        };
        if !pairs.contains(&pair) {
            pairs.push(pair);
        }
        if !things.contains(&what) {
            things.push(what);
        }
        cells.insert((what, pair), cell);
    }
    assert!(pairs.iter().any(|pair| pair.contains("browser")), "the page was not asked: {pairs:?}");
    assert!(pairs.iter().any(|pair| pair.contains("wonnx")), "no WebGPU adapter was found: {pairs:?}");
    let mut table = format!("| | {} |\n|---|{}\n", pairs.join(" | "), "---|".repeat(pairs.len()));
    for what in things {
        let line: Vec<&str> = pairs.iter().map(|pair| cells.get(&(what, pair)).copied().unwrap_or("·")).collect();
        writeln!(table, "| {what} | {} |", line.join(" | "))?;
    }

    let path = root().join("README.md");
    let readme = std::fs::read_to_string(&path)?;
    let (begin, end) = ("<!-- parity: begin -->\n", "<!-- parity: end -->");
    let (before, rest) = readme.split_once(begin).context("README.md has no parity matrix")?;
    let (shown, after) = rest.split_once(end).context("README.md's parity matrix has no end")?;
    if std::env::var_os("SKEWLESS_BLESS").is_some() {
        std::fs::write(&path, format!("{before}{begin}{table}{end}{after}"))?;
    } else {
        assert_eq!(shown, table, "README.md's parity matrix is not what was measured; SKEWLESS_BLESS=1 rewrites it");
    }
    Ok(())
}
