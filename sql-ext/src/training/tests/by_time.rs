//! Training sets in less memory than the rows of one entity take.

use datafusion::execution::memory_pool::{FairSpillPool, GreedyMemoryPool, MemoryPool, UnboundedMemoryPool};

use super::spill::{SET, leave_nothing_behind, physical, rows_in, runtime, set_up, spilled};
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_entity_in_a_pool_far_smaller_than_its_rows_gives_the_same_bytes() {
    // One key; a twentieth of the rows has another; and no key at all.
    for (entities, view) in [(1, "big"), (2, "big"), (1, "everything")] {
        let context = set_up(60_000, entities).await;
        query(
            &context,
            "CREATE OR REPLACE FEATURE VIEW big ENTITY (k) TIMESTAMP (event) AVAILABLE AT (known) TTL 900
               AS SELECT k, event, known, x, name, sum(x) OVER (RANGE 150 PRECEDING) AS total FROM events
                  WHERE k = 0 OR event % 10 = 0;
             CREATE FEATURE VIEW everything NO ENTITY TIMESTAMP (event) AVAILABLE AT (known)
               AS SELECT event, known, name, x, count(*) OVER (RANGE 20 PRECEDING) AS n FROM events; SELECT 1",
        )
        .await
        .expect("views");
        let sql = SET.replace("'big', 'small', 'all_of', 'sums'", &format!("'{view}', 'all_of'"));
        let plan = physical(&context, &sql).await;
        let unbounded = runtime(Arc::new(UnboundedMemoryPool::default()));
        let expected = rows_in(&context, &plan, &unbounded).await.expect("a training set");
        assert_eq!((expected.num_rows(), spilled(&plan)), (9_000, [0; 3]));
        let status = expected.column_by_name(&format!("{view}__status")).expect("a status").as_string::<i32>();
        assert!(status.iter().flatten().filter(|status| *status == "ok").count() > 900);

        // The rows are 4 MB.
        let limit = 400_000;
        let pools: [Arc<dyn MemoryPool>; 2] =
            [Arc::new(GreedyMemoryPool::new(limit)), Arc::new(FairSpillPool::new(2 * limit))];
        for pool in pools {
            let runtime = runtime(pool);
            let plan = physical(&context, &sql).await;
            let set = rows_in(&context, &plan, &runtime).await.expect("a training set");
            assert!(set == expected, "the answers of {view} over {entities} entities differ");
            let [files, bytes, rows] = spilled(&plan);
            assert!(files > 32 && bytes > 4_000_000 && rows > 60_000, "{files} files, {bytes} bytes, {rows} rows");
            leave_nothing_behind(&runtime);
        }
    }
}

/// Numbers that look random and are always the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % end.max(1) as u64) as i64
    }
}

