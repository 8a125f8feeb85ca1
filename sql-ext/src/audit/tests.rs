use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use proptest::prelude::*;
use skewless_udf::view::LATER_EVENTS;

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
            rows = Some(concat_batches(&schema, &batches).map_err(|e| e.to_string())?);
        }
    }
    rows.ok_or_else(|| "no query".to_owned())
}

fn pretty(batch: &RecordBatch) -> String {
    pretty_format_batches(std::slice::from_ref(batch)).map(|text| text.to_string()).unwrap_or_default()
}

/// The cells of a report by column and reason.
fn counts(report: &RecordBatch) -> BTreeMap<(String, String), i64> {
    let text = |name: &str| report.column_by_name(name).expect(name).as_string::<i32>().clone();
    let (columns, reasons) = (text("column"), text("reason"));
    let cells = report.column_by_name("cells").expect("cells").as_primitive::<Int64Type>();
    (0..report.num_rows())
        .map(|row| ((columns.value(row).to_owned(), reasons.value(row).to_owned()), cells.value(row)))
        .collect()
}

fn count(report: &RecordBatch, column: &str, reason: &str) -> i64 {
    counts(report).get(&(column.to_owned(), reason.to_owned())).copied().unwrap_or(0)
}

/// (key, event, availability, value); values tell rows apart.
type Event = (i64, Option<i64>, Option<i64>, f64);

const TTL: i64 = 6;
const REACH: i64 = 4;

async fn set_up(context: &SkewlessContext, events: &[Event]) {
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("event", DataType::Int64, true),
        Field::new("known", DataType::Int64, true),
        Field::new("x", DataType::Float64, true),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(events.iter().map(|row| Some(row.0)).collect::<Int64Array>()),
        Arc::new(events.iter().map(|row| row.1).collect::<Int64Array>()),
        Arc::new(events.iter().map(|row| row.2).collect::<Int64Array>()),
        Arc::new(events.iter().map(|row| Some(row.3)).collect::<Float64Array>()),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).expect("columns of one length");
    let table = MemTable::try_new(schema, vec![vec![batch]]).expect("one schema");
    context.session().register_table("events", Arc::new(table)).expect("a new name");
    let view = format!(
        "CREATE FEATURE VIEW f ENTITY (k) TIMESTAMP (event) AVAILABLE AT (known) TTL {TTL}
           AS SELECT k, event, known, x, sum(x) OVER (RANGE {REACH} PRECEDING) AS s FROM events;
         CREATE FEATURE VIEW twice ON DEMAND (f__x DOUBLE) AS SELECT f__x * 2.0 AS x2; SELECT 1"
    );
    query(context, &view).await.expect("views");
}

/// Rows of a training table: key, time, `f__x`, `f__s`, label and the label's time.
#[derive(Clone, Debug)]
struct Row {
    k: Option<i64>,
    at: Option<i64>,
    x: Option<f64>,
    s: Option<f64>,
    y: Option<f64>,
    y_at: Option<i64>,
}

fn table(rows: &[Row], partitions: usize) -> MemTable {
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("at", DataType::Int64, true),
        Field::new("f__x", DataType::Float64, true),
        Field::new("f__s", DataType::Float64, true),
        Field::new("y", DataType::Float64, true),
        Field::new("y_at", DataType::Int64, true),
    ]));
    let share = rows.len().div_ceil(partitions).max(1);
    let mut parts: Vec<Vec<RecordBatch>> = rows
        .chunks(share)
        .map(|rows| {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(rows.iter().map(|row| row.k).collect::<Int64Array>()),
                Arc::new(rows.iter().map(|row| row.at).collect::<Int64Array>()),
                Arc::new(rows.iter().map(|row| row.x).collect::<Float64Array>()),
                Arc::new(rows.iter().map(|row| row.s).collect::<Float64Array>()),
                Arc::new(rows.iter().map(|row| row.y).collect::<Float64Array>()),
                Arc::new(rows.iter().map(|row| row.y_at).collect::<Int64Array>()),
            ];
            vec![RecordBatch::try_new(Arc::clone(&schema), columns).expect("columns of one length")]
        })
        .collect();
    if parts.is_empty() {
        parts.push(Vec::new());
    }
    MemTable::try_new(schema, parts).expect("one schema")
}

