use std::path::Path;

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use tempfile::TempDir;

use super::*;
use crate::{Options, Outcome, SkewlessContext};

async fn context() -> SkewlessContext {
    let options = Options { target_partitions: Some(3), batch_size: Some(4), ..Options::default() };
    SkewlessContext::new(options).await.expect("a session")
}

/// A session of a folder with sources: `events/*.parquet` and `spine.csv`, and a view `f` over the events.
struct Folder(TempDir);

impl Folder {
    async fn new() -> Self {
        let folder = Self(TempDir::new().expect("a folder"));
        folder
            .run(&format!(
                "COPY (VALUES ('a', 10, 12, 1.0), ('a', 20, 25, 2.0), ('b', 5, 6, 9.0)) TO '{0}/events/1.parquet';
                 COPY (SELECT column1 AS n, column2 AS k, column3 AS at FROM (VALUES
                   (0, 'a', 30), (1, 'b', 7), (2, 'c', 30), (3, 'a', 13), (4, 'a', 13))) TO '{0}/spine.csv'",
                folder.path().display()
            ))
            .await;
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    async fn run(&self, text: &str) -> Vec<Outcome> {
        context().await.sql(text).await.expect("a text that runs")
    }

    fn definitions(&self, ttl: i64) -> String {
        format!(
            "CREATE EXTERNAL TABLE events STORED AS PARQUET LOCATION '{0}/events/';
             CREATE EXTERNAL TABLE spine STORED AS CSV LOCATION '{0}/spine.csv' OPTIONS ('format.has_header' 'true');
             CREATE VIEW named AS SELECT column1 AS k, column2 AS event, column3 AS known, column4 AS x FROM events;
             CREATE FEATURE VIEW f ENTITY (k) TIMESTAMP (event) AVAILABLE AT (known) TTL {ttl}
               AS SELECT k, event, known, x, count(x) OVER (RANGE 10 PRECEDING) AS n10 FROM named",
            self.path().display()
        )
    }

    async fn session(&self, ttl: i64) -> SkewlessContext {
        let context = context().await;
        context.sql(&self.definitions(ttl)).await.expect("definitions");
        context
    }

    fn manifest(&self, name: &str) -> Manifest {
        let location = Manifest::location(&self.file(name));
        Manifest::from_text(&std::fs::read(&location).expect("a manifest"), &location).expect("a manifest")
    }

    /// Builds the set in a session with these definitions.
    async fn build(&self, name: &str) -> Manifest {
        let context = self.session(15).await;
        let writing = context.write_training_set(QUERY, &self.file(name)).await.expect("a plan");
        writing.run().await.expect("a training set").manifest
    }

    async fn verify(&self, context: &SkewlessContext, name: &str) -> Vec<Difference> {
        context.verify_training_set(&self.file(name)).await.expect("a verification").differences
    }
}

const QUERY: &str =
    "SELECT * FROM ml_training_set(spine => (SELECT * FROM spine), timestamp => 'at', features => ['f'])";

fn pretty(batches: &[RecordBatch]) -> String {
    pretty_format_batches(batches).expect("rows").to_string()
}

fn texts(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_training_set_written_by_copy_carries_a_manifest() {
    let folder = Folder::new().await;
    let context = folder.session(15).await;
    let outcome = context.sql(&format!("COPY ({QUERY}) TO '{}'", folder.file("x.parquet"))).await.expect("a COPY");
    let [Outcome::Done(done)] = outcome.as_slice() else { panic!("{outcome:?}") };
    assert!(done.starts_with("5 rows written, with ") && done.ends_with("x.parquet.manifest.json"), "{done}");

    let manifest = folder.manifest("x.parquet");
    assert_eq!(manifest.query, QUERY);
    assert_eq!((manifest.version, manifest.rows, manifest.created_by.as_str()), (1, 5, Manifest::SOFTWARE));
    let columns: Vec<String> = manifest.columns.iter().map(ToString::to_string).collect();
    assert_eq!(columns, ["n Int64", "k Utf8", "at Int64", "f__x Float64", "f__n10 Int64"]);
    let view = context.views().find("f").expect("a view").definition.to_json().expect("JSON");
    assert_eq!(manifest.views[0].definition.to_string(), view);
    assert_eq!(manifest.views[0].sha256, content::sha256(view.as_bytes()));
    let tables: Vec<&str> = manifest.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(tables, ["events", "named", "spine"]);
    assert!(manifest.tables.iter().all(|table| table.definition.is_some()), "{:?}", manifest.tables);
    assert_eq!(manifest.sources.len(), 2);
    for source in &manifest.sources {
        let bytes = std::fs::read(&source.location).expect("a source");
        assert_eq!((source.size, &source.sha256), (bytes.len() as u64, &content::sha256(&bytes)));
    }
    assert!(manifest.known_at.is_empty() && manifest.models.is_empty() && manifest.setup.is_empty());
    // A session that knows nothing makes it again from the manifest alone.
    assert_eq!(folder.verify(&self::context().await, "x.parquet").await, []);
    assert_eq!(folder.verify(&context, "x.parquet").await, []);
}

#[tokio::test]
async fn the_same_training_set_has_the_same_manifest() {
    let folder = Folder::new().await;
    let first = folder.build("x.parquet").await;
    let text = std::fs::read(folder.file("x.parquet.manifest.json")).expect("a manifest");
    let again = folder.build("x.parquet").await;
    assert_eq!(first, again);
    assert_eq!(std::fs::read(folder.file("x.parquet.manifest.json")).expect("a manifest"), text);
    // Another order of the rows is the same content.
    let context = folder.session(15).await;
    let reversed = QUERY.replace("FROM spine", "FROM spine ORDER BY n DESC");
    let writing = context.write_training_set(&reversed, &folder.file("y.parquet")).await.expect("a plan");
    let other = writing.run().await.expect("a training set").manifest;
    assert_eq!(other.content, first.content);
    assert_ne!(other.digest, first.digest);
}

#[tokio::test]
async fn other_copies_carry_none() {
    let folder = Folder::new().await;
    let context = folder.session(15).await;
    let (rows, csv) = (folder.file("rows.parquet"), folder.file("set.csv"));
    context.sql(&format!("COPY (SELECT * FROM spine) TO '{rows}'; COPY ({QUERY}) TO '{csv}'")).await.expect("two COPY");
    assert!(Path::new(&rows).exists() && Path::new(&csv).exists());
    for file in [rows, csv] {
        assert!(!Path::new(&Manifest::location(&file)).exists(), "{file}");
        let error = context.verify_training_set(&file).await.expect_err("no manifest").to_string();
        assert!(error.contains("there is no manifest") && error.contains("training-set build"), "{error}");
    }
}

#[tokio::test]
async fn folders_carry_a_manifest_beside_them() {
    let folder = Folder::new().await;
    let context = folder.session(15).await;
    for (target, clause) in [("set/", "STORED AS PARQUET"), ("parts/", "STORED AS PARQUET PARTITIONED BY (k)")] {
        let copy = format!("COPY ({QUERY}) TO '{}' {clause}", folder.file(target));
        context.sql(&copy).await.expect("a COPY");
        let manifest = folder.manifest(target);
        assert_eq!(manifest.rows, 5, "{target}");
        assert_eq!(texts(&folder.verify(&context, target).await), "", "{target}");
    }
    assert!(Path::new(&folder.file("set.manifest.json")).exists());
    assert_eq!(folder.manifest("parts/").partitioned_by, ["k"]);
    // A query over a view of a training set is one too.
    context.sql(&format!("CREATE VIEW made AS {QUERY}")).await.expect("a view");
    context.sql(&format!("COPY made TO '{}'", folder.file("made.parquet"))).await.expect("a COPY");
    assert_eq!(folder.manifest("made.parquet").query, "SELECT * FROM made");
    assert_eq!(texts(&folder.verify(&self::context().await, "made.parquet").await), "");
}

#[tokio::test]
async fn a_changed_file_is_told_with_its_rows() {
    let folder = Folder::new().await;
    let built = folder.build("x.parquet").await;
    let context = folder.session(15).await;
    let text = format!(
        "CREATE TABLE held AS SELECT * FROM '{0}';
         COPY (SELECT * REPLACE (CASE WHEN n = 3 THEN 7.5 ELSE f__x END AS f__x) FROM held) TO '{0}'",
        folder.file("x.parquet")
    );
    context.sql(&text).await.expect("a change");
    let differences = folder.verify(&context, "x.parquet").await;
    let [Difference::File { expected, found, first }] = differences.as_slice() else { panic!("{differences:?}") };
    assert_eq!((expected.rows, found.rows, &expected.content), (5, 5, &built.content));
    assert_ne!(found.content, built.content);
    let cell = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
    let changed = Row { row: 4, file: Some(vec![cell("f__x", "7.5")]), query: Some(vec![cell("f__x", "1.0")]) };
    assert_eq!(first.as_slice(), std::slice::from_ref(&changed));
    let text = texts(&differences);
    assert!(text.contains("row 4: f__x = 7.5 in the file, f__x = 1.0 by the query"), "{text}");
    // Where a source has changed too, what the query gives is compared with the file as it is.
    let other = folder.path().join("events/1.parquet").display().to_string();
    let text = format!(
        "COPY (VALUES ('a', 10, 12, 1.0), ('a', 20, 25, 2.0), ('b', 5, 6, 8.0), ('b', 5, 6, 9.5)) TO '{other}'"
    );
    folder.run(&text).await;
    let differences = folder.verify(&folder.session(15).await, "x.parquet").await;
    let [Difference::File { .. }, Difference::Source { location, .. }, Difference::Rows { first, .. }] =
        differences.as_slice()
    else {
        panic!("{}", texts(&differences))
    };
    assert_eq!(*location, other);
    assert_eq!(
        *first,
        [
            Row {
                row: 2,
                file: Some(vec![cell("f__x", "9.0"), cell("f__n10", "1")]),
                query: Some(vec![cell("f__x", "9.5"), cell("f__n10", "2")])
            },
            changed,
        ]
    );
}

#[tokio::test]
async fn changed_added_and_moved_sources_are_told() {
    let folder = Folder::new().await;
    folder.build("x.parquet").await;
    let event = |text: &str, file: &str| format!("COPY (VALUES {text}) TO '{}'", folder.file(file));
    // A row that no spine row reaches changes the source and not the set.
    folder.run(&event("('z', 1, 1, 0.0)", "events/2.parquet")).await;
    let differences = folder.verify(&folder.session(15).await, "x.parquet").await;
    let [Difference::Source { location, expected: None, found: Some(_) }] = differences.as_slice() else {
        panic!("{differences:?}")
    };
    assert!(location.ends_with("events/2.parquet"), "{location}");
    std::fs::remove_file(folder.file("events/2.parquet")).expect("removed");
    // The same bytes elsewhere are the same source.
    std::fs::rename(folder.file("events/1.parquet"), folder.file("events/0.parquet")).expect("renamed");
    assert_eq!(texts(&folder.verify(&folder.session(15).await, "x.parquet").await), "");
    // A source that is gone.
    std::fs::rename(folder.file("events/0.parquet"), folder.file("events.parquet")).expect("renamed");
    folder.run(&event("('a', 10, 12, 1.0), ('a', 20, 25, 2.0)", "events/3.parquet")).await;
    let differences = folder.verify(&folder.session(15).await, "x.parquet").await;
    let text = texts(&differences);
    assert!(
        text.contains("events/1.parquet is gone") && text.contains("events/3.parquet is read in addition"),
        "{text}"
    );
    assert!(matches!(differences.last(), Some(Difference::Rows { found, .. }) if found.rows == 5), "{text}");
}

#[tokio::test]
async fn a_query_that_does_not_run_any_more_is_explained_by_its_sources() {
    let folder = Folder::new().await;
    folder.build("x.parquet").await;
    std::fs::remove_file(folder.file("spine.csv")).expect("removed");
    let differences = folder.verify(&context().await, "x.parquet").await;
    let text = texts(&differences);
    assert!(text.contains("spine.csv is gone") && text.contains("the query does not run any more"), "{text}");
}

#[tokio::test]
async fn a_changed_view_is_told_and_the_set_still_made_by_the_old_one() {
    let folder = Folder::new().await;
    folder.build("x.parquet").await;
    let differences = folder.verify(&folder.session(9).await, "x.parquet").await;
    let [Difference::View { name, changes }] = differences.as_slice() else { panic!("{}", texts(&differences)) };
    assert_eq!(name, "f");
    assert!(changes.iter().any(|change| change.contains("ttl") && change.ends_with("15 → 9")), "{changes:?}");
}

#[tokio::test]
async fn a_changed_schema_is_told() {
    let folder = Folder::new().await;
    folder.build("x.parquet").await;
    folder.run(&format!("COPY (SELECT 0.5 AS n, 'a' AS k, 30 AS at) TO '{}'", folder.file("spine.csv"))).await;
    let differences = folder.verify(&folder.session(15).await, "x.parquet").await;
    let columns = differences.iter().find_map(|difference| match difference {
        Difference::Columns { of: Side::Query, changes } => Some(changes.clone()),
        _ => None,
    });
    assert_eq!(columns, Some(vec!["n Int64 → n Float64".to_owned()]), "{}", texts(&differences));
    let rows = differences.iter().find_map(|difference| match difference {
        Difference::Rows { expected, found, .. } => Some((expected.rows, found.rows)),
        _ => None,
    });
    assert_eq!(rows, Some((5, 1)));
}

#[tokio::test]
async fn an_edited_or_foreign_manifest_is_told() {
    let folder = Folder::new().await;
    folder.build("x.parquet").await;
    let location = folder.file("x.parquet.manifest.json");
    let text = std::fs::read_to_string(&location).expect("a manifest");
    let edit = |from: &str, to: &str| std::fs::write(&location, text.replacen(from, to, 1)).expect("an edit");
    edit("\"created_by\": \"skewless", "\"created_by\": \"someone");
    let differences = folder.verify(&context().await, "x.parquet").await;
    assert!(matches!(differences.as_slice(), [Difference::Manifest { .. }]), "{}", texts(&differences));
    edit("\"version\": 1", "\"version\": 7");
    let error =
        context().await.verify_training_set(&folder.file("x.parquet")).await.expect_err("a version").to_string();
    assert!(error.contains("version 7") && error.contains("reads version 1"), "{error}");
    edit("\"rows\": 5", "\"rows\": []");
    let error = context().await.verify_training_set(&folder.file("x.parquet")).await.expect_err("no form").to_string();
    assert!(error.contains("is not the manifest of a training set"), "{error}");
}

#[tokio::test]
async fn a_table_of_a_session_cannot_be_made_again() {
    let folder = Folder::new().await;
    let context = folder.session(15).await;
    let query = QUERY.replace("FROM spine", "FROM held");
    context.sql("CREATE TABLE held AS SELECT * FROM spine").await.expect("a table");
    context.sql(&format!("COPY ({query}) TO '{}'", folder.file("x.parquet"))).await.expect("a COPY");
    assert_eq!(texts(&folder.verify(&context, "x.parquet").await), "");
    let target = folder.file("x.parquet");
    let error = self::context().await.verify_training_set(&target).await.expect_err("no table").to_string();
    assert!(error.contains("the table `held` was filled in the session") && error.contains("definitions"), "{error}");
    // The statements given to build are in the manifest, and run again.
    let text = format!("{}; CREATE TABLE held AS SELECT * FROM spine; {query}", folder.definitions(15));
    let context = self::context().await;
    let written = context.write_training_set(&text, &target).await.expect("a plan").run().await.expect("a set");
    assert_eq!(written.manifest.setup.len(), 5);
    assert_eq!(texts(&folder.verify(&self::context().await, "x.parquet").await), "");
}

#[tokio::test]
async fn what_is_no_training_set_is_not_built() {
    let folder = Folder::new().await;
    let context = folder.session(15).await;
    let refused = async |text: &str, name: &str, part: &str| {
        let error = context.write_training_set(text, &folder.file(name)).await.expect_err(text).to_string();
        assert!(error.contains(part), "{error}");
    };
    refused("", "x.parquet", "there is no statement").await;
    refused("SELECT 1", "x.parquet", "FROM ml_training_set").await;
    refused(&format!("SELECT 1; {QUERY}"), "x.parquet", "the rows of one query").await;
    refused("CREATE TABLE t AS SELECT 1", "x.parquet", "is no query").await;
    refused(QUERY, "x.csv", "does not end in .parquet").await;
    assert!(!Path::new(&folder.file("x.parquet")).exists());
}

/// Time travel: what became known later does not change what was known then.
#[tokio::test]
async fn known_at_reproduces_the_past_after_late_rows_were_appended() {
    let folder = Folder::new().await;
    let at = |known_at: &str| QUERY.replace("['f']", &format!("['f']{known_at}"));
    let build = async |known_at: &str, name: &str| {
        let context = folder.session(15).await;
        let writing = context.write_training_set(&at(known_at), &folder.file(name)).await.expect("a plan");
        writing.run().await.expect("a training set").manifest
    };
    let before = build(", known_at => 25", "before.parquet").await;
    let open = build("", "open.parquet").await;
    assert_eq!(before.content, open.content);
    assert_eq!(before.known_at, ["25"]);
    // Late rows: of the past, and known only from 26 on.
    folder
        .run(&format!(
            "COPY (VALUES ('a', 22, 26, 5.0), ('b', 6, 26, 7.0), ('c', 29, 26, 1.0)) TO '{}'",
            folder.file("events/2.parquet")
        ))
        .await;
    let after = build(", known_at => 25", "after.parquet").await;
    assert_eq!(after.content, before.content);
    assert_ne!(build("", "open2.parquet").await.content, open.content);
    let rows = |name: &str| {
        let text = format!("SELECT * FROM '{}' ORDER BY n", folder.file(name));
        async move {
            let outcome = context().await.sql(&text).await.expect("rows").pop();
            let Some(Outcome::Rows(frame)) = outcome else { panic!("no rows") };
            pretty(&frame.collect().await.expect("rows"))
        }
    };
    assert_eq!(rows("before.parquet").await, rows("after.parquet").await);
}
