//! The as-of join against a brute-force oracle, under every way its input may be dealt out.

mod sentences;

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema};
use datafusion::common::{Result, resources_err};
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool, MemoryReservation, UnboundedMemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use proptest::prelude::*;

use crate::{Options, Outcome, SkewlessContext};

type Left = (Option<i64>, Option<f64>);
type RightRow = (Option<i64>, Option<f64>, Option<i64>, Option<f64>);

/// A total order of floats with one zero and NaN greatest; NULL before all.
fn order(a: Option<f64>, b: Option<f64>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Join(&'static str),
    Nearest,
}

/// The id of the right row that counts, by looking at every one.
fn oracle(left: Left, right: &[RightRow], way: Way, tolerance: Option<f64>) -> Option<i64> {
    let (key, time) = left;
    let (key, time) = (key?, time?);
    let greatest = |a: &usize, b: &usize| {
        let (x, y) = (&right[*a], &right[*b]);
        x.2.cmp(&y.2).then_with(|| order(x.3, y.3)).then_with(|| a.cmp(b))
    };
    let known = || (0..right.len()).filter(|row| right[*row].0 == Some(key) && right[*row].1.is_some());
    let against = |row: &usize| order(right[*row].1, Some(time));
    let before = |equal: bool| {
        known()
            .filter(|row| against(row).is_lt() || (equal && against(row).is_eq()))
            .max_by(|a, b| order(right[*a].1, right[*b].1).then_with(|| greatest(a, b)))
    };
    let after = |equal: bool| {
        known()
            .filter(|row| against(row).is_gt() || (equal && against(row).is_eq()))
            .max_by(|a, b| order(right[*b].1, right[*a].1).then_with(|| greatest(a, b)))
    };
    let distance = |row: usize| {
        if against(&row).is_eq() {
            return 0.0;
        }
        let distance = (right[row].1.unwrap_or_default() - time).abs();
        if distance.is_nan() { f64::INFINITY } else { distance }
    };
    let found = match way {
        Way::Join(">=") => before(true),
        Way::Join(">") => before(false),
        Way::Join("<=") => after(true),
        Way::Join(_) => after(false),
        Way::Nearest => match (before(true), after(true)) {
            (Some(b), Some(a)) => Some(if distance(a) < distance(b) { a } else { b }),
            (b, a) => b.or(a),
        },
    }?;
    tolerance.is_none_or(|limit| distance(found) <= limit).then_some(found as i64)
}

/// A table of the rows in the given order, dealt out to partitions and cut into batches.
fn table(columns: &[(&str, ArrayRef)], rows: &[usize], partitions: usize, batch: usize) -> Arc<MemTable> {
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let mut dealt = vec![Vec::new(); partitions];
    for (turn, chunk) in rows.chunks(batch.max(1)).enumerate() {
        let take = Int64Array::from_iter_values(chunk.iter().map(|row| *row as i64));
        let columns =
            columns.iter().map(|(_, column)| arrow::compute::take(column, &take, None).unwrap()).collect::<Vec<_>>();
        dealt[turn % partitions].push(RecordBatch::try_new(Arc::clone(&schema), columns).unwrap());
    }
    Arc::new(MemTable::try_new(schema, dealt).unwrap())
}

fn ids(count: usize) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(0..count as i64))
}

/// A memory pool that has room for everybody but the as-of join.
#[derive(Debug, Default)]
struct NoRoom(UnboundedMemoryPool);

impl std::fmt::Display for NoRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no room")
    }
}

impl MemoryPool for NoRoom {
    fn name(&self) -> &'static str {
        "no room"
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.0.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.0.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if reservation.consumer().name() == "AsOfJoinExec" && additional > 0 {
            return resources_err!("no room");
        }
        self.0.try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.0.reserved()
    }
}

/// The rows of a query with the memory of `pool`.
fn run_within(
    pool: Arc<dyn MemoryPool>,
    context: &SkewlessContext,
    runtime: &tokio::runtime::Runtime,
    sql: &str,
) -> (Vec<RecordBatch>, Arc<dyn ExecutionPlan>) {
    runtime.block_on(async {
        let Outcome::Rows(rows) = context.sql(sql).await.unwrap().remove(0) else { panic!("{sql} is a query") };
        let env = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap();
        let task = Arc::new(rows.task_ctx().with_runtime(env));
        let plan = rows.create_physical_plan().await.unwrap();
        (collect(Arc::clone(&plan), task).await.unwrap(), plan)
    })
}

