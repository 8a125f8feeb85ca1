//! Looks features up for the spine in large chunks, side by side, and puts the training set's rows together.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::{cast, concat};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::{Result, internal_err};
use datafusion::execution::SendableRecordBatchStream;
use futures::{Stream, TryStreamExt};
use skewless_udf::view::{ColumnType, FeatureTable, Lookup};

use super::node::{Joined, Spec};

/// Rows of one look-up: windows slide over neighbouring times within it, so longer is better, and shorter spreads better.
const CHUNK: usize = 1 << 16;
/// Rows of the first look-up; later ones grow, so that a short spine is spread over the cores too.
const FIRST_CHUNK: usize = 1 << 13;

/// Rows of the spine, in batches as they go out.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) batches: Vec<RecordBatch>,
    pub(super) rows: usize,
}

/// The spine's rows in chunks, with batches of up to `batch_size` rows.
pub(super) fn chunks(
    spine: SendableRecordBatchStream,
    batch_size: usize,
) -> impl Stream<Item = Result<Chunk>> + Send + 'static {
    struct State {
        spine: SendableRecordBatchStream,
        /// What is left of the last batch.
        left: VecDeque<RecordBatch>,
        goal: usize,
    }
    let state = State { spine, left: VecDeque::new(), goal: FIRST_CHUNK };
    futures::stream::try_unfold(state, move |mut state| async move {
        let mut chunk = Chunk { batches: Vec::new(), rows: 0 };
        while chunk.rows < state.goal {
            if let Some(batch) = state.left.pop_front() {
                chunk.rows += batch.num_rows();
                chunk.batches.push(batch);
                continue;
            }
            let Some(batch) = state.spine.try_next().await? else { break };
            let starts = (0..batch.num_rows()).step_by(batch_size.max(1));
            state.left.extend(starts.map(|start| batch.slice(start, batch_size.min(batch.num_rows() - start))));
        }
        state.goal = (2 * state.goal).min(CHUNK);
        Ok((!chunk.batches.is_empty()).then_some((chunk, state)))
    })
}

/// Does the work for up to `workers` items at a time, and gives the results in the order of the items.
pub(super) fn side_by_side<T, R, F>(
    items: impl Stream<Item = Result<T>> + Send + 'static,
    workers: usize,
    work: impl Fn(T) -> F + Send + 'static,
) -> impl Stream<Item = Result<R>> + Send + 'static
where
    T: Send + 'static,
    R: Send + 'static,
    F: Future<Output = Result<R>> + Send + 'static,
{
    items.map_ok(work).try_buffered(workers)
}

/// What a view is asked: its keys and the times.
pub(super) fn questions(spec: &Spec, joined: &Joined, spine: &[RecordBatch]) -> Result<(Vec<ArrayRef>, ArrayRef)> {
    let keys = joined.keys.iter().map(|index| column(spine, *index)).collect::<Result<_>>()?;
    Ok((keys, column(spine, spec.time)?))
}

/// A column of the spine in one piece. Values of an encoded one are plain, for several dictionaries may not fit into one.
fn column(spine: &[RecordBatch], index: usize) -> Result<ArrayRef> {
    let parts = spine
        .iter()
        .map(|batch| {
            let Some(part) = batch.columns().get(index) else { return internal_err!("the spine lost a column") };
            let plain = ColumnType::plain(part.data_type());
            Ok(if *part.data_type() == plain { Arc::clone(part) } else { cast(part, &plain)? })
        })
        .collect::<Result<Vec<_>>>()?;
    match parts.as_slice() {
        [part] => Ok(Arc::clone(part)),
        parts => Ok(concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())?),
    }
}

/// The columns that a view adds, for each question: its features, then status and witness where they are asked for.
pub(super) fn answers(
    joined: &Joined,
    table: &FeatureTable,
    keys: &[ArrayRef],
    times: &ArrayRef,
) -> Result<Vec<ArrayRef>> {
    let Lookup { values: mut columns, status, event_time, available_at } = table.lookup(keys, times)?;
    if joined.status {
        columns.push(Arc::new(StringArray::from_iter_values(status.iter().map(|status| status.as_str()))));
    }
    if joined.witness {
        columns.extend([event_time, available_at]);
    }
    Ok(columns)
}

/// The spine's rows with what the recorded views answered, in their order, and with the views on demand.
pub(super) fn assemble(
    spec: &Spec,
    schema: &SchemaRef,
    spine: &RecordBatch,
    answers: Vec<Vec<ArrayRef>>,
) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = spine.columns().to_vec();
    let mut statuses: Vec<ArrayRef> = Vec::new();
    let mut witnesses: Vec<ArrayRef> = Vec::new();
    let mut answers = answers.into_iter();
    for joined in &spec.views {
        if !joined.is_recorded() {
            columns.extend(on_demand(joined, &columns, schema, spine.num_rows())?);
            continue;
        }
        let mut answer = answers.next().unwrap_or_default().into_iter();
        columns.extend(answer.by_ref().take(joined.view.feature_fields().len()));
        statuses.extend(answer.by_ref().take(usize::from(joined.status)));
        witnesses.extend(answer);
    }
    columns.extend(statuses);
    columns.extend(witnesses);
    // Rows in = rows out: a column too few, or one of another length, is refused here.
    let options = RecordBatchOptions::new().with_row_count(Some(spine.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// The features of a view on demand, over the columns made so far.
fn on_demand(joined: &Joined, columns: &[ArrayRef], schema: &SchemaRef, rows: usize) -> Result<Vec<ArrayRef>> {
    let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = joined
        .view
        .input_fields()
        .iter()
        .filter_map(|input| {
            let (index, field) = schema.column_with_name(input.name())?;
            Some((field.clone().with_nullable(true), Arc::clone(columns.get(index)?)))
        })
        .unzip();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let inputs = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
    Ok(joined.view.evaluate(&inputs)?.columns().to_vec())
}
