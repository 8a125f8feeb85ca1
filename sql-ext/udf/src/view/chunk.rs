//! An entity's stored history in chunks, so that a look-up reads only the rows that may decide it.
//!
//! A chunk holds the rows of an interval of event times. No event time is in two chunks, and chunks are ordered, so the
//! rows of a later chunk win over those of an earlier one wherever they count. The newest chunk is the *head*: it is
//! stored under the entity's own key, together with the bounds of all chunks. Most look-ups need nothing else.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int64Type, Schema};
use datafusion_common::{DataFusionError, Result};
use serde::{Deserialize, Serialize};

use super::columns::{Times, at};
use super::time::{self, Clock};
use super::{FeatureTable, FeatureValue, FeatureView, Recorded, codec};

/// A chunk is closed once it holds this many rows.
const ROWS: usize = 1024;

/// The schema metadata of the head that holds the bounds of all chunks.
const CHUNKS: &str = "skewless.chunks";

/// What is known of a chunk without reading it. Times are in the finer unit of the view's event and availability.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bounds {
    /// Names the chunk among those of its entity, and is never given to another.
    id: u64,
    /// Its first and last event time; a chunk without any can only hold rows that never count.
    events: Option<(i64, i64)>,
    /// The first time at which a row of it that can count is available.
    known: Option<i64>,
}

/// An entity's newest rows, and what is known of the others.
#[derive(Debug)]
pub struct Head {
    rows: RecordBatch,
    /// Of all chunks, oldest first; the last is the head.
    chunks: Vec<Bounds>,
}

/// What has to be written, in this order, and removed afterwards, for an entity to have other rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Keys and their values. The head is the last: until it is written, readers see the history as it was.
    pub set: Vec<(String, Vec<u8>)>,
    /// Keys that the new head does not name any more.
    pub delete: Vec<String>,
}

/// What the rows of one entity are stored as; `key` is the entity's own key.
pub fn store(view: &Arc<FeatureView>, key: &str, rows: &RecordBatch) -> Result<Vec<(String, Vec<u8>)>> {
    store_in(view, key, rows, ROWS)
}

/// The same in chunks of `size` rows.
pub(super) fn store_in(
    view: &Arc<FeatureView>,
    key: &str,
    rows: &RecordBatch,
    size: usize,
) -> Result<Vec<(String, Vec<u8>)>> {
    let empty = RecordBatch::new_empty(rows.schema());
    let all = Placed { place: 0, id: None, rows: rows.clone() };
    Ok(Head { rows: empty.clone(), chunks: Vec::new() }.with_in(view, key, vec![(all, empty)], size)?.set)
}

/// Reads what is stored of a chunk.
pub fn decode(bytes: &[u8]) -> Result<RecordBatch> {
    codec::decode(bytes)
}