fn pairs(batches: &[RecordBatch]) -> Vec<(i64, Option<i64>)> {
    let mut pairs = Vec::new();
    for batch in batches {
        let (l, r) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int64Type>());
        pairs.extend(l.iter().zip(r.iter()).map(|(l, r)| (l.unwrap(), r)));
    }
    pairs
}

/// The right id for each left id, in the order that the rows came out.
fn run(context: &SkewlessContext, runtime: &tokio::runtime::Runtime, sql: &str) -> Vec<(i64, Option<i64>)> {
    runtime.block_on(async {
        let Outcome::Rows(rows) = context.sql(sql).await.unwrap().pop().unwrap() else { panic!("{sql} is a query") };
        pairs(&rows.collect().await.unwrap())
    })
}

fn time() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        6 => (-4..5_i32).prop_map(|v| Some(f64::from(v))),
        2 => (-4..5_i32).prop_map(|v| Some(f64::from(v) / 2.0)),
        1 => prop_oneof![
            Just(Some(f64::NAN)),
            Just(Some(f64::INFINITY)),
            Just(Some(f64::NEG_INFINITY)),
            Just(Some(-0.0)),
            Just(None),
        ],
    ]
}

fn small() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![9 => (0..3_i64).prop_map(Some), 1 => Just(None)]
}

fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..count).collect();
    let mut state = seed | 1;
    for end in (1..count).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        rows.swap(end, (state >> 33) as usize % (end + 1));
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_join_is_the_oracle_s_for_any_order_partitioning_and_batch_size(
        left in prop::collection::vec((small(), time()), 0..60),
        right in prop::collection::vec((small(), time(), small(), time()), 0..60),
        seed in any::<u64>(),
        partitions in 1..16_usize,
        batch_size in prop_oneof![Just(1_usize), 2..8_usize, Just(8192)],
        way in prop_oneof![
            prop::sample::select(vec![">=", ">", "<=", "<"]).prop_map(Way::Join),
            Just(Way::Nearest),
        ],
        tolerance in prop::option::of(prop_oneof![Just(0.0), Just(0.5), Just(3.0)]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let options =
            Options { target_partitions: Some(partitions), batch_size: Some(batch_size), ..Options::default() };
        let context = runtime.block_on(SkewlessContext::new(options)).unwrap();
        let floats = |values: Vec<Option<f64>>| Arc::new(Float64Array::from(values)) as ArrayRef;
        let wholes = |values: Vec<Option<i64>>| Arc::new(Int64Array::from(values)) as ArrayRef;
        let l = [
            ("k", wholes(left.iter().map(|row| row.0).collect())),
            ("t", floats(left.iter().map(|row| row.1).collect())),
            ("id", ids(left.len())),
        ];
        let r = [
            ("a", wholes(right.iter().map(|row| row.2).collect())),
            ("b", floats(right.iter().map(|row| row.3).collect())),
            ("k", wholes(right.iter().map(|row| row.0).collect())),
            ("t", floats(right.iter().map(|row| row.1).collect())),
            ("id", ids(right.len())),
        ];
        let left_rows = shuffled(left.len(), seed);
        context.session().register_table("l", table(&l, &left_rows, partitions, batch_size)).unwrap();
        context
            .session()
            .register_table("r", table(&r, &shuffled(right.len(), !seed), partitions, batch_size))
            .unwrap();
        let sql = match (way, tolerance) {
            (Way::Join(op), None) => {
                format!("SELECT l.id, r.id FROM l ASOF JOIN r MATCH_CONDITION (l.t {op} r.t) ON r.k = l.k")
            }
            (Way::Join(op), Some(limit)) => format!(
                "SELECT l.id, r.id FROM asof_join(l, r, on => 'k', match => 'l.t {op} r.t', tolerance => {limit:?})"
            ),
            (Way::Nearest, None) => {
                "SELECT l.id, r.id FROM asof_join(l, r, ['k'], 'l.t >= r.t', direction => 'nearest')".to_owned()
            }
            (Way::Nearest, Some(limit)) => format!(
                "SELECT l.id, r.id FROM asof_join(l, r, ['k'], 'l.t >= r.t', {limit:?}, direction => 'nearest')"
            ),
        };
        let mut found = run(&context, &runtime, &sql);
        if partitions == 1 {
            let order: Vec<i64> = left_rows.iter().map(|row| *row as i64).collect();
            prop_assert_eq!(found.iter().map(|pair| pair.0).collect::<Vec<_>>(), order, "left order is kept");
        }
        found.sort_unstable();
        let expected: Vec<(i64, Option<i64>)> =
            left.iter().enumerate().map(|(id, row)| (id as i64, oracle(*row, &right, way, tolerance))).collect();
        prop_assert_eq!(&found, &expected, "{}", sql);

        let (batches, plan) = run_within(Arc::new(NoRoom::default()), &context, &runtime, &sql);
        let mut merged = pairs(&batches);
        if partitions == 1 {
            let order: Vec<i64> = left_rows.iter().map(|row| *row as i64).collect();
            prop_assert_eq!(merged.iter().map(|pair| pair.0).collect::<Vec<_>>(), order, "left order is kept on disk");
        }
        merged.sort_unstable();
        prop_assert_eq!(merged, expected, "on disk: {}", sql);
        let matchable = right.iter().any(|row| row.0.is_some() && row.1.is_some());
        prop_assert!(!matchable || spilled(&plan) > 0, "nothing was written to disk");
    }
}

