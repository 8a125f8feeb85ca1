//! Contracts: what breaks a promise is counted and shown, whatever the plan.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use datafusion::common::cast::as_boolean_array;

use crate::{Options, Outcome, SkewlessContext};

async fn context(partitions: usize) -> SkewlessContext {
    let options = Options { target_partitions: Some(partitions), batch_size: Some(2), ..Options::default() };
    SkewlessContext::new(options).await.expect("a session")
}

async fn run(context: &SkewlessContext, sql: &str) -> Result<RecordBatch, String> {
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

const TABLE: &str = "CREATE TABLE t AS SELECT * FROM (VALUES
  (1, 'AA', 5.0, 7.0), (2, 'DL', -3.0, 1.0), (2, 'ZZ', 900.0, 1.0), (NULL, 'AA', NULL, 1.0)) AS v(id, carrier, delay, gap);";

/// Rule, kind, violations, holds, examples.
async fn verdicts(contract: &str) -> Vec<(String, String, i64, bool, String)> {
    let mut answers = Vec::new();
    for partitions in [1, 3] {
        let context = context(partitions).await;
        let sql =
            format!("{TABLE} CREATE CONTRACT c {contract}; SELECT * FROM ml_validate_data(data => t, contract => 'c')");
        let batch = run(&context, &sql).await.expect(contract);
        let text =
            |name: &str, row: usize| batch.column_by_name(name).expect(name).as_string::<i32>().value(row).to_owned();
        let rows = (0..batch.num_rows()).map(|row| {
            let violations =
                batch.column_by_name("violations").expect("a count").as_primitive::<Int64Type>().value(row);
            let holds = as_boolean_array(batch.column_by_name("holds").expect("a verdict")).expect("a flag").value(row);
            let examples = batch.column_by_name("examples").expect("examples").as_list::<i32>().value(row);
            let examples: Vec<&str> = examples.as_string::<i32>().iter().flatten().collect();
            (text("rule", row), text("kind", row), violations, holds, examples.join(" | "))
        });
        answers.push(rows.collect::<Vec<_>>());
    }
    assert_eq!(answers.first(), answers.last(), "no plan changes the verdict");
    answers.swap_remove(0)
}

fn broken(verdicts: &[(String, String, i64, bool, String)]) -> Vec<(&str, i64, &str)> {
    let broken = verdicts.iter().filter(|verdict| !verdict.3);
    broken.map(|(rule, _, violations, _, examples)| (rule.as_str(), *violations, examples.as_str())).collect()
}

#[tokio::test]
async fn a_contract_that_holds_has_no_violation() {
    let verdicts = verdicts("(carrier VARCHAR NOT NULL, gap DOUBLE CHECK (gap > 0), CHECK (count(*) > 3))").await;
    assert_eq!(verdicts.len(), 5);
    assert!(broken(&verdicts).is_empty(), "{verdicts:?}");
}

#[tokio::test]
async fn violations_are_counted_and_shown() {
    let verdicts = verdicts(
        "(id BIGINT PRIMARY KEY, carrier VARCHAR CHECK (carrier IN ('AA', 'DL')), \
         delay DOUBLE CHECK (delay BETWEEN -60 AND 600), CONSTRAINT after CHECK (gap >= delay), \
         CONSTRAINT filled CHECK (count(delay) >= 0.9 * count(*)))",
    )
    .await;
    assert_eq!(
        broken(&verdicts),
        [
            ("id_not_null", 1, ""),
            ("id_unique", 1, "2"),
            ("carrier_check", 1, "ZZ"),
            ("delay_check", 1, "900.0"),
            ("after", 1, "delay = 900.0, gap = 1.0"),
            ("filled", 1, "count(t.delay) = 3 | count(*) = 4"),
        ]
    );
}

#[tokio::test]
async fn a_missing_column_and_another_type_are_violations_and_not_errors() {
    let verdicts =
        verdicts("(idd BIGINT NOT NULL, carrier INT CHECK (carrier > 0), delay DOUBLE, CHECK (idd < 9))").await;
    let found = broken(&verdicts);
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(found[3].2.contains("the promise on the type of carrier is broken"), "{found:?}");
    assert!(found[4].2.contains("the promise on the type of carrier, idd is broken"), "{found:?}");
    assert!(found[0].2.contains("did you mean `id`"), "{found:?}");
    assert!(found[1].2.contains("but Int32 is promised"), "{found:?}");
}

