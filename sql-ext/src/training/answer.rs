//! The questions to a view whose rows are on disk, and their answers.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{SortOptions, concat_batches};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{Result, internal_err, resources_datafusion_err};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, UnboundedMemoryPool};
use datafusion::execution::spill_file::SpillFile;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::EmptyRecordBatchStream;
use datafusion::physical_plan::SpillManager;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use datafusion::physical_plan::sorts::streaming_merge::StreamingMergeBuilder;
use futures::TryStreamExt;
use futures::future::{BoxFuture, FutureExt};
use skewless_udf::view::conform_keys;

use super::by_time::{Piece, divide};
use super::lookup::{Chunk, answers, chunks, side_by_side};
use super::node::{Joined, Spec};
use super::part::{Part, Writer};
use super::rows::{Dealer, Run, Table};
use super::spill::ROW;
use crate::execution::on_worker;

/// Rows of a batch of answers: as many as there are files are in memory at once when they are merged.
const ANSWER_ROWS: usize = 1 << 10;

/// Files of questions (keys, time, number of the spine row) by the hash of their keys.
pub(super) struct Questions {
    pub(super) schema: SchemaRef,
    /// The types of the view's own keys.
    keys: Vec<DataType>,
    pub(super) dealer: Dealer,
}

impl Questions {
    pub(super) fn new(run: &Run, joined: &Joined, schema: SchemaRef, seed: u64) -> Result<Self> {
        let keys: Vec<DataType> = joined.view.entity_fields().iter().map(|field| field.data_type().clone()).collect();
        Ok(Self { dealer: run.dealer(joined, &keys, Arc::clone(&schema), seed)?, keys, schema })
    }

    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let keys = batch.columns().iter().zip(&self.keys);
        let keys = keys.map(|(key, own)| conform_keys(key, own)).collect::<Result<Vec<_>>>()?;
        self.dealer.push(&keys, batch)
    }
}

/// Answers to these rows of the spine.
pub(super) fn write_answers(
    files: &SpillManager,
    file: &mut Writer,
    numbers: &ArrayRef,
    columns: Vec<ArrayRef>,
) -> Result<()> {
    let columns = std::iter::once(Arc::clone(numbers)).chain(columns).collect();
    let batch = RecordBatch::try_new(Arc::clone(files.schema()), columns)?;
    for start in (0..batch.num_rows()).step_by(ANSWER_ROWS) {
        file.push(&batch.slice(start, ANSWER_ROWS.min(batch.num_rows() - start)))?;
    }
    Ok(())
}

/// The rows of each file with the questions to it. Rows that nothing asks for are left.
pub(super) fn pairs(rows: Vec<Option<Part>>, questions: Vec<Option<Part>>) -> Vec<(Option<Part>, Part)> {
    rows.into_iter().zip(questions).filter_map(|(rows, questions)| Some((rows, questions?))).collect()
}

/// Answers the questions to files of one view.
pub(super) struct Answerer<'a> {
    pub(super) run: &'a Run,
    pub(super) joined: &'a Joined,
    pub(super) spec: &'a Arc<Spec>,
    /// Which of the recorded views it is.
    pub(super) place: usize,
    pub(super) files: &'a SpillManager,
    pub(super) questions: &'a SchemaRef,
    pub(super) workers: usize,
}

