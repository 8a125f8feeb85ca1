use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use proptest::prelude::*;
use skewless_catalog::pit::{self, Status};

use crate::{Options, Outcome, SkewlessContext};

mod by_time;
mod push_down;
mod sentences;
mod spill;

async fn context(partitions: usize, batch_size: usize) -> SkewlessContext {
    let options = Options { target_partitions: Some(partitions), batch_size: Some(batch_size), ..Options::default() };
    SkewlessContext::new(options).await.expect("a session")
}

async fn query(context: &SkewlessContext, sql: &str) -> Result<RecordBatch, String> {
    let mut rows = None;
    for statement in context.parse(sql).map_err(|e| e.to_string())? {
        if let Outcome::Rows(frame) = context.run(statement).await.map_err(|e| e.to_string())? {
            let schema: SchemaRef = Arc::new(frame.schema().as_arrow().clone());
            let batches = frame.collect().await.map_err(|e| e.to_string())?;
            let schema = batches.first().map_or(schema, RecordBatch::schema);
            rows = Some(concat_batches(&schema, &batches).map_err(|e| e.to_string())?);
        }
    }
    rows.ok_or_else(|| "no query".to_owned())
}

fn pretty(batch: &RecordBatch) -> String {
    pretty_format_batches(std::slice::from_ref(batch)).map(|text| text.to_string()).unwrap_or_default()
}

const SETUP: &str = "
CREATE TABLE events AS SELECT * FROM (VALUES
    ('a', 10, 12, 1.0), ('a', 20, 25, 2.0), ('a', 20, 25, 3.0), ('b', 5, NULL, 9.0), (NULL, 1, 1, 7.0)
) AS t(k, event, known, x);
CREATE TABLE spine AS SELECT * FROM (VALUES
    (0, 'a', 30), (1, 'b', 30), (2, 'c', 30), (3, NULL, 30), (4, 'a', NULL), (5, 'a', 9), (6, 'a', 11), (7, 'a', 12),
    (7, 'a', 12), (8, 'a', 99)
) AS t(n, k, at);
CREATE FEATURE VIEW f ENTITY (k) TIMESTAMP (event) AVAILABLE AT (known) TTL 15
  AS SELECT k, event, known, x, count(x) OVER (RANGE 10 PRECEDING) AS n10 FROM events;
CREATE FEATURE VIEW twice ON DEMAND (at BIGINT, f__x DOUBLE) AS SELECT at * 2 AS at2, f__x * 2.0 AS x2;
";

#[tokio::test]
async fn every_spine_row_comes_out_once_with_a_status_and_a_witness() {
    let context = context(4, 3).await;
    let set = query(
        &context,
        &format!(
            "{SETUP} SELECT * FROM ml_training_set(spine => (SELECT * FROM spine), timestamp => 'at', \
             features => ['f', 'twice'], status => true, witness => true)"
        ),
    )
    .await
    .expect("a training set");
    let expected = "\
+---+---+----+------+--------+------------+-----------+---------------+---------------+-----------------+
| n | k | at | f__x | f__n10 | twice__at2 | twice__x2 | f__status     | f__event_time | f__available_at |
+---+---+----+------+--------+------------+-----------+---------------+---------------+-----------------+
| 0 | a | 30 | 3.0  | 2      | 60         | 6.0       | ok            | 20            | 25              |
| 1 | b | 30 |      | 0      | 60         |           | not_yet_known |               |                 |
| 2 | c | 30 |      | 0      | 60         |           | no_entity     |               |                 |
| 3 |   | 30 |      |        | 60         |           | null_key      |               |                 |
| 4 | a |    |      |        |            |           | null_time     |               |                 |
| 5 | a | 9  |      | 0      | 18         |           | before_first  |               |                 |
| 6 | a | 11 |      | 0      | 22         |           | not_yet_known |               |                 |
| 7 | a | 12 | 1.0  | 1      | 24         | 2.0       | ok            | 10            | 12              |
| 7 | a | 12 | 1.0  | 1      | 24         | 2.0       | ok            | 10            | 12              |
| 8 | a | 99 |      | 0      | 198        |           | expired       | 20            | 25              |
+---+---+----+------+--------+------------+-----------+---------------+---------------+-----------------+";
    assert_eq!(pretty(&set), expected);
}

