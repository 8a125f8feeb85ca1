//! Training sets in less memory than their views take.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::StringArray;
use datafusion::execution::TaskContext;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{
    FairSpillPool, GreedyMemoryPool, MemoryLimit, MemoryPool, MemoryReservation, UnboundedMemoryPool,
};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};

use super::*;

/// The physical plan of a query.
pub(super) async fn physical(context: &SkewlessContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    let statement = context.parse(sql).expect("a statement").pop().expect("one statement");
    let Outcome::Rows(frame) = context.run(statement).await.expect("a query") else { panic!("{sql} is no query") };
    frame.create_physical_plan().await.expect("a plan")
}

/// The rows of a query with this runtime's memory and disk.
pub(super) async fn rows_in(
    context: &SkewlessContext,
    plan: &Arc<dyn ExecutionPlan>,
    runtime: &Arc<RuntimeEnv>,
) -> Result<RecordBatch, String> {
    let task = TaskContext::from(&context.session().state()).with_runtime(Arc::clone(runtime));
    let batches = collect(Arc::clone(plan), Arc::new(task)).await.map_err(|error| error.to_string())?;
    concat_batches(&plan.schema(), &batches).map_err(|error| error.to_string())
}

pub(super) fn runtime(pool: Arc<dyn MemoryPool>) -> Arc<RuntimeEnv> {
    RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().expect("a runtime")
}

/// How many files, bytes and rows the training set spilled.
pub(super) fn spilled(plan: &Arc<dyn ExecutionPlan>) -> [usize; 3] {
    if plan.name() == "TrainingSetExec" {
        let metrics = plan.metrics().expect("metrics");
        return [metrics.spill_count(), metrics.spilled_bytes(), metrics.spilled_rows()].map(Option::unwrap_or_default);
    }
    plan.children().into_iter().map(spilled).find(|counts| counts[0] > 0).unwrap_or_default()
}

pub(super) fn leave_nothing_behind(runtime: &RuntimeEnv) {
    assert_eq!(runtime.memory_pool.reserved(), 0);
    assert_eq!(runtime.disk_manager.used_disk_space(), 0);
    for folder in runtime.disk_manager.temp_dir_paths() {
        assert_eq!(std::fs::read_dir(folder).expect("the folder").count(), 0);
    }
}

/// Events with texts: `entities` of them in turn, so that every batch holds rows of many.
pub(super) fn events(rows: i64, entities: i64) -> MemTable {
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("event", DataType::Int64, true),
        Field::new("known", DataType::Int64, true),
        Field::new("x", DataType::Float64, true),
        Field::new("name", DataType::Utf8, true),
    ]));
    let all: Vec<i64> = (0..rows).collect();
    let parts = all
        .chunks(rows as usize / 3 + 1)
        .map(|part| {
            part.chunks(1000)
                .map(|n| {
                    let columns: Vec<ArrayRef> = vec![
                        Arc::new(n.iter().map(|n| (n % 97 != 0).then_some(n % entities)).collect::<Int64Array>()),
                        Arc::new(n.iter().map(|n| Some(n / 10)).collect::<Int64Array>()),
                        Arc::new(n.iter().map(|n| (n % 13 != 0).then_some(n / 10 + n % 50)).collect::<Int64Array>()),
                        Arc::new(n.iter().map(|n| Some(*n as f64 * 0.1)).collect::<Float64Array>()),
                        Arc::new(n.iter().map(|n| Some(format!("the name of event {n}"))).collect::<StringArray>()),
                    ];
                    RecordBatch::try_new(Arc::clone(&schema), columns).expect("columns of one length")
                })
                .collect()
        })
        .collect();
    MemTable::try_new(schema, parts).expect("one schema")
}

const VIEWS: &str = "
CREATE FEATURE VIEW big ENTITY (k) TIMESTAMP (event) AVAILABLE AT (known) TTL 900
  AS SELECT k, event, known, x, name, sum(x) OVER (RANGE 1500 PRECEDING) AS total FROM events;
CREATE FEATURE VIEW small ENTITY (k) TIMESTAMP (event) AS SELECT k, event, x FROM events WHERE event % 500 = 0;
CREATE FEATURE VIEW all_of NO ENTITY TIMESTAMP (event) AS SELECT event, k AS last_k FROM events WHERE event % 1000 = 0;
CREATE FEATURE VIEW sums ON DEMAND (big__x DOUBLE, small__x DOUBLE) AS SELECT big__x + small__x AS x;
SELECT 1";

