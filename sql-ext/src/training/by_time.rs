//! Rows of one entity that do not fit into memory, divided by event time.
//!
//! A question at a time needs the rows up to it that its windows reach back to, and the row that counts. So each range of
//! time gets the rows of its own, those before it that its windows reach, and what
//! [`FeatureView::carried`](skewless_udf::view::FeatureView::carried) keeps of all that are earlier.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use futures::TryStreamExt;
use skewless_udf::view::row_bytes;

use super::node::Joined;
use super::part::{Part, Parts};
use super::rows::{PARTITIONS, Run};

/// How many event times the ranges are made from.
const SAMPLE: usize = 1 << 12;

/// A range of time: its rows and the questions to them.
pub(super) struct Piece {
    rows: Option<Part>,
    /// Of the rows before those in the file, those that still matter.
    pub(super) carried: RecordBatch,
    /// Where the range starts; `None` for the first.
    from: Option<i64>,
    pub(super) questions: Part,
}

impl Piece {
    /// All rows of an entity.
    pub(super) fn whole(joined: &Joined, rows: Part, questions: Part) -> Self {
        Self { rows: Some(rows), carried: RecordBatch::new_empty(joined.view.rows_schema()), from: None, questions }
    }

    pub(super) fn file(&self) -> Option<&Part> {
        self.rows.as_ref()
    }

    /// How many rows it has in all.
    pub(super) fn rows(&self) -> usize {
        self.rows.as_ref().map_or(0, |part| part.rows) + self.carried.num_rows()
    }
}

/// What a piece is divided into.
pub(super) struct Divided {
    /// Those that are asked, in the order of time.
    pub(super) pieces: Vec<Piece>,
    /// The share of the memory pool of the rows that they carry.
    _memory: MemoryReservation,
}

/// Divides a piece by time; `None` where all its rows from its start on have that one time, or none is there.
pub(super) async fn divide(
    run: &Run,
    joined: &Joined,
    piece: Piece,
    question_schema: &SchemaRef,
) -> Result<Option<Divided>> {
    let Piece { rows: Some(rows), carried, from, questions } = piece else { return Ok(None) };
    let ranges = Ranges::new(joined, starts(run, joined, &rows, from).await?)?;
    if ranges.starts.is_empty() {
        return Ok(None);
    }
    let questions = deal_questions(run, joined, question_schema, questions, &ranges).await?;
    let memory = MemoryConsumer::new(format!("TrainingSetExec[{}]", joined.prefix)).register(run.context.memory_pool());
    let (files, own) = deal_rows(run, joined, rows, &questions, &ranges, &memory).await?;
    let carried = carry(run, joined, &ranges, &carried, &own)?;
    drop(own);
    memory.try_resize(carried.iter().map(row_bytes).sum())?;
    let froms = std::iter::once(from).chain(ranges.starts.iter().copied().map(Some));
    let parts = files.into_iter().zip(questions).zip(carried.into_iter().zip(froms));
    let pieces = parts
        .filter_map(|((rows, questions), (carried, from))| Some(Piece { rows, carried, from, questions: questions? }));
    Ok(Some(Divided { pieces: pieces.collect(), _memory: memory }))
}

/// Ranges of time, each up to the start of the next.
struct Ranges {
    /// Where each but the first starts, ascending.
    starts: Vec<i64>,
    /// How far back the windows of each of these reach.
    reaches: Vec<i64>,
}

impl Ranges {
    fn new(joined: &Joined, starts: Vec<i64>) -> Result<Self> {
        let reaches = starts.iter().map(|start| joined.view.reach(*start)).collect::<Result<_>>()?;
        Ok(Self { starts, reaches })
    }

    fn count(&self) -> usize {
        self.starts.len() + 1
    }

    /// The range of a time; without one, the first.
    fn of(&self, time: Option<i64>) -> usize {
        time.map_or(0, |time| self.starts.partition_point(|start| *start <= time))
    }

    /// The rows of a batch in each range.
    fn split(&self, times: &Int64Array) -> Vec<Vec<u32>> {
        let mut rows = vec![Vec::new(); self.count()];
        for (row, time) in times.iter().enumerate() {
            if let Some(rows) = rows.get_mut(self.of(time)) {
                rows.push(row as u32);
            }
        }
        rows
    }
}

/// Where ranges of about equally many rows start, all later than `from`.
async fn starts(run: &Run, joined: &Joined, rows: &Part, from: Option<i64>) -> Result<Vec<i64>> {
    let mut stream = run.read_back(joined, rows)?;
    // Every row, or every second, or every fourth …
    let (mut sample, mut step, mut seen) = (Vec::new(), 1, 0_usize);
    while let Some(batch) = stream.try_next().await? {
        let events = joined.view.event_times(&batch)?;
        for event in events.iter().flatten().filter(|event| from.is_none_or(|from| *event > from)) {
            if seen % step == 0 {
                sample.push(event);
            }
            seen += 1;
            if sample.len() == SAMPLE {
                let mut second = true;
                sample.retain(|_| {
                    second = !second;
                    !second
                });
                step *= 2;
            }
        }
    }
    sample.sort_unstable();
    let mut starts: Vec<i64> =
        (1..PARTITIONS).filter_map(|part| sample.get(part * sample.len() / PARTITIONS).copied()).collect();
    starts.dedup();
    Ok(starts)
}