/// Files that the as-of joins of a plan wrote.
fn spilled(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = plan.metrics().filter(|_| plan.name() == "AsOfJoinExec").and_then(|metrics| metrics.spill_count());
    own.unwrap_or(0) + plan.children().into_iter().map(spilled).sum::<usize>()
}

fn context_of(partitions: usize) -> (SkewlessContext, tokio::runtime::Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let options = Options { target_partitions: Some(partitions), ..Options::default() };
    let context = runtime.block_on(SkewlessContext::new(options)).unwrap();
    (context, runtime)
}

#[test]
fn a_right_side_beyond_memory_loses_nothing() {
    let (context, runtime) = context_of(2);
    // One hot key has half of the rows; 300,000 rows of 24 bytes are more than twice the memory.
    let made = "CREATE TABLE r AS SELECT CASE WHEN value % 2 = 0 THEN 0 ELSE value % 997 END AS k,
                  (value * 7919) % 300007 AS t, value AS id FROM generate_series(1, 300000);
                CREATE TABLE l AS SELECT value % 1000 AS k, (value * 31) % 300100 AS t, value AS id
                  FROM generate_series(1, 20000);
                SET datafusion.execution.sort_spill_reservation_bytes = 65536;
                SET datafusion.execution.batch_size = 1024; SELECT 1 AS l, 1 AS r";
    run(&context, &runtime, made);
    for (op, keys) in [(">=", "ON l.k = r.k"), ("<", "")] {
        let sql = format!("SELECT l.id, r.id FROM l ASOF JOIN r MATCH_CONDITION (l.t {op} r.t) {keys} ORDER BY l.id");
        let expected = run(&context, &runtime, &sql);
        assert_eq!(expected.len(), 20_000);
        let pool = Arc::new(FairSpillPool::new(3 << 20));
        let (batches, plan) = run_within(pool, &context, &runtime, &sql);
        assert!(pairs(&batches) == expected, "{sql}");
        assert!(spilled(&plan) > 0, "{sql}");
    }
}

/// A row count of each scan that a plan made, by the columns that it read.
fn scans(plan: &Arc<dyn ExecutionPlan>, found: &mut Vec<(String, usize)>) {
    if plan.children().is_empty() {
        let columns: Vec<String> = plan.schema().fields().iter().map(|field| field.name().clone()).collect();
        let rows = plan.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or(0);
        found.push((columns.join(","), rows));
    }
    for child in plan.children() {
        scans(child, found);
    }
}

