//! `skewless report` and `skewless contract`: what they print and write, and how they exit.

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

/// `fair.csv` and `unfair.csv`: probabilities that come true, in `unfair.csv` except where `region` is north and `segment` x.
fn scored() -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, is_fair) in [("fair.csv", true), ("unfair.csv", false)] {
        let mut text = String::from("id,region,segment,late,probability,class,minutes,forecast\n");
        let mut state = 20_261_121_u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / (1_u64 << 31) as f64
        };
        for id in 0..3_000 {
            let region = if draw() < 0.5 { "north" } else { "south" };
            let segment = if draw() < 0.4 { "x" } else { "y" };
            let p = draw() * 0.9 + 0.05;
            let is_wrong = !is_fair && region == "north" && segment == "x";
            let late = draw() < if is_wrong { 1.0 - p } else { p };
            let minutes = draw() * 60.0;
            let forecast = minutes + (draw() - 0.5) * if is_wrong { 40.0 } else { 10.0 };
            let _ = writeln!(text, "v{id},{region},{segment},{late},{p},{},{minutes},{forecast}", p >= 0.5);
        }
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn quality(folder: &TempDir, data: &str, predicted: [&str; 4], more: &[&str]) -> Output {
    let [label, label_column, kind, column] = predicted;
    let data = format!("SELECT * EXCEPT (id) FROM '{data}'");
    let columns = ["--by", "region,segment"];
    let args =
        [&["report", "quality", "--data", &data, label, label_column, kind, column], &columns[..], more].concat();
    skewless(folder.path(), &args)
}

const PROBABILITY: [&str; 4] = ["--label", "late", "--probability", "probability"];

#[test]
fn a_worse_slice_is_found_and_exits_with_3() {
    let folder = scored();
    let text = exits(&quality(&folder, "fair.csv", PROBABILITY, &["--min", "roc_auc=0.7"]), 0);
    assert!(text.contains("0 worse") && text.contains("holds       roc_auc at least 0.7"), "{text}");
    let text = exits(&quality(&folder, "unfair.csv", PROBABILITY, &["-o", "quality.html", "--group", "region"]), 3);
    assert!(text.contains("worse       region = 'north' AND segment = 'x': "), "{text}");
    assert!(
        text.contains("observed   ") && text.contains("region = north") && text.contains("equalized_odds"),
        "{text}"
    );
    let page = std::fs::read_to_string(folder.path().join("quality.html")).unwrap();
    for part in ["ROC", "Precision and recall", "Reliability", "Confusion", "Slices", "By value", "Groups of"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(page.matches("<svg").count() == 3 && !page.contains("src="), "the page is self-contained");
}

#[test]
fn a_broken_limit_exits_with_3_and_a_measure_that_is_not_there_with_2() {
    let folder = scored();
    let text = exits(&quality(&folder, "fair.csv", PROBABILITY, &["--min", "roc_auc=0.99"]), 3);
    assert!(text.contains("broken      roc_auc at least 0.99: 0."), "{text}");
    exits(&quality(&folder, "fair.csv", PROBABILITY, &["--max", "log_loss=0.9,brier_score=0.3"]), 0);
    let output = quality(&folder, "fair.csv", PROBABILITY, &["--min", "roc_au=0.5"]);
    exits(&output, 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `roc_auc`"));
    exits(&quality(&folder, "fair.csv", PROBABILITY, &["--min", "roc_auc"]), 2);
    exits(&quality(&folder, "fair.csv", ["--label", "lat", "--probability", "probability"], &[]), 1);
}

#[test]
fn classes_and_numbers_are_measured_too() {
    let folder = scored();
    let json = |predicted, data, code| -> serde_json::Value {
        serde_json::from_str(&exits(&quality(&folder, data, predicted, &["--format", "json"]), code)).unwrap()
    };
    let found = json(["--label", "late", "--prediction", "class"], "unfair.csv", 3);
    assert_eq!(found["predicted"], "class");
    assert_eq!(found["measures"][0]["name"], "accuracy");
    assert_eq!(found["groups"].as_array().unwrap().len(), 4);
    assert_eq!(found["pictures"]["confusion_matrix"]["n"], 3_000);
    assert_eq!(found["slices"][1]["slice"], "region = 'north' AND segment = 'x'");
    let found = json(["--label", "minutes", "--value", "forecast"], "unfair.csv", 3);
    assert_eq!(found["slices"][1]["slice"], "region = 'north' AND segment = 'x'");
    assert_eq!(found["errors"].as_array().unwrap().len(), 7);
    let found = json(["--label", "minutes", "--value", "forecast"], "fair.csv", 0);
    assert_eq!(found["slices"].as_array().unwrap().len(), 1);
}
