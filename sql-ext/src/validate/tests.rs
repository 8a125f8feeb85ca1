//! `ml_validate_drift`: every column, slice and metric is a row, and no plan changes a byte of it.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Float64Type;
use arrow::util::pretty::pretty_format_batches;

use crate::{Options, Outcome, SkewlessContext};

mod exact;

pub(super) async fn run(partitions: usize, batch_size: usize, sql: &str) -> Result<RecordBatch, String> {
    let options = Options { target_partitions: Some(partitions), batch_size: Some(batch_size), ..Options::default() };
    let context = SkewlessContext::new(options).await.expect("a session");
    let mut rows = None;
    for statement in context.parse(sql).map_err(|error| error.to_string())? {
        if let Outcome::Rows(frame) = context.run(statement).await.map_err(|error| error.to_string())? {
            let schema = std::sync::Arc::new(frame.schema().as_arrow().clone());
            let batches = frame.collect().await.map_err(|error| error.to_string())?;
            rows = Some(concat_batches(&schema, &batches).map_err(|error| error.to_string())?);
        }
    }
    rows.ok_or_else(|| "no query".to_owned())
}

const DATA: &str = "CREATE TABLE d AS SELECT value AS n, sin(value * 12.9898) * 43758.5453 AS x, value % 7 AS few,
    CASE WHEN value % 11 = 0 THEN NULL ELSE cos(value * 1.7) END AS holes,
    CASE value % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'b' ELSE 'c' END AS word, value % 2 = 0 AS flag,
    to_timestamp_seconds(1700000000 + value * 60) AS at, [value] AS list,
    CASE WHEN value % 5 = 0 THEN 'north' ELSE 'south' END AS region
  FROM generate_series(1, 2000) AS g(value);";

const COLUMNS: &str = "x, few, holes, word, flag, at, list, region";

#[tokio::test]
async fn every_column_is_answered_and_no_plan_changes_the_answer() {
    let sql = format!(
        "{DATA} SELECT * FROM ml_validate_drift(base => (SELECT {COLUMNS} FROM d WHERE n <= 1000), \
         study => (SELECT {COLUMNS} FROM d WHERE n > 1000))"
    );
    let mut shown = Vec::new();
    for (partitions, batch_size) in [(1, 8192), (4, 64), (7, 13)] {
        let batch = run(partitions, batch_size, &sql).await.expect("findings");
        shown.push(pretty_format_batches(&[batch]).expect("a table").to_string());
    }
    assert!(shown.windows(2).all(|pair| pair[0] == pair[1]));
    let shown = shown.swap_remove(0);
    for line in ["| x ", "| few ", "| holes ", "| word ", "| flag ", "| at ", "| list ", "| region "] {
        assert!(shown.contains(line), "{line} in\n{shown}");
    }
    // Time goes on: the only drift.
    let drifting: Vec<&str> = shown.lines().filter(|line| line.contains("| true ")).collect();
    assert!(drifting.len() == 1 && drifting[0].contains("| at "), "{drifting:?}");
    assert!(shown.contains("has no distribution to compare; select a number or a text of it"), "{shown}");
}

#[tokio::test]
async fn slices_are_compared_by_themselves() {
    let sql = format!(
        "{DATA} SELECT region, feature, metric, is_drift, n_base FROM ml_validate_drift(\
         base => (SELECT x, few, region FROM d WHERE n <= 1000), \
         study => (SELECT x + CASE WHEN region = 'north' THEN 60000 ELSE 0 END AS x, few, region FROM d WHERE n > 1000), \
         by => ['region'], correction => 'bonferroni', alpha => 0.01)"
    );
    let batch = run(3, 100, &sql).await.expect("findings");
    let shown = pretty_format_batches(&[batch]).expect("a table").to_string();
    let rows: Vec<String> = shown
        .lines()
        .filter(|line| line.contains("orth") || line.contains("outh"))
        .map(|line| line.split_whitespace().filter(|word| *word != "|").collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        rows,
        [
            "north x ks true 200",
            "north few chi_square false 200",
            "south x ks false 800",
            "south few chi_square false 800"
        ]
    );
}

#[tokio::test]
async fn a_slice_or_column_of_one_side_is_a_row_with_its_reason() {
    let sql = "SELECT k, feature, note FROM ml_validate_drift(\
               base => (SELECT * FROM (VALUES ('a', 1, 2)) AS v(k, x, gone)), \
               study => (SELECT * FROM (VALUES ('b', 1, 2)) AS v(k, x, came)), by => ['k'])";
    let batch = run(2, 10, sql).await.expect("findings");
    let text = |column: usize, row: usize| batch.column(column).as_string::<i32>().value(row).to_owned();
    let rows: Vec<[String; 3]> = (0..batch.num_rows()).map(|row| [text(0, row), text(1, row), text(2, row)]).collect();
    let found = |k: &str, feature: &str, note: &str| {
        assert!(
            rows.iter().any(|[a, b, c]| a == k && b == feature && c.contains(note)),
            "{k} {feature} {note}: {rows:?}"
        );
    };
    found("a", "x", "no row in the study sample");
    found("b", "x", "no row in the base sample");
    found("a", "gone", "the study sample has no such column");
    found("b", "came", "the base has no such column");
}