impl Head {
    /// Reads what is stored under the entity's own key.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let rows = codec::decode(bytes)?;
        let chunks = rows.schema_ref().metadata().get(CHUNKS).and_then(|text| serde_json::from_str(text).ok());
        let chunks = chunks.ok_or_else(|| {
            DataFusionError::Execution(
                "the stored rows have no list of chunks: another version wrote them; materialize the feature view again"
                    .to_owned(),
            )
        })?;
        Ok(Self { rows, chunks })
    }

    /// The newest rows.
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// The keys of the chunks that look-ups of this entity at these times read beside the head.
    pub fn needed(&self, view: &FeatureView, key: &str, times: &ArrayRef) -> Result<Vec<String>> {
        let Some(recorded) = view.recorded() else { return Ok(Vec::new()) };
        let (scale, times) = time::values(times, "as-of time")?;
        // Times of another kind are refused by the look-up itself, with the names of both.
        let own = Times::of(recorded, &RecordBatch::new_empty(view.rows_schema()))?.scale;
        let Some(clock) = Clock::new(scale, own) else { return Ok(Vec::new()) };
        let window = Window::widest(recorded, clock);
        let dated: Vec<(usize, i64, i64, Option<i64>)> = self
            .chunks
            .iter()
            .enumerate()
            .filter_map(|(place, chunk)| chunk.events.map(|(first, last)| (place, first, last, chunk.known)))
            .collect();
        let mut needed = vec![false; self.chunks.len()];
        for t in times.as_primitive::<Int64Type>().iter().flatten() {
            let floor = clock.floor(t);
            let happened = dated.get(..dated.partition_point(|(_, first, ..)| *first <= floor)).unwrap_or_default();
            let mut decided = false;
            for (nth, (place, _, last, known)) in happened.iter().rev().enumerate() {
                let inside = window.reaches(clock, t, *last);
                if decided && !inside {
                    break;
                }
                let counts = known.is_some_and(|known| known <= floor);
                // The newest chunk that had begun tells "not yet known" from "before the first".
                if let Some(needed) = needed.get_mut(*place)
                    && (nth == 0 || counts)
                {
                    *needed = true;
                }
                // Some row of a chunk that was over by then counts, so none of an earlier chunk wins.
                decided |= counts && *last <= floor;
            }
        }
        let older = self.chunks.iter().zip(needed).take(self.chunks.len().saturating_sub(1));
        Ok(older.filter(|(_, needed)| *needed).map(|(chunk, _)| chunk_key(key, chunk.id)).collect())
    }

    /// The keys of the chunks into which these rows belong, the head aside, and for each chunk the rows.
    pub fn place(&self, view: &FeatureView, rows: &RecordBatch) -> Result<Vec<Placed>> {
        let Some(recorded) = view.recorded() else { return Ok(Vec::new()) };
        let events = Times::of(recorded, rows)?.event;
        let newest = self.chunks.len().saturating_sub(1);
        let mut own: Vec<Vec<u32>> = vec![Vec::new(); newest + 1];
        for row in 0..rows.num_rows() as u32 {
            let begun = |chunk: &Bounds, event| chunk.events.is_some_and(|(first, _)| first <= event);
            let place =
                match at(&events, row) {
                    None => newest,
                    Some(event) => self.chunks.iter().rposition(|chunk| begun(chunk, event)).unwrap_or_else(|| {
                        self.chunks.iter().position(|chunk| chunk.events.is_some()).unwrap_or(newest)
                    }),
                };
            if let Some(own) = own.get_mut(place) {
                own.push(row);
            }
        }
        let given = own.into_iter().enumerate().filter(|(_, own)| !own.is_empty());
        given
            .map(|(place, own)| {
                let id = self.chunks.get(place).filter(|_| place < newest).map(|chunk| chunk.id);
                Ok(Placed { place, id, rows: take_record_batch(rows, &UInt32Array::from(own))? })
            })
            .collect()
    }

    /// What to write so that the rows are part of the history. `chunks` holds what [`Head::place`] gave, each with the
    /// rows that its chunk had.
    pub fn with(&self, view: &Arc<FeatureView>, key: &str, chunks: Vec<(Placed, RecordBatch)>) -> Result<Change> {
        self.with_in(view, key, chunks, ROWS)
    }

    /// The same in chunks of `size` rows.
    pub(super) fn with_in(
        &self,
        view: &Arc<FeatureView>,
        key: &str,
        chunks: Vec<(Placed, RecordBatch)>,
        size: usize,
    ) -> Result<Change> {
        let newest = self.chunks.len().saturating_sub(1);
        let mut next = self.chunks.iter().map(|chunk| chunk.id + 1).max().unwrap_or(0);
        let mut pieces: Vec<(Bounds, Option<RecordBatch>)> =
            self.chunks.iter().map(|chunk| (chunk.clone(), None)).collect();
        let mut change = Change::default();
        // From the newest on, so that places of earlier chunks stay what they were.
        for (Placed { place, rows, .. }, had) in chunks.into_iter().rev() {
            let end = (place + 1).min(pieces.len());
            if place < newest
                && let Some((old, _)) = pieces.get(place)
            {
                change.delete.push(chunk_key(key, old.id));
            }
            let made = split(view, vec![rows, had], size)?.into_iter().map(|(bounds, rows)| {
                next += 1;
                (Bounds { id: next - 1, ..bounds }, Some(rows))
            });
            pieces.splice(place.min(end)..end, made);
        }
        let bounds: Vec<&Bounds> = pieces.iter().map(|(bounds, _)| bounds).collect();
        let directory = serde_json::to_string(&bounds).map_err(|error| DataFusionError::External(Box::new(error)))?;
        let head = match pieces.last() {
            Some((_, Some(rows))) => rows.clone(),
            _ => self.rows.clone(),
        };
        for (chunk, rows) in pieces.iter().rev().skip(1) {
            if let Some(rows) = rows {
                change.set.push((chunk_key(key, chunk.id), codec::encode(rows)?));
            }
        }
        let fields = head.schema().fields().clone();
        let schema = Arc::new(Schema::new_with_metadata(fields, [(CHUNKS.to_owned(), directory)].into()));
        let head = RecordBatch::try_new(schema, head.columns().to_vec())?;
        change.set.push((key.to_owned(), codec::encode(&head)?));
        Ok(change)
    }
}

