use std::fmt::{Display, Write as _};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use proptest::prelude::*;

use crate::{Options, Outcome, SkewlessContext};

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

fn text(rows: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("NULL");
    let columns: Vec<_> =
        rows.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).expect("text")).collect();
    (0..rows.num_rows())
        .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" "))
        .collect()
}

fn sql(value: Option<impl Display>) -> String {
    value.map_or("NULL".to_owned(), |value| value.to_string())
}

fn shuffled<T: Clone>(items: &[T], seed: u64) -> Vec<T> {
    let mut items = items.to_vec();
    let mut state = seed | 1;
    for i in (1..items.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(i, (state >> 33) as usize % (i + 1));
    }
    items
}

#[derive(Clone, Debug)]
struct Event {
    key: Option<u8>,
    at: Option<i64>,
    available: Option<i64>,
    x: Option<i64>,
}

#[derive(Clone, Debug)]
struct Call {
    start: i64,
    horizon: i64,
    known_until: Option<i64>,
    with_availability: bool,
}

/// The rule, one row at a time.
fn oracle(key: Option<u8>, t: Option<i64>, events: &[Event], call: &Call) -> String {
    let Some(key) = key else { return "NULL NULL NULL NULL null_key".to_owned() };
    let Some(t) = t else { return "NULL NULL NULL NULL null_time".to_owned() };
    let inside: Vec<&Event> = events
        .iter()
        .filter(|event| event.key == Some(key))
        .filter(|event| event.at.is_some_and(|at| t + call.start < at && at <= t + call.horizon))
        .collect();
    let end = Some(t + call.horizon);
    let known_at = if call.with_availability {
        inside.iter().map(|event| event.available).fold(end, |latest, one| Some(latest?.max(one?)))
    } else {
        end
    };
    let known_until = call.known_until.or(events.iter().filter_map(|event| event.at).max());
    if known_at.is_none() || known_until.is_none() || known_at > known_until {
        return format!("NULL NULL NULL {} censored", sql(known_at));
    }
    let x: Vec<i64> = inside.iter().filter_map(|event| event.x).collect();
    let sum = (!x.is_empty()).then(|| x.iter().sum::<i64>());
    format!("{} {} {} {} ok", inside.len(), sql(sum), inside.len() > 1, sql(known_at))
}

fn maybe(values: std::ops::Range<i64>) -> impl Strategy<Value = Option<i64>> {
    prop_oneof![1 => Just(None), 8 => values.prop_map(Some)]
}

fn key() -> impl Strategy<Value = Option<u8>> {
    prop_oneof![1 => Just(None), 8 => (0_u8..3).prop_map(Some)]
}

fn event() -> impl Strategy<Value = Event> {
    (key(), maybe(0..20), maybe(0..30), maybe(-5..5)).prop_map(|(key, at, available, x)| Event {
        key,
        at,
        available,
        x,
    })
}

