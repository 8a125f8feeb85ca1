//! `skewless contract`: what is inferred and imported, and what checking says, beside what the other tools say of the same
//! flights. `tests/golden/contract/make.py` makes the files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

fn skewless(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skewless"));
    command.current_dir(folder).args(args).stdin(Stdio::null()).env_remove("SKEWLESS_PROJECT").output().unwrap()
}

#[track_caller]
fn exits(output: &Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    (out, err)
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

fn golden(name: &str) -> PathBuf {
    tests().join("golden/contract").join(name)
}

/// Imports a file, checks the flights, and compares rule by rule; the statement and what was said of it.
fn agrees(tool: &str) -> (String, String) {
    let folder = TempDir::new().unwrap();
    let file = golden(&format!("{tool}.json"));
    let imported = skewless(folder.path(), &["contract", "import", file.to_str().unwrap()]);
    let (statement, remarks) = exits(&imported, 0);
    let flights = tests().join("data/pnw-flights/flights.parquet");
    let args = ["contract", "check", "--data", flights.to_str().unwrap(), "--contract", "flights", "--format", "json"];
    let checked = skewless(folder.path(), &[&args[..], &["-c", &statement]].concat());
    let verdicts: Vec<Value> = serde_json::from_str(&exits(&checked, 3).0).unwrap();
    let results = std::fs::read(golden(&format!("{tool}.results.json"))).unwrap();
    let results: serde_json::Map<String, Value> = serde_json::from_slice(&results).unwrap();
    assert!(results.len() > 15);
    for (rule, result) in &results {
        let verdict = verdicts.iter().find(|verdict| verdict["rule"] == **rule);
        let verdict = verdict.unwrap_or_else(|| panic!("no rule {rule} in\n{statement}"));
        assert_eq!(verdict["holds"], result["holds"], "{tool} {rule}: {verdict} {result}");
        if !result["violations"].is_null() {
            assert_eq!(verdict["violations"], result["violations"], "{tool} {rule}: {verdict}");
        }
    }
    // Nothing else is promised but types, and those hold.
    for verdict in verdicts.iter().filter(|verdict| !results.contains_key(verdict["rule"].as_str().unwrap())) {
        assert!(verdict["holds"] == true, "{tool}: {verdict}");
    }
    // Every remark is in the statement too.
    for remark in remarks.lines() {
        assert!(statement.contains(&format!("-- {remark}\n")), "{remark} is not in\n{statement}");
    }
    (statement, remarks)
}

#[test]
fn an_imported_suite_of_great_expectations_says_what_great_expectations_says() {
    let (statement, remarks) = agrees("great-expectations-1");
    let (older, _) = agrees("great-expectations-0");
    for (statement, name) in [(&statement, "1.x"), (&older, "0.x")] {
        assert!(statement.contains("CREATE CONTRACT flights (\n"), "{name}: {statement}");
        assert!(
            statement.contains("  CONSTRAINT dep_delay_between CHECK (dep_delay BETWEEN -30"),
            "{name}: {statement}"
        );
    }
    for reason in [
        "expect_column_values_to_match_regex on tailnum: the pattern ^N(?!3) is none of RE2's",
        "expect_column_proportion_of_unique_values_to_be_between on tailnum: it has no counterpart",
        "expect_column_values_to_be_between on distance: it has a `row_condition`",
        "expect_column_values_to_be_in_type_list on tailnum: its types are not one in SQL",
    ] {
        assert!(remarks.contains(&format!("left out: {reason}")), "{reason}\n{remarks}");
    }
    assert_eq!(remarks.lines().count(), 4, "{remarks}");
}

#[test]
fn an_imported_schema_of_pandera_says_what_pandera_says() {
    let (statement, remarks) = agrees("pandera");
    assert!(statement.contains("  arr_delay INT,\n"), "{statement}");
    assert!(statement.contains("  tailnum VARCHAR NOT NULL UNIQUE,\n"), "{statement}");
    for reason in [
        "coerce of column distance: a contract converts nothing",
        "a check of column flight: pandera has not written it",
        "column gate: it may be missing",
        "column ^h.*: its name is a pattern",
        "greater_than_or_equal_to of column arr_delay: with `ignore_na` false",
        "strict of the data frame: a contract does not refuse columns",
    ] {
        assert!(remarks.contains(&format!("left out: {reason}")), "{reason}\n{remarks}");
    }
    assert_eq!(remarks.lines().count(), 6, "{remarks}");
}

#[test]
fn a_file_that_cannot_be_imported_is_refused_with_the_remedy() {
    let folder = TempDir::new().unwrap();
    for (text, said) in [
        ("{", "is no JSON"),
        ("{}", "say which it is with --format"),
        (r#"{"expectations": 3}"#, "`expectations` is no list"),
        (r#"{"expectations": [{}]}"#, "expectation 0 has neither `type` nor `expectation_type`"),
        (r#"{"expectations": []}"#, "nothing in it has a counterpart"),
        (r#"{"expectations": [{"type": "expect_column_to_exist", "kwargs": {}}]}"#, "nothing in it has a counterpart"),
        (r#"{"schema_type": "series"}"#, "it is a schema of a series"),
        (r#"{"schema_type": "dataframe", "columns": {"a": 1}}"#, "the column `a` is no object"),
    ] {
        std::fs::write(folder.path().join("file.json"), text).unwrap();
        let (out, err) = exits(&skewless(folder.path(), &["contract", "import", "file.json"]), 1);
        assert!(out.is_empty() && err.contains(said) && err.contains("file.json"), "{text}: {err}");
    }
    let (_, err) = exits(&skewless(folder.path(), &["contract", "import", "none.json"]), 1);
    assert!(err.contains("none.json cannot be read"), "{err}");
}

#[test]
fn parameters_and_settings_that_are_not_known_are_left_out_by_name() {
    let folder = TempDir::new().unwrap();
    let suite = r#"{"name": "odd", "expectations": [
        {"type": "expect_column_to_exist", "kwargs": {"column": "order"}},
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "order", "min_value": {"$PARAMETER": "low"}}},
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "order", "min_value": 1, "parse_strings_as_datetimes": true}},
        {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "order", "value_set": ["it's", null]}}]}"#;
    std::fs::write(folder.path().join("odd.json"), suite).unwrap();
    let (statement, remarks) = exits(&skewless(folder.path(), &["contract", "import", "odd.json", "--name", "Odd"]), 0);
    assert!(statement.contains("CREATE CONTRACT \"Odd\" (\n  \"order\",\n"), "{statement}");
    assert!(statement.contains("CHECK (\"order\" IN ('it''s'))"), "{statement}");
    assert!(remarks.contains("$PARAMETER") && remarks.contains("its `parse_strings_as_datetimes`, true"), "{remarks}");
    let query = format!(
        "{statement} SELECT rule FROM ml_validate_data(data => (SELECT 'it''s' AS \"order\"), contract => 'Odd')"
    );
    let (rules, _) = exits(&skewless(folder.path(), &["sql", "--format", "csv", "-c", &query]), 0);
    assert!(rules.contains("order_in_set"), "{rules}");
}

