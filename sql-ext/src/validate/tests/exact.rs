//! Exact tests of ranks: the bits of the aggregates over rows, whatever the plan, in little memory.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StructArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::datasource::MemTable;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool, UnboundedMemoryPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use proptest::prelude::*;

use super::{DATA, run};
use crate::{Options, Outcome, SkewlessContext};

/// The metrics of ranks, and the aggregate of each over rows.
const METRICS: [(&str, &str); 7] = [
    ("ks", "ks_test"),
    ("mann_whitney", "mann_whitney_test"),
    ("cramer_von_mises", "cramer_von_mises_test"),
    ("anderson_darling", "anderson_darling_test"),
    ("kuiper", "kuiper_test"),
    ("wasserstein", "wasserstein_distance"),
    ("energy", "energy_distance"),
];

async fn context(partitions: usize, batch_size: usize) -> SkewlessContext {
    let options = Options { target_partitions: Some(partitions), batch_size: Some(batch_size), ..Options::default() };
    SkewlessContext::new(options).await.expect("a session")
}

/// The physical plan of the last statement.
async fn physical(context: &SkewlessContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    let mut plan = None;
    for statement in context.parse(sql).expect("statements") {
        if let Outcome::Rows(frame) = context.run(statement).await.expect("a statement") {
            plan = Some(frame.create_physical_plan().await.expect("a plan"));
        }
    }
    plan.expect("a query")
}

async fn rows_in(context: &SkewlessContext, plan: &Arc<dyn ExecutionPlan>, runtime: &Arc<RuntimeEnv>) -> RecordBatch {
    let task = TaskContext::from(&context.session().state()).with_runtime(Arc::clone(runtime));
    let batches = collect(Arc::clone(plan), Arc::new(task)).await.expect("rows");
    concat_batches(&plan.schema(), &batches).expect("one schema")
}

fn runtime(pool: Arc<dyn MemoryPool>) -> Arc<RuntimeEnv> {
    RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().expect("a runtime")
}

/// A number without pattern from 0 to 1.
fn draw(seed: u64, at: u64) -> f64 {
    let mut z = seed.wrapping_add(at.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Rows of a few slices: more different values than a profile holds, ties, both zeros, NULL, NaN, infinities. The slice 2 has
/// no row in the study sample, and the slice 4 no value in the base.
fn table(seed: u64, rows: u64, parts: usize) -> MemTable {
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("f", DataType::Float64, true),
        Field::new("is_base", DataType::Boolean, false),
        Field::new("x", DataType::Float64, true),
    ]));
    let at = |row: u64, what: u64| draw(seed, 8 * row + what);
    let slice = |row: u64| {
        let drawn = at(row, 0);
        [(0.7, Some(0)), (0.85, None), (0.9, Some(2)), (0.95, Some(3))]
            .into_iter()
            .find(|(up_to, _)| drawn < *up_to)
            .map_or(Some(4), |(_, slice)| slice)
    };
    let is_base = |row: u64| slice(row) == Some(2) || at(row, 1) < 0.6;
    let value = |row: u64| {
        let own = at(row, 2) * 100.0 - 50.0 + if is_base(row) { 0.0 } else { 0.4 };
        let value = match at(row, 3) {
            kind if kind < 0.70 => own,
            kind if kind < 0.80 => own.round(),
            kind if kind < 0.84 => -0.0,
            kind if kind < 0.88 => 0.0,
            kind if kind < 0.91 => f64::NAN,
            kind if kind < 0.92 => f64::INFINITY,
            kind if kind < 0.925 => f64::NEG_INFINITY,
            _ => return None,
        };
        (slice(row) != Some(4) || !is_base(row)).then_some(value)
    };
    let all: Vec<u64> = (0..rows).collect();
    let batch = |rows: &[u64]| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| slice(*row)).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| Some(if at(*row, 4) < 0.5 { -0.0 } else { 0.0 })).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|row| Some(is_base(*row))).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|row| value(*row)).collect::<Float64Array>()),
        ];
        RecordBatch::try_new(Arc::clone(&schema), columns).expect("columns of one length")
    };
    let parts = all.chunks(all.len() / parts + 1).map(|part| part.chunks(700).map(batch).collect()).collect();
    MemTable::try_new(schema, parts).expect("one schema")
}

/// Statistic, effect size and p-value, by their bits, the sizes, and the note.
type Bits = ([Option<u64>; 3], i64, i64, Option<String>);

fn bits(record: &StructArray, row: usize) -> Bits {
    let column = |name: &str| record.column_by_name(name).expect(name);
    let float = |name: &str| {
        let array = column(name).as_primitive::<Float64Type>();
        array.is_valid(row).then(|| array.value(row).to_bits())
    };
    let count = |name: &str| column(name).as_primitive::<Int64Type>().value(row);
    let notes = column("note").as_string::<i32>();
    let note = notes.is_valid(row).then(|| notes.value(row).to_owned());
    (["statistic", "effect_size", "p_value"].map(float), count("n_base"), count("n_study"), note)
}