/// Where a row stands, by the rule as it is written down; `None` for one that never counts.
fn standing(event: &Event, t: i64) -> Option<&'static str> {
    let happened = event.1?;
    Some(if happened > t {
        "future_event"
    } else if event.2.is_none_or(|known| known > t) {
        "not_yet_available"
    } else if t - happened > TTL {
        "expired"
    } else {
        "known"
    })
}

/// The value of the plain feature, by the rule as it is written down.
fn value(events: &[Event], k: i64, t: i64) -> Option<f64> {
    let known = |row: &&Event| row.0 == k && matches!(standing(row, t), Some("known" | "expired"));
    let winner = events.iter().filter(known).max_by(|a, b| (a.1, a.2).cmp(&(b.1, b.2)).then(a.3.total_cmp(&b.3)))?;
    (standing(winner, t) == Some("known")).then_some(winner.3)
}

/// The sum over the window, of the rows that count by `counts`.
fn window(events: &[Event], k: i64, from: i64, to: i64, counts: impl Fn(&Event) -> bool) -> Option<f64> {
    let rows = events.iter().filter(|row| row.0 == k && row.1.is_some_and(|event| from <= event && event <= to));
    rows.filter(|row| counts(row)).map(|row| row.3).reduce(|a, b| a + b)
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let row = (0_i64..3, prop::option::weighted(0.95, 0_i64..20), prop::option::weighted(0.95, 0_i64..6));
    prop::collection::vec(row, 1..30).prop_map(|rows| {
        let value = |i: usize| f64::from(1_u32 << (i % 31)) + (i / 31) as f64 / 64.0;
        let known = |event: Option<i64>, delay: Option<i64>| event.zip(delay).map(|(event, delay)| event + delay);
        rows.into_iter().enumerate().map(|(i, (k, event, delay))| (k, event, known(event, delay), value(i))).collect()
    })
}

/// Keys and times, and what to plant in each row.
fn plants() -> impl Strategy<Value = Vec<(Option<i64>, Option<i64>, usize, usize)>> {
    let row =
        (prop::option::weighted(0.95, 0_i64..4), prop::option::weighted(0.95, 0_i64..24), 0_usize..8, 0_usize..30);
    prop::collection::vec(row, 1..40)
}

/// The cell to plant and the reason that it must be found for.
fn plant(events: &[Event], k: Option<i64>, at: Option<i64>, kind: usize, pick: usize) -> (Option<f64>, &'static str) {
    let expected = k.zip(at).and_then(|(k, at)| value(events, k, at));
    let (Some(k), Some(at)) = (k, at) else {
        return if kind == 0 { (Some(-1.0), "unexplained") } else { (None, "ok") };
    };
    let wanted = ["future_event", "not_yet_available", "expired", "known"];
    match kind {
        0 => (Some(-1.0), "unexplained"),
        1 if expected.is_some() => (None, "missing"),
        2..=5 => {
            let of_kind: Vec<&Event> = events
                .iter()
                .filter(|row| row.0 == k && standing(row, at) == Some(wanted[kind - 2]) && Some(row.3) != expected)
                .collect();
            match of_kind.get(pick % of_kind.len().max(1)) {
                Some(row) => (Some(row.3), if kind == 5 { "superseded" } else { wanted[kind - 2] }),
                None => (expected, "ok"),
            }
        }
        _ => (expected, "ok"),
    }
}

