//! What tools rely on: what `skewless sql` prints, where, and how it exits.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn skewless(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skewless"));
    command.current_dir(folder).args(args).stdin(Stdio::null()).env_remove("SKEWLESS_PROJECT");
    command
}

fn sql(args: &[&str]) -> Output {
    let folder = TempDir::new().unwrap();
    skewless(folder.path(), &[&["sql"], args].concat())
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn prints(args: &[&str], expected: &str) {
    let output = sql(args);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), expected);
    assert_eq!(stderr(&output), "");
}

#[track_caller]
fn fails(args: &[&str], code: i32, message: &str) {
    let output = sql(args);
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    assert!(stderr(&output).contains(message), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
}

const VALUES: &str = "SELECT * FROM (VALUES \
    (1, 'a', 1.5, true), (2, NULL, CAST('NaN' AS DOUBLE), false), (3, '', CAST('-inf' AS DOUBLE), NULL)) \
    AS t(id, name, x, flag) ORDER BY id";

#[test]
fn ndjson_is_one_object_a_row_with_keys_in_column_order() {
    prints(
        &["--format", "ndjson", "-c", VALUES],
        "{\"id\":1,\"name\":\"a\",\"x\":1.5,\"flag\":true}\n\
         {\"id\":2,\"name\":null,\"x\":\"NaN\",\"flag\":false}\n\
         {\"id\":3,\"name\":\"\",\"x\":\"-Infinity\",\"flag\":null}\n",
    );
}

#[test]
fn json_is_one_array_a_result() {
    prints(&["--format", "json", "-c", "SELECT 1 AS a; SELECT 2 AS b WHERE false"], "[\n{\"a\":1}\n]\n[]\n");
}

#[test]
fn csv_tells_null_from_the_empty_text() {
    prints(&["--format", "csv", "-c", VALUES], "id,name,x,flag\n1,a,1.5,true\n2,,NaN,false\n3,\"\",-Infinity,\n");
}

#[test]
fn table_aligns_and_names_null() {
    prints(
        &["-c", VALUES],
        " id | name |         x | flag\n\
         ----+------+-----------+-------\n \
         \u{20}1 | a    |       1.5 | true\n \
         \u{20}2 | NULL |       NaN | false\n \
         \u{20}3 |      | -Infinity | NULL\n",
    );
}

#[test]
fn nested_values_are_json_in_every_text_format() {
    let query = "SELECT make_array(1, NULL) AS l, named_struct('a', 'x\"y', 'b', 0.5) AS s";
    prints(&["--format", "ndjson", "-c", query], "{\"l\":[1,null],\"s\":{\"a\":\"x\\\"y\",\"b\":0.5}}\n");
    prints(&["--format", "csv", "-c", query], "l,s\n\"[1,null]\",\"{\"\"a\"\":\"\"x\\\"\"y\"\",\"\"b\"\":0.5}\"\n");
}

#[test]
fn numbers_read_back_to_the_same_bits() {
    prints(
        &[
            "--format",
            "ndjson",
            "-c",
            "SELECT 0.1e0 + 0.2e0 AS a, 9007199254740993 AS b, arrow_cast(0.1, 'Float32') AS c",
        ],
        "{\"a\":0.30000000000000004,\"b\":9007199254740993,\"c\":0.1}\n",
    );
}

#[test]
fn only_rows_of_queries_reach_stdout() {
    prints(
        &[
            "--format",
            "ndjson",
            "-c",
            "CREATE TABLE t AS VALUES (1), (2); INSERT INTO t VALUES (3); SET datafusion.execution.batch_size = 100; \
             SELECT count(*) AS n FROM t; DROP TABLE t",
        ],
        "{\"n\":3}\n",
    );
}

#[test]
fn a_statement_sees_the_file_that_the_one_before_it_wrote() {
    prints(&["--format", "csv", "-c", "COPY (SELECT 1 AS a) TO 'one.csv'; SELECT a + 1 AS b FROM 'one.csv'"], "b\n2\n");
}

#[test]
fn rows_before_a_failing_statement_are_printed() {
    let output = sql(&["--format", "ndjson", "-c", "SELECT 1 AS a; SELECT * FROM nowhere; SELECT 2 AS b"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "{\"a\":1}\n");
    assert!(stderr(&output).starts_with("error: "), "{}", stderr(&output));
    assert!(stderr(&output).contains("nowhere"), "{}", stderr(&output));
}

#[test]
fn a_refused_statement_exits_1() {
    fails(&["-c", "SELEC 1"], 1, "SELEC");
    fails(&["-c", "SELECT 1 / 0"], 1, "zero");
    fails(&["--format", "json", "-c", "SELECT * FROM (SELECT 1 AS a) AS x, (SELECT 2 AS a) AS y"], 1, "`a`");
}

#[test]
fn wrong_usage_exits_2() {
    fails(&["--format", "parquet", "-c", "SELECT 1"], 2, "--output");
    fails(&["--format", "yaml", "-c", "SELECT 1"], 2, "yaml");
    fails(&["--device", "tpu", "-c", "SELECT 1"], 2, "tpu");
    fails(&["--partitions", "0", "-c", "SELECT 1"], 2, "0");
    fails(&["-f", "missing.sql"], 2, "missing.sql");
    fails(&["-c", "SELECT 1", "-f", "missing.sql"], 2, "cannot be used with");
    fails(&["--project", ".", "-c", "SELECT 1"], 2, "skewless.toml");
}

#[test]
fn statements_come_from_files_and_stdin_too() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("a.sql"), "-- two\nSELECT 1 AS a;\nSELECT 2 AS a;\n").unwrap();
    let output = skewless(folder.path(), &["sql", "--format", "ndjson", "-f", "a.sql"]);
    assert_eq!(stdout(&output), "{\"a\":1}\n{\"a\":2}\n", "{}", stderr(&output));
    for args in [&["sql", "--format", "ndjson", "-f", "-"][..], &["sql", "--format", "ndjson"]] {
        let mut child = command(folder.path(), args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"SELECT 'from stdin' AS a").unwrap();
        assert_eq!(stdout(&child.wait_with_output().unwrap()), "{\"a\":\"from stdin\"}\n");
    }
}

