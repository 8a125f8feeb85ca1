//! A training set with views whose rows do not fit into memory.
//!
//! The spine goes to disk once, in its order, and what it asks such a view goes to one file for each of the view's
//! files of rows, by the same hash of the keys. Each pair of files is answered in memory; a pair that does not fit is
//! dealt out again by another hash. The answers, in files ordered by the spine's row numbers, are merged and laid beside
//! the spine. Every view has the memory for itself while it is answered.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::{SortOptions, concat_batches};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UInt64Type};
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
use futures::future::{BoxFuture, FutureExt};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use skewless_udf::view::{ColumnType, FeatureTable, conform_keys};

use super::lookup::{Chunk, answers, assemble, chunks, questions, side_by_side};
use super::node::{Joined, Spec};
use super::rows::{Dealer, Part, Rows, Run, Table, Writer};
use crate::execution::on_worker;

/// The number of a spine row, in questions and answers.
const ROW: &str = "#row";
/// Rows of a batch of answers: as many as there are files are in memory at once when they are merged.
const ANSWER_ROWS: usize = 1 << 10;

/// The training set, once every view's rows are gathered and some of them are on disk.
pub(super) async fn spilled(
    run: Run,
    spec: Arc<Spec>,
    schema: SchemaRef,
    spine: SendableRecordBatchStream,
    rows: Vec<Rows>,
    workers: usize,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let batch_size = run.context.session_config().batch_size();
    let spine_files = run.files(spine.schema());
    let spine_schema = spine.schema();
    let mut views = Vec::new();
    for (joined, rows) in spec.recorded().zip(rows) {
        views.push(View::new(&run, &spec, joined, &spine_schema, rows)?);
    }

    // Answers of the views in memory are looked up side by side, everything else is written in the spine's order.
    let tables: Arc<Vec<Option<Arc<FeatureTable>>>> = Arc::new(views.iter().map(View::table).collect());
    let asked = Arc::clone(&spec);
    let mut looked_up = Box::pin(side_by_side(chunks(spine, batch_size), workers, move |chunk| {
        let (spec, tables) = (Arc::clone(&asked), Arc::clone(&tables));
        on_worker(move || {
            let views = spec.recorded().zip(tables.iter());
            let parts = views.map(|(joined, table)| Asked::of(&spec, joined, table.as_deref(), &chunk));
            Ok((parts.collect::<Result<Vec<_>>>()?, chunk))
        })
    }));
    let mut spine_file = Writer::create(&spine_files)?;
    let mut count = 0_u64;
    while let Some((parts, chunk)) = looked_up.try_next().await? {
        let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(count..count + chunk.rows as u64));
        count += chunk.rows as u64;
        for batch in &chunk.batches {
            spine_file.push(batch)?;
        }
        for (view, part) in views.iter_mut().zip(parts) {
            view.push(&numbers, part)?;
        }
    }
    drop(looked_up);
    let Some(spine_file) = spine_file.finish()? else {
        return Ok(futures::stream::empty().boxed());
    };

    // The tables in memory are given up first, so that each view on disk has all of the memory.
    let views = views.into_iter().map(View::finish).collect::<Result<Vec<_>>>()?;
    let mut streams = Vec::new();
    for (place, (view, joined)) in views.into_iter().zip(spec.recorded()).enumerate() {
        let Finished { answers, mut files, pairs } = view;
        let questions = question_schema(&spec, joined, &spine_schema)?;
        let answerer =
            Answerer { run: &run, joined, spec: &spec, place, files: &answers, questions: &questions, workers };
        for (rows, asked) in pairs {
            files.extend(answerer.answer(rows, asked, 1).await?);
        }
        streams.push(merged(&answers, files, batch_size)?);
    }
    let spine = spine_files.read_spill_as_stream(spine_file, None)?;
    Ok(beside(spine, streams, spec, schema).boxed())
}

/// One view while the spine is read.
struct View {
    answers: SpillManager,
    rows: Ready,
}

enum Ready {
    /// Answered at once.
    Memory(Table, Writer),
    /// The rows by file, and the questions to each of them.
    Disk(Vec<Option<Part>>, Questions),
}

/// Files of questions (keys, time, number of the spine row) by the hash of their keys.
struct Questions {
    schema: SchemaRef,
    /// The types of the view's own keys.
    keys: Vec<DataType>,
    dealer: Dealer,
}

