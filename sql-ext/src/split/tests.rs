use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, SchemaRef};
use proptest::prelude::*;
use skewless_catalog::split::{Fractions, place};

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

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// `n -> split`, as the rows `n, split` say.
fn splits(rows: &RecordBatch) -> HashMap<i64, Option<String>> {
    let n = rows.column(0).as_primitive::<Int64Type>();
    let texts = arrow::compute::cast(rows.column(1), &arrow::datatypes::DataType::Utf8).expect("texts");
    let texts = texts.as_string::<i32>();
    let all: HashMap<_, _> = (0..rows.num_rows())
        .map(|row| (n.value(row), texts.is_valid(row).then(|| texts.value(row).to_owned())))
        .collect();
    assert_eq!(all.len(), rows.num_rows(), "a row came out twice");
    all
}

fn sql(value: Option<impl std::fmt::Display>) -> String {
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

/// Splits the same rows in two orders, over different partitions and batches, and checks that the answer is one.
fn same_however_dealt(table: &[String], columns: &str, call: &str, seed: u64) -> HashMap<i64, Option<String>> {
    runtime().block_on(async {
        let mut answers = Vec::new();
        for (rows, partitions, batch_size) in [(table.to_vec(), 1, 8192), (shuffled(table, seed), 4, 2)] {
            let context = context(partitions, batch_size).await;
            let mut setup = String::new();
            write!(setup, "CREATE TABLE d AS SELECT * FROM (VALUES {}) AS t({columns});", rows.join(", "))
                .expect("text");
            let rows = query(&context, &format!("{setup} SELECT n, split FROM {call}")).await.expect("a split");
            assert_eq!(rows.num_rows(), table.len(), "rows in = rows out");
            answers.push(splits(&rows));
        }
        assert_eq!(answers[0], answers[1], "order, partitions and batches must not matter");
        answers.swap_remove(0)
    })
}

fn key() -> impl Strategy<Value = Option<u8>> {
    prop_oneof![1 => Just(None), 6 => (0_u8..12).prop_map(Some)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn no_value_of_any_group_key_is_in_two_splits(rows in prop::collection::vec((key(), key()), 1..24), seed in any::<u64>()) {
        let text = |key: Option<u8>| sql(key.map(|key| format!("'k{key}'")));
        let table: Vec<String> = rows
            .iter()
            .enumerate()
            .map(|(n, (a, b))| format!("({n}, {}, CAST({} AS INT))", text(*a), sql(*b)))
            .chain(["(1000, 'alone', 1000)".to_owned()])
            .collect();
        let call = "ml_group_split(data => d, groups => ['a', 'b'], fractions => [0.4, 0.3, 0.3], seed => 7)";
        let answer = same_however_dealt(&table, "n, a, b", call, seed);
        // The oracle: joins whatever shares a value until nothing changes.
        let rows: Vec<_> = rows.into_iter().chain([(None, None)]).collect();
        let mut component: Vec<usize> = (0..rows.len()).collect();
        loop {
            let before = component.clone();
            for i in 0..rows.len() {
                for j in 0..rows.len() {
                    if rows[i].0.is_some() && rows[i].0 == rows[j].0 || rows[i].1.is_some() && rows[i].1 == rows[j].1 {
                        component[j] = component[i].min(component[j]);
                    }
                }
            }
            if component == before { break; }
        }
        let fractions = Fractions::new([0.4, 0.3, 0.3]).expect("fractions");
        for (i, row) in rows.iter().enumerate().take(rows.len() - 1) {
            let split = &answer[&(i as i64)];
            let members = || (0..rows.len()).filter(|&j| component[j] == component[i]);
            let first = members().filter_map(|j| rows[j].0).map(|key| format!("k{key}")).min();
            let second = members().filter_map(|j| rows[j].1).map(|key| key.to_string()).min();
            let want = first.or(second).map(|key| fractions.name_of(place("7", &key)).to_owned());
            prop_assert_eq!(split, &want, "row {} {:?}", i, row);
        }
    }

    #[test]
    fn within_each_stratum_the_fractions_hold_to_one_row(
        sizes in prop::collection::vec(0_usize..30, 1..4), dealt in 0_usize..3, seed in any::<u64>()
    ) {
        let shares = [[0.8, 0.1, 0.1], [0.34, 0.33, 0.33], [0.5, 0.0, 0.5]][dealt];
        let mut table = vec!["(9000, NULL, 0)".to_owned(), "(9001, 9001, NULL)".to_owned()];
        for (stratum, size) in sizes.iter().enumerate() {
            table.extend((0..*size).map(|i| { let n = stratum * 100 + i; format!("({n}, {n}, {stratum})") }));
        }
        let call = format!("ml_stratified_split(data => d, key => 'k', by => ['s'], fractions => {shares:?}, seed => 's')");
        let answer = same_however_dealt(&table, "n, k, s", &call, seed);
        prop_assert_eq!(&answer[&9000], &None, "a NULL key is in no split");
        prop_assert!(answer[&9001].is_some(), "NULL is a stratum like any other");
        for (stratum, size) in sizes.iter().enumerate() {
            let of = |name: &str| (0..*size)
                .filter(|i| answer[&((stratum * 100 + i) as i64)].as_deref() == Some(name))
                .collect::<Vec<_>>();
            for (name, share) in ["train", "validation", "test"].into_iter().zip(shares) {
                prop_assert!((of(name).len() as f64 - share * *size as f64).abs() <= 1.0, "{name}: {:?} of {size}", of(name));
            }
        }
    }

    /// The leakage guarantee: what stands before a boundary is made of events up to it, what stands after of later ones.
    #[test]
    fn no_event_is_on_both_sides_of_a_boundary(
        times in prop::collection::vec(prop_oneof![1 => Just(None), 9 => (0_i64..60).prop_map(Some)], 1..30),
        horizon in 0_i64..8, ttl in 0_i64..8, window in 0_i64..8, with_features in any::<bool>(), seed in any::<u64>()
    ) {
        let (validation_from, test_from) = (20, 40);
        let look_back = ttl.max(window);
        let table: Vec<String> = times.iter().enumerate().map(|(n, t)| format!("({n}, CAST({} AS BIGINT))", sql(*t))).collect();
        let features = if with_features { ", features => ['f']" } else { "" };
        let answer = runtime().block_on(async {
            let mut answers = Vec::new();
            for (rows, partitions) in [(table.clone(), 1), (shuffled(&table, seed), 3)] {
                let context = context(partitions, 4).await;
                let rows = query(&context, &format!(
                    "CREATE TABLE e (k BIGINT, at BIGINT, x DOUBLE);
                     CREATE FEATURE VIEW f ENTITY (k) TIMESTAMP (at) TTL {ttl}
                       AS SELECT k, at, x, count(*) OVER (RANGE {window} PRECEDING) AS n FROM e;
                     CREATE TABLE d AS SELECT * FROM (VALUES {}) AS t(n, t);
                     SELECT n, split FROM ml_time_split(data => d, timestamp => 't', test_from => {test_from},
                       validation_from => {validation_from}, horizon => {horizon}{features})", rows.join(", ")
                )).await.expect("a split");
                assert_eq!(rows.num_rows(), table.len(), "rows in = rows out");
                answers.push(splits(&rows));
            }
            assert_eq!(answers[0], answers[1]);
            answers.swap_remove(0)
        });
        let of = |name: &str| times.iter().enumerate()
            .filter(|(n, _)| answer[&(*n as i64)].as_deref() == Some(name)).filter_map(|(_, t)| *t).collect::<Vec<_>>();
        for (n, t) in times.iter().enumerate() {
            prop_assert_eq!(answer[&(n as i64)].is_none(), t.is_none(), "NULL time, and it alone, is in no split");
        }
        for (before, after) in [("train", "validation"), ("train", "test"), ("validation", "test")] {
            for t in of(before) {
                for s in of(after) {
                    // The label of the one is in (t, t + horizon], that of the other in (s, s + horizon].
                    prop_assert!(t + horizon <= s, "{before} {t} and {after} {s}");
                    if with_features {
                        prop_assert!(t + horizon < s - look_back, "{before} {t} and {after} {s} share an event");
                    }
                }
            }
        }
        // Nothing is taken out that need not be.
        let crosses = |t: i64, b: i64| t < b && t + horizon > b;
        for t in of("purged") {
            prop_assert!(crosses(t, validation_from) || crosses(t, test_from), "{t} need not be purged");
        }
        for t in of("embargoed") {
            let reaches = |b: i64| t >= b && t - look_back <= b;
            prop_assert!(with_features && (reaches(validation_from) || reaches(test_from)), "{t} need not be embargoed");
        }
    }

    #[test]
    fn each_fold_trains_on_what_was_known_before_it(
        times in prop::collection::vec(0_i64..60, 1..30), horizon in 0_i64..8, look_back in 0_i64..4, seed in any::<u64>()
    ) {
        let table: Vec<String> = times.iter().enumerate().map(|(n, t)| format!("({n}, {t})")).collect();
        for fold in 0..3_i64 {
            let call = format!(
                "(SELECT n, split_{} AS split FROM ml_time_split(data => d, timestamp => 't', test_from => 20,
                  horizon => {horizon}, look_back => {look_back}, folds => 3, fold_size => 10)) AS f", fold + 1
            );
            let answer = same_however_dealt(&table, "n, t", &call, seed);
            let (from, end) = (20 + fold * 10, 30 + fold * 10);
            for (n, t) in times.iter().enumerate() {
                let want = match *t {
                    t if t >= end => "later",
                    t if t > from + look_back => "test",
                    t if t >= from => "embargoed",
                    t if t + horizon > from => "purged",
                    _ => "train",
                };
                prop_assert_eq!(answer[&(n as i64)].as_deref(), Some(want), "fold {} at {}", fold, t);
            }
        }
    }
}