#[tokio::test]
async fn null_passes_a_check_and_differs_from_every_other_null() {
    let context = context(2).await;
    let sql = "CREATE CONTRACT c (a BIGINT UNIQUE CHECK (a > 0)); SELECT holds FROM ml_validate_data(\
               data => (SELECT * FROM (VALUES (1), (NULL), (NULL)) AS v(a)), contract => 'c')";
    let batch = run(&context, sql).await.expect("verdicts");
    let holds = as_boolean_array(batch.column(0)).expect("flags").clone();
    assert!(holds.iter().all(|holds| holds == Some(true)));
}

#[tokio::test]
async fn no_row_breaks_nothing() {
    let context = context(2).await;
    let sql = "CREATE CONTRACT c (a BIGINT NOT NULL UNIQUE CHECK (a > 0)); SELECT violations, share FROM ml_validate_data(\
               data => (SELECT 1 AS a WHERE false), contract => 'c')";
    let batch = run(&context, sql).await.expect("verdicts");
    assert_eq!(batch.num_rows(), 4);
    assert_eq!(batch.column(1).null_count(), 4);
}

#[tokio::test]
async fn wrong_statements_are_refused_with_the_remedy() {
    let context = context(2).await;
    for (sql, said) in [
        ("CREATE CONTRACT c", "expected ON FEATURE VIEW name or `(`"),
        ("CREATE CONTRACT c ()", "promises nothing"),
        ("CREATE CONTRACT c (a BIGINT, a INT)", "names the column `a` twice"),
        ("CREATE CONTRACT c (a BIGINT DEFAULT 1)", "takes NOT NULL, UNIQUE, PRIMARY KEY and CHECK"),
        ("CREATE CONTRACT c (CONSTRAINT x CHECK (a > 0), CONSTRAINT x CHECK (a < 9))", "two rules named `x`"),
        ("CREATE CONTRACT d (a BIGINT); CREATE CONTRACT d (a BIGINT)", "write CREATE OR REPLACE CONTRACT"),
        ("SELECT * FROM ml_validate_data(data => (SELECT 1 AS a), contract => 'dd')", "did you mean `d`?"),
        ("DROP CONTRACT e", "there is no contract `e`"),
        (
            "CREATE CONTRACT f (CONSTRAINT x CHECK (b > 0)); \
             SELECT * FROM ml_validate_data(data => (SELECT 1 AS a), contract => 'f')",
            "the rule `x`",
        ),
        ("CREATE CONTRACT h (a BIGINT) NOT ENFORCED", "ON FEATURE VIEW view"),
        ("CREATE CONTRACT h (DRIFT (a) < 0)", "FROM (SELECT …), or FROM X'…'"),
        ("CREATE CONTRACT h (DRIFT (a) < 0 FROM (SELECT 1 AS a))", "an effect stays below a positive number"),
        ("CREATE CONTRACT h (DRIFT (a USING pis) < 1 FROM (SELECT 1 AS a))", "did you mean `psi`?"),
        ("CREATE CONTRACT h (DRIFT (a ALPHA 2) < 1 FROM (SELECT 1 AS a))", "alpha is 2, but"),
        ("CREATE CONTRACT h (DRIFT (a) <= 1 FROM (SELECT 1 AS a))", "expected `<`"),
        ("CREATE CONTRACT h (DRIFT (a) < 1 FROM (SELECT 1 AS aa, 2 AS b))", "did you mean `aa`?"),
        ("CREATE CONTRACT h (DRIFT (a) < 1 FROM (SELECT [1] AS a))", "has no distribution to compare"),
        ("CREATE CONTRACT h (DRIFT (a) < 1 FROM (SELECT 1 AS a WHERE false))", "the base has no value"),
        ("CREATE CONTRACT h (DRIFT (a) < 1 FROM X'00')", "the bytes are no profile"),
        ("CREATE CONTRACT h (DRIFT (a) < 1 FROM X'0')", "two hexadecimal digits for each byte"),
        (
            "CREATE CONTRACT g (CONSTRAINT x CHECK (count(a) > a)); \
             SELECT * FROM ml_validate_data(data => (SELECT 1 AS a), contract => 'g')",
            "mixes an aggregate with the column `a`",
        ),
    ] {
        let message = run(&context, sql).await.expect_err(sql);
        assert!(message.contains(said), "{sql}: {message}");
    }
}