const AUDIT: &str = "SELECT * FROM ml_check_leakage(data => (SELECT * FROM planted), timestamp => 'at', features => ";

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn planted_cells_are_found_with_their_counts(events in events(), plants in plants()) {
        let mut wanted: BTreeMap<(String, String), i64> = BTreeMap::new();
        let rows: Vec<Row> = plants
            .iter()
            .map(|&(k, at, kind, pick)| {
                let (x, reason) = plant(&events, k, at, kind, pick);
                *wanted.entry(("f__x".to_owned(), reason.to_owned())).or_default() += 1;
                Row { k, at, x, s: None, y: None, y_at: None }
            })
            .collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let audit = |rows: Vec<Row>, partitions: usize, batch_size: usize| {
            let events = &events;
            async move {
                let context = context(partitions, batch_size).await;
                set_up(&context, events).await;
                let table = Arc::new(table(&rows, partitions));
                context.session().register_table("planted", table).expect("a new name");
                query(&context, &format!("{AUDIT} ['f:x'], examples => 3)")).await.expect("a report")
            }
        };
        let report = runtime.block_on(audit(rows.clone(), 1, 8192));
        prop_assert_eq!(counts(&report), wanted, "{}", pretty(&report));
        // Neither the order of the rows nor how they are dealt out changes the report or its examples.
        let mut shuffled = rows;
        shuffled.reverse();
        shuffled.rotate_left(plants.len() / 3);
        let again = runtime.block_on(audit(shuffled, 3, 2));
        prop_assert_eq!(pretty(&again), pretty(&report));
    }

    #[test]
    fn a_training_set_of_ml_training_set_is_all_ok(events in events(), plants in plants()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let report = runtime.block_on(async {
            let context = context(3, 4).await;
            set_up(&context, &events).await;
            let rows: Vec<Row> = plants
                .iter()
                .map(|&(k, at, ..)| Row { k, at, x: None, s: None, y: None, y_at: None })
                .collect();
            context.session().register_table("planted", Arc::new(table(&rows, 2))).expect("a new name");
            let set = |known_at: &str| format!(
                "SELECT * FROM ml_check_leakage(data => (SELECT * FROM ml_training_set(
                   spine => (SELECT k, at FROM planted), timestamp => 'at', features => ['f', 'twice'] {known_at})),
                 timestamp => 'at', features => ['f', 'twice'] {known_at})"
            );
            let past = query(&context, &set(", known_at => 9")).await.expect("a report");
            assert_eq!(past.num_rows(), 3, "{}", pretty(&past));
            query(&context, &set("")).await.expect("a report")
        });
        let rows = plants.len() as i64;
        let all = ["f__s", "f__x", "twice__x2"].map(|column| ((column.to_owned(), "ok".to_owned()), rows));
        prop_assert_eq!(counts(&report), BTreeMap::from(all), "{}", pretty(&report));
    }

    #[test]
    fn windows_that_saw_too_much_are_found_with_their_counts(events in events(), plants in plants()) {
        let mut wanted: BTreeMap<(String, String), i64> = BTreeMap::new();
        let rows: Vec<Row> = plants
            .iter()
            .filter_map(|&(k, at, kind, pick)| {
                let (k, at) = k.zip(at)?;
                let known = |t: i64| move |row: &Event| row.2.is_some_and(|known| known <= t);
                let right = window(&events, k, at - REACH, at, known(at));
                let early = window(&events, k, at - REACH, at, |_| true);
                let mut ends: Vec<i64> =
                    events.iter().filter(|row| row.0 == k).filter_map(|row| row.1).filter(|&e| e > at).collect();
                ends.sort_unstable();
                ends.dedup();
                ends.truncate(LATER_EVENTS);
                let end = ends.get(pick % ends.len().max(1)).copied();
                let late = end.and_then(|end| match kind % 3 {
                    0 => window(&events, k, at - REACH, end, |_| true),
                    1 => window(&events, k, end - REACH, end, |_| true),
                    _ => window(&events, k, end - REACH, end, known(end)),
                });
                // A window of the future may hold just the rows of another one: the smaller violation is reported.
                let (s, reason) = match kind {
                    0..=2 if late.is_some() && late != right && late != early => (late, "future_event"),
                    3..=4 if early.is_some() && early != right => (early, "not_yet_available"),
                    5 => (Some(-1.0), "unexplained"),
                    6 if right.is_some() => (None, "missing"),
                    _ => (right, "ok"),
                };
                *wanted.entry(("f__s".to_owned(), reason.to_owned())).or_default() += 1;
                Some(Row { k: Some(k), at: Some(at), x: None, s, y: None, y_at: None })
            })
            .collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let report = runtime.block_on(async {
            let context = context(2, 7).await;
            set_up(&context, &events).await;
            context.session().register_table("planted", Arc::new(table(&rows, 2))).expect("a new name");
            query(&context, &format!("{AUDIT} ['f:s'])")).await.expect("a report")
        });
        prop_assert_eq!(counts(&report), wanted, "{}", pretty(&report));
    }
}