impl Questions {
    fn new(run: &Run, joined: &Joined, schema: SchemaRef, seed: u64) -> Result<Self> {
        let keys: Vec<DataType> = joined.view.entity_fields().iter().map(|field| field.data_type().clone()).collect();
        Ok(Self { dealer: run.dealer(joined, &keys, Arc::clone(&schema), seed)?, keys, schema })
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let keys = batch.columns().iter().zip(&self.keys);
        let keys = keys.map(|(key, own)| conform_keys(key, own)).collect::<Result<Vec<_>>>()?;
        self.dealer.push(&keys, batch)
    }
}

/// Keys, time and number of the spine row.
fn question_schema(spec: &Spec, joined: &Joined, spine: &Schema) -> Result<SchemaRef> {
    let columns = joined.keys.iter().chain([&spec.time]).enumerate().map(|(place, column)| {
        let field = spine.fields().get(*column)?;
        Some(Field::new(format!("#{place}"), ColumnType::plain(field.data_type()), true))
    });
    let Some(mut fields) = columns.collect::<Option<Vec<_>>>() else { return internal_err!("the spine lost a column") };
    fields.push(Field::new(ROW, DataType::UInt64, false));
    Ok(Arc::new(Schema::new(fields)))
}

/// The number of the spine row, then the columns of [`answers`].
fn answer_schema(joined: &Joined) -> SchemaRef {
    let number: FieldRef = Arc::new(Field::new(ROW, DataType::UInt64, false));
    let columns = joined.feature_fields().chain(joined.status_field()).chain(joined.witness_fields());
    Arc::new(Schema::new(std::iter::once(number).chain(columns).collect::<Vec<_>>()))
}

fn write_answers(files: &SpillManager, file: &mut Writer, numbers: &ArrayRef, columns: Vec<ArrayRef>) -> Result<()> {
    let columns = std::iter::once(Arc::clone(numbers)).chain(columns).collect();
    let batch = RecordBatch::try_new(Arc::clone(files.schema()), columns)?;
    for start in (0..batch.num_rows()).step_by(ANSWER_ROWS) {
        file.push(&batch.slice(start, ANSWER_ROWS.min(batch.num_rows() - start)))?;
    }
    Ok(())
}

/// The rows of each file with the questions to it. Rows that nothing asks for are left.
fn pairs(rows: Vec<Option<Part>>, questions: Vec<Option<Part>>) -> Vec<(Option<Part>, Part)> {
    rows.into_iter().zip(questions).filter_map(|(rows, questions)| Some((rows, questions?))).collect()
}

/// A view when the spine has been read.
struct Finished {
    answers: SpillManager,
    files: Vec<Arc<dyn SpillFile>>,
    pairs: Vec<(Option<Part>, Part)>,
}

/// What a chunk of the spine gives for one view.
enum Asked {
    Answers(Vec<ArrayRef>),
    Questions(Vec<ArrayRef>, ArrayRef),
}

impl Asked {
    fn of(spec: &Spec, joined: &Joined, table: Option<&FeatureTable>, chunk: &Chunk) -> Result<Self> {
        let (keys, times) = questions(spec, joined, &chunk.batches)?;
        Ok(match table {
            Some(table) => Self::Answers(answers(joined, table, &keys, &times)?),
            None => Self::Questions(keys, times),
        })
    }
}

impl View {
    fn new(run: &Run, spec: &Spec, joined: &Joined, spine: &Schema, rows: Rows) -> Result<Self> {
        let answers = run.files(answer_schema(joined));
        let rows = match rows {
            Rows::Memory(table) => Ready::Memory(table, Writer::create(&answers)?),
            Rows::Disk(parts) => {
                Ready::Disk(parts, Questions::new(run, joined, question_schema(spec, joined, spine)?, 0)?)
            }
        };
        Ok(Self { answers, rows })
    }

    fn table(&self) -> Option<Arc<FeatureTable>> {
        match &self.rows {
            Ready::Memory(table, _) => Some(Arc::clone(&table.rows)),
            Ready::Disk(..) => None,
        }
    }

    fn push(&mut self, numbers: &ArrayRef, part: Asked) -> Result<()> {
        match (&mut self.rows, part) {
            (Ready::Memory(_, file), Asked::Answers(columns)) => write_answers(&self.answers, file, numbers, columns),
            (Ready::Disk(_, questions), Asked::Questions(mut columns, times)) => {
                columns.extend([times, Arc::clone(numbers)]);
                questions.push(&RecordBatch::try_new(Arc::clone(&questions.schema), columns)?)
            }
            _ => internal_err!("a view was asked otherwise than it is kept"),
        }
    }

    fn finish(self) -> Result<Finished> {
        let (files, pairs) = match self.rows {
            Ready::Memory(_, file) => (file.finish()?.into_iter().collect(), Vec::new()),
            Ready::Disk(parts, questions) => (Vec::new(), pairs(parts, questions.dealer.finish()?)),
        };
        Ok(Finished { answers: self.answers, files, pairs })
    }
}