#[tokio::test]
async fn no_rows_at_all_are_answered_too() {
    let sql = "SELECT feature, note, p_value FROM ml_validate_drift(\
               base => (SELECT 1 AS x WHERE false), study => (SELECT 1 AS x WHERE false))";
    let batch = run(2, 10, sql).await.expect("findings");
    assert_eq!(batch.num_rows(), 1);
    assert!(batch.column(1).as_string::<i32>().value(0).contains("no row in either sample"));
    assert!(batch.column(2).is_null(0));
}

#[tokio::test]
async fn metrics_are_those_of_ml_drift() {
    let sql = format!(
        "{DATA} CREATE VIEW base AS SELECT x FROM d WHERE n <= 1000; CREATE VIEW study AS SELECT x * 1.1 AS x FROM d WHERE n > 1000;
         SELECT v.metric, v.statistic, ml_drift(v.metric, (SELECT ml_profile(x) FROM base), (SELECT ml_profile(x) FROM study))['statistic']
         FROM ml_validate_drift(base => base, study => study, metrics => ['psi', 'ks', 'js', 'wasserstein', 'welch_t']) AS v"
    );
    let batch = run(2, 100, &sql).await.expect("findings");
    assert_eq!(batch.num_rows(), 5);
    assert_eq!(batch.column(1).as_primitive::<Float64Type>(), batch.column(2).as_primitive::<Float64Type>());
}

#[tokio::test]
async fn wrong_calls_are_refused_with_the_remedy() {
    let call = |rest: &str| format!("SELECT * FROM ml_validate_drift(base => (SELECT 1 AS x, 'a' AS k), {rest})");
    for (rest, said) in [
        ("study => (SELECT 1 AS x), metrics => ['pis']", "there is no metric 'pis'; did you mean `psi`?"),
        ("study => (SELECT 1 AS x), alpha => 5", "`alpha` is a share from 0 to 1, not 5"),
        ("study => (SELECT 1 AS x), correction => 'hol'", "there is no correction 'hol'; did you mean `holm`?"),
        ("study => (SELECT 1 AS x, 1 AS k), by => ['k']", "cast one of them"),
        ("study => (SELECT 1 AS x), by => ['kk']", "has no column `kk`"),
        ("stuudy => (SELECT 1 AS x)", "did you mean `study`?"),
        (
            "study => (SELECT 1 AS x), metrics => ['kuiper']",
            "'kuiper' reads the values in order, which profiles do not hold; add exact => true",
        ),
        ("study => (SELECT 1 AS x), exact => 'yes'", "argument `exact` takes true or false"),
    ] {
        let message = run(1, 10, &call(rest)).await.expect_err(rest);
        assert!(message.contains(said), "{rest}: {message}");
    }
}

#[tokio::test]
async fn data_is_described_column_by_column() {
    let sql = format!(
        "{DATA} SELECT feature, type, rows, nulls, \"distinct\", min, median, max, categories, profile IS NULL AS without \
         FROM ml_describe_data(data => (SELECT few, holes, word, flag, list FROM d))"
    );
    let mut shown = Vec::new();
    for (partitions, batch_size) in [(1, 8192), (5, 31)] {
        let batch = run(partitions, batch_size, &sql).await.expect("a description");
        shown.push(pretty_format_batches(&[batch]).expect("a table").to_string());
    }
    assert_eq!(shown[0], shown[1]);
    let row = |name: &str| {
        let line = shown[0].lines().find(|line| line.starts_with(&format!("| {name} "))).expect(name);
        line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("few"), "few Int64 2000 0 7.0 0.0 3.0 6.0 false");
    assert!(row("holes").starts_with("holes Float64 2000 181 "), "{}", row("holes"));
    assert!(row("word").ends_with("[b, c, a] false"), "{}", row("word"));
    assert!(row("flag").contains("[false, true]"), "{}", row("flag"));
    assert!(row("list").ends_with("true"), "{}", row("list"));
}

#[tokio::test]
async fn a_detector_reads_a_stream_in_its_order() {
    let sql = "SELECT max(CASE WHEN r['drift'] THEN n END) AS last FROM (\
               SELECT n, page_hinkley(x, 30, 0.005, 5.0) OVER (ORDER BY n) AS r \
               FROM (SELECT value AS n, CASE WHEN value > 300 THEN 1.0 ELSE 0.0 END AS x FROM generate_series(1, 600) AS g(value)))";
    let mut found = Vec::new();
    for (partitions, batch_size) in [(1, 8192), (4, 7)] {
        let batch = run(partitions, batch_size, sql).await.expect("a detector");
        found.push(pretty_format_batches(&[batch]).expect("a table").to_string());
    }
    assert_eq!(found[0], found[1]);
    assert!(!found[0].contains("|      |"), "{}", found[0]);
    let message = run(1, 10, "SELECT adwin(x) OVER () FROM (SELECT 1.0 AS x)").await.expect_err("no order");
    assert!(message.contains("reads a stream, whose order is missing; write adwin(…) OVER"), "{message}");
}
