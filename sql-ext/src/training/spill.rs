//! A training set with views whose rows do not fit into memory.
//!
//! The spine goes to disk once, in its order, and what it asks such a view goes to one file for each of the view's
//! files of rows, by the same hash of the keys. Each pair of files is answered in memory; a pair that does not fit is
//! dealt out again by another hash, and one of a single entity by time (`by_time`). The answers, in files ordered by the spine's row numbers, are merged and laid beside
//! the spine. Every view has the memory for itself while it is answered.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UInt64Type};
use datafusion::common::{Result, internal_err};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::spill_file::SpillFile;
use datafusion::physical_plan::SpillManager;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use skewless_udf::view::{ColumnType, FeatureTable};

use super::answer::{Answerer, Questions, merged, pairs, write_answers};
use super::lookup::{Chunk, answers, assemble, chunks, questions, side_by_side};
use super::node::{Joined, Spec};
use super::part::{Part, Writer};
use super::rows::{Rows, Run, Table};
use crate::execution::on_worker;

/// The number of a spine row, in questions and answers.
pub(super) const ROW: &str = "#row";
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
