//! One test for each sentence that the manual says of `ml_training_set`.

use super::*;

async fn set_up(sql: &str) -> SkewlessContext {
    let context = context(3, 2).await;
    query(&context, &format!("{sql}; SELECT 1")).await.expect("set up");
    context
}

async fn shown(context: &SkewlessContext, sql: &str) -> Vec<String> {
    let rows = query(context, sql).await.expect(sql);
    let text = pretty(&rows);
    let lines = text.lines().filter(|line| line.starts_with('|')).skip(1);
    lines
        .map(|line| {
            line.split_whitespace().collect::<Vec<_>>().join(" ").replace("| |", "| - |").replace("| |", "| - |")
        })
        .collect()
}

const SPINE: &str = "spine => (SELECT * FROM spine), timestamp => 'at'";

#[tokio::test]
async fn rows_in_are_rows_out_and_duplicates_are_kept() {
    let context = set_up(SETUP.trim().trim_end_matches(';')).await;
    let twice = "SELECT n, k, at FROM spine UNION ALL SELECT n, k, at FROM spine UNION ALL SELECT n, k, at FROM spine";
    let set = query(
        &context,
        &format!("SELECT * FROM ml_training_set(spine => ({twice}), timestamp => 'at', features => ['f'])"),
    )
    .await
    .expect("a training set");
    let spine = query(&context, twice).await.expect("the spine");
    assert_eq!((set.num_rows(), spine.num_rows()), (30, 30));
    for (column, own) in set.columns().iter().zip(spine.columns()) {
        assert_eq!(column, own);
    }
}

#[tokio::test]
async fn spine_columns_are_untouched() {
    let context = set_up(SETUP.trim().trim_end_matches(';')).await;
    let spine = "SELECT arrow_cast(k, 'Dictionary(Int8, Utf8)') AS k, arrow_cast(at, 'Int32') AS at, \
                 arrow_cast(n, 'Decimal128(9, 3)') AS d, [n, NULL] AS l, arrow_cast(k, 'Utf8View') AS view FROM spine";
    let expected = query(&context, spine).await.expect("the spine");
    let sql = format!("SELECT * FROM ml_training_set(spine => ({spine}), timestamp => 'at', features => ['f:x'])");
    let set = query(&context, &sql).await.expect("a training set");
    for (index, field) in expected.schema().fields().iter().enumerate() {
        assert_eq!(set.schema().field(index), field.as_ref());
        assert_eq!(set.column(index), expected.column(index));
    }
    let x = set.column(5).as_primitive::<Float64Type>();
    assert_eq!(x.iter().flatten().collect::<Vec<_>>(), [3.0, 1.0, 1.0]);
}

#[tokio::test]
async fn the_order_is_the_spine_s_order_by_else_its_scan_order() {
    let context = context(8, 3).await;
    context.session().register_table("spine", Arc::new(scanned(500, 4, 7))).expect("a new name");
    query(&context, "CREATE FEATURE VIEW v ENTITY (k) TIMESTAMP (at) AS SELECT k, at, n AS x FROM spine; SELECT 1")
        .await
        .expect("a view");
    let n = async |order: &str| {
        let sql = format!(
            "SELECT n FROM ml_training_set(spine => (SELECT * FROM spine {order}), timestamp => 'at', features => ['v'])"
        );
        query(&context, &sql).await.expect("a set").column(0).as_primitive::<Int64Type>().values().to_vec()
    };
    assert_eq!(n("").await, (0..500).collect::<Vec<_>>());
    assert_eq!(n("ORDER BY n DESC").await, (0..500).rev().collect::<Vec<_>>());
    let mut expected: Vec<i64> = (0..500).collect();
    expected.sort_by_key(|n| (n % 7, -n));
    assert_eq!(n("ORDER BY k, n DESC").await, expected);
}