#[test]
fn drift_is_inferred_as_a_promise_that_travels_without_the_data() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, rows: usize, more: usize| {
        let mut text = String::from("id,delay,carrier\n");
        for i in 0..rows {
            let n = i * 7919;
            let _ = writeln!(text, "{i},{},{}", n % 101 + more, ["AA", "DL", "UA"][n % 3]);
        }
        std::fs::write(folder.path().join(name), text).unwrap();
    };
    write("base.csv", 500, 0);
    write("moved.csv", 400, 30);
    write("empty.csv", 0, 0);
    let infer = ["contract", "infer", "--data", "base.csv", "--name", "c", "--drift", "0.1"];
    let (contract, _) = exits(&skewless(folder.path(), &infer), 0);
    assert!(contract.contains("DRIFT (delay) < 0.1 FROM X'534b5750"), "{contract}");
    assert!(!contract.contains("DRIFT (id)"), "a key moves by nature: {contract}");
    std::fs::remove_file(folder.path().join("base.csv")).unwrap();
    let drifts: Vec<&str> = contract.lines().filter(|line| line.contains("DRIFT")).collect();
    let contract = format!("CREATE CONTRACT c (\n{}\n)", drifts.join("\n"));
    let check = |data: &str, code: i32| {
        let query = format!("SELECT CAST(delay AS BIGINT) AS delay, CAST(carrier AS VARCHAR) AS carrier FROM '{data}'");
        let args = ["contract", "check", "--data", &query, "--contract", "c", "-c", &contract];
        exits(&skewless(folder.path(), &args), code)
    };
    let (text, _) = check("moved.csv", 3);
    assert!(text.starts_with("2 promises, 1 broken\nbroken  delay_drift "), "{text}");
    assert!(text.contains("ks effect 0.29") && text.contains("500 base and 400 study values"), "{text}");
    let (text, err) = check("empty.csv", 1);
    assert!(text.starts_with("2 promises, 0 broken, 2 open\nopen    delay_drift "), "{text}");
    assert!(err.contains("no promise is broken, but 2 of 2 cannot be decided"), "{err}");
    let (_, err) = exits(&skewless(folder.path(), &["contract", "infer", "--data", "moved.csv", "--drift=-1"]), 1);
    assert!(err.contains("--drift is -1, but an effect stays below a positive number"), "{err}");
}
