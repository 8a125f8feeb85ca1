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
            ("id_unique", 1, ""),
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
        ("CREATE CONTRACT c", "expected `(`"),
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
