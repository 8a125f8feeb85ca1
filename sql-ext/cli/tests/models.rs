//! Bundles on the command line, and what a bad one is answered with.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/predict").join(name)
}

fn skewless(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skewless"));
    command.current_dir(folder).args(args).stdin(Stdio::null()).env_remove("SKEWLESS_PROJECT").output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn refused(folder: &Path, statement: &str, message: &str) {
    let output = skewless(folder, &["sql", "-c", statement]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains(message), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
}

/// A folder with `late.onnx` and its bundles `late.skew` and `late/`.
fn bundles() -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::copy(golden("late.onnx"), folder.path().join("late.onnx")).unwrap();
    for output in ["late.skew", "late"] {
        let output = skewless(folder.path(), &["model", "build", "late.onnx", "-o", output]);
        assert!(stdout(&output).contains("sha256:"), "{output:?}");
    }
    folder
}

#[test]
fn a_bundle_scores_like_the_onnx_file_it_was_built_from() {
    let folder = bundles();
    for source in ["late.onnx", "late.skew", "late"] {
        let text = format!(
            "CREATE MODEL late FROM '{source}'; \
             SELECT ml_predict('late', 1500, 'DL') AS label, ml_predict_proba('late', 100, 'AS')[1] > 0.8 AS sure"
        );
        let output = skewless(folder.path(), &["sql", "--format", "ndjson", "-c", &text]);
        assert_eq!(stdout(&output), "{\"label\":1,\"sure\":true}\n", "{source}");
    }
}

#[test]
fn explain_shows_which_bytes_answer() {
    let folder = bundles();
    let built = stdout(&skewless(folder.path(), &["model", "build", "late.onnx", "-o", "again.skew"]));
    let digest = built.trim().rsplit(':').next().unwrap_or_default();
    let text = "CREATE MODEL late FROM 'late.skew'; EXPLAIN SELECT * FROM ml_predict('late', (SELECT 1 AS distance, 'AS' AS carrier))";
    let plan = stdout(&skewless(folder.path(), &["sql", "-c", text]));
    assert!(plan.contains(&format!("late@sha256:{}", &digest[..12])), "{plan}");
}

#[test]
fn inspect_says_what_a_model_takes_and_gives() {
    let folder = bundles();
    let text = stdout(&skewless(folder.path(), &["model", "inspect", "late.skew"]));
    for part in
        ["name     late", "digest   sha256:", "distance float32", "carrier string", "(label)", "(probabilities)"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json = stdout(&skewless(folder.path(), &["model", "inspect", "--json", "late"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["name"], "late");
}

#[test]
fn a_model_answers_with_the_bytes_that_it_was_created_from() {
    let folder = bundles();
    let text = "CREATE MODEL late FROM 'late.onnx'; COPY (SELECT 1 AS a) TO 'late.onnx' STORED AS CSV; \
                SELECT ml_predict('late', 1500, 'DL') AS label";
    let output = skewless(folder.path(), &["sql", "--format", "ndjson", "-c", text]);
    assert_eq!(stdout(&output), "{\"label\":1}\n");
}

#[test]
fn a_bundle_whose_digest_does_not_match_is_refused() {
    let folder = bundles();
    let path = folder.path().join("late/bundle.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"late\"", "\"later\"")).unwrap();
    refused(folder.path(), "CREATE MODEL late FROM 'late'", "digest");
    let output = skewless(folder.path(), &["model", "inspect", "late"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("digest"), "{}", stderr(&output));
}

#[test]
fn a_truncated_model_file_is_refused() {
    let folder = bundles();
    for file in ["late.onnx", "late.skew"] {
        let path = folder.path().join(file);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        refused(folder.path(), &format!("CREATE MODEL late FROM '{file}'"), file);
        std::fs::write(&path, []).unwrap();
        refused(folder.path(), &format!("CREATE MODEL late FROM '{file}'"), file);
    }
}

#[test]
fn mistakes_name_what_would_be_right() {
    let folder = bundles();
    let created = |rest: &str| format!("CREATE MODEL late FROM 'late.skew'; {rest}");
    refused(folder.path(), &created("SELECT ml_predict('lat', 1, 'AS')"), "did you mean `late`?");
    refused(folder.path(), &created("SELECT ml_predict('late', 1)"), "late(distance FLOAT, carrier VARCHAR)");
    refused(folder.path(), &created("SELECT ml_predict('late', 'AS', 1)"), "input `distance` takes FLOAT");
    refused(
        folder.path(),
        &created("SELECT * FROM ml_predict('late', (SELECT 1 AS distance, 'AS' AS carier))"),
        "did you mean `carier`?",
    );
}

#[test]
fn subcommands_say_what_they_need() {
    let folder = TempDir::new().unwrap();
    let code = |args: &[&str], message: &str| {
        let output = skewless(folder.path(), args);
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
        output.status.code()
    };
    assert_eq!(code(&["up"], "spin.toml"), Some(2));
    assert_eq!(code(&["materialize"], "--store"), Some(2));
    assert_eq!(code(&["materialize", "--store", "kv.db"], "--project"), Some(2));
    assert_eq!(code(&["materialize", "--store", "kv.db", "--history", "soon"], "90d"), Some(2));
    assert_eq!(code(&["functions", "standard_scalar"], "did you mean `standard_scaler`?"), Some(1));
    assert_eq!(code(&["model", "inspect", "nothing.skew"], "nothing.skew"), Some(1));
    assert_eq!(code(&["sequel"], "unrecognized subcommand"), Some(2));
}

#[test]
fn functions_lists_the_catalog() {
    let folder = TempDir::new().unwrap();
    assert!(stdout(&skewless(folder.path(), &["functions"])).contains("standard_scaler"));
    let one = stdout(&skewless(folder.path(), &["functions", "ml_standard_scaler"]));
    assert!(one.starts_with("standard_scaler("), "{one}");
}

#[test]
fn a_gpu_gives_the_numbers_of_the_processor() {
    let folder = bundles();
    std::fs::copy(golden("two.onnx"), folder.path().join("two.onnx")).unwrap();
    let text =
        "CREATE MODEL two FROM 'two.onnx'; SELECT ml_predict('two', x, 3) AS s FROM generate_series(1, 3) AS t(x)";
    let run = |device| skewless(folder.path(), &["sql", "--device", device, "--format", "ndjson", "-c", text]);
    let gpu = run("gpu");
    if gpu.status.success() {
        assert_eq!(stdout(&gpu), stdout(&run("cpu")));
    } else {
        // A machine without an adapter is told so, and what to do.
        assert!(stderr(&gpu).contains("adapter"), "{}", stderr(&gpu));
        assert!(stderr(&gpu).contains("device 'cpu'"), "{}", stderr(&gpu));
    }
}