/// New rows of one chunk.
#[derive(Debug)]
pub struct Placed {
    place: usize,
    /// `None` is the head.
    id: Option<u64>,
    rows: RecordBatch,
}

impl Placed {
    /// The key of the chunk; `None` is the head.
    pub fn chunk(&self, key: &str) -> Option<String> {
        self.id.map(|id| chunk_key(key, id))
    }
}

/// An entity's key is a JSON array, so none ends like this.
fn chunk_key(key: &str, id: u64) -> String {
    format!("{key}#{id}")
}

/// How far the windows of a view look back.
enum Window {
    None,
    Back(i128),
    Unbounded,
}

impl Window {
    fn widest(recorded: &Recorded, clock: Clock) -> Self {
        let mut widest = Self::None;
        for feature in &recorded.features {
            let FeatureValue::Window(window) = &feature.value else { continue };
            let Some(length) = window.range.steps().map(|steps| clock.length(steps)) else { return Self::Unbounded };
            widest = match widest {
                Self::Back(other) => Self::Back(other.max(length)),
                _ => Self::Back(length),
            };
        }
        widest
    }

    /// Whether a window at `t` can hold events up to `last`.
    fn reaches(&self, clock: Clock, t: i64, last: i64) -> bool {
        match self {
            Self::None => false,
            Self::Back(length) => !clock.is_older(last, t, *length),
            Self::Unbounded => true,
        }
    }
}

/// Rows of one entity cut into chunks of `size` rows; the last has as many or fewer, and others more where events are
/// at one time.
fn split(view: &Arc<FeatureView>, batches: Vec<RecordBatch>, size: usize) -> Result<Vec<(Bounds, RecordBatch)>> {
    let Some(recorded) = view.recorded() else { return Ok(Vec::new()) };
    let rows = FeatureTable::new(Arc::clone(view), batches)?.rows()?;
    let times = Times::of(recorded, &rows)?;
    let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
    order.sort_by_key(|row| at(&times.event, *row));
    let mut chunks = Vec::new();
    let mut start = 0;
    for end in 1..=order.len() {
        let event = |place: usize| order.get(place).and_then(|row| at(&times.event, *row));
        let closes = end - start >= size && (event(end).is_none() || event(end - 1) != event(end));
        if closes || end == order.len() {
            let own = order.get(start..end).unwrap_or_default();
            let mut bounds = Bounds { id: 0, events: None, known: None };
            for row in own {
                let Some(event) = at(&times.event, *row) else { continue };
                bounds.events = Some(bounds.events.map_or((event, event), |(first, _)| (first, event)));
                let known = times.available.as_ref().map_or(Some(event), |available| at(available, *row));
                bounds.known = bounds.known.into_iter().chain(known).min();
            }
            chunks.push((bounds, take_record_batch(&rows, &UInt32Array::from(own.to_vec()))?));
            start = end;
        }
    }
    if chunks.is_empty() {
        chunks.push((Bounds { id: 0, events: None, known: None }, rows));
    }
    Ok(chunks)
}