#[tokio::test]
async fn contracts_are_shown_and_dropped() {
    let context = context(1).await;
    let sql = "CREATE CONTRACT c (a BIGINT NOT NULL); SHOW CONTRACTS";
    let batch = run(&context, sql).await.expect("a list");
    assert_eq!(batch.column(2).as_string::<i32>().value(0), "CREATE CONTRACT c (a BIGINT NOT NULL)");
    assert_eq!(run(&context, "DROP CONTRACT c; SHOW CONTRACTS").await.expect("a list").num_rows(), 0);
}

#[tokio::test]
async fn duplicates_are_shown_as_they_are_whatever_the_type() {
    let context = context(3).await;
    let sql = "CREATE CONTRACT c (UNIQUE (a), UNIQUE (a, b), UNIQUE (at), UNIQUE (x)); \
               SELECT rule, violations, examples FROM ml_validate_data(contract => 'c', data => (SELECT a, b, \
               CAST(at AS DATE) AS at, x FROM (VALUES (3, 'p', '2024-01-01', 1.5), (1, 'p', '2024-01-02', 1.5), \
               (3, 'p', '2024-01-01', NULL), (2, NULL, NULL, NULL), (2, NULL, '2024-01-01', 0.0), (1, 'q', '2024-01-03', 0.0)) \
               AS v(a, b, at, x)))";
    let batch = run(&context, sql).await.expect("verdicts");
    let rows: Vec<(String, i64, Vec<String>)> = (0..batch.num_rows())
        .map(|row| {
            let examples = batch.column(2).as_list::<i32>().value(row);
            let examples = examples.as_string::<i32>().iter().flatten().map(str::to_owned).collect();
            let rule = batch.column(0).as_string::<i32>().value(row).to_owned();
            (rule, batch.column(1).as_primitive::<Int64Type>().value(row), examples)
        })
        .collect();
    let expected = [
        ("a_unique", 3, vec!["1", "3"]),
        ("a_b_unique", 1, vec!["a = 3, b = p"]),
        ("at_unique", 2, vec!["2024-01-01"]),
        ("x_unique", 2, vec!["0.0", "1.5"]),
    ];
    let expected = expected
        .map(|(rule, n, examples)| (rule.to_owned(), n, examples.into_iter().map(str::to_owned).collect::<Vec<_>>()));
    assert_eq!(rows, expected);
}

const BASE: &str = "CREATE TABLE base AS SELECT value AS n, CAST(value % 997 AS DOUBLE) AS x, \
                    CASE WHEN value % 3 = 0 THEN 'a' ELSE 'b' END AS k FROM generate_series(1, 3000) AS g(value);";

