//! `skewless report drift` and `skewless contract`: what they print and write, and how they exit.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn skewless(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skewless"));
    command.current_dir(folder).args(args).stdin(Stdio::null()).env_remove("SKEWLESS_PROJECT").output().unwrap()
}

#[track_caller]
fn exits(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// `base.csv`, `same.csv` and `moved.csv`, in which `delay` is 30 more and `carrier` has a name that no base row has.
fn samples() -> TempDir {
    let folder = TempDir::new().unwrap();
    let rows = |start: usize, more: usize, carriers: &[&str]| {
        let mut text = String::from("id,delay,carrier\n");
        for i in 0..500 {
            let n = start + i * 7919;
            let _ = writeln!(text, "{},{},{}", start + i, n % 101 + more, carriers[n % carriers.len()]);
        }
        text
    };
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("base.csv", &rows(0, 0, &["AA", "DL", "UA"]));
    write("same.csv", &rows(1_000_003, 0, &["AA", "DL", "UA"]));
    write("moved.csv", &rows(2_000_005, 30, &["AA", "DL", "ZZ"]));
    folder
}

const COLUMNS: &str = "SELECT delay, carrier FROM";

#[test]
fn without_drift_the_report_exits_with_0_and_with_drift_with_3() {
    let folder = samples();
    let report = |study: &str, more: &[&str]| {
        let (base, study) = (format!("{COLUMNS} 'base.csv'"), format!("{COLUMNS} '{study}'"));
        let args = [&["report", "drift", "--base", &base, "--study", &study], more].concat();
        skewless(folder.path(), &args)
    };
    let text = exits(&report("same.csv", &[]), 0);
    assert!(text.contains("2 tests: 0 drift, 2 no drift, 0 untestable"), "{text}");
    let text = exits(&report("moved.csv", &["-o", "report.html"]), 3);
    assert!(text.contains("2 tests: 2 drift, 0 no drift") && text.contains("study  "), "{text}");
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("delay: drift") && page.contains("carrier: drift"));
    assert!(!page.contains("http://") || !page.contains("src="), "the page is self-contained");
    let text = exits(&report("moved.csv", &["--exact", "--metrics", "ks,mann_whitney"]), 3);
    assert!(
        text.contains("exact: from every value, which the profiles hold") && text.contains("mann_whitney"),
        "{text}"
    );
    let json = exits(&report("moved.csv", &["--format", "json"]), 3);
    let findings: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(findings.as_array().unwrap().len(), 2);
    assert!(findings[0]["is_drift"].as_bool().unwrap());
}

#[test]
fn files_are_named_as_they_are_and_wrong_names_are_refused() {
    let folder = samples();
    let text = exits(&skewless(folder.path(), &["report", "drift", "--base", "base.csv", "--study", "same.csv"]), 3);
    assert!(text.contains("drift       id"), "an id drifts: {text}");
    let output = skewless(folder.path(), &["report", "drift", "--base", "base.csv", "--study", "sane.csv"]);
    exits(&output, 1);
    let output =
        skewless(folder.path(), &["report", "drift", "--base", "base.csv", "--study", "same.csv", "--metrics", "pis"]);
    exits(&output, 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `psi`"));
}

#[test]
fn an_inferred_contract_holds_for_its_data_and_not_for_other() {
    let folder = samples();
    let contract =
        exits(&skewless(folder.path(), &["contract", "infer", "--data", "base.csv", "--name", "flights"]), 0);
    assert!(contract.starts_with("CREATE CONTRACT flights (\n"), "{contract}");
    assert!(contract.contains("id BIGINT NOT NULL UNIQUE CHECK (id BETWEEN 0 AND 499)"), "{contract}");
    assert!(contract.contains("carrier VARCHAR NOT NULL CHECK (carrier IN ('AA', 'DL', 'UA'))"), "{contract}");
    let check = |data: &str, more: &[&str]| {
        let args = [&["contract", "check", "--data", data, "--contract", "flights", "-c", &contract], more].concat();
        skewless(folder.path(), &args)
    };
    assert!(exits(&check("base.csv", &[]), 0).contains("0 broken"));
    let text = exits(&check("moved.csv", &[]), 3);
    assert!(text.contains("carrier_check") && text.contains("ZZ"), "{text}");
    let verdicts: serde_json::Value =
        serde_json::from_str(&exits(&check("moved.csv", &["--format", "json"]), 3)).unwrap();
    assert!(verdicts.as_array().unwrap().iter().any(|verdict| verdict["holds"] == false));
    let output =
        skewless(folder.path(), &["contract", "check", "--data", "base.csv", "--contract", "flight", "-c", &contract]);
    exits(&output, 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `flights`"));
}
