//! What our operators share as they run.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{Result, resources_datafusion_err};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::TryStreamExt;
use skewless_udf::view::row_bytes;

/// Runs work that would hold an async worker for long.
pub(crate) async fn on_worker<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    SpawnedTask::spawn_blocking(work).join_unwind().await.map_err(|error| DataFusionError::External(error.into()))?
}

/// All rows of a plan, and room in the memory pool for `times` their size; `what` names them where there is none.
pub(crate) async fn collect_within(
    plan: Arc<dyn ExecutionPlan>,
    context: &Arc<TaskContext>,
    what: &str,
    times: usize,
) -> Result<(Vec<RecordBatch>, MemoryReservation)> {
    let memory = MemoryConsumer::new(what).register(context.memory_pool());
    let mut stream = execute_stream(plan, Arc::clone(context))?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        if memory.try_grow(times * row_bytes(&batch)).is_err() {
            let read: usize = batches.iter().map(RecordBatch::num_rows).sum();
            return Err(resources_datafusion_err!(
                "{what} do not fit into the memory limit after {read} rows; raise it with SET \
                 datafusion.runtime.memory_limit, or give fewer rows"
            ));
        }
        batches.push(batch);
    }
    Ok((batches, memory))
}