#[tokio::test]
async fn a_label_in_its_own_features_is_found() {
    let context = context(2, 3).await;
    // Rows of one entity: what happened at 10 was known at 12, and so on.
    let events = [(1, Some(10), Some(12), 5.0), (1, Some(20), Some(22), 7.0), (1, Some(30), Some(32), 9.0)];
    set_up(&context, &events).await;
    let row = |at, x, y, y_at| Row { k: Some(1), at: Some(at), x, s: None, y, y_at };
    let rows = [
        // The label's own row before it was known, and after it was: a cell that is right, and is the label.
        row(21, Some(7.0), Some(7.0), Some(22)),
        row(23, Some(7.0), Some(7.0), Some(22)),
        // The label's value from another row.
        row(13, Some(5.0), Some(5.0), Some(22)),
        row(21, Some(9.0), Some(9.0), Some(22)),
        // The label's row, and another value.
        row(33, Some(9.0), Some(1.0), Some(32)),
        // A label of unknown time: what is right stays right, what could not be known is the label.
        row(23, Some(7.0), Some(7.0), None),
        row(21, Some(7.0), Some(7.0), None),
        row(23, Some(5.0), Some(5.0), None),
        row(23, None, None, None),
    ];
    context.session().register_table("planted", Arc::new(table(&rows, 2))).expect("a new name");
    let report = query(&context, &format!("{AUDIT} ['f:x'], label => 'y', label_time => 'y_at')")).await.expect("it");
    let found = |report: &RecordBatch| counts(report).into_iter().map(|((_, r), n)| (r, n)).collect::<Vec<_>>();
    let wanted = |groups: &[(&str, i64)]| groups.iter().map(|(r, n)| ((*r).to_owned(), *n)).collect::<Vec<_>>();
    assert_eq!(
        found(&report),
        wanted(&[("expired", 1), ("future_event", 1), ("label_source", 3), ("missing", 1), ("ok", 3)])
    );
    // Without the label's time only what could not be known is called the label's.
    let report = query(&context, &format!("{AUDIT} ['f:x'], label => 'y')")).await.expect("a report");
    assert_eq!(found(&report), wanted(&[("expired", 1), ("label_source", 3), ("missing", 1), ("ok", 4)]));
    let report = query(&context, &format!("{AUDIT} ['f:x'])")).await.expect("a report");
    assert_eq!(
        found(&report),
        wanted(&[("expired", 1), ("future_event", 1), ("missing", 1), ("not_yet_available", 2), ("ok", 4)])
    );
}

#[tokio::test]
async fn examples_say_where_a_value_came_from() {
    let context = context(2, 3).await;
    let events = [(1, Some(10), Some(12), 5.0), (1, Some(20), Some(22), 7.0)];
    set_up(&context, &events).await;
    let row = |at, x| Row { k: Some(1), at: Some(at), x, s: None, y: None, y_at: None };
    let rows: Vec<Row> = (13..17).rev().map(|at| row(at, Some(7.0))).collect();
    context.session().register_table("planted", Arc::new(table(&rows, 2))).expect("a new name");
    let report = query(
        &context,
        "SELECT e['key'], e['as_of'], e['found'], e['expected'], e['event_time'], e['available_at'] FROM (
           SELECT unnest(examples) AS e FROM ml_check_leakage(
             data => (SELECT * FROM planted), timestamp => 'at', features => ['f:x'], examples => 2))",
    )
    .await
    .expect("a report");
    assert_eq!(report.num_rows(), 2);
    let row =
        |at: usize| report.columns().iter().map(|c| c.as_string::<i32>().value(at).to_owned()).collect::<Vec<_>>();
    assert_eq!(row(0), ["[1]", "13", "7.0", "5.0", "20", "22"]);
    assert_eq!(row(1), ["[1]", "14", "7.0", "5.0", "20", "22"]);
}

#[tokio::test]
async fn floats_within_the_tolerance_are_equal() {
    let context = context(2, 3).await;
    set_up(&context, &[(1, Some(10), Some(12), 5.0), (1, Some(20), Some(22), f64::NAN)]).await;
    let row = |at, x| Row { k: Some(1), at: Some(at), x: Some(x), s: None, y: None, y_at: None };
    let rows = [row(13, 5.0 + 1e-7), row(13, 5.1), row(23, f64::NAN), row(15, f64::NAN)];
    context.session().register_table("planted", Arc::new(table(&rows, 1))).expect("a new name");
    let exact = query(&context, &format!("{AUDIT} ['f:x'])")).await.expect("a report");
    assert_eq!((count(&exact, "f__x", "ok"), count(&exact, "f__x", "unexplained")), (1, 2), "{}", pretty(&exact));
    let near = query(&context, &format!("{AUDIT} ['f:x'], tolerance => 1e-6)")).await.expect("a report");
    assert_eq!((count(&near, "f__x", "ok"), count(&near, "f__x", "unexplained")), (2, 1), "{}", pretty(&near));
    assert_eq!(count(&near, "f__x", "future_event"), 1, "{}", pretty(&near));
}