fn call() -> impl Strategy<Value = Call> {
    (0_i64..3, 1_i64..6, prop::option::of(0_i64..25), any::<bool>()).prop_map(|(start, longer, known_until, with)| {
        Call { start, horizon: start + longer, known_until, with_availability: with }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn labels_are_those_of_the_rule_for_any_dealing_of_the_rows(
        events in prop::collection::vec(event(), 0..30),
        spine in prop::collection::vec((key(), maybe(-3..22)), 1..20),
        call in call(), seed in any::<u64>(), partitions in 1_usize..5, batch_size in 1_usize..9
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let as_sql = |event: &Event| {
            let Event { key, at, available, x } = event.clone();
            format!("({}, {}, {}, {})", sql(key), sql(at), sql(available), sql(x))
        };
        let rows: Vec<String> = events.iter().map(as_sql).chain(["(NULL, NULL, NULL, NULL)".to_owned()]).collect();
        let times: Vec<String> =
            spine.iter().enumerate().map(|(n, (key, t))| format!("({n}, {}, {})", sql(*key), sql(*t))).collect();
        let mut options = format!("horizon => {}, start => {}", call.horizon, call.start);
        if let Some(known_until) = call.known_until {
            let _ = write!(options, ", known_until => {known_until}");
        }
        if call.with_availability {
            options += ", available_at => 'known'";
        }
        for (rows, times, partitions, batch_size) in [
            (rows.clone(), times.clone(), 1, 8192),
            (shuffled(&rows, seed), shuffled(&times, seed ^ 0x4d), partitions, batch_size),
        ] {
            let answer = runtime.block_on(async {
                let context = context(partitions, batch_size).await;
                let statement = format!(
                    "CREATE TABLE s AS SELECT n, CAST(k AS INT) AS k, CAST(t AS BIGINT) AS t FROM (VALUES {}) AS v(n, k, t);
                     CREATE TABLE e AS SELECT CAST(k AS BIGINT) AS k, CAST(at AS INT) AS at, CAST(known AS BIGINT) AS known,
                                              CAST(x AS BIGINT) AS x FROM (VALUES {}) AS v(k, at, known, x);
                     SELECT n, total, sum, many, label_known_at, label_status FROM ml_label_set(
                       spine => (SELECT * FROM s ORDER BY n), events => e, timestamp => 't', event_time => 'at', keys => ['k'],
                       aggregate => ['count(*) AS total', 'sum(x) AS sum', 'count(*) > 1 AS many'], {options})",
                    times.join(", "), rows.join(", ")
                );
                query(&context, &statement).await.expect("labels")
            });
            let want: Vec<String> =
                spine.iter().enumerate().map(|(n, (key, t))| format!("{n} {}", oracle(*key, *t, &events, &call))).collect();
            prop_assert_eq!(text(&answer), want, "{}", options);
        }
    }
}

const SETUP: &str = "
CREATE TABLE flights AS SELECT * FROM (VALUES
  ('N1', TIMESTAMP '2024-01-01T10:00:00', 5.0), ('N1', TIMESTAMP '2024-01-01T12:30:00', 30.0),
  ('N2', TIMESTAMP '2024-01-02T00:00:00', 1.0), (NULL, TIMESTAMP '2024-01-01T11:00:00', 9.0)
) AS t(tailnum, departed, delay);
CREATE TABLE spine AS SELECT * FROM (VALUES
  (1, 'N1', TIMESTAMP '2024-01-01T10:00:00'), (2, 'N1', TIMESTAMP '2024-01-01T09:59:59.999999999')
) AS t(n, plane, at);
SELECT 1;";

fn labels(options: &str) -> String {
    format!(
        "SELECT * FROM ml_label_set(spine => spine, events => flights, timestamp => 'at', event_time => 'departed', \
         keys => ['tailnum => plane'], {options})"
    )
}

#[tokio::test]
async fn horizons_are_exact_below_the_day_and_below_the_second() {
    let context = context(2, 8192).await;
    query(&context, SETUP).await.expect("set up");
    let counts = async |horizon: &str| {
        let rows = query(&context, &labels(&format!("horizon => INTERVAL '{horizon}', aggregate => 'count(*)'"))).await;
        rows.expect("labels").column_by_name("label").expect("a label").as_primitive::<Int64Type>().values().to_vec()
    };
    // An event at t itself is not after it; one at t + horizon is within it.
    assert_eq!(counts("2 hours 30 minutes").await, [1, 1]);
    assert_eq!(counts("2 hours 30 minutes 1 nanosecond").await, [1, 2]);
    assert_eq!(counts("2 hours 29 minutes 59.999999999 seconds").await, [0, 1]);
}

#[tokio::test]
async fn any_aggregate_is_a_label_and_so_is_what_is_computed_from_some() {
    let context = context(2, 8192).await;
    query(&context, SETUP).await.expect("set up");
    let rows = query(
        &context,
        &labels(
            "horizon => INTERVAL '3 hours', aggregate => ['max(delay) AS worst, count(*) FILTER (WHERE delay > 15) AS late', \
             'first_value(delay) AS next', 'coalesce(max(delay) > 15, false) AND count(*) < 2 AS flag', \
             'median(delay * 2) AS m', 'array_agg(DISTINCT delay) AS all', 'max(delay) - min(delay) AS spread']",
        ),
    )
    .await
    .expect("labels");
    assert_eq!(
        text(&rows),
        [
            "1 N1 2024-01-01T10:00:00 30.0 1 30.0 true 60.0 [30.0] 0.0 2024-01-01T13:00:00 ok",
            "2 N1 2024-01-01T09:59:59.999999999 30.0 1 5.0 false 35.0 [5.0, 30.0] 25.0 2024-01-01T12:59:59.999999999 ok"
        ]
    );
}

#[tokio::test]
async fn the_maturity_has_the_unit_that_it_needs() {
    let context = context(2, 8192).await;
    query(&context, SETUP).await.expect("set up");
    let kind = async |time: &str, horizon: &str| {
        let rows = query(
            &context,
            &format!(
                "SELECT label_known_at, label_status FROM ml_label_set(spine => (SELECT {time} AS at, 'N1' AS tailnum), \
                 events => flights, timestamp => 'at', event_time => 'departed', keys => ['tailnum'], \
                 horizon => INTERVAL '{horizon}', aggregate => 'count(*)', known_until => TIMESTAMP '2025-01-01')"
            ),
        )
        .await
        .expect("labels");
        assert_eq!(rows.column(1).as_string::<i32>().value(0), "ok");
        format!("{} {}", rows.schema().field(0).data_type(), text(&rows)[0])
    };
    assert_eq!(kind("DATE '2024-01-01'", "2 days").await, "Date32 2024-01-03 ok");
    assert_eq!(kind("DATE '2024-01-01'", "36 hours").await, "Timestamp(s) 2024-01-02T12:00:00 ok");
    let second = "arrow_cast(TIMESTAMP '2024-01-01T00:00:00', 'Timestamp(Second, None)')";
    assert_eq!(kind(second, "1 second").await, "Timestamp(s) 2024-01-01T00:00:01 ok");
    assert_eq!(kind(second, "1 millisecond").await, "Timestamp(ms) 2024-01-01T00:00:00.001 ok");
}

#[tokio::test]
async fn without_events_every_label_is_censored_unless_one_says_until_when_it_was_watched() {
    let context = context(2, 8192).await;
    query(&context, SETUP).await.expect("set up");
    let of = async |options: &str| {
        let call = labels(options).replace("events => flights", "events => (SELECT * FROM flights WHERE delay > 99)");
        let rows = query(&context, &call).await.expect("labels");
        rows.column_by_name("label_status").expect("a status").as_string::<i32>().value(0).to_owned()
    };
    assert_eq!(of("horizon => INTERVAL '1 hour', aggregate => 'count(*)'").await, "censored");
    let watched = "horizon => INTERVAL '1 hour', aggregate => 'count(*)', known_until => '2024-02-01'";
    assert_eq!(of(watched).await, "ok");
}

#[tokio::test]
async fn a_time_beyond_its_type_is_an_error_and_no_label() {
    let context = context(2, 8192).await;
    query(&context, "CREATE TABLE e (k BIGINT, at BIGINT); SELECT 1").await.expect("set up");
    let message = query(
        &context,
        "SELECT * FROM ml_label_set(spine => (SELECT 1 AS k, 9223372036854775807 AS t), events => e, timestamp => 't', \
         event_time => 'at', keys => ['k'], horizon => 1, aggregate => 'count(*)')",
    )
    .await
    .expect_err("beyond 64 bits");
    assert!(message.contains("beyond what Int64 holds"), "{message}");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_the_remedy() {
    let context = context(2, 8192).await;
    query(&context, SETUP).await.expect("set up");
    let count = "horizon => INTERVAL '1 hour', aggregate => 'count(*)'";
    let with = |from: &str, to: &str| labels(count).replacen(from, to, 1);
    let cases: Vec<(String, &[&str])> = vec![
        (labels("horizon => INTERVAL '1 hour', aggregate => ['count(*)', 'max(delay)']"), &["name", "AS name"]),
        (labels("horizon => INTERVAL '1 hour', aggregate => []"), &["`aggregate` is empty"]),
        (labels("horizon => INTERVAL '1 hour', aggregate => 'max(dely)'"), &["`dely`", "did you mean `delay`"]),
        (labels("horizon => INTERVAL '1 hour', aggregate => 'delay'"), &["has no aggregate", "count(*)"]),
        (
            labels("horizon => INTERVAL '1 hour', aggregate => 'max(delay) > delay'"),
            &["outside an aggregate", "max(delay)"],
        ),
        (labels("horizon => INTERVAL '1 hour', aggregate => 'max(delay'"), &["cannot read"]),
        (labels("horizon => INTERVAL '1 hour', aggregate => 'max(delay) ; x'"), &["goes on with"]),
        (labels("horizon => INTERVAL '1 hour', aggregate => 'max(delay) OVER () AS m'"), &["has OVER", "leave it out"]),
        (labels("horizon => INTERVAL '1 hour', aggregate => 'count(*) AS label_status'"), &["another name"]),
        (labels("horizon => INTERVAL '1 hour', aggregate => 'max(now()) AS m'"), &["different value each time"]),
        (labels("horizon => INTERVAL '1 hour', aggregate => 'count(*) AS plane'"), &["a column `plane`", "rename it"]),
        (with("spine => spine", "spine => (SELECT *, 1 AS label_status FROM spine)"), &["`label_status`", "rename it"]),
        (labels("horizon => 5, aggregate => 'count(*)'"), &["is a number", "INTERVAL"]),
        (labels("horizon => INTERVAL '1 month', aggregate => 'count(*)'"), &["no fixed length"]),
        (labels("horizon => INTERVAL '0 hours', aggregate => 'count(*)'"), &["make it longer"]),
        (labels(&format!("{count}, start => INTERVAL '1 hour'")), &["make it longer"]),
        (labels(&format!("{count}, known_until => 5")), &["`known_until` is 5", "of that kind"]),
        (labels(&format!("{count}, available_at => 'delay'")), &["`delay` is of type", "cast it"]),
        (labels(&format!("{count}, available_at => 'landed'")), &["no column `landed`"]),
        (with("['tailnum => plane']", "['tailnum']"), &["`spine` has no column `tailnum`", "'tailnum => column'"]),
        (
            with("['tailnum => plane']", "['tail => plane']"),
            &["`events` has no column `tail`", "did you mean `tailnum`"],
        ),
        (with("['tailnum => plane']", "['tailnum => n']"), &["cannot equal the key `tailnum`", "cast"]),
        (with("['tailnum => plane']", "['tailnum => plane', 'tailnum => plane']"), &["given twice"]),
        (with("timestamp => 'at'", "timestamp => 'n'"), &["an integer time", "cast one to the other"]),
        (with("timestamp => 'at'", "timestamp => 'plane'"), &["`plane` is of type", "cast it"]),
        (with("event_time => 'departed'", "event_time => 'departd'"), &["did you mean `departed`"]),
    ];
    for (call, parts) in cases {
        let message = query(&context, &format!("EXPLAIN {call}")).await.expect_err(&call);
        for part in parts {
            assert!(message.contains(part), "{call}\n`{part}` is not in: {message}");
        }
    }
}

#[tokio::test]
async fn the_spine_keeps_its_columns_order_and_duplicates() {
    let context = context(3, 2).await;
    query(&context, SETUP).await.expect("set up");
    let rows = query(
        &context,
        "SELECT * FROM ml_label_set(
           spine => (SELECT value % 3 AS n, 'N1' AS tailnum, TIMESTAMP '2024-01-01T10:00:00' AS at
                     FROM generate_series(1, 9) ORDER BY value DESC),
           events => flights, timestamp => 'at', event_time => 'departed', keys => ['tailnum'],
           horizon => INTERVAL '36 hours', aggregate => 'count(*) AS flights', known_until => '2024-01-03')",
    )
    .await
    .expect("labels");
    let names: Vec<_> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["n", "tailnum", "at", "flights", "label_known_at", "label_status"]);
    assert_eq!(rows.column(0).as_primitive::<Int64Type>().values()[..], [0, 2, 1, 0, 2, 1, 0, 2, 1]);
    assert_eq!(rows.column(3).as_primitive::<Int64Type>().values()[..], [1; 9]);
    assert_eq!(rows.column(3).null_count(), 0);
}