/// Rows of a few keys, most of them of key 0, with late, early, unknown and equal times.
fn history(numbers: &mut Numbers, rows: i64, span: i64, late: i64) -> RecordBatch {
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("event", DataType::Int64, true),
        Field::new("known", DataType::Int64, true),
        Field::new("x", DataType::Float64, true),
    ]));
    let mut columns: [Vec<Option<i64>>; 4] = Default::default();
    for _ in 0..rows {
        let event = numbers.below(span);
        columns[0].push(Some(if numbers.below(20) == 0 { numbers.below(4) } else { 0 }));
        columns[1].push((numbers.below(40) != 0).then_some(event));
        columns[2].push((numbers.below(15) != 0).then_some(event - 2 + numbers.below(late)));
        columns[3].push((numbers.below(30) != 0).then_some(numbers.below(1_000)));
    }
    let [k, event, known, x] = columns;
    let x: Float64Array = x.into_iter().map(|x| x.map(|x| x as f64 * 0.1)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(k)),
        Arc::new(Int64Array::from(event)),
        Arc::new(Int64Array::from(known)),
        Arc::new(x),
    ];
    RecordBatch::try_new(schema, columns).expect("columns of one length")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_histories_give_the_same_bytes_in_any_memory() {
    let mut divided = 0;
    for seed in 0..14 {
        let mut numbers = Numbers(seed);
        let (span, late) = (20 + numbers.below(400), 1 + numbers.below(30));
        let context = context(1 + seed as usize % 3, 64).await;
        let events = history(&mut numbers, 1_500, span, late);
        let spine = history(&mut numbers, 400, span + 40, 1);
        let parts = events.num_rows() / 2;
        let parts = vec![vec![events.slice(0, parts)], vec![events.slice(parts, events.num_rows() - parts)]];
        for (name, parts) in [("events", parts), ("spine", vec![vec![spine]])] {
            let table = MemTable::try_new(parts[0][0].schema(), parts).expect("one schema");
            context.session().register_table(name, Arc::new(table)).expect("a new name");
        }
        // Integers, or instants whose units all differ.
        let (event, known, at, units) = match seed % 2 {
            0 => ("event", "known", "event", ["3", "25"]),
            _ => (
                "arrow_cast(event, 'Timestamp(Millisecond, None)')",
                "arrow_cast(known * 1000 + 500, 'Timestamp(Microsecond, None)')",
                "arrow_cast(event * 1000000 + 250, 'Timestamp(Nanosecond, None)')",
                ["INTERVAL '3 milliseconds'", "INTERVAL '25 milliseconds'"],
            ),
        };
        let [short, long] = units;
        query(
            &context,
            &format!(
                "CREATE FEATURE VIEW keyed ENTITY (k) TIMESTAMP (e) AVAILABLE AT (a) TTL {short}
                   AS SELECT k, {event} AS e, {known} AS a, x, sum(x) OVER (RANGE {short} PRECEDING) AS s,
                        first_value(x) OVER (RANGE {short} PRECEDING) AS f FROM events;
                 CREATE FEATURE VIEW plain NO ENTITY TIMESTAMP (e) AS SELECT {event} AS e, k, x FROM events;
                 CREATE FEATURE VIEW late NO ENTITY TIMESTAMP (e) AVAILABLE AT (a) TTL {long}
                   AS SELECT {event} AS e, {known} AS a, k, x FROM events; SELECT 1"
            ),
        )
        .await
        .expect("views");
        let cutoff = match (seed % 5, seed % 2) {
            (0, 0) => format!(", known_at => {}", span / 2),
            (0, _) => format!(", known_at => arrow_cast({}, 'Timestamp(Millisecond, None)')", span / 2),
            _ => String::new(),
        };
        for view in ["keyed", "plain", "late"] {
            let sql = format!(
                "SELECT * FROM ml_training_set(spine => (SELECT k, {at} AS at FROM spine), timestamp => 'at',
                   features => ['{view}'], status => true, witness => true{cutoff})"
            );
            let plan = physical(&context, &sql).await;
            let unbounded = runtime(Arc::new(UnboundedMemoryPool::default()));
            let expected = rows_in(&context, &plan, &unbounded).await.expect("a training set");
            for limit in [90_000, 45_000, 20_000] {
                let runtime = runtime(Arc::new(GreedyMemoryPool::new(limit)));
                let plan = physical(&context, &sql).await;
                match rows_in(&context, &plan, &runtime).await {
                    Ok(set) => {
                        assert!(
                            set == expected,
                            "seed {seed}, {view}, {limit} bytes:\n{}",
                            first_difference(&set, &expected)
                        );
                        divided += usize::from(spilled(&plan)[0] > 0);
                    }
                    Err(message) => assert!(message.contains("time does not divide them"), "{message}"),
                }
                leave_nothing_behind(&runtime);
            }
        }
    }
    assert!(divided > 50, "only {divided} training sets were made by time");
}

fn first_difference(set: &RecordBatch, expected: &RecordBatch) -> String {
    let row = (0..expected.num_rows()).find(|row| set.slice(*row, 1) != expected.slice(*row, 1)).unwrap_or_default();
    format!("row {row}\n{}\n{}", pretty(&set.slice(row, 1)), pretty(&expected.slice(row, 1)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_over_more_rows_than_fit_is_an_error_with_the_remedy() {
    let context = set_up(20_000, 1).await;
    query(
        &context,
        "CREATE OR REPLACE FEATURE VIEW big ENTITY (k) TIMESTAMP (event)
           AS SELECT k, event, sum(x) OVER (RANGE UNBOUNDED PRECEDING) AS total FROM events; SELECT 1",
    )
    .await
    .expect("a view");
    let plan = physical(&context, &SET.replace("'big', 'small', 'all_of', 'sums'", "'big'")).await;
    let runtime = runtime(Arc::new(GreedyMemoryPool::new(60_000)));
    let message = rows_in(&context, &plan, &runtime).await.expect_err("too little memory");
    for part in ["rows of one value of `k` of the feature view `big`", "windows", "raise the memory limit", "WHERE"] {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    leave_nothing_behind(&runtime);
}