#[tokio::test]
async fn an_empty_table_has_no_cells() {
    let context = context(2, 3).await;
    set_up(&context, &[(1, Some(10), Some(12), 5.0)]).await;
    context.session().register_table("planted", Arc::new(table(&[], 1))).expect("a new name");
    let report = query(&context, &format!("{AUDIT} ['f'])")).await.expect("a report");
    assert_eq!((report.num_rows(), report.num_columns()), (0, 7));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_when_it_is_planned() {
    let context = context(2, 8).await;
    set_up(&context, &[(1, Some(10), Some(12), 5.0)]).await;
    let row = Row { k: Some(1), at: Some(13), x: Some(5.0), s: None, y: None, y_at: None };
    context.session().register_table("planted", Arc::new(table(&[row], 1))).expect("a new name");
    let data = "data => (SELECT * FROM planted), timestamp => 'at'";
    let cases: Vec<(String, &[&str])> = vec![
        (format!("{data}, features => ['g']"), &["no feature view `g`", "did you mean `f`?"]),
        (format!("{data}, features => ['f:y']"), &["no feature `y`", "did you mean"]),
        (format!("{data}, features => []"), &["`features` is empty"]),
        (
            format!("{data}, features => ['f AS g']"),
            &["no column `g__x`", "did you mean `f__x`?", "columns => ['g:x = column']"],
        ),
        (format!("{data}, features => ['f:x'], columns => ['f:x = z']"), &["no column `z`", "the feature `x`"]),
        (format!("{data}, features => ['f:x'], columns => ['f:s = f__s']"), &["`f:s`", "ask for it there too"]),
        (format!("{data}, features => ['f:x'], columns => ['f.x = y']"), &["write 'view:feature = column'"]),
        (format!("{data}, features => ['f:x'], columns => ['f:x = y', 'f:x = f__x']"), &["twice", "leave one out"]),
        (format!("{data}, features => ['f:x'], label => 'z'"), &["no column `z`, the label", "did you mean"]),
        (format!("{data}, features => ['f:x'], label_time => 'at'"), &["`label_time`", "label => 'y'"]),
        (format!("{data}, features => ['f:x'], label => 'y', label_time => 'y'"), &["`y` is of type Float64", "cast"]),
        (format!("{data}, features => ['f:x'], examples => -1"), &["`examples`", "whole number"]),
        (format!("{data}, features => ['f:x'], examples => 1.5"), &["`examples`", "whole number"]),
        (format!("{data}, features => ['f:x'], tolerance => -1"), &["`tolerance`", "from 0 on"]),
        (format!("{data}, features => ['f:x'], known_at => TIMESTAMP '2023-01-01'"), &["`known_at`", "cast one"]),
        (format!("{data}, features => ['f(key => at):x']"), &["no key `key`"]),
        (format!("{data}, features => ['f(k => f__x):x']"), &["`f__x` of type Float64", "cast it in `data`"]),
        (format!("{data}, features => ['twice']"), &["no column `twice__x2`"]),
        (
            "data => (SELECT at, f__x FROM planted), timestamp => 'at', features => ['f:x']".into(),
            &["no column `k`", "'f(k => column)'"],
        ),
        (
            "data => (SELECT k, at, 'a' AS f__x FROM planted), timestamp => 'at', features => ['f:x']".into(),
            &["`f__x` of type Utf8", "of type Float64", "cast it in `data`"],
        ),
        (
            "data => (SELECT k, f__x AS at, f__x FROM planted), timestamp => 'at', features => ['f:x']".into(),
            &["the as-of time `at` is of type Float64", "cast it in `data`"],
        ),
        (
            "data => (SELECT k, DATE '2023-01-01' AS at, f__x FROM planted), timestamp => 'at', features => ['f:x']"
                .into(),
            &["a timestamp or date", "an integer time"],
        ),
    ];
    for (arguments, parts) in cases {
        let message = query(&context, &format!("EXPLAIN SELECT * FROM ml_check_leakage({arguments})"))
            .await
            .expect_err(&arguments);
        for part in parts {
            assert!(message.contains(part), "{arguments}\n`{part}` is not in: {message}");
        }
    }
}