#[tokio::test]
async fn with_one_group_key_the_split_is_that_of_the_key() {
    let context = context(3, 16).await;
    let rows = query(
        &context,
        "CREATE TABLE d AS SELECT value AS n, 'N' || (value % 97) AS k FROM generate_series(0, 499);
         SELECT n, split, ml_split(k, 0.6, 0.2, 0.2, 42) AS by_key
         FROM ml_group_split(data => d, groups => ['k'], fractions => [0.6, 0.2, 0.2], seed => 42)",
    )
    .await
    .expect("a split");
    assert_eq!(rows.num_rows(), 500);
    let texts = |i: usize| arrow::compute::cast(rows.column(i), &arrow::datatypes::DataType::Utf8).expect("texts");
    assert_eq!(texts(1).as_string::<i32>(), texts(2).as_string::<i32>());
    let names: HashSet<String> = splits(&rows).into_values().flatten().collect();
    assert_eq!(names.len(), 3);
}

#[tokio::test]
async fn rows_of_one_stratum_and_key_are_in_one_split() {
    let context = context(3, 4).await;
    let rows = query(
        &context,
        "CREATE TABLE d AS SELECT value AS n, value % 10 AS k, value % 2 AS s FROM generate_series(0, 99);
         SELECT count(DISTINCT split) AS n, CAST(k AS VARCHAR) AS k
         FROM ml_stratified_split(data => d, key => 'k', by => ['s'], fractions => [0.45, 0.55])
         GROUP BY s, k HAVING count(DISTINCT split) > 1",
    )
    .await
    .expect("a split");
    assert_eq!(rows.num_rows(), 0);
}