/// The questions to each range, in the order of the spine.
async fn deal_questions(
    run: &Run,
    joined: &Joined,
    schema: &SchemaRef,
    questions: Part,
    ranges: &Ranges,
) -> Result<Vec<Option<Part>>> {
    let mut parts = Parts::new(run.files(Arc::clone(schema)), ranges.count());
    let mut stream = run.files(Arc::clone(schema)).read_spill_as_stream(questions.file, None)?;
    while let Some(batch) = stream.try_next().await? {
        let [.., times, _] = batch.columns() else { return internal_err!("a question lost a column") };
        for (range, rows) in ranges.split(&joined.view.as_of_times(times)?).into_iter().enumerate() {
            if !rows.is_empty() {
                parts.append(range, &take_record_batch(&batch, &UInt32Array::from(rows))?, None, true)?;
            }
        }
    }
    parts.finish()
}

/// The rows of each range that is asked, with those that its windows reach; and what is to be carried of the rows of each
/// range to times after it.
async fn deal_rows(
    run: &Run,
    joined: &Joined,
    rows: Part,
    asked: &[Option<Part>],
    ranges: &Ranges,
    memory: &MemoryReservation,
) -> Result<(Vec<Option<Part>>, Vec<RecordBatch>)> {
    let view = &joined.view;
    let schema = view.rows_schema();
    let mut parts = Parts::new(run.files(Arc::clone(&schema)), ranges.count());
    let mut own = vec![RecordBatch::new_empty(schema); ranges.count()];
    let mut stream = run.read_back(joined, &rows)?;
    while let Some(batch) = stream.try_next().await? {
        let events = view.event_times(&batch)?;
        let split = ranges.split(&events);
        for (range, _) in asked.iter().enumerate().filter(|(_, asked)| asked.is_some()) {
            let before = range.checked_sub(1).and_then(|at| Some((*ranges.reaches.get(at)?, *ranges.starts.get(at)?)));
            let reached = before.into_iter().flat_map(|(reach, start)| {
                let inside = move |event: &Option<i64>| event.is_some_and(|event| reach <= event && event < start);
                events.iter().enumerate().filter(move |(_, event)| inside(event)).map(|(row, _)| row as u32)
            });
            let rows: Vec<u32> = split.get(range).into_iter().flatten().copied().chain(reached).collect();
            if !rows.is_empty() {
                parts.append(range, &take_record_batch(&batch, &UInt32Array::from(rows))?, None, true)?;
            }
        }
        let ends = ranges.starts.iter().copied().chain([i64::MAX]);
        for ((own, rows), end) in own.iter_mut().zip(split).zip(ends) {
            if !rows.is_empty() {
                let rows = take_record_batch(&batch, &UInt32Array::from(rows))?;
                *own = view.carried(&[own.clone(), rows], run.known_at.as_ref(), end)?;
            }
        }
        memory.try_resize(own.iter().map(row_bytes).sum())?;
    }
    Ok((parts.finish()?, own))
}

/// What each range needs of the rows before those in its file. `inherited` is what the whole was given, and `own` what
/// each range gives to later ones.
fn carry(
    run: &Run,
    joined: &Joined,
    ranges: &Ranges,
    inherited: &RecordBatch,
    own: &[RecordBatch],
) -> Result<Vec<RecordBatch>> {
    let view = &joined.view;
    // A row that is later than every question of the range tells that the entity is there.
    let there = |later: &[RecordBatch]| {
        let row = later.iter().chain([inherited]).find(|rows| rows.num_rows() > 0);
        row.map_or_else(|| RecordBatch::new_empty(view.rows_schema()), |rows| rows.slice(0, 1))
    };
    let mut all = Vec::with_capacity(ranges.count());
    let mut before = inherited.clone();
    all.push(if before.num_rows() > 0 { inherited.clone() } else { there(own.get(1..).unwrap_or_default()) });
    for (place, ((start, reach), own_rows)) in ranges.starts.iter().zip(&ranges.reaches).zip(own).enumerate() {
        before = view.carried(&[before, own_rows.clone()], run.known_at.as_ref(), *start)?;
        let events = view.event_times(&before)?;
        // Those that the windows reach are in the file.
        let outside = events.iter().map(|event| Some(event.is_none_or(|event| event < *reach))).collect();
        let mut carried = filter_record_batch(&before, &outside)?;
        if carried.num_rows() == 0 {
            carried = there(own.get(place + 2..).unwrap_or_default());
        }
        all.push(carried);
    }
    Ok(all)
}