#[tokio::test]
async fn a_spine_column_that_clashes_is_a_plan_error_with_the_remedy() {
    let context = set_up(SETUP.trim().trim_end_matches(';')).await;
    for column in ["f__x", "f__status", "f__event_time", "f__available_at"] {
        let sql = format!(
            "EXPLAIN SELECT n FROM ml_training_set(spine => (SELECT *, 1 AS {column} FROM spine), timestamp => 'at', \
             features => ['f'], status => true, witness => true)"
        );
        let message = query(&context, &sql).await.expect_err("a clash");
        for part in [&format!("`{column}`"), "rename it", "'view AS name'"] {
            assert!(message.contains(part), "{message}");
        }
    }
}

#[tokio::test]
async fn several_views_each_with_key_names_of_their_own() {
    let context = set_up(
        "CREATE TABLE a AS SELECT * FROM (VALUES ('x', 1, 10), ('y', 1, 20)) AS t(code, at, v);
         CREATE TABLE b AS SELECT * FROM (VALUES (1, 'x', 2, 5), (2, 'x', 2, 6), (1, 'y', 2, 7)) AS t(id, code, at, w);
         CREATE FEATURE VIEW one ENTITY (code) TIMESTAMP (at) AS SELECT * FROM a;
         CREATE FEATURE VIEW two ENTITY (id, code) TIMESTAMP (at) AS SELECT * FROM b;
         CREATE TABLE spine AS SELECT * FROM (VALUES ('x', 'y', 1, 3), ('y', 'x', 2, 3)) AS t(origin, dest, nr, at)",
    )
    .await;
    let sql = format!(
        "SELECT one__v, other__v, two__w FROM ml_training_set({SPINE}, features => ['one(code => origin)', \
         'one(code => dest) AS other', 'two(id => nr, code => dest)'])"
    );
    assert_eq!(shown(&context, &sql).await, ["| 10 | 20 | 7 |", "| 20 | 10 | 6 |"]);
}

#[tokio::test]
async fn a_view_with_no_entity_counts_for_every_row() {
    let context = set_up(
        "CREATE TABLE w AS SELECT * FROM (VALUES (5, 0.5), (8, 0.8), (NULL, 9.9)) AS t(at, wind);
         CREATE FEATURE VIEW sky NO ENTITY TIMESTAMP (at) TTL 2
           AS SELECT at, wind, count(*) OVER (RANGE 3 PRECEDING) AS n FROM w;
         CREATE TABLE spine AS SELECT * FROM (VALUES (4), (5), (7), (8), (11), (NULL)) AS t(at)",
    )
    .await;
    let sql = format!(
        "SELECT at, sky__wind, sky__n, sky__status FROM ml_training_set({SPINE}, features => ['sky'], status => true)"
    );
    assert_eq!(
        shown(&context, &sql).await,
        [
            "| 4 | - | 0 | before_first |",
            "| 5 | 0.5 | 1 | ok |",
            "| 7 | 0.5 | 1 | ok |",
            "| 8 | 0.8 | 2 | ok |",
            "| 11 | - | 1 | expired |",
            "| - | - | - | null_time |",
        ]
    );
}

#[tokio::test]
async fn on_demand_expressions_are_over_spine_and_feature_columns() {
    let context = set_up(
        "CREATE TABLE e AS SELECT * FROM (VALUES (1, 5, 10.0)) AS t(k, at, v);
         CREATE FEATURE VIEW base ENTITY (k) TIMESTAMP (at) AS SELECT * FROM e;
         CREATE FEATURE VIEW ratio ON DEMAND (asked DOUBLE, base__v DOUBLE) AS SELECT asked / base__v AS r;
         CREATE FEATURE VIEW again ON DEMAND (ratio__r DOUBLE, at BIGINT) AS SELECT ratio__r + at AS s;
         CREATE TABLE spine AS SELECT * FROM (VALUES (1, 6, 5.0), (2, 6, 5.0)) AS t(k, at, asked)",
    )
    .await;
    let set = |columns: &str| {
        format!("SELECT {columns} FROM ml_training_set({SPINE}, features => ['base', 'ratio', 'again'])")
    };
    assert_eq!(shown(&context, &set("base__v, ratio__r, again__s")).await, ["| 10.0 | 0.5 | 6.5 |", "| - | - | - |"]);
    assert_eq!(shown(&context, &set("again__s")).await, ["| 6.5 |", "| - |"]);
}

