//! `skewless training-set`: what it prints, and how it exits.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn skewless(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skewless"));
    command.current_dir(folder).args(args).stdin(Stdio::null()).env_remove("SKEWLESS_PROJECT").output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn exits(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}\n{}", stdout(output), stderr(output));
    stdout(output)
}

const QUERY: &str = "-- what was known at each time\nSELECT * FROM ml_training_set(spine => (SELECT * FROM spine), \
    timestamp => 'at', features => ['f']);\n";

/// A project with two sources and a view, and `set.sql`, its training set.
fn project() -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("definitions")).unwrap();
    write("skewless.toml", "");
    write("events.csv", "k,event,known,x\na,10,12,1.5\na,20,25,2.5\nb,5,6,9.5\n");
    write("spine.csv", "n,k,at\n0,a,30\n1,b,7\n2,c,30\n3,a,13\n");
    write("set.sql", QUERY);
    view(folder.path(), 15);
    folder
}

fn view(folder: &Path, ttl: i64) {
    let text = format!(
        "CREATE EXTERNAL TABLE events STORED AS CSV LOCATION 'events.csv' OPTIONS ('format.has_header' 'true');
         CREATE EXTERNAL TABLE spine STORED AS CSV LOCATION 'spine.csv' OPTIONS ('format.has_header' 'true');
         CREATE FEATURE VIEW f ENTITY (k) TIMESTAMP (event) AVAILABLE AT (known) TTL {ttl}
           AS SELECT k, event, known, x FROM events;"
    );
    std::fs::write(folder.join("definitions/all.sql"), text).unwrap();
}

#[test]
fn build_prints_a_summary_and_verify_finds_it_the_same() {
    let folder = project();
    let text = exits(&skewless(folder.path(), &["training-set", "build", "set.sql", "-o", "x.parquet"]), 0);
    for part in
        ["x.parquet, 4 rows, 4 columns", "x.parquet.manifest.json", "sha256:", "views         f\n", "events.csv"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains('\x1b'), "{text}");
    let output = skewless(folder.path(), &["training-set", "verify", "x.parquet"]);
    assert_eq!(exits(&output, 0), "x.parquet: 4 rows, the same\n");
    assert_eq!(stderr(&output), "");
}

#[test]
fn json_is_for_tools() {
    let folder = project();
    let built =
        skewless(folder.path(), &["training-set", "build", "-c", QUERY, "--output", "x.parquet", "--format", "json"]);
    let manifest: serde_json::Value = serde_json::from_str(&exits(&built, 0)).unwrap();
    assert_eq!((&manifest["rows"], &manifest["version"]), (&4.into(), &1.into()));
    let stored = std::fs::read(folder.path().join("x.parquet.manifest.json")).unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&stored).unwrap(), manifest);
    let verified = skewless(folder.path(), &["training-set", "verify", "x.parquet", "--format", "json"]);
    let verified: serde_json::Value = serde_json::from_str(&exits(&verified, 0)).unwrap();
    assert_eq!((&verified["differences"], &verified["rows"]), (&serde_json::json!([]), &4.into()));
}

#[test]
fn verify_exits_3_and_explains_what_differs() {
    let folder = project();
    exits(&skewless(folder.path(), &["training-set", "build", "set.sql", "-o", "x.parquet"]), 0);
    let verify = || exits(&skewless(folder.path(), &["training-set", "verify", "x.parquet"]), 3);
    let events = folder.path().join("events.csv");
    let text = std::fs::read_to_string(&events).unwrap();
    std::fs::write(&events, text.replace("1.5", "1.25")).unwrap();
    let told = verify();
    assert!(told.contains("events.csv was changed: it had"), "{told}");
    assert!(told.contains("row 4: f__x = 1.5 in the file, f__x = 1.25 by the query"), "{told}");
    std::fs::write(&events, text).unwrap();

    view(folder.path(), 9);
    let told = verify();
    assert!(told.contains("the feature view `f` is defined otherwise now") && told.contains("15 → 9"), "{told}");
    view(folder.path(), 15);

    let change = "CREATE TABLE t AS SELECT * FROM 'x.parquet' WHERE n < 3; COPY t TO 'x.parquet'";
    exits(&skewless(folder.path(), &["sql", "-c", change]), 0);
    let told = verify();
    assert!(told.contains("the file was changed: it held 4 rows") && told.contains("it holds 3 rows"), "{told}");
    assert!(told.contains("row 4 of the query: n = 3, k = a"), "{told}");
    let output = skewless(folder.path(), &["training-set", "verify", "x.parquet", "--format", "json"]);
    let told: serde_json::Value = serde_json::from_str(&exits(&output, 3)).unwrap();
    assert_eq!(told["differences"][0]["difference"], "file");
}

#[test]
fn what_cannot_be_built_or_checked_exits_1() {
    let folder = project();
    let fails = |args: &[&str], code: i32, part: &str| {
        let output = skewless(folder.path(), &[&["training-set"], args].concat());
        assert_eq!(exits(&output, code), "");
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    };
    fails(&["build", "-c", "SELECT 1", "-o", "x.parquet"], 1, "ml_training_set");
    fails(&["build", "-c", "SELECT * FROM spin", "-o", "x.parquet"], 1, "did you mean `spine`?");
    fails(&["build", "set.sql", "-o", "x.csv"], 1, ".parquet");
    fails(&["build", "nothing.sql", "-o", "x.parquet"], 2, "nothing.sql");
    fails(&["build", "-o", "x.parquet"], 2, "<FILE|--command <SQL>>");
    fails(&["build", "set.sql"], 2, "--output");
    fails(&["verify", "x.parquet"], 1, "there is no manifest");
    assert!(!folder.path().join("x.parquet").exists());
}