async fn exact_is_what_the_rows_give(seed: u64, rows: u64, partitions: usize, batch_size: usize) {
    let context = context(partitions, batch_size).await;
    context.session().register_table("t", Arc::new(table(seed, rows, 3))).expect("a new name");
    let pool = runtime(Arc::new(UnboundedMemoryPool::default()));
    let metrics = METRICS.map(|(metric, _)| format!("'{metric}'")).join(", ");
    let plan = physical(
        &context,
        &format!(
            "SELECT * FROM ml_validate_drift(base => (SELECT k, f, x FROM t WHERE is_base), \
             study => (SELECT k, f, x FROM t WHERE NOT is_base), by => ['k', 'f'], metrics => [{metrics}], exact => true)"
        ),
    )
    .await;
    let found = rows_in(&context, &plan, &pool).await;
    let calls = METRICS.map(|(metric, function)| format!("{function}(x, is_base) AS {metric}")).join(", ");
    let aggregates = physical(&context, &format!("SELECT k, {calls} FROM t GROUP BY k")).await;
    let aggregates = rows_in(&context, &aggregates, &pool).await;

    let slices = aggregates.column(0).as_primitive::<Int64Type>();
    let found_slices = found.column(0).as_primitive::<Int64Type>();
    let found_metrics = found.column_by_name("metric").expect("a metric").as_string::<i32>();
    let found = StructArray::from(found.clone());
    let mut of_rows = 0;
    for (metric, _) in METRICS {
        let expected = aggregates.column_by_name(metric).expect(metric).as_struct();
        for row in 0..aggregates.num_rows() {
            let slice = slices.is_valid(row).then(|| slices.value(row));
            let same = |at: &usize| {
                found_slices.is_valid(*at) == slice.is_some()
                    && slice.is_none_or(|slice| found_slices.value(*at) == slice)
                    && found_metrics.is_valid(*at)
                    && found_metrics.value(*at) == metric
            };
            let places: Vec<usize> = (0..found.len()).filter(same).collect();
            if slice == Some(2) {
                assert!(places.is_empty(), "a slice without a study sample has no metric");
                continue;
            }
            let [place] = places.as_slice() else { panic!("{slice:?} {metric}: {places:?}") };
            let (mut values, m, n, note) = bits(&found, *place);
            let (expected, expected_m, expected_n, expected_note) = bits(expected, row);
            if metric == "wasserstein" {
                // The distance has no p-value of its own.
                values[2] = None;
            }
            assert_eq!((values, m, n), (expected, expected_m, expected_n), "{slice:?} {metric}");
            let note = note.expect("a note");
            let own = note.strip_prefix("exact: from the rows in order");
            of_rows += usize::from(own.is_some());
            let own = own.or_else(|| note.strip_prefix("exact: from every value, which the profiles hold"));
            let own = own.unwrap_or_else(|| panic!("{note}")).trim_start_matches("; ");
            assert_eq!(own, expected_note.unwrap_or_default(), "{slice:?} {metric}");
        }
    }
    assert!(of_rows >= METRICS.len(), "no slice needed its rows");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn no_plan_changes_a_bit_of_what_the_rows_give(
        seed in any::<u64>(), rows in 9_000_u64..12_000, partitions in 1_usize..9, batch_size in 100_usize..9_000,
    ) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(exact_is_what_the_rows_give(seed, rows, partitions, batch_size));
    }
}

/// Uniform numbers of one distribution in both samples.
fn uniform(rows: usize, more: &str) -> String {
    let side = |from: usize| {
        format!(
            "(SELECT u - floor(u) AS x FROM (SELECT sin(value * 12.9898) * 43758.5453 AS u \
             FROM generate_series({}, {}) AS g(value)))",
            from + 1,
            from + rows
        )
    };
    format!("SELECT * FROM ml_validate_drift(base => {}, study => {}{more})", side(0), side(rows))
}