/// Answers the questions to files of one view.
struct Answerer<'a> {
    run: &'a Run,
    joined: &'a Joined,
    spec: &'a Arc<Spec>,
    /// Which of the recorded views it is.
    place: usize,
    files: &'a SpillManager,
    questions: &'a SchemaRef,
    workers: usize,
}

impl Answerer<'_> {
    /// A file of the answers in the order of the spine. `seed` makes a hash that the files were not dealt out by.
    fn answer(
        &self,
        rows: Option<Part>,
        questions: Part,
        seed: u64,
    ) -> BoxFuture<'_, Result<Option<Arc<dyn SpillFile>>>> {
        async move {
            if let Some(table) = self.run.load(self.joined, rows.as_ref()).await? {
                return self.look_up(&table, &questions).await;
            }
            let Some(rows) = rows else { return internal_err!("a view without rows does not fit into memory") };
            if rows.one_entity {
                return Err(self.one_entity(rows.rows));
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
            // One file, so that no more are open at a time than one dealing makes.
            let mut all = Writer::create(self.files)?;
            let mut answers = merged(self.files, files, ANSWER_ROWS)?;
            while let Some(batch) = answers.try_next().await? {
                all.push(&batch)?;
            }
            all.finish()
        }
        .boxed()
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

    fn one_entity(&self, rows: usize) -> DataFusionError {
        let view = &self.joined.view;
        let keys: Vec<String> = view.entity_fields().iter().map(|key| format!("`{}`", key.name())).collect();
        let of = match keys.as_slice() {
            [] => "it has no entity to divide them by".to_owned(),
            keys => format!("they are all of one entity, one value of {}", keys.join(", ")),
        };
        resources_datafusion_err!(
            "{rows} rows of the feature view `{}` do not fit into the memory limit, and {of}; raise the memory limit, or \
             let the view keep fewer rows: a WHERE that drops those older than its windows and ttl reach",
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
fn merged(
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

/// The spine with the answers of the recorded views beside it.
fn beside(
    spine: SendableRecordBatchStream,
    views: Vec<SendableRecordBatchStream>,
    spec: Arc<Spec>,
    schema: SchemaRef,
) -> impl Stream<Item = Result<RecordBatch>> + Send + 'static {
    struct State {
        spine: Reader,
        views: Vec<Reader>,
        row: u64,
    }
    let state = State { spine: Reader::new(spine), views: views.into_iter().map(Reader::new).collect(), row: 0 };
    futures::stream::try_unfold(state, move |mut state| {
        let (spec, schema) = (Arc::clone(&spec), Arc::clone(&schema));
        async move {
            let mut rows = state.spine.left().await?;
            for view in &mut state.views {
                let left = view.left().await?;
                if (left == 0) != (rows == 0) {
                    return internal_err!("the spine and the answers to it are of different lengths");
                }
                rows = rows.min(left);
            }
            if rows == 0 {
                return Ok(None);
            }
            let spine = state.spine.take(rows);
            let numbers = state.row..state.row + rows as u64;
            state.row = numbers.end;
            let mut answers = Vec::with_capacity(state.views.len());
            for view in &mut state.views {
                let (number, columns) = match view.take(rows).columns() {
                    [number, columns @ ..] => (Arc::clone(number), columns.to_vec()),
                    [] => return internal_err!("an answer lost its row"),
                };
                let number = number.as_primitive_opt::<UInt64Type>().map(|number| number.values().iter().copied());
                if !number.is_some_and(|number| number.eq(numbers.clone())) {
                    return internal_err!("the answers to the spine's rows {numbers:?} are not theirs");
                }
                answers.push(columns);
            }
            Ok(Some((assemble(&spec, &schema, &spine, answers)?, state)))
        }
    })
}

/// A stream that is taken by rows.
struct Reader {
    stream: SendableRecordBatchStream,
    batch: RecordBatch,
}

impl Reader {
    fn new(stream: SendableRecordBatchStream) -> Self {
        Self { batch: RecordBatch::new_empty(stream.schema()), stream }
    }

    /// How many rows are there to take; 0 at the end.
    async fn left(&mut self) -> Result<usize> {
        while self.batch.num_rows() == 0 {
            match self.stream.try_next().await? {
                Some(batch) => self.batch = batch,
                None => break,
            }
        }
        Ok(self.batch.num_rows())
    }

    /// The next rows, no more than are left.
    fn take(&mut self, rows: usize) -> RecordBatch {
        let taken = self.batch.slice(0, rows);
        self.batch = self.batch.slice(rows, self.batch.num_rows() - rows);
        taken
    }
}
