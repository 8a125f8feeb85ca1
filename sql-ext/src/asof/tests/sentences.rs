//! One test for each sentence that the manual says of `ASOF JOIN`.

use arrow::compute::concat_batches;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::*;

async fn query(partitions: usize, sql: &str) -> std::result::Result<RecordBatch, String> {
    let options = Options { target_partitions: Some(partitions), batch_size: Some(2), ..Options::default() };
    let context = SkewlessContext::new(options).await.expect("a session");
    let mut rows = None;
    for statement in context.parse(sql).map_err(|error| error.to_string())? {
        if let Outcome::Rows(frame) = context.run(statement).await.map_err(|error| error.to_string())? {
            let batches = frame.collect().await.map_err(|error| error.to_string())?;
            let schema = batches.first().map(RecordBatch::schema).expect("a batch");
            rows = Some(concat_batches(&schema, &batches).map_err(|error| error.to_string())?);
        }
    }
    rows.ok_or_else(|| "no query".to_owned())
}

/// The rows of a query, which no number of partitions changes, with spaces between the values.
async fn rows(sql: &str) -> Vec<String> {
    let mut answers = Vec::new();
    for partitions in [1, 4] {
        let batch = query(partitions, sql).await.expect(sql);
        let options = FormatOptions::new().with_null("-");
        let columns: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).expect("a shown column"))
            .collect();
        let row = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" ");
        answers.push((0..batch.num_rows()).map(row).collect::<Vec<_>>());
    }
    assert_eq!(answers.first(), answers.last());
    answers.swap_remove(0)
}

async fn refusal(sql: &str) -> String {
    query(2, sql).await.expect_err("a refusal")
}

const L: &str = "(VALUES (1, 'a', 5), (2, 'a', 1), (3, 'b', 9), (4, 'c', 9), (5, 'a', 5)) AS l(n, k, t)";
const R: &str = "(VALUES ('a', 3, 'x'), ('a', 5, 'y'), ('b', 9, 'z')) AS r(k, t, v)";

#[tokio::test]
async fn every_left_row_appears_exactly_once_in_left_order() {
    let all = rows(&format!("SELECT n, v FROM {L} ASOF JOIN {R} MATCH_CONDITION (l.t >= r.t) ON l.k = r.k")).await;
    assert_eq!(all, ["1 y", "2 -", "3 z", "4 -", "5 y"]);
    let using = rows(&format!("SELECT n, v, k FROM {L} ASOF JOIN {R} MATCH_CONDITION (l.t > r.t) USING (k)")).await;
    assert_eq!(using, ["1 x a", "2 - a", "3 - b", "4 - c", "5 x a"]);
    let none =
        format!("SELECT n, v FROM {L} ASOF JOIN (SELECT * FROM {R} WHERE false) AS r MATCH_CONDITION (l.t >= r.t)");
    assert_eq!(rows(&none).await, ["1 -", "2 -", "3 -", "4 -", "5 -"]);
}

#[tokio::test]
async fn each_of_the_four_comparisons_finds_the_nearest_row_on_its_side() {
    for (operator, found) in [(">=", "5 4"), (">", "5 3"), ("<=", "5 4"), ("<", "5 8")] {
        // 4 stands for the row at the very time.
        let right = "(VALUES (3, 3), (5, 4), (8, 8)) AS r(t, v)";
        let sql =
            format!("SELECT l.t, v FROM (VALUES (5)) AS l(t) ASOF JOIN {right} MATCH_CONDITION (l.t {operator} r.t)");
        assert_eq!(rows(&sql).await, [found], "{operator}");
    }
}

#[tokio::test]
async fn swapped_operands_equality_and_a_missing_comparison_are_plan_errors() {
    let join = |condition: &str| format!("SELECT * FROM {L} ASOF JOIN {R} MATCH_CONDITION ({condition}) ON l.k = r.k");
    let swapped = refusal(&join("r.t <= l.t")).await;
    assert!(swapped.contains("has its sides swapped; write `l.t >= r.t`"), "{swapped}");
    for (condition, said) in [("l.t = r.t", "does not take `=`"), ("l.t <> r.t", "does not take `!=`")] {
        let message = refusal(&join(condition)).await;
        assert!(message.contains(said), "{message}");
    }
    let missing = refusal(&format!("SELECT * FROM {L} ASOF JOIN {R} ON l.k = r.k")).await;
    assert!(missing.contains("MATCH_CONDITION"), "{missing}");
}

#[tokio::test]
async fn keys_and_times_of_different_types_coerce() {
    let sql = "SELECT l.n, r.v FROM \
               (SELECT arrow_cast(column1, 'UInt8') AS k, arrow_cast(column2, 'Timestamp(Second, None)') AS t, 1 AS n \
                FROM (VALUES (1, '2024-05-01T00:00:02'))) AS l \
               ASOF JOIN (VALUES (1, TIMESTAMP '2024-05-01 00:00:01.000000001', 'v')) AS r(k, t, v) \
               MATCH_CONDITION (l.t >= r.t) ON l.k = r.k";
    assert_eq!(rows(sql).await, ["1 v"]);
}

#[tokio::test]
async fn integer_and_timestamp_times_are_never_compared_as_floats() {
    // As doubles both pairs would be equal.
    let integers = "SELECT v FROM (VALUES (9007199254740993)) AS l(t) \
                    ASOF JOIN (VALUES (9007199254740992, 'before'), (9007199254740994, 'after')) AS r(t, v) \
                    MATCH_CONDITION (l.t > r.t)";
    assert_eq!(rows(integers).await, ["before"]);
    let instants = "SELECT v FROM (VALUES (TIMESTAMP '2024-05-01 00:00:00.000000001')) AS l(t) \
                    ASOF JOIN (VALUES (TIMESTAMP '2024-05-01 00:00:00.000000002', 'later')) AS r(t, v) \
                    MATCH_CONDITION (l.t >= r.t)";
    assert_eq!(rows(instants).await, ["-"]);
}