#[tokio::test]
async fn times_are_compared_exactly_whatever_their_unit() {
    let context = context(2, 16).await;
    let rows = query(
        &context,
        "CREATE TABLE d AS SELECT * FROM (VALUES
           (1, TIMESTAMP '2024-01-01T00:00:00'), (2, TIMESTAMP '2024-01-01T00:00:01'), (3, TIMESTAMP '2024-01-01T00:00:02')
         ) AS t(n, t);
         SELECT n, split FROM ml_time_split(
           data => (SELECT n, arrow_cast(t, 'Timestamp(s)') AS t FROM d), timestamp => 't',
           test_from => TIMESTAMP '2024-01-01T00:00:01.000000001', horizon => INTERVAL '1 nanosecond')",
    )
    .await;
    let answer = splits(&rows.expect("a split"));
    // 00:00:01 + 1 ns is the boundary and no later.
    assert_eq!(answer[&1].as_deref(), Some("train"));
    assert_eq!(answer[&2].as_deref(), Some("train"));
    assert_eq!(answer[&3].as_deref(), Some("test"));
}

#[tokio::test]
async fn bounds_beyond_the_type_of_the_time_hold_for_every_row() {
    let context = context(1, 16).await;
    let rows = query(
        &context,
        "CREATE TABLE d AS SELECT value AS n, CAST(value AS SMALLINT) AS t FROM generate_series(-3, 3);
         SELECT n, split FROM ml_time_split(data => d, timestamp => 't', test_from => 100000, horizon => 0)",
    )
    .await
    .expect("a split");
    assert!(splits(&rows).values().all(|split| split.as_deref() == Some("train")));
    let rows = query(
        &context,
        "SELECT n, split FROM ml_time_split(data => d, timestamp => 't', test_from => -100000, horizon => 0)",
    )
    .await
    .expect("a split");
    assert!(splits(&rows).values().all(|split| split.as_deref() == Some("test")));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_the_remedy() {
    let context = context(2, 16).await;
    query(
        &context,
        "CREATE TABLE d (n BIGINT, k VARCHAR, x DOUBLE, t TIMESTAMP);
         CREATE TABLE e (k VARCHAR, at TIMESTAMP, x DOUBLE);
         CREATE FEATURE VIEW forever ENTITY (k) TIMESTAMP (at)
           AS SELECT k, at, x, count(*) OVER (RANGE UNBOUNDED PRECEDING) AS n,
                     count(*) OVER (RANGE INTERVAL '1 day' PRECEDING) AS n1 FROM e;
         CREATE FEATURE VIEW clicks ENTITY (k) TIMESTAMP (at) TTL 5 AS SELECT k, CAST(x AS BIGINT) AS at, x FROM e;
         SELECT 1",
    )
    .await
    .expect("set up");
    let time = "data => d, timestamp => 't', test_from => TIMESTAMP '2024-02-01', horizon => INTERVAL '1 day'";
    let cases: Vec<(String, &[&str])> = vec![
        (
            "ml_group_split(data => d, groups => ['kk'], fractions => [0.8, 0.2])".into(),
            &["no column `kk`", "did you mean `k`"],
        ),
        ("ml_group_split(data => d, groups => [], fractions => [0.8, 0.2])".into(), &["`groups` is empty"]),
        (
            "ml_group_split(data => d, groups => ['x'], fractions => [0.8, 0.2])".into(),
            &["more than one spelling", "VARCHAR"],
        ),
        ("ml_group_split(data => d, groups => ['k'], fractions => [0.8, 0.3])".into(), &["it has to be 1"]),
        ("ml_group_split(data => d, groups => ['k'], fractions => [1])".into(), &["[train, test]"]),
        ("ml_group_split(data => d, groups => ['k'], fractions => 'x')".into(), &["[train, test]"]),
        (
            "ml_group_split(data => d, groups => ['k'], fractions => [0.8, 0.2], seed => 0.5)".into(),
            &["a whole number or a text"],
        ),
        (
            "ml_group_split(data => (SELECT *, 1 AS split FROM d), groups => ['k'], fractions => [0.8, 0.2])".into(),
            &["has a column `split`", "rename it"],
        ),
        (
            "ml_stratified_split(data => d, key => 'k', by => ['l'], fractions => [0.8, 0.2])".into(),
            &["no column `l`", "`by`"],
        ),
        (format!("ml_time_split({time}, features => ['forever:x'])"), &["without limit", "TTL", "look_back"]),
        (format!("ml_time_split({time}, features => ['forever:n'])"), &["without limit", "RANGE"]),
        (format!("ml_time_split({time}, features => ['clicks'])"), &["is a number", "INTERVAL"]),
        (format!("ml_time_split({time}, features => ['click'])"), &["did you mean `clicks`"]),
        (format!("ml_time_split({time}, validation_from => TIMESTAMP '2024-03-01')"), &["not before `test_from`"]),
        (
            format!("ml_time_split({time}, validation_from => TIMESTAMP '2024-01-31', features => ['forever:n1'])"),
            &["no row can be 'validation'", "move them apart"],
        ),
        (format!("ml_time_split({time}, folds => 3)"), &["go together"]),
        (format!("ml_time_split({time}, folds => 0, fold_size => INTERVAL '1 day')"), &["from 1 to 1000"]),
        (format!("ml_time_split({time}, folds => 2, fold_size => INTERVAL '0 days')"), &["`fold_size` is 0"]),
        (format!("ml_time_split({time}, folds => 2, fold_size => INTERVAL '1 month')"), &["no fixed length"]),
        (
            "ml_time_split(data => d, timestamp => 'k', test_from => 5, horizon => 1)".into(),
            &["`k` is of type", "cast it"],
        ),
        ("ml_time_split(data => d, timestamp => 't', test_from => 5, horizon => 1)".into(), &["`horizon` is a number"]),
        (
            "ml_time_split(data => d, timestamp => 't', test_from => 5, horizon => INTERVAL '1 day')".into(),
            &["`test_from` is 5", "of that kind"],
        ),
        (
            "ml_time_split(data => d, timestamp => 't', test_from => 'soon', horizon => INTERVAL '1 day')".into(),
            &["`test_from` is soon"],
        ),
    ];
    for (call, parts) in cases {
        let message = query(&context, &format!("EXPLAIN SELECT * FROM {call}")).await.expect_err(&call);
        for part in parts {
            assert!(message.contains(part), "{call}\n`{part}` is not in: {message}");
        }
    }
    // A stated look-back stands in for what has none; a bounded window of the same view is derived.
    for features in ["features => ['forever'], look_back => INTERVAL '3 days'", "features => ['forever:n1']"] {
        query(&context, &format!("SELECT * FROM ml_time_split({time}, {features})")).await.expect(features);
    }
}