#[test]
fn tie_columns_are_read_only_where_a_tie_exists() {
    let (context, runtime) = context_of(1);
    let folder = tempfile::tempdir().unwrap();
    for (name, tie) in [("distinct", 2), ("tied", 1)] {
        let path = folder.path().join(format!("{name}.parquet"));
        let sql = format!(
            "COPY (SELECT * FROM (VALUES (1, 1, 10, 'a', 5.0), (1, {tie}, 10, 'b', 1.0), (1, 3, 7, 'c', 2.0))
               AS v(k, t, rank, word, x)) TO '{path}';
             CREATE EXTERNAL TABLE {name} STORED AS PARQUET LOCATION '{path}'; SELECT 1 AS l, 1 AS r",
            path = path.display()
        );
        run(&context, &runtime, &sql);
    }
    for (name, at, x, scanned) in [("distinct", 2, 1.0, vec![3]), ("tied", 1, 1.0, vec![3, 3])] {
        let sql = format!(
            "SELECT r.x FROM (SELECT 1 AS k, {at} AS t) l ASOF JOIN {name} r MATCH_CONDITION (l.t >= r.t) ON l.k = r.k"
        );
        let (batch, plan) = runtime.block_on(async {
            let Outcome::Rows(rows) = context.sql(&sql).await.unwrap().remove(0) else { panic!("a query") };
            let task = Arc::new(rows.task_ctx());
            let plan = rows.create_physical_plan().await.unwrap();
            (collect(Arc::clone(&plan), task).await.unwrap().remove(0), plan)
        });
        // (10, 'b') is greater than (10, 'a'), columns that the query itself does not ask for.
        assert_eq!(batch.column(0).as_primitive::<Float64Type>().value(0).to_bits(), f64::to_bits(x));
        let mut found = Vec::new();
        scans(&plan, &mut found);
        let read: Vec<usize> =
            found.iter().filter(|(columns, _)| columns.contains('x')).map(|(_, rows)| *rows).collect();
        let narrow = found.iter().find(|(columns, _)| columns == "k,t,x");
        assert!(narrow.is_some_and(|(_, rows)| *rows == 3), "{found:?}");
        assert_eq!(read.iter().copied().filter(|rows| *rows > 0).collect::<Vec<_>>(), scanned, "{name}: {found:?}");
    }
}

#[test]
fn columns_that_nothing_asks_for_are_not_gathered() {
    let (context, runtime) = context_of(1);
    run(
        &context,
        &runtime,
        "CREATE TABLE l AS SELECT 1 AS k, 2 AS t, 3 AS v; CREATE TABLE r AS SELECT * FROM l;
                             SELECT 1 AS l, 1 AS r",
    );
    let sql = "SELECT sum(r.v), count(*) FROM l ASOF JOIN r MATCH_CONDITION (l.t >= r.t) ON l.k = r.k";
    let plan = runtime.block_on(async {
        let Outcome::Rows(rows) = context.sql(sql).await.unwrap().remove(0) else { panic!("a query") };
        displayable(rows.create_physical_plan().await.unwrap().as_ref()).indent(false).to_string()
    });
    let join = plan.lines().find(|line| line.contains("AsOfJoinExec"));
    assert!(join.is_some_and(|join| join.ends_with("projection=[v]")), "{plan}");
}

#[test]
fn filters_on_left_columns_run_before_the_join_and_unused_columns_are_not_read() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let context = runtime.block_on(SkewlessContext::new(Options::default())).unwrap();
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    for name in ["l", "r"] {
        let schema = Schema::new(vec![number("k"), number("t"), number("v"), number("unused")]);
        let table = MemTable::try_new(Arc::new(schema), vec![vec![]]).unwrap();
        context.session().register_table(name, Arc::new(table)).unwrap();
    }
    let sql = "SELECT l.v, r.v FROM l ASOF JOIN r MATCH_CONDITION (l.t >= r.t) ON l.k = r.k \
               WHERE l.v > 3 AND r.v > 4 AND l.v < r.v";
    let Outcome::Rows(rows) = runtime.block_on(context.sql(sql)).unwrap().remove(0) else { panic!("a query") };
    let plan = rows.into_optimized_plan().unwrap().display_indent().to_string();
    let join = plan.find("AsOfJoin").unwrap();
    let above = &plan[..join];
    let below = &plan[join..];
    assert!(above.contains("r.v > Int64(4)") && !above.contains("l.v > Int64(3)"), "{plan}");
    assert!(below.contains("l.v > Int64(3)") && !below.contains("r.v > Int64(4)"), "{plan}");
    let left_scan = below.lines().find(|line| line.contains("TableScan: l")).unwrap();
    assert!(!left_scan.contains("unused"), "{plan}");
    let right_scan = below.lines().find(|line| line.contains("TableScan: r")).unwrap();
    assert!(!right_scan.contains("unused"), "{plan}");
}