#[test]
fn an_output_file_appears_only_when_everything_succeeded() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("rows.parquet");
    let run = |text: &str, file: &str, format: &str| {
        skewless(folder.path(), &["sql", "--format", format, "-o", file, "-c", text])
    };
    let failed = run("SELECT 1 AS a; SELECT * FROM nowhere", "rows.csv", "csv");
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let twice = run("SELECT 1 AS a; SELECT 2 AS a", "rows.parquet", "parquet");
    assert_eq!(twice.status.code(), Some(1), "{}", stderr(&twice));
    assert!(!path.exists());
    let text = "SELECT 1 AS a, 'x' AS b, arrow_cast(TIMESTAMP '2016-06-01 07:10:00', 'Timestamp(Second, None)') AS t";
    let written = run(text, "rows.parquet", "parquet");
    assert!(written.status.success(), "{}", stderr(&written));
    assert_eq!(stdout(&written), "");
    let read = skewless(
        folder.path(),
        &["sql", "--format", "ndjson", "-c", "SELECT *, arrow_typeof(t) AS s FROM 'rows.parquet'"],
    );
    assert_eq!(
        stdout(&read),
        "{\"a\":1,\"b\":\"x\",\"t\":\"2016-06-01T07:10:00\",\"s\":\"Timestamp(ms)\"}\n",
        "{}",
        stderr(&read)
    );
}

#[test]
fn timing_tells_on_stderr_how_long_each_statement_took() {
    let text = "CREATE TABLE t AS VALUES (1), (2); SELECT count(*) AS n FROM t; SELECT * FROM t";
    let output = sql(&["--timing", "--format", "csv", "-c", text]);
    assert_eq!(stdout(&output), "n\n2\n\ncolumn1\n1\n2\n", "{}", stderr(&output));
    let times: Vec<f64> = stderr(&output)
        .lines()
        .map(|line| line.strip_prefix("Time: ").unwrap().strip_suffix(" ms").unwrap().parse().unwrap())
        .collect();
    assert_eq!(times.len(), 3);
    assert!(times.iter().all(|time| *time > 0.0), "{times:?}");
}

#[test]
fn timing_is_a_json_line_a_statement_where_the_rows_are_json() {
    let text =
        "SET datafusion.execution.batch_size = 100; SELECT * FROM (VALUES (1), (2)) AS t(a); SELECT 1 AS a WHERE false";
    for format in ["json", "ndjson"] {
        let output = sql(&["--timing", "--format", format, "-c", text]);
        let lines: Vec<serde_json::Value> =
            stderr(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.iter().map(|line| &line["statement"]).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(lines.iter().map(|line| line["rows"].as_u64()).collect::<Vec<_>>(), [None, Some(2), Some(0)]);
        assert!(lines.iter().all(|line| line["elapsed_ms"].as_f64().unwrap() > 0.0), "{lines:?}");
    }
}

#[test]
fn colours_need_a_terminal() {
    let output = sql(&["-c", "SELECT NULL AS a"]);
    assert!(!stdout(&output).contains('\x1b'));
    let output = sql(&["-c", "SELECT nothing"]);
    assert!(!stderr(&output).contains('\x1b'));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let folder = TempDir::new().unwrap();
    let mut child =
        command(folder.path(), &["sql", "--format", "csv", "-c", "SELECT * FROM generate_series(1, 2000000)"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
}
