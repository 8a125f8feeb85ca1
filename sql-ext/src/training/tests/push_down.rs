//! What a statement does not need of a training set is neither computed nor read.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use datafusion::physical_plan::displayable;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::TryStreamExt;

use super::super::lookup::{chunks, side_by_side};
use super::spill::physical;
use super::*;
use crate::execution::on_worker;

const MORE: &str = "
CREATE TABLE weather AS SELECT * FROM (VALUES (3, 0.5), (21, 0.7)) AS t(hour, wind);
CREATE FEATURE VIEW sky NO ENTITY TIMESTAMP (hour) AS SELECT hour, wind FROM weather;
SELECT 1";
const SET: &str = "ml_training_set(spine => (SELECT n, k, at, n * 2 AS double FROM spine), timestamp => 'at', \
                   features => ['f', 'sky', 'twice'], status => true, witness => true)";

async fn set_up() -> SkewlessContext {
    let context = context(2, 8192).await;
    query(&context, &format!("{SETUP} {MORE}")).await.expect("set up");
    context
}

/// The optimized logical plan.
async fn logical(context: &SkewlessContext, sql: &str) -> String {
    let statement = context.parse(sql).expect("a statement").pop().expect("one statement");
    let Outcome::Rows(frame) = context.run(statement).await.expect("a query") else { panic!("{sql} is no query") };
    frame.into_optimized_plan().expect("a plan").display_indent().to_string()
}

#[tokio::test]
async fn what_is_not_selected_is_not_computed_and_not_read() {
    let context = set_up().await;
    let plan = logical(&context, &format!("SELECT n, f__x FROM {SET}")).await;
    assert!(plan.contains("views=[f(x)]") && !plan.contains("TableScan: weather"), "{plan}");
    assert!(plan.contains("TableScan: spine projection=[n, k, at]") && !plan.contains("double"), "{plan}");

    let plan = logical(&context, &format!("SELECT sky__status FROM {SET}")).await;
    assert!(plan.contains("views=[sky(status)]") && !plan.contains("TableScan: events"), "{plan}");
    assert!(plan.contains("TableScan: spine projection=[at]"), "{plan}");

    let plan = logical(&context, &format!("SELECT f__available_at FROM {SET} WHERE f__n10 > 0")).await;
    assert!(plan.contains("views=[f(n10, witness)]"), "{plan}");

    // A view on demand keeps what it reads.
    let plan = logical(&context, &format!("SELECT twice__x2 FROM {SET}")).await;
    assert!(plan.contains("views=[f(x), twice(x2)]"), "{plan}");
    let plan = logical(&context, &format!("SELECT twice__at2 FROM {SET}")).await;
    assert!(plan.contains("views=[twice(at2)]") && !plan.contains("TableScan: events"), "{plan}");

    for nothing in ["count(*)", "max(n)", "double"] {
        let plan = logical(&context, &format!("SELECT {nothing} FROM {SET}")).await;
        assert!(plan.contains("views=[]"), "{plan}");
    }
}

#[tokio::test]
async fn a_column_selected_alone_has_the_answers_that_it_has_among_all() {
    let context = set_up().await;
    let all = query(&context, &format!("SELECT * FROM {SET}")).await.expect("a training set");
    assert_eq!(all.num_columns(), 4 + 2 + 1 + 2 + 2 + 4);
    for (field, column) in all.schema().fields().iter().zip(all.columns()) {
        let one = query(&context, &format!("SELECT {} FROM {SET}", field.name())).await.expect("a column");
        assert_eq!(one.schema().field(0), field.as_ref());
        assert_eq!(one.column(0), column, "{}", field.name());
    }
    let count = query(&context, &format!("SELECT count(*) AS rows FROM {SET}")).await.expect("a count");
    assert_eq!(count.column(0).as_primitive::<Int64Type>().value(0), all.num_rows() as i64);
    let joined = format!("SELECT a.n, b.f__x FROM {SET} a JOIN {SET} b ON a.n = b.n ORDER BY 1, 2");
    assert_eq!(query(&context, &joined).await.expect("a join").num_rows(), 12);
}

#[tokio::test]
async fn filters_on_spine_columns_run_below_the_training_set() {
    let context = set_up().await;
    let sql =
        format!("SELECT n, f__x FROM {SET} AS s WHERE s.n < 3 AND s.double > 0 AND f__x IS NULL AND random() < 2");
    let plan = logical(&context, &sql).await;
    let (above, below) = plan.split_once("TrainingSet").expect("the operator");
    assert!(above.contains("f__x IS NULL") && above.contains("random()") && !above.contains("< Int64(3)"), "{plan}");
    assert!(below.contains("spine.n < Int64(3)") && below.contains("> Int64(0)"), "{plan}");
    let rows = query(&context, &sql).await.expect("rows");
    assert_eq!(rows.column(0).as_primitive::<Int64Type>().values()[..], [1, 2]);
    // A predicate without columns never drops rows of a view.
    assert!(!below.contains("random()"), "{plan}");
    // Not below the spine's own LIMIT.
    let limited = sql.replace("FROM spine)", "FROM spine ORDER BY n DESC LIMIT 9)");
    let rows = query(&context, &limited).await.expect("rows");
    assert_eq!(rows.column(0).as_primitive::<Int64Type>().values()[..], [2, 1]);
}

