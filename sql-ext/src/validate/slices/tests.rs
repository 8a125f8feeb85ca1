//! `ml_find_slices`: what is worse is found as a condition that SQL runs, and no plan changes a byte of the answer.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};
use arrow::util::pretty::pretty_format_batches;

use crate::validate::tests::run;

/// 6000 rows; the loss is 1 more often where the word is 'b' and the flag is set.
const DATA: &str = "CREATE TABLE d AS SELECT value AS n, sin(value * 12.9898) * 43758.5453 % 1.0 AS x,
    CASE value % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'b' ELSE 'it''s' END AS word, value % 2 = 0 AS flag,
    CASE WHEN value % 11 = 0 THEN NULL ELSE value % 7 END AS \"Few Values\",
    to_timestamp_seconds(1700000000 + value) AS at, [value] AS list, 'v' || value AS id,
    CASE WHEN value % 3 = 1 AND value % 2 = 0 THEN 0.4 ELSE 0.1 END > abs(sin(value * 78.233) * 43758.5453 % 1.0) AS wrong
  FROM generate_series(1, 6000) AS g(value);";

#[tokio::test]
async fn a_slice_is_a_condition_and_no_plan_changes_the_answer() {
    let sql = format!(
        "{DATA} SELECT * FROM ml_find_slices(data => (SELECT x, word, flag, \"Few Values\", wrong FROM d), loss => 'wrong')"
    );
    let mut shown = Vec::new();
    for (partitions, batch_size) in [(1, 8192), (4, 64), (7, 1000)] {
        let batch = run(partitions, batch_size, &sql).await.expect("slices");
        shown.push(pretty_format_batches(&[batch]).expect("a table").to_string());
    }
    assert!(shown.windows(2).all(|pair| pair[0] == pair[1]), "{}\n{}", shown[0], shown[1]);
    let batch = run(2, 100, &sql).await.expect("slices");
    let slices = batch.column(0).as_string::<i32>();
    let counts = batch.column(2).as_primitive::<Int64Type>();
    let means = batch.column(3).as_primitive::<Float64Type>();
    assert_eq!((slices.value(0), counts.value(0)), ("all rows", 6000));
    assert_eq!(slices.value(1), "word = 'b' AND flag = true", "{}", shown[0]);
    assert!(batch.column(12).is_null(1), "{}", shown[0]);
    for row in 1..batch.num_rows() {
        let sql = format!("{DATA} SELECT count(*), avg(wrong::INT) FROM d WHERE {}", slices.value(row));
        let own = run(2, 100, &sql).await.expect("a slice");
        let own =
            (own.column(0).as_primitive::<Int64Type>().value(0), own.column(1).as_primitive::<Float64Type>().value(0));
        assert_eq!(own, (counts.value(row), means.value(row)), "{}", slices.value(row));
    }
}

#[tokio::test]
async fn both_scans_are_one_subquery_and_one_aggregation() {
    let sql = format!(
        "{DATA} EXPLAIN SELECT slice FROM ml_find_slices(data => (SELECT x, word, wrong FROM d), loss => 'wrong')"
    );
    let shown = pretty_format_batches(&[run(2, 100, &sql).await.expect("a plan")]).expect("a table").to_string();
    assert!(shown.contains("ScalarSubqueryExec: subqueries=1"), "{shown}");
}

#[tokio::test]
async fn what_is_not_searched_is_told() {
    let sql = format!(
        "{DATA} SELECT note FROM ml_find_slices(data => (SELECT word, at, list, id, wrong FROM d), loss => 'wrong', min_rows => 100)"
    );
    let note = run(2, 100, &sql).await.expect("slices").column(0).as_string::<i32>().value(0).to_owned();
    for said in [
        "3 slices of 1 columns searched",
        "at not searched: Timestamp",
        "list not searched: List",
        "id not searched: about",
    ] {
        assert!(note.contains(said), "{said}: {note}");
    }
    let sql = format!(
        "{DATA} SELECT n, note FROM ml_find_slices(data => (SELECT word, wrong FROM d WHERE false), loss => 'wrong')"
    );
    let batch = run(2, 100, &sql).await.expect("slices");
    assert_eq!((batch.num_rows(), batch.column(0).as_primitive::<Int64Type>().value(0)), (1, 0));
}

#[tokio::test]
async fn wrong_calls_are_refused_with_the_remedy() {
    let call = |data: &str, rest: &str| format!("{DATA} SELECT * FROM ml_find_slices(data => ({data}), {rest})");
    for (data, rest, said) in [
        ("SELECT * FROM d", "loss => 'rong'", "has no column `rong`, the loss of a row; did you mean `wrong`?"),
        ("SELECT * FROM d", "loss => 'word'", "the loss of a row is a number or a boolean"),
        ("SELECT * FROM d", "loss => 'wrong', by => ['wordd']", "did you mean `word`?"),
        ("SELECT * FROM d", "loss => 'wrong', by => ['at']", "date_part('hour', t)"),
        ("SELECT * FROM d", "loss => 'wrong', by => ['x', 'x']", "names `x` twice"),
        ("SELECT * FROM d", "loss => 'wrong', by => ['wrong']", "which is the loss"),
        ("SELECT wrong FROM d", "loss => 'wrong'", "no column besides the loss"),
        ("SELECT * FROM d", "loss => 'wrong', alpha => 0", "`alpha` is a share above 0 and up to 1, not 0"),
        ("SELECT * FROM d", "loss => 'wrong', max_columns => 4", "`max_columns` is 1, 2 or 3, not 4"),
        ("SELECT * FROM d", "loss => 'wrong', bins => 1.5", "`bins` is a whole number from 2 to 100"),
        ("SELECT * FROM d", "loss => 'wrong', correction => 'benjamini_hochberg'", "is not proven for slices"),
        ("SELECT * FROM d", "loss => 'wrong', correction => 'hol'", "did you mean `holm`?"),
        ("SELECT random() AS x, 1 AS loss FROM d", "loss => 'loss'", "is read twice and has a volatile function"),
        ("SELECT * FROM d", "los => 'wrong'", "did you mean `loss`?"),
    ] {
        let message = run(1, 1000, &call(data, rest)).await.expect_err(rest);
        assert!(message.contains(said), "{rest}: {message}");
    }
}