impl Answerer<'_> {
    /// A file of the answers in the order of the spine. `seed` makes a hash that the files were not dealt out by.
    pub(super) fn answer(
        &self,
        rows: Option<Part>,
        questions: Part,
        seed: u64,
    ) -> BoxFuture<'_, Result<Option<Arc<dyn SpillFile>>>> {
        async move {
            if let Some(table) = self.run.load(self.joined, rows.as_ref(), None).await? {
                return self.look_up(&table, &questions).await;
            }
            let Some(rows) = rows else { return internal_err!("a view without rows does not fit into memory") };
            if rows.one_entity {
                return self.answer_by_time(Piece::whole(self.joined, rows, questions)).await;
            }
            let mut dealt = self.run.deal_rows(self.joined, seed)?;
            let mut stream = self.run.read_back(self.joined, &rows)?;
            while let Some(batch) = stream.try_next().await? {
                dealt.push(&batch)?;
            }
            drop((stream, rows));
            let mut asked = Questions::new(self.run, self.joined, Arc::clone(self.questions), seed)?;
            let mut stream = self.run.files(Arc::clone(self.questions)).read_spill_as_stream(questions.file, None)?;
            while let Some(batch) = stream.try_next().await? {
                asked.push(&batch)?;
            }
            drop(stream);
            let mut files = Vec::new();
            for (rows, questions) in pairs(dealt.finish()?, asked.dealer.finish()?) {
                files.extend(self.answer(rows, questions, seed + 1).await?);
            }
            self.one_file(files).await
        }
        .boxed()
    }

    /// The same for rows of one entity, too many for the memory.
    fn answer_by_time(&self, piece: Piece) -> BoxFuture<'_, Result<Option<Arc<dyn SpillFile>>>> {
        async move {
            let whole = piece.rows();
            let Some(divided) = divide(self.run, self.joined, piece, self.questions).await? else {
                return Err(self.too_many(whole));
            };
            let mut files = Vec::new();
            for piece in divided.pieces {
                if let Some(table) = self.run.load(self.joined, piece.file(), Some(piece.carried.clone())).await? {
                    files.extend(self.look_up(&table, &piece.questions).await?);
                } else if 8 * piece.rows() <= 7 * whole {
                    files.extend(self.answer_by_time(piece).await?);
                } else {
                    return Err(self.too_many(piece.rows()));
                }
            }
            self.one_file(files).await
        }
        .boxed()
    }

    /// Answers in one file, so that no more are open at a time than one dealing makes.
    async fn one_file(&self, files: Vec<Arc<dyn SpillFile>>) -> Result<Option<Arc<dyn SpillFile>>> {
        let mut all = Writer::create(self.files)?;
        let mut answers = merged(self.files, files, ANSWER_ROWS)?;
        while let Some(batch) = answers.try_next().await? {
            all.push(&batch)?;
        }
        all.finish()
    }

    async fn look_up(&self, table: &Table, questions: &Part) -> Result<Option<Arc<dyn SpillFile>>> {
        let questions =
            self.run.files(Arc::clone(self.questions)).read_spill_as_stream(Arc::clone(&questions.file), None)?;
        let (table, spec, place) = (Arc::clone(&table.rows), Arc::clone(self.spec), self.place);
        let answered = side_by_side(chunks(questions, usize::MAX), self.workers, move |chunk: Chunk| {
            let (table, spec) = (Arc::clone(&table), Arc::clone(&spec));
            on_worker(move || {
                let Some(joined) = spec.recorded().nth(place) else { return internal_err!("a view was lost") };
                let mut columns = whole(&chunk.batches)?;
                let (Some(numbers), Some(times)) = (columns.pop(), columns.pop()) else {
                    return internal_err!("a question lost a column");
                };
                Ok((numbers, answers(joined, &table, &columns, &times)?))
            })
        });
        let mut answered = std::pin::pin!(answered);
        let mut file = Writer::create(self.files)?;
        while let Some((numbers, columns)) = answered.try_next().await? {
            write_answers(self.files, &mut file, &numbers, columns)?;
        }
        file.finish()
    }

    fn too_many(&self, rows: usize) -> DataFusionError {
        let view = &self.joined.view;
        let keys: Vec<String> = view.entity_fields().iter().map(|key| format!("`{}`", key.name())).collect();
        let of = match keys.as_slice() {
            [] => String::new(),
            keys => format!(" of one value of {}", keys.join(", ")),
        };
        resources_datafusion_err!(
            "{rows} rows{of} of the feature view `{}` do not fit into the memory limit, and time does not divide them: \
             one of its windows reaches over them, or they have one event time, or they become known long after it; \
             raise the memory limit, or shorten the windows, or let the view keep fewer rows (a WHERE)",
            view.name
        )
    }
}

/// All columns of the batches, each in one piece.
fn whole(batches: &[RecordBatch]) -> Result<Vec<ArrayRef>> {
    match batches {
        [] => Ok(Vec::new()),
        [batch] => Ok(batch.columns().to_vec()),
        [first, ..] => Ok(concat_batches(&first.schema(), batches)?.columns().to_vec()),
    }
}

/// The rows of files that are each in the order of [`ROW`], in that order.
pub(super) fn merged(
    files: &SpillManager,
    parts: Vec<Arc<dyn SpillFile>>,
    batch_size: usize,
) -> Result<SendableRecordBatchStream> {
    let schema = Arc::clone(files.schema());
    let mut streams =
        parts.into_iter().map(|part| files.read_spill_as_stream(part, None)).collect::<Result<Vec<_>>>()?;
    match (streams.pop(), streams.is_empty()) {
        (None, _) => return Ok(Box::pin(EmptyRecordBatchStream::new(schema))),
        (Some(one), true) => return Ok(one),
        (Some(last), false) => streams.push(last),
    }
    let number = PhysicalSortExpr::new(Arc::new(Column::new(ROW, 0)), SortOptions::default());
    // A batch of each file, as streaming operators hold without asking the pool; it may have nothing left to give.
    let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
    StreamingMergeBuilder::new()
        .with_streams(streams)
        .with_schema(schema)
        .with_expressions(&LexOrdering::from([number]))
        .with_metrics(BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0))
        .with_batch_size(batch_size)
        .with_reservation(MemoryConsumer::new("ml_training_set").register(&pool))
        .build()
}