pub(super) const SET: &str = "SELECT * FROM ml_training_set(
  spine => (SELECT n, k, at * 60 AS at FROM spine), timestamp => 'at',
  features => ['big', 'small', 'all_of', 'sums'], status => true, witness => true)";

pub(super) async fn set_up(rows: i64, entities: i64) -> SkewlessContext {
    let context = context(3, 1000).await;
    context.session().register_table("events", Arc::new(events(rows, entities))).expect("a new name");
    context.session().register_table("spine", Arc::new(scanned(9_000, 2, 700))).expect("a new name");
    query(&context, VIEWS).await.expect("views");
    context
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_far_smaller_than_the_data_gives_the_same_bytes_and_loses_nothing() {
    let context = set_up(60_000, 500).await;
    let plan = physical(&context, SET).await;
    let unbounded = runtime(Arc::new(UnboundedMemoryPool::default()));
    let expected = rows_in(&context, &plan, &unbounded).await.expect("a training set");
    assert_eq!((expected.num_rows(), spilled(&plan)), (9_000, [0; 3]));
    let known = expected.column_by_name("big__status").expect("a status").as_string::<i32>();
    assert!(known.iter().flatten().filter(|status| *status == "ok").count() > 500);

    // The rows are 4 MB.
    let limit = 80_000;
    let pools: [Arc<dyn MemoryPool>; 2] =
        [Arc::new(GreedyMemoryPool::new(limit)), Arc::new(FairSpillPool::new(3 * limit))];
    for pool in pools {
        let runtime = runtime(pool);
        let plan = physical(&context, SET).await;
        let set = rows_in(&context, &plan, &runtime).await.expect("a training set");
        assert!(set == expected, "the answers differ");
        let [files, bytes, rows] = spilled(&plan);
        assert!(files > 32 && bytes > 4_000_000 && rows > 60_000, "{files} files, {bytes} bytes, {rows} rows");
        let text = displayable(plan.as_ref()).indent(false).to_string();
        assert!(!text.contains("spill_count"), "{text}");
        leave_nothing_behind(&runtime);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spills_are_counted_in_explain_analyze() {
    let context = set_up(6_000, 500).await;
    let set = query(
        &context,
        &format!(
            "SET datafusion.runtime.memory_limit = '60K'; EXPLAIN ANALYZE {}",
            SET.replace(", witness => true", "")
        ),
    )
    .await
    .expect("an analysis");
    let text = pretty(&set);
    let line = text.lines().find(|line| line.contains("TrainingSetExec")).expect("the operator");
    for metric in ["spill_count=", "spilled_bytes=", "spilled_rows="] {
        assert!(line.contains(metric) && !line.contains(&format!("{metric}0,")), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_disk_the_error_says_so() {
    let context = set_up(20_000, 500).await;
    let plan = physical(&context, SET).await;
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(100_000)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .build_arc()
        .expect("a runtime");
    let message = rows_in(&context, &plan, &runtime).await.expect_err("no disk");
    for part in ["the feature view `", "disk manager is disabled", "raise the memory limit"] {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

/// A pool that refuses what is asked first, and has enough for everything after.
#[derive(Debug)]
pub(super) struct RefuseFirst {
    left: AtomicUsize,
    rest: UnboundedMemoryPool,
}

impl RefuseFirst {
    pub(super) fn runtime(refusals: usize) -> Arc<RuntimeEnv> {
        runtime(Arc::new(Self { left: AtomicUsize::new(refusals), rest: UnboundedMemoryPool::default() }))
    }
}

impl fmt::Display for RefuseFirst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refuse_first")
    }
}

impl MemoryPool for RefuseFirst {
    fn name(&self) -> &'static str {
        "refuse_first"
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.rest.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.rest.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> datafusion::common::Result<()> {
        let refused = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match refused {
            Ok(_) => datafusion::common::resources_err!("refused"),
            Err(_) => self.rest.try_grow(reservation, additional),
        }
    }

    fn reserved(&self) -> usize {
        self.rest.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Infinite
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_spine_over_views_on_disk_is_an_empty_training_set() {
    let context = set_up(5_000, 50).await;
    let plan = physical(&context, &SET.replace("FROM spine)", "FROM spine WHERE n < 0)")).await;
    let runtime = RefuseFirst::runtime(1);
    assert_eq!(rows_in(&context, &plan, &runtime).await.expect("a training set").num_rows(), 0);
    assert!(spilled(&plan)[0] > 0);
    leave_nothing_behind(&runtime);
}