#[tokio::test]
async fn a_null_key_or_time_on_either_side_matches_nothing_and_the_row_is_kept() {
    let sql = "SELECT l.n, r.v FROM (VALUES (1, 'a', 5), (2, NULL, 5), (3, 'a', NULL)) AS l(n, k, t) \
               ASOF JOIN (VALUES ('a', 1, 'x'), (NULL, 5, 'no key'), ('a', NULL, 'no time')) AS r(k, t, v) \
               MATCH_CONDITION (l.t >= r.t) ON l.k = r.k";
    assert_eq!(rows(sql).await, ["1 x", "2 -", "3 -"]);
}

#[tokio::test]
async fn zeros_are_equal_nan_is_greatest_and_infinities_are_ordinary() {
    let right = "(VALUES (DOUBLE '-0.0', 'zero'), (DOUBLE 'NaN', 'nan'), (DOUBLE 'inf', 'inf'), (DOUBLE '-inf', '-inf')) \
                 AS r(t, v)";
    let left = "(VALUES (DOUBLE '0.0'), (DOUBLE '-0.0'), (DOUBLE 'NaN'), (DOUBLE 'inf'), (DOUBLE '-1e308')) AS l(t)";
    let times = format!("SELECT v FROM {left} ASOF JOIN {right} MATCH_CONDITION (l.t >= r.t)");
    assert_eq!(rows(&times).await, ["zero", "zero", "nan", "inf", "-inf"]);
    let keys = format!("SELECT v FROM {left} ASOF JOIN {right} MATCH_CONDITION (1 >= 1) ON l.t = r.t");
    assert!(refusal(&keys).await.contains("match condition"));
    let keys = "SELECT v FROM (VALUES (DOUBLE '0.0', 1), (DOUBLE 'NaN', 1)) AS l(k, t) ASOF JOIN \
                (VALUES (DOUBLE '-0.0', 1, 'zero'), (DOUBLE 'NaN', 1, 'nan')) AS r(k, t, v) \
                MATCH_CONDITION (l.t >= r.t) ON l.k = r.k";
    assert_eq!(rows(keys).await, ["zero", "nan"]);
}

#[tokio::test]
async fn a_predicate_other_than_equality_in_on_is_a_plan_error_with_the_remedy() {
    let sql = format!("SELECT * FROM {L} ASOF JOIN {R} MATCH_CONDITION (l.t >= r.t) ON l.k = r.k AND r.v > 'x'");
    let message = refusal(&sql).await;
    assert!(message.contains("filter that table in a subquery before the join"), "{message}");
}

#[tokio::test]
async fn among_equal_times_the_greatest_row_in_declaration_order_wins_for_any_input_order() {
    let ties = ["(3, 1, 'z')", "(3, 2, 'a')", "(3, 2, 'b')", "(3, NULL, 'zz')"];
    for turn in 0..ties.len() {
        let mut values = ties;
        values.rotate_left(turn);
        let sql = format!(
            "SELECT a, b FROM (VALUES (5)) AS l(t) ASOF JOIN (VALUES {}) AS r(t, a, b) MATCH_CONDITION (l.t >= r.t)",
            values.join(", ")
        );
        assert_eq!(rows(&sql).await, ["2 b"]);
    }
}

const TIED: &str = "right => (SELECT * FROM (VALUES (3, 8, 1), (3, 7, 2)) AS v(t, x, seq))";

#[tokio::test]
async fn tie_break_replaces_the_declaration_order() {
    let sql = |tie_break: &str| {
        format!("SELECT x FROM asof_join(left => (SELECT 9 AS t), {TIED}, match => 'l.t >= r.t'{tie_break})")
    };
    assert_eq!(rows(&sql("")).await, ["8"]);
    assert_eq!(rows(&sql(", tie_break => ['seq']")).await, ["7"]);
}

#[tokio::test]
async fn the_tolerance_is_inclusive() {
    let sql = |tolerance: &str| {
        format!(
            "SELECT v FROM asof_join(left => (SELECT TIMESTAMP '2024-05-01 00:02:00' AS t), \
             right => (SELECT TIMESTAMP '2024-05-01' AS t, 'v' AS v), match => 'l.t >= r.t', \
             tolerance => INTERVAL '{tolerance}')"
        )
    };
    assert_eq!(rows(&sql("2 minutes")).await, ["v"]);
    assert_eq!(rows(&sql("119999 milliseconds")).await, ["-"]);
}

#[tokio::test]
async fn the_direction_is_backward_forward_or_nearest() {
    let sql = |operator: &str, direction: &str| {
        format!(
            "SELECT r.t FROM asof_join(left => (SELECT 5 AS t), \
             right => (SELECT column1 AS t FROM (VALUES (2), (7))), match => 'l.t {operator} r.t', \
             direction => '{direction}')"
        )
    };
    assert_eq!(rows(&sql(">=", "backward")).await, ["2"]);
    assert_eq!(rows(&sql("<=", "forward")).await, ["7"]);
    assert_eq!(rows(&sql(">=", "nearest")).await, ["7"]);
    assert!(refusal(&sql(">=", "forward")).await.contains("contradicts"));
}