#[tokio::test]
async fn features_are_chosen_renamed_and_joined_by_other_keys() {
    let context = context(2, 8192).await;
    let set = query(
        &context,
        &format!(
            "{SETUP} SELECT * FROM ml_training_set(spine => (SELECT n, k AS who, at FROM spine WHERE n = 0), \
             timestamp => 'at', features => ['f(k => who):n10', 'f(k => who):x AS g', 'twice:at2'])"
        ),
    )
    .await
    .expect("a training set");
    let names: Vec<_> = set.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["n", "who", "at", "f__n10", "g__x", "twice__at2"]);
    assert_eq!(set.column(3).as_primitive::<Int64Type>().value(0), 2);
    assert_eq!(set.column(4).as_primitive::<Float64Type>().values()[..], [3.0]);
}

#[tokio::test]
async fn known_at_reproduces_the_past() {
    let context = context(2, 8192).await;
    let at = |cutoff: &str| {
        format!(
            "SELECT f__x, f__status FROM ml_training_set(spine => (SELECT 'a' AS k, 30 AS at), timestamp => 'at', \
             features => ['f'], status => true, known_at => {cutoff})"
        )
    };
    query(&context, &format!("{SETUP} SELECT 1")).await.expect("set up");
    let x = |batch: &RecordBatch| batch.column(0).as_primitive::<Float64Type>().iter().collect::<Vec<_>>();
    assert_eq!(x(&query(&context, &at("25")).await.expect("known")), [Some(3.0)]);
    let before = query(&context, &at("24")).await.expect("known");
    assert_eq!(before.column(1).as_string::<i32>().value(0), "expired");
    let nothing = query(&context, &at("11")).await.expect("known");
    assert_eq!(nothing.column(1).as_string::<i32>().value(0), "no_entity");
    let wrong = query(&context, &at("TIMESTAMP '2023-01-01'")).await.expect_err("another kind of time");
    assert!(wrong.contains("known_at"), "{wrong}");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_when_it_is_planned() {
    let context = context(2, 8192).await;
    query(&context, &format!("{SETUP} SELECT 1")).await.expect("set up");
    let call = |arguments: &str| format!("EXPLAIN SELECT * FROM ml_training_set({arguments})");
    let spine = "spine => (SELECT * FROM spine), timestamp => 'at'";
    let cases: Vec<(String, &[&str])> = vec![
        (format!("{spine}, features => ['g']"), &["no feature view `g`", "did you mean `f`?"]),
        (format!("{spine}, features => ['f:y']"), &["no feature `y`", "did you mean `x`?"]),
        (format!("{spine}, features => ['f:x:y']"), &["not a feature reference"]),
        (format!("{spine}, features => []"), &["features"]),
        (format!("{spine}, features => ['f', 'f']"), &["asked for twice"]),
        (format!("{spine}, features => ['f:x', 'f:x']"), &["asked for twice"]),
        (format!("{spine}, features => ['f', 'f(k => n)']"), &["AS name"]),
        (format!("{spine}, features => ['f(key => n)']"), &["no key `key`"]),
        (format!("{spine}, features => ['f(k => n)']"), &["`n` of type Int64", "cast"]),
        (format!("{spine}, features => ['f(k => m)']"), &["no column `m`", "did you mean"]),
        (
            "spine => (SELECT n, at FROM spine), timestamp => 'at', features => ['f']".into(),
            &["no column `k`", "'f(k => column)'"],
        ),
        (
            "spine => (SELECT * FROM spine), timestamp => 'att', features => ['f']".into(),
            &["no column `att`", "did you mean `at`?"],
        ),
        ("spine => (SELECT * FROM spine), timestamp => 'k', features => ['f']".into(), &["`k` is of type", "cast"]),
        (
            "spine => (SELECT k, TIMESTAMP '2023-01-01' AS at FROM spine), timestamp => 'at', features => ['f']".into(),
            &["a timestamp or date", "an integer time"],
        ),
        (
            "spine => (SELECT *, 1 AS f__x FROM spine), timestamp => 'at', features => ['f']".into(),
            &["`f__x`", "rename"],
        ),
        (format!("{spine}, features => ['twice']"), &["f__x", "an input"]),
        (format!("{spine}, features => ['twice', 'f']"), &["f__x"]),
        (format!("{spine}, features => ['f'], statuss => true"), &["no argument `statuss`", "did you mean `status`?"]),
    ];
    for (arguments, parts) in cases {
        let message = query(&context, &call(&arguments)).await.expect_err(&arguments);
        for part in parts {
            assert!(message.contains(part), "{arguments}\n`{part}` is not in: {message}");
        }
    }
}

#[tokio::test]
async fn the_rows_of_a_view_are_there_for_materialize() {
    let context = context(2, 8192).await;
    query(&context, &format!("{SETUP} SELECT 1")).await.expect("set up");
    let table = context.feature_rows("f").await.expect("rows");
    let entities: Vec<_> = table.entities().unwrap().map(|(key, rows)| (key, rows.num_rows())).collect();
    assert_eq!(entities, [("[\"a\"]".to_owned(), 3), ("[\"b\"]".to_owned(), 1)]);
    let message = context.feature_rows("twice").await.expect_err("on demand").to_string();
    assert!(message.contains("ON DEMAND"), "{message}");
}

/// A table of several partitions and batches, with a column `n` that counts rows in scan order.
fn scanned(rows: i64, partitions: usize, batch: usize) -> MemTable {
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, true),
        Field::new("k", DataType::Int64, true),
        Field::new("at", DataType::Int64, true),
    ]));
    let all: Vec<i64> = (0..rows).collect();
    let share = (rows as usize).div_ceil(partitions).max(1);
    let parts = all
        .chunks(share)
        .map(|part| {
            part.chunks(batch)
                .map(|n| {
                    let columns: Vec<ArrayRef> = vec![
                        Arc::new(Int64Array::from(n.to_vec())),
                        Arc::new(n.iter().map(|n| n % 7).collect::<Int64Array>()),
                        Arc::new(n.iter().map(|n| (n * 37) % 101).collect::<Int64Array>()),
                    ];
                    RecordBatch::try_new(Arc::clone(&schema), columns).expect("columns of one length")
                })
                .collect()
        })
        .collect();
    MemTable::try_new(schema, parts).expect("one schema")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_spine_keeps_its_order_over_partitions() {
    let context = context(8, 64).await;
    context.session().register_table("scan", Arc::new(scanned(20_000, 5, 700))).expect("a new name");
    query(&context, "CREATE FEATURE VIEW v ENTITY (k) TIMESTAMP (at) AS SELECT k, at, n AS x FROM scan; SELECT 1")
        .await
        .expect("a view");
    let n = |batch: &RecordBatch| {
        let column = batch.column_by_name("n").map(Arc::clone).expect("n");
        column.as_primitive::<Int64Type>().values().to_vec()
    };
    let set = |spine: &str| {
        format!("SELECT * FROM ml_training_set(spine => ({spine}), timestamp => 'at', features => ['v'])")
    };
    let ascending: Vec<i64> = (0..20_000).collect();
    assert_eq!(n(&query(&context, &set("SELECT * FROM scan")).await.expect("a set")), ascending);
    let even: Vec<i64> = (0..20_000).filter(|n| n % 2 == 0).collect();
    let filtered = set("SELECT n, k + 0 AS k, at FROM scan WHERE n % 2 = 0");
    assert_eq!(n(&query(&context, &filtered).await.expect("a set")), even);
    let descending: Vec<i64> = (0..20_000).rev().collect();
    assert_eq!(n(&query(&context, &set("SELECT * FROM scan ORDER BY n DESC")).await.expect("a set")), descending);
    let twice = query(&context, &set("SELECT * FROM scan UNION ALL SELECT * FROM scan")).await.expect("a set");
    assert_eq!(n(&twice), [ascending.clone(), ascending].concat());
    let joined =
        set("SELECT s.n, s.k, s.at FROM scan s JOIN (SELECT DISTINCT k FROM scan) d ON s.k = d.k ORDER BY s.n");
    assert_eq!(n(&query(&context, &joined).await.expect("a set")), (0..20_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_training_set_is_a_relation_like_any_other() {
    let context = context(3, 4).await;
    query(&context, &format!("{SETUP} SELECT 1")).await.expect("set up");
    let set = "ml_training_set(spine => (SELECT * FROM spine), timestamp => 'at', features => ['f'], status => true)";
    let grouped = query(
        &context,
        &format!("SELECT f__status, count(*) AS c FROM {set} AS s WHERE s.n < 8 GROUP BY f__status ORDER BY f__status"),
    )
    .await
    .expect("a query over a set");
    assert_eq!(grouped.num_rows(), 6);
    let nested = query(
        &context,
        &format!("WITH s AS (SELECT * FROM {set}) SELECT a.n FROM s a JOIN s b ON a.n = b.n WHERE a.f__x > 1 LIMIT 5"),
    )
    .await
    .expect("a join of sets");
    assert_eq!(nested.num_rows(), 1);
    let empty = query(&context, &format!("SELECT * FROM {} ", set.replace("FROM spine", "FROM spine WHERE n < 0")))
        .await
        .expect("an empty spine");
    assert_eq!((empty.num_rows(), empty.num_columns()), (0, 6));
}

#[tokio::test]
async fn windows_work_over_bodies_that_group_and_join() {
    let context = context(3, 4).await;
    let set = query(
        &context,
        &format!(
            "{SETUP}
             CREATE FEATURE VIEW g ENTITY (k) TIMESTAMP (event) AS
               SELECT e.k, e.event, count(*) AS rows_then, sum(max(e.x)) OVER (RANGE 100 PRECEDING) AS peaks
               FROM events e JOIN spine s ON e.k = s.k WHERE s.n = 0 GROUP BY e.k, e.event;
             SELECT * FROM ml_training_set(spine => (SELECT 'a' AS k, 20 AS at), timestamp => 'at', features => ['g'])"
        ),
    )
    .await
    .expect("a training set");
    assert_eq!(set.column(2).as_primitive::<Int64Type>().values()[..], [2]);
    assert_eq!(set.column(3).as_primitive::<Float64Type>().values()[..], [4.0]);
}

#[tokio::test]
async fn instants_of_any_unit_and_zone_compare_as_instants() {
    let context = context(3, 4).await;
    let set = query(
        &context,
        "CREATE TABLE e AS SELECT 1 AS k, arrow_cast('2023-07-01T12:00:00', 'Timestamp(ms)') AS event, 1.5 AS x;
         CREATE FEATURE VIEW v ENTITY (k) TIMESTAMP (event) TTL INTERVAL '1 hour' AS SELECT * FROM e;
         SELECT v__status FROM ml_training_set(
           spine => (SELECT 1 AS k, arrow_cast(t, 'Timestamp(s, \"America/Los_Angeles\")') AS at
                     FROM (VALUES ('2023-07-01T04:59:59'), ('2023-07-01T05:00:00'), ('2023-07-01T06:00:00'),
                                  ('2023-07-01T06:00:01')) AS t(t)),
           timestamp => 'at', features => ['v'], status => true)",
    )
    .await
    .expect("a training set");
    let status: Vec<_> = set.column(0).as_string::<i32>().iter().flatten().collect();
    assert_eq!(status, ["before_first", "ok", "ok", "expired"]);
}

type EventRow = (Option<i64>, Option<i64>, Option<i64>, i64, Option<i64>);
type SpineRow = (Option<i64>, Option<i64>);

fn sql_values(rows: &[EventRow]) -> String {
    let null = |v: Option<i64>| v.map_or("NULL".to_owned(), |v| v.to_string());
    let mut text = String::new();
    for (i, (k, event, known, seq, x)) in rows.iter().enumerate() {
        let comma = if i > 0 { ", " } else { "" };
        let _ = write!(text, "{comma}({}, {}, {}, {seq}, {})", null(*k), null(*event), null(*known), null(*x));
    }
    text
}

fn events() -> impl Strategy<Value = Vec<EventRow>> {
    let time = || prop_oneof![1 => Just(None), 9 => (0_i64..15).prop_map(Some)];
    prop::collection::vec((prop::option::of(0_i64..3), time(), time(), 0_i64..3, prop::option::of(-4_i64..4)), 1..30)
}

fn spines() -> impl Strategy<Value = Vec<SpineRow>> {
    prop::collection::vec((prop::option::of(0_i64..4), prop::option::weighted(0.9, -1_i64..17)), 1..40)
}

/// The training set by the catalog's rule, one row at a time.
fn oracle(events: &[EventRow], spine: &[SpineRow], ttl: Option<i64>, range: i64) -> Vec<String> {
    spine
        .iter()
        .map(|&(key, at)| {
            let (Some(key), Some(at)) = (key, at) else {
                let status = if key.is_none() { Status::NullKey } else { Status::NullTime };
                return format!("None None None None {status}");
            };
            let mut own: Vec<&EventRow> = events.iter().filter(|row| row.0 == Some(key)).collect();
            own.sort_by_key(|row| (row.3, row.4));
            let rows: Vec<pit::Row> = own
                .iter()
                .enumerate()
                .map(|(tie, row)| pit::Row { event: row.1, available: row.2, tie: tie as u32 })
                .collect();
            let (status, winner) = pit::as_of(&rows, at, ttl);
            let x = winner.filter(|_| status == Status::Ok).and_then(|i| own[i].4);
            let inside: Vec<i64> = pit::window(&rows, at, at - range).into_iter().filter_map(|i| own[i].4).collect();
            let mean = (!inside.is_empty()).then(|| inside.iter().sum::<i64>() as f64 / inside.len() as f64);
            let last = pit::window(&rows, at, at - range).last().and_then(|&i| own[i].4);
            format!("{x:?} {} {mean:?} {last:?} {status}", format_args!("{:?}", Some(inside.len() as i64)))
        })
        .collect()
}

fn rows_of(set: &RecordBatch) -> Vec<String> {
    let int = |name: &str, row: usize| {
        let column = set.column_by_name(name).map(Arc::clone).expect("a column");
        column.is_valid(row).then(|| column.as_primitive::<Int64Type>().value(row))
    };
    (0..set.num_rows())
        .map(|row| {
            let mean = set.column_by_name("v__mean").expect("a column").as_primitive::<Float64Type>();
            let mean = mean.is_valid(row).then(|| mean.value(row));
            let status = set.column_by_name("v__status").expect("a column").as_string::<i32>().value(row);
            let (x, n, last) = (int("v__x", row), int("v__n", row), int("v__last", row));
            format!("{x:?} {n:?} {mean:?} {last:?} {status}")
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_training_set_equals_the_rule_however_it_is_cut(
        (events, shuffled) in events().prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
        spine in spines(),
        ttl in prop::option::of(0_i64..10),
        range in 0_i64..20,
        partitions in 1_usize..=16,
        batch in prop_oneof![Just(1_usize), 1_usize..=8192],
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let expected = oracle(&events, &spine, ttl, range);
        let null = |v: Option<i64>| v.map_or("CAST(NULL AS BIGINT)".to_owned(), |v| v.to_string());
        let spine_rows: Vec<String> = spine.iter().map(|(k, at)| format!("({}, {})", null(*k), null(*at))).collect();
        let ttl = ttl.map_or(String::new(), |ttl| format!("TTL {ttl}"));
        let mut first: Option<RecordBatch> = None;
        for (rows, refused) in [(&events, 0), (&shuffled, 0), (&shuffled, 1)] {
            let set_up = format!(
                "CREATE TABLE e AS SELECT CAST(k AS BIGINT) AS k, CAST(event AS BIGINT) AS event, \
                   CAST(known AS BIGINT) AS known, seq, CAST(x AS BIGINT) AS x \
                   FROM (VALUES {}) AS t(k, event, known, seq, x);
                 CREATE TABLE s AS SELECT * FROM (VALUES {}) AS t(k, at);
                 CREATE FEATURE VIEW v ENTITY (k) TIMESTAMP (event) AVAILABLE AT (known) {ttl} TIE BREAK (seq)
                   AS SELECT k, event, known, seq, x, count(x) OVER (RANGE {range} PRECEDING) AS n,
                     avg(x) OVER (RANGE {range} PRECEDING) AS mean, last_value(x) OVER (RANGE {range} PRECEDING) AS last
                   FROM e; SELECT 1",
                sql_values(rows),
                spine_rows.join(", "),
            );
            let sql = "SELECT * FROM ml_training_set(spine => (SELECT * FROM s), timestamp => 'at', features => ['v'], \
                       status => true, witness => true)";
            let set = runtime.block_on(async {
                let context = context(partitions, batch).await;
                query(&context, &set_up).await?;
                let plan = spill::physical(&context, sql).await;
                // Refused memory, the view's rows go to disk.
                spill::rows_in(&context, &plan, &spill::RefuseFirst::runtime(refused)).await
            });
            let set = set.map_err(TestCaseError::fail)?;
            prop_assert_eq!(&rows_of(&set), &expected);
            let first = first.get_or_insert_with(|| set.clone());
            prop_assert_eq!(&set, &*first);
        }
    }
}

#[test]
fn float_sums_do_not_depend_on_the_order_of_the_rows() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let values = [1e16, 1.0, -1e16, 3.0e-7, 2.5, -1.0, 1e-30];
    let mut bits = Vec::new();
    for turn in 0..values.len() {
        let mut turned = values;
        turned.rotate_left(turn);
        let rows: Vec<String> = turned.iter().enumerate().map(|(i, v)| format!("(1, {i}, {v:?})")).collect();
        let sql = format!(
            "CREATE TABLE e AS SELECT * FROM (VALUES {}) AS t(k, at, x);
             CREATE FEATURE VIEW v ENTITY (k) TIMESTAMP (at) AS SELECT k, at, sum(x) OVER (RANGE UNBOUNDED PRECEDING) AS s FROM e;
             SELECT v__s FROM ml_training_set(spine => (SELECT 1 AS k, 99 AS at), timestamp => 'at', features => ['v'])",
            rows.join(", ")
        );
        let set = runtime.block_on(async { query(&context(2, 8192).await, &sql).await }).expect("a training set");
        let sums: &Float64Array = set.column(0).as_primitive();
        bits.push(sums.value(0).to_bits());
    }
    assert!(bits.iter().all(|b| *b == bits[0]), "{bits:x?}");
}