#[tokio::test]
async fn the_status_is_the_first_that_applies() {
    let context = set_up(
        "CREATE TABLE e AS SELECT * FROM (VALUES (1, 10, 20, 1.0), (2, 10, NULL, 2.0)) AS t(k, at, known, v);
         CREATE FEATURE VIEW f ENTITY (k) TIMESTAMP (at) AVAILABLE AT (known) TTL 15
           AS SELECT *, sum(v) OVER (RANGE 100 PRECEDING) AS s FROM e;
         CREATE TABLE spine AS SELECT * FROM (VALUES
           (NULL, NULL), (NULL, 30), (1, NULL), (3, NULL), (3, 30), (1, 9), (1, 19), (2, 99), (1, 26), (1, 25)) AS t(k, at)",
    )
    .await;
    // ttl concerns the plain column, not the window: an expired row still counts for the sum.
    let sql = format!("SELECT f__status, f__v, f__s FROM ml_training_set({SPINE}, features => ['f'], status => true)");
    assert_eq!(
        shown(&context, &sql).await,
        [
            "| null_key | - | - |",
            "| null_key | - | - |",
            "| null_time | - | - |",
            "| null_time | - | - |",
            "| no_entity | - | - |",
            "| before_first | - | - |",
            "| not_yet_known | - | - |",
            "| not_yet_known | - | - |",
            "| expired | - | 1.0 |",
            "| ok | 1.0 | 1.0 |",
        ]
    );
}

#[tokio::test]
async fn the_witness_is_the_winner_s_event_and_availability() {
    let context = set_up(
        "CREATE TABLE e AS SELECT * FROM (VALUES (1, 10, 20), (1, 15, 18), (1, 15, 17), (1, 30, 90)) AS t(k, at, known);
         CREATE FEATURE VIEW f ENTITY (k) TIMESTAMP (at) AVAILABLE AT (known) TTL 20
           AS SELECT *, count(*) OVER (RANGE 5 PRECEDING) AS n FROM e;
         CREATE TABLE spine AS SELECT * FROM (VALUES (1, 17), (1, 19), (1, 40), (1, 95), (1, 5)) AS t(k, at)",
    )
    .await;
    let sql = format!(
        "SELECT f__event_time, f__available_at, f__status \
         FROM ml_training_set({SPINE}, features => ['f'], status => true, witness => true)"
    );
    assert_eq!(
        shown(&context, &sql).await,
        [
            "| 15 | 17 | ok |",
            "| 15 | 18 | ok |",
            "| 15 | 18 | expired |",
            "| 30 | 90 | expired |",
            "| - | - | before_first |"
        ]
    );
}

#[tokio::test]
async fn known_at_is_the_same_statement_over_the_rows_that_were_known() {
    let context = set_up(SETUP.trim().trim_end_matches(';')).await;
    let set = |known_at: &str, view: &str| {
        format!(
            "SELECT * FROM ml_training_set({SPINE}, features => ['{view} AS v'], status => true, witness => true{known_at})"
        )
    };
    for cutoff in [0, 5, 11, 12, 24, 25, 99] {
        query(
            &context,
            &format!(
                "CREATE OR REPLACE FEATURE VIEW past ENTITY (k) TIMESTAMP (event) AVAILABLE AT (known) TTL 15
                   AS SELECT k, event, known, x, count(x) OVER (RANGE 10 PRECEDING) AS n10 FROM events
                      WHERE known <= {cutoff}; SELECT 1"
            ),
        )
        .await
        .expect("a view of the past");
        let now = query(&context, &set(&format!(", known_at => {cutoff}"), "f")).await.expect("a set");
        let past = query(&context, &set("", "past")).await.expect("a set");
        assert_eq!(now, past, "known_at => {cutoff}");
    }
}