/// How often the plan's sorts spilled, and how many rows.
fn spilled(plan: &Arc<dyn ExecutionPlan>) -> (usize, usize) {
    let own = plan.metrics().filter(|_| plan.name() == "SortExec");
    let own = own.map_or((0, 0), |own| (own.spill_count().unwrap_or(0), own.spilled_rows().unwrap_or(0)));
    plan.children().into_iter().map(spilled).fold(own, |sum, child| (sum.0 + child.0, sum.1 + child.1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_pool_far_smaller_than_the_values_the_second_pass_decides_what_profiles_cannot() {
    let rows = 1_000_000;
    let context = context(2, 2_048).await;
    let unbounded = runtime(Arc::new(UnboundedMemoryPool::default()));
    let text = |batch: &RecordBatch, name: &str| {
        let column = batch.column_by_name(name).expect(name);
        let shown = ArrayFormatter::try_new(column, &FormatOptions::default()).expect("text");
        shown.value(0).to_string()
    };

    let plan = physical(&context, &uniform(rows, "")).await;
    let sketched = rows_in(&context, &plan, &unbounded).await;
    assert!(text(&sketched, "note").contains("undecidable from profiles"), "{}", text(&sketched, "note"));

    let sql =
        format!("SET datafusion.execution.sort_spill_reservation_bytes = 100000; {}", uniform(rows, ", exact => true"));
    let plan = physical(&context, &sql).await;
    let expected = rows_in(&context, &plan, &unbounded).await;
    assert_eq!(spilled(&plan), (0, 0));
    // The values alone are 16 MB.
    let small = runtime(Arc::new(FairSpillPool::new(4_000_000)));
    let plan = physical(&context, &sql).await;
    let found = rows_in(&context, &plan, &small).await;
    assert_eq!(found, expected);
    let (times, sorted) = spilled(&plan);
    assert!(times > 2 && sorted > 1_000_000, "{times} times, {sorted} rows");
    assert_eq!((text(&found, "n_base"), text(&found, "n_study")), (rows.to_string(), rows.to_string()));
    assert_eq!(
        (text(&found, "is_drift").as_str(), text(&found, "note").as_str()),
        ("false", "exact: from the rows in order")
    );
    assert!(text(&found, "p_value").parse::<f64>().expect("a number") > 0.05);
    assert_eq!(small.memory_pool.reserved(), 0);
    assert_eq!(small.disk_manager.used_disk_space(), 0);
}

#[tokio::test]
async fn only_columns_that_need_their_rows_are_sorted() {
    let context = context(2, 1_000).await;
    let of = |condition: &str| format!("(SELECT x, few, word FROM d WHERE {condition})");
    let sql = format!(
        "{} EXPLAIN ANALYZE SELECT * FROM ml_validate_drift(base => {}, study => {}, exact => true)",
        DATA.replace("(1, 2000)", "(1, 6000)"),
        of("n <= 3000"),
        of("n > 3000")
    );
    let plan = physical(&context, &sql).await;
    let analysis = rows_in(&context, &plan, &runtime(Arc::new(UnboundedMemoryPool::default()))).await;
    let text = arrow::util::pretty::pretty_format_batches(&[analysis]).expect("a table").to_string();
    let line = text.lines().find(|line| line.contains("ExactDriftExec")).expect("the operator");
    assert!(line.contains("columns=[x, few]") && line.contains("sorted_columns=1"), "{line}");
    // Where no test is of ranks, there is no second pass.
    let plan = physical(
        &context,
        &format!(
            "SELECT * FROM ml_validate_drift(base => {}, study => {}, metrics => ['psi'], exact => true)",
            of("n <= 3000"),
            of("n > 3000")
        ),
    )
    .await;
    let text = displayable(plan.as_ref()).indent(false).to_string();
    assert!(!text.contains("ExactDriftExec") && !text.contains("SortExec"), "{text}");
}

#[tokio::test]
async fn rows_that_change_between_the_passes_are_refused() {
    let sql = "SELECT * FROM ml_validate_drift(exact => true, \
               base => (SELECT sin(value) AS x FROM generate_series(1, 40000) AS g(value) WHERE random() < 0.5), \
               study => (SELECT sin(value) AS x FROM generate_series(1, 40000) AS g(value) WHERE random() < 0.5))";
    let message = run(2, 1_000, sql).await.expect_err("other rows");
    assert!(
        message.contains("`x`: the ") && message.contains("compare tables that do not change meanwhile"),
        "{message}"
    );
}

#[tokio::test]
async fn texts_and_empty_samples_are_answered_too() {
    let batch = run(
        2,
        10,
        "SELECT feature, note FROM ml_validate_drift(base => (SELECT 'a' AS t, 1.5 AS x WHERE false), \
         study => (SELECT 'b' AS t, 2.5 AS x), metrics => ['kuiper'], exact => true)",
    )
    .await
    .expect("findings");
    assert_eq!(batch.num_rows(), 2);
    let batch = run(
        2,
        10,
        "SELECT note FROM ml_validate_drift(base => (SELECT 'a' AS t), study => (SELECT 'b' AS t), \
         metrics => ['energy'], exact => true)",
    )
    .await
    .expect("findings");
    assert_eq!(batch.column(0).as_string::<i32>().value(0), "energy compares numbers, and these are texts");
}