#[tokio::test]
async fn drift_is_measured_from_a_profile_in_the_contract() {
    let mut answers = Vec::new();
    for partitions in [1, 3] {
        let context = context(partitions).await;
        let sql = format!(
            "{BASE} CREATE TABLE months AS SELECT n % 2 AS m, ml_profile(x) AS profile FROM base GROUP BY n % 2; \
             CREATE CONTRACT c (x DOUBLE, drift, DRIFT (x) < 0.1 FROM (SELECT * FROM base), \
             CONSTRAINT merged DRIFT (x USING psi ALPHA 0.01) < 0.1 FROM (SELECT profile FROM months), \
             DRIFT (k) < 0.1 FROM (SELECT k FROM base ORDER BY n)); DROP TABLE months; \
             SELECT rule, kind, violations, holds, examples FROM ml_validate_data(contract => 'c', \
             data => (SELECT x + CASE WHEN n > 2000 THEN 400 ELSE 0 END AS x, k, 1 AS drift FROM base)) WHERE kind = 'drift'"
        );
        let batch = run(&context, &sql).await.expect("verdicts");
        let holds = as_boolean_array(batch.column(3)).expect("flags").clone();
        assert_eq!(holds.iter().collect::<Vec<_>>(), [Some(false), Some(false), Some(true)]);
        let first = batch.column(4).as_list::<i32>().value(0);
        let first = first.as_string::<i32>().value(0).to_owned();
        // Two rules share 0.05; the third has an alpha of its own.
        assert!(first.starts_with("ks effect 0.13") && first.contains("(alpha 0.025)"), "{first}");
        assert_eq!(batch.column(0).as_string::<i32>().value(2), "k_drift");
        answers.push(first);

        // The statement has profiles where it had queries, and makes the same contract again.
        let shown = run(&context, "DESCRIBE CONTRACT c").await.expect("a statement");
        let statement = shown.column(2).as_string::<i32>().value(0).to_owned();
        assert!(!statement.contains("SELECT") && statement.contains("FROM X'534b5750"), "{statement}");
        let again = statement.replacen(" c ", " d ", 1);
        let sql = format!(
            "{again}; SELECT count(*) FROM ml_validate_data(contract => 'd', data => base) WHERE NOT holds AND kind = 'drift'"
        );
        let batch = run(&context, &sql).await.expect("a count");
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(0), 0);
        let shown = run(&context, "SHOW CONTRACTS").await.expect("a list");
        assert!(shown.column(2).as_string::<i32>().value(0).contains("FROM X'534b57500101…'"));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn drift_that_cannot_be_decided_is_null_and_says_why() {
    let context = context(2).await;
    let sql = format!(
        "{BASE} CREATE CONTRACT c (x DOUBLE, DRIFT (x) < 0.1 FROM (SELECT x FROM base), DRIFT (gone) < 0.1 FROM (SELECT x FROM base)); \
         SELECT rule, violations, holds, share, examples FROM ml_validate_data(contract => 'c', data => (SELECT x FROM base WHERE false)) \
         WHERE kind = 'drift' UNION ALL \
         SELECT rule, violations, holds, share, examples FROM ml_validate_data(contract => 'c', data => (SELECT k AS x FROM base)) \
         WHERE kind = 'drift'"
    );
    let batch = run(&context, &sql).await.expect("verdicts");
    let said = |row: usize| batch.column(4).as_list::<i32>().value(row).as_string::<i32>().value(0).to_owned();
    assert_eq!(batch.num_rows(), 4);
    let rules = batch.column(0).as_string::<i32>();
    for row in 0..4 {
        assert!(batch.column(3).is_null(row), "no share of rows drifts");
        let open = rules.value(row) == "x_drift";
        assert_eq!((batch.column(1).is_null(row), batch.column(2).is_null(row)), (open, open), "{}", said(row));
    }
    let all: Vec<String> = (0..4).map(said).collect();
    for text in
        ["no row in the study sample", "the promise on the type of x is broken", "the data has no column `gone`"]
    {
        assert!(all.iter().any(|said| said.contains(text)), "{text}: {all:?}");
    }
}

#[tokio::test]
async fn a_baseline_is_profiled_once() {
    let context = context(1).await;
    let sql = "CREATE TABLE t AS SELECT 1.0 AS x; CREATE CONTRACT c (DRIFT (x) < 0.1 FROM (SELECT x FROM t)); DROP TABLE t; \
               CREATE CONTRACT IF NOT EXISTS c (DRIFT (x) < 0.1 FROM (SELECT x FROM t)); SHOW CONTRACTS";
    assert_eq!(run(&context, sql).await.expect("a list").num_rows(), 1);
    let message = run(&context, "CREATE OR REPLACE CONTRACT c (DRIFT (x) < 0.1 FROM (SELECT x FROM t))").await;
    assert!(message.expect_err("no table").contains("table"));
}

/// A view ON DEMAND and one of rows, and a contract of each.
const DOORS: &str = "CREATE TABLE rides AS SELECT 'N' || value AS tail, to_timestamp_seconds(value * 60) AS at, \
    CASE WHEN value % 7 = 0 THEN NULL ELSE CAST(value AS DOUBLE) - 20.0 END AS delay, \
    CASE value % 4 WHEN 0 THEN 'AA' WHEN 1 THEN 'b' WHEN 2 THEN NULL ELSE 'ZZ' END AS carrier, value % 13 - 2 AS stops \
    FROM generate_series(1, 200) AS g(value);
  CREATE FEATURE VIEW last ENTITY (tail) TIMESTAMP (at) AS SELECT tail, at, delay / 60 AS hours, carrier, stops FROM rides;
  CREATE FEATURE VIEW sums ON DEMAND (delay DOUBLE, stops BIGINT) AS SELECT delay * stops AS product;
  CREATE CONTRACT rides_ok ON FEATURE VIEW last (
    tail VARCHAR PRIMARY KEY, delay DOUBLE NOT NULL CHECK (delay BETWEEN -10 AND 150.5),
    carrier VARCHAR CHECK (carrier IN ('AA', 'b')) CHECK (regexp_like(carrier, '^[A-Z]{2}$')), stops BIGINT CHECK (stops >= 0),
    CONSTRAINT after_the_first CHECK (at > TIMESTAMP '1970-01-01T00:02:00'),
    CONSTRAINT curve CHECK (exp(delay / 30.0) < 20.085536923187668 AND sin(delay) < 0.95),
    CONSTRAINT crossed CHECK (delay > stops OR carrier IS NULL), CHECK (count(*) > 3),
    DRIFT (stops) < 0.1 FROM (SELECT stops FROM rides)) NOT ENFORCED";

#[tokio::test]
async fn the_component_finds_the_rows_that_sql_counts() {
    let context = context(2).await;
    let done = context.sql(DOORS).await.expect("a contract");
    let Some(Outcome::Done(message)) = done.last() else { panic!("{done:?}") };
    assert_eq!(
        message,
        "contract rides_ok created, 16 promises; one request does not show whether tail_unique, check, stops_drift is kept"
    );
    let view = context.views().find("last").expect("a view").definition.clone();
    let contracts = context.contracts().at_door(&view).expect("conditions");
    assert!(!contracts[0].is_enforced && contracts[0].rules.len() == 9, "{contracts:?}");
    // As it is stored and read back.
    let stored = view.with_contracts(contracts).to_json().expect("JSON");
    let served = skewless_udf::view::FeatureView::from_json(&stored).expect("a view");
    let rows = run(&context, "SELECT * FROM rides").await.expect("rows");
    let breaches = served.breaches(&rows).expect("breaches");
    let sql = "SELECT rule, violations FROM ml_validate_data(data => rides, contract => 'rides_ok') \
               WHERE kind IN ('not null', 'check')";
    let counted = run(&context, sql).await.expect("counts");
    let mut broken = 0;
    for row in 0..counted.num_rows() {
        let rule = counted.column(0).as_string::<i32>().value(row);
        let violations = counted.column(1).as_primitive::<Int64Type>().value(row);
        let found = breaches.iter().find(|breach| breach.rule.name == rule).map_or(0, |breach| breach.rows.len());
        assert_eq!(found as i64, violations, "{rule}");
        broken += i64::from(violations > 0);
    }
    assert_eq!((counted.num_rows(), broken), (9, 8));
}

#[tokio::test]
async fn a_contract_of_requests_reads_what_requests_bring() {
    let context = context(2).await;
    context.sql(DOORS).await.expect("a contract");
    for (sql, said) in [
        ("CREATE CONTRACT c ON FEATURE VIEW lats (a BIGINT)", "did you mean `last`?"),
        ("CREATE CONTRACT c ON FEATURE VIEW last (dely DOUBLE)", "did you mean `delay`?"),
        ("CREATE CONTRACT c ON FEATURE VIEW last (delay BIGINT)", "reads the column `delay` as Float64, but Int64"),
        ("CREATE CONTRACT c ON FEATURE VIEW sums (CHECK (carrier = 'AA'))", "unknown column `carrier`"),
        ("CREATE CONTRACT c ON FEATURE VIEW sums (CHECK (delay + 1))", "not a condition"),
        ("CREATE CONTRACT c ON FEATURE VIEW last (CHECK (at > now()))", "a different value each time"),
        ("CREATE CONTRACT c ON VIEW last (a BIGINT)", "FEATURE VIEW, as in"),
        (
            "CREATE FEATURE VIEW grouped ENTITY (tail) TIMESTAMP (at) AS SELECT tail, max(at) AS at, count(*) AS n FROM rides \
             GROUP BY tail; CREATE CONTRACT c ON FEATURE VIEW grouped (tail VARCHAR)",
            "they are materialized only",
        ),
    ] {
        let message = run(&context, sql).await.expect_err(sql);
        assert!(message.contains(said), "{sql}: {message}");
    }
    let sql = "CREATE CONTRACT c ON FEATURE VIEW SUMS (stops BIGINT CHECK (stops > 0)) ENFORCED; SHOW CONTRACTS";
    run(&context, sql).await.expect("a contract");
    let view = context.views().find("sums").expect("a view").definition.clone();
    assert!(context.contracts().at_door(&view).expect("conditions")[0].is_enforced);
}