#[tokio::test]
async fn a_limit_takes_the_first_rows_of_the_spine() {
    let context = set_up().await;
    let sql = format!("SELECT n, f__status FROM {SET} LIMIT 3 OFFSET 2");
    let plan = logical(&context, &sql).await;
    let (above, below) = plan.split_once("TrainingSet").expect("the operator");
    assert!(!above.contains("Limit") && below.contains("skip=2, fetch=3"), "{plan}");
    let all = query(&context, &format!("SELECT n, f__status FROM {SET}")).await.expect("a training set");
    assert_eq!(query(&context, &sql).await.expect("rows"), all.slice(2, 3));
    let filtered = format!("SELECT n FROM {SET} WHERE f__status = 'ok' LIMIT 2");
    let rows = query(&context, &filtered).await.expect("rows");
    assert_eq!(rows.column(0).as_primitive::<Int64Type>().values()[..], [0, 7]);
}

#[tokio::test]
async fn the_spine_s_own_order_is_not_sorted_again() {
    let context = context(4, 100).await;
    context.session().register_table("scan", Arc::new(scanned(5_000, 3, 700))).expect("a new name");
    query(&context, "CREATE FEATURE VIEW v ENTITY (k) TIMESTAMP (at) AS SELECT k, at, n AS x FROM scan; SELECT 1")
        .await
        .expect("a view");
    let sorts = async |spine: &str, outer: &str| {
        let sql = format!(
            "SELECT n, v__x FROM ml_training_set(spine => (SELECT * FROM scan {spine}), timestamp => 'at', \
             features => ['v']) {outer}"
        );
        let plan = displayable(physical(&context, &sql).await.as_ref()).indent(false).to_string();
        (plan.matches("SortExec").count(), plan)
    };
    for (spine, outer, expected) in [
        ("ORDER BY n DESC", "", 1),
        ("ORDER BY n DESC", "ORDER BY n DESC", 1),
        ("ORDER BY n, k", "ORDER BY n", 1),
        ("ORDER BY n DESC", "ORDER BY n", 2),
        ("", "ORDER BY n", 1),
    ] {
        let (count, plan) = sorts(spine, outer).await;
        assert_eq!(count, expected, "{spine} / {outer}\n{plan}");
        assert!(!plan.contains("RepartitionExec") || outer.is_empty(), "{plan}");
    }
    // An order by a column that nothing else reads is kept too.
    let rows = query(
        &context,
        "SELECT n FROM ml_training_set(spine => (SELECT n, k, at, -n AS minus FROM scan ORDER BY minus), \
         timestamp => 'at', features => ['v'])",
    )
    .await
    .expect("rows");
    assert!(rows.column(0).as_primitive::<Int64Type>().values().iter().copied().eq((0..5_000).rev()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spine_of_one_key_is_looked_up_on_every_core() {
    const CORES: usize = 4;
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false)]));
    let hot: ArrayRef = Arc::new(Int64Array::from(vec![1; 300_000]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![hot]).expect("a batch");
    let spine = futures::stream::iter([Ok(batch)]);
    let spine = Box::pin(RecordBatchStreamAdapter::new(schema, spine));
    // Each of the first look-ups waits until all cores are at one.
    let met = Arc::new((Mutex::new(0), Condvar::new()));
    let rows = side_by_side(chunks(spine, 8192), CORES, move |chunk| {
        let met = Arc::clone(&met);
        on_worker(move || {
            let (count, changed) = &*met;
            let mut count = count.lock().expect("a lock");
            *count += 1;
            changed.notify_all();
            let (_count, waited) =
                changed.wait_timeout_while(count, Duration::from_secs(20), |count| *count < CORES).expect("a lock");
            assert!(!waited.timed_out(), "the chunks wait for each other");
            assert!(chunk.batches.iter().all(|batch| batch.num_rows() <= 8192));
            Ok(chunk.rows)
        })
    });
    let rows: Vec<usize> = rows.try_collect().await.expect("chunks");
    assert_eq!(rows.iter().sum::<usize>(), 300_000);
    assert!(rows.len() > CORES && rows[0] <= 2 * 8192 && rows.iter().all(|rows| *rows < 80_000), "{rows:?}");
}

#[tokio::test]
async fn a_predicate_without_columns_drops_no_rows_of_the_other_side() {
    let context = set_up().await;
    for sql in [
        format!("SELECT 1 FROM {SET} WHERE random() < 0.5 AND f__x = random()"),
        "SELECT 1 FROM spine s ASOF JOIN events e MATCH_CONDITION (s.at >= e.event) ON s.k = e.k \
         WHERE random() < 0.5 AND e.x = random()"
            .to_owned(),
    ] {
        let plan = logical(&context, &sql).await;
        let operator = plan.find("TrainingSet").or_else(|| plan.find("AsOfJoin")).expect("the operator");
        assert!(!plan[operator..].contains("random()"), "{plan}");
    }
}
