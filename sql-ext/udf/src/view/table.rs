//! Rows of one view, indexed by entity and time, and the as-of look-up.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::{concat_batches, take, take_arrays, take_record_batch};
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion_common::{DataFusionError, Result, ScalarValue, plan_err};
use skewless_catalog::pit::{Cursor, Status, Timelines};

use super::columns::{Times, at, column};
use super::time::{self, Clock, Scale, Span};
use super::window::{Prepared, Probes};
use super::{FeatureValue, FeatureView, Recorded, conform, key, window};
use crate::groups::{Groups, NO_GROUP, bucket};

/// The rows of a recorded view, of one entity or of many, ready for look-ups.
///
/// The rows stay as they came; entities are numbers, and the index is a permutation of the rows. Rows with a NULL in
/// their key can match nothing and are left out. *Canonical order* is by key; of one entity, the rows that can never
/// count (without an event time or an availability) come first, then by event, availability, tie-break columns and the
/// remaining columns as declared, so it does not depend on the order in which rows came.
#[derive(Debug)]
pub struct FeatureTable {
    view: Arc<FeatureView>,
    rows: RecordBatch,
    groups: Groups,
    timelines: Timelines,
    key_types: Vec<DataType>,
    scale: Scale,
    ttl: Option<i128>,
    windows: Vec<Prepared>,
}

/// The answer to a look-up: one element of each array for each key looked up.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// One array for each feature of the view, in their order.
    pub values: Vec<ArrayRef>,
    /// Why the plain features have the values they have.
    pub status: Vec<Status>,
    /// The event time of the row that counts, or that would if it were not expired.
    pub event_time: ArrayRef,
    /// From when that row was known.
    pub available_at: ArrayRef,
}

impl FeatureTable {
    /// Indexes rows of a recorded view. Batches hold the view's row columns by name.
    #[allow(clippy::needless_pass_by_value, reason = "the table takes the rows over; callers have no use for them")]
    pub fn new(view: Arc<FeatureView>, rows: Vec<RecordBatch>) -> Result<Self> {
        Self::build(view, &rows, None)
    }

    /// Like [`FeatureTable::new`], over the rows that were known at a time: what was not known by then does not exist.
    #[allow(clippy::needless_pass_by_value, reason = "the table takes the rows over; callers have no use for them")]
    pub fn known_at(view: Arc<FeatureView>, rows: Vec<RecordBatch>, cutoff: &ScalarValue) -> Result<Self> {
        Self::build(view, &rows, Some(cutoff))
    }

    fn build(view: Arc<FeatureView>, batches: &[RecordBatch], cutoff: Option<&ScalarValue>) -> Result<Self> {
        let Indexed { rows, groups, timelines, times } = Indexed::of(&view, batches, cutoff)?;
        let recorded = view.to_recorded()?;
        let windows = window::prepare(recorded, &rows, &timelines)?;
        let key_types = view.entity_fields().iter().map(|field| field.data_type().clone()).collect();
        Ok(Self {
            scale: times.scale,
            ttl: recorded.ttl.and_then(Span::steps),
            rows,
            groups,
            timelines,
            key_types,
            windows,
            view,
        })
    }

    /// The view whose rows these are.
    pub fn view(&self) -> &Arc<FeatureView> {
        &self.view
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        let windows: usize = self.windows.iter().map(Prepared::size).sum();
        super::row_bytes(&self.rows) + self.groups.size() + self.timelines.size() + windows
    }

    /// All rows in canonical order.
    pub fn rows(&self) -> Result<RecordBatch> {
        let order: UInt32Array =
            self.by_key()?.into_iter().flat_map(|entity| self.rows_of(entity)).copied().collect::<Vec<_>>().into();
        Ok(take_record_batch(&self.rows, &order)?)
    }

    /// Each entity's key as [`entity_key`](super::entity_key) writes it, and its rows; both in canonical order.
    pub fn entities(&self) -> Result<impl Iterator<Item = (String, RecordBatch)> + '_> {
        let rows = self.rows()?;
        let names = self.view.to_recorded()?.entity.iter();
        let keys: Vec<ArrayRef> = names.filter_map(|name| rows.column_by_name(name)).map(Arc::clone).collect();
        let mut start = 0;
        Ok(self.by_key()?.into_iter().filter_map(move |entity| {
            let len = self.rows_of(entity).len();
            let own = (key::entity_key(&keys, start)?, rows.slice(start, len));
            start += len;
            Some(own)
        }))
    }

    /// The entities that have rows, by key.
    fn by_key(&self) -> Result<Vec<u32>> {
        let (entities, first): (Vec<u32>, Vec<u32>) = (0..self.timelines.entities() as u32)
            .filter_map(|entity| Some((entity, *self.rows_of(entity).first()?)))
            .unzip();
        let keys = take_arrays(&keys(self.view.to_recorded()?, &self.rows)?, &UInt32Array::from(first), None)?;
        if keys.is_empty() {
            return Ok(entities);
        }
        let encoded = encode(&keys)?;
        let mut order: Vec<usize> = (0..entities.len()).collect();
        order.sort_unstable_by(|a, b| encoded.row(*a).cmp(&encoded.row(*b)));
        Ok(order.into_iter().filter_map(|at| entities.get(at).copied()).collect())
    }

    /// The rows of an entity, as places in the batch.
    fn rows_of(&self, entity: u32) -> &[u32] {
        self.timelines.rows().get(self.timelines.positions(entity)).unwrap_or_default()
    }

    /// Looks up every feature for each (key, time).
    ///
    /// `keys` are the entity's columns in ENTITY order, each of a type that compares with the view's; `times` likewise.
    /// A key of the right kind that the view's type cannot hold is simply no entity.
    pub fn lookup(&self, keys: &[ArrayRef], times: &ArrayRef) -> Result<Lookup> {
        let found = self.find(keys, times)?;
        let probes = self.probes(&found);
        let (status, witness, counts) = self.winners(&found, &probes);
        let recorded = self.view.to_recorded()?;
        let mut windows = window::values(&self.windows, &self.timelines, &probes)?.into_iter();
        let values = recorded
            .features
            .iter()
            .map(|feature| match &feature.value {
                FeatureValue::Plain { column: name } => Ok(take(&column(&self.rows, recorded, name)?, &counts, None)?),
                FeatureValue::Window(_) => windows
                    .next()
                    .ok_or_else(|| DataFusionError::Internal(format!("the window `{}` has no values", feature.name))),
            })
            .collect::<Result<_>>()?;
        let event = column(&self.rows, recorded, &recorded.timestamp)?;
        let available = column(&self.rows, recorded, recorded.available_at.as_ref().unwrap_or(&recorded.timestamp))?;
        Ok(Lookup {
            values,
            status,
            event_time: take(&event, &witness, None)?,
            available_at: take(&available, &witness, None)?,
        })
    }

    /// The window features of a look-up by one accumulator each, fed its rows from scratch.
    #[cfg(test)]
    pub(super) fn replayed(&self, keys: &[ArrayRef], times: &ArrayRef) -> Result<Vec<ArrayRef>> {
        let found = self.find(keys, times)?;
        window::replayed(&self.windows, &self.timelines, &self.probes(&found))
    }

    /// The entity and time of each row looked up.
    fn find(&self, keys: &[ArrayRef], times: &ArrayRef) -> Result<Found> {
        let (clock, times) = as_of_times(&self.view, self.scale, times)?;
        if keys.len() != self.key_types.len() {
            return plan_err!(
                "the feature view `{}` has {} key columns and the look-up gives {}",
                self.view.name,
                self.key_types.len(),
                keys.len()
            );
        }
        let mut null_key: Option<NullBuffer> = None;
        let mut cast = Vec::with_capacity(keys.len());
        for (given, own) in keys.iter().zip(&self.key_types) {
            if !key::compatible(given.data_type(), own) {
                return plan_err!(
                    "a key of type {} cannot equal the key of type {own} of the feature view `{}`; cast one to the other",
                    given.data_type(),
                    self.view.name
                );
            }
            null_key = NullBuffer::union(null_key.as_ref(), given.logical_nulls().as_ref());
            cast.push(key::conform(given, own)?);
        }
        Ok(Found { entities: self.groups.find(&cast, times.len())?, keyed: null_key, times, clock })
    }

    fn probes<'a>(&self, found: &'a Found) -> Probes<'a> {
        let nulls = NullBuffer::union(found.keyed.as_ref(), found.times.nulls());
        let entities = self.timelines.entities();
        Probes::new(&found.entities, entities, found.times.values(), nulls.as_ref(), found.clock)
    }

    /// For each row looked up its status, the row that counts or would if it were not expired, and the row that counts.
    fn winners(&self, found: &Found, probes: &Probes<'_>) -> (Vec<Status>, UInt32Array, UInt32Array) {
        let clock = found.clock;
        let ttl = self.ttl.map(|ttl| clock.length(ttl));
        let count = found.times.len();
        let mut status = vec![Status::NullTime; count];
        if let Some(keyed) = &found.keyed {
            for (status, keyed) in status.iter_mut().zip(keyed) {
                if !keyed {
                    *status = Status::NullKey;
                }
            }
        }
        let mut witness: Vec<Option<u32>> = vec![None; count];
        let mut expired = false;
        for (entity, own) in probes.by_entity() {
            let mut cursor = Cursor::default();
            for (probe, t) in own {
                let (mut state, winner) = self.timelines.latest(entity, clock.floor(t), &mut cursor);
                if winner.zip(ttl).is_some_and(|(position, ttl)| self.is_older(clock, position, t, ttl)) {
                    (expired, state) = (true, Status::Expired);
                }
                if let (Some(status), Some(witness)) = (status.get_mut(probe), witness.get_mut(probe)) {
                    *status = state;
                    *witness = winner.and_then(|position| self.timelines.rows().get(position).copied());
                }
            }
        }
        let witness = UInt32Array::from(witness);
        let counts = if expired {
            let ok: NullBuffer = status.iter().map(|status| *status == Status::Ok).collect();
            UInt32Array::new(witness.values().clone(), Some(ok))
        } else {
            witness.clone()
        };
        (status, witness, counts)
    }

    fn is_older(&self, clock: Clock, position: usize, t: i64, ttl: i128) -> bool {
        self.timelines.event(position).is_some_and(|event| clock.is_older(event, t, ttl))
    }
}

/// Rows by entity and time.
pub(super) struct Indexed {
    pub(super) rows: RecordBatch,
    pub(super) groups: Groups,
    pub(super) timelines: Timelines,
    pub(super) times: Times,
}

impl Indexed {
    pub(super) fn of(view: &FeatureView, batches: &[RecordBatch], cutoff: Option<&ScalarValue>) -> Result<Self> {
        let recorded = view.to_recorded()?;
        let schema = view.rows_schema();
        let batches = batches.iter().map(|rows| conform(&view.name, rows, &schema)).collect::<Result<Vec<_>>>()?;
        let rows = concat_batches(&schema, &batches)?;
        drop(batches);

        let keys = keys(recorded, &rows)?;
        let (groups, mut ids) = Groups::of(&keys, rows.num_rows())?;
        drop(keys);
        let times = Times::of(recorded, &rows)?;
        if let Some(cutoff) = cutoff {
            for (id, known) in ids.iter_mut().zip(times.known_at(cutoff, &view.name)?) {
                if !known {
                    *id = NO_GROUP;
                }
            }
        }
        let (starts, order) = bucket(&ids, groups.len());
        drop(ids);
        let available = times.available.as_ref().map(|available| |row| at(available, row));
        let timelines = Timelines::new(
            starts,
            order,
            |row| at(&times.event, row),
            available.as_ref(),
            |tied| rank(recorded, &rows, tied),
        )?;
        Ok(Self { rows, groups, timelines, times })
    }
}

/// As-of times as integers, and how they compare with those of the view's rows.
pub(super) fn as_of_times(view: &FeatureView, rows: Scale, times: &ArrayRef) -> Result<(Clock, Int64Array)> {
    let (scale, instants) = time::values(times, "as-of time")?;
    let Some(clock) = Clock::new(scale, rows) else {
        let schema = view.rows_schema();
        let own = schema.field_with_name(&view.to_recorded()?.timestamp)?.data_type();
        return plan_err!(
            "the as-of time is {} ({}) and the time of the feature view `{}` is {} ({own}); cast one to the other",
            time::time_name(times.data_type()),
            times.data_type(),
            view.name,
            time::time_name(own)
        );
    };
    Ok((clock, instants.as_primitive::<Int64Type>().clone()))
}

/// What is looked up.
struct Found {
    /// [`NO_GROUP`] for an unknown or NULL key.
    entities: Vec<u32>,
    /// Which keys have no NULL.
    keyed: Option<NullBuffer>,
    times: Int64Array,
    clock: Clock,
}

/// The entity's columns in the form in which keys are compared.
fn keys(recorded: &Recorded, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
    let columns = recorded.entity.iter().map(|name| column(rows, recorded, name));
    columns.map(|column| column.and_then(|column| key::conform(&column, column.data_type()))).collect()
}

/// Ranks of rows of equal times by the tie-break columns, then by the remaining ones as declared.
fn rank(recorded: &Recorded, rows: &RecordBatch, tied: &[u32]) -> Result<Vec<u32>> {
    let names = rows.schema_ref().fields().iter().map(|field| field.name());
    let rest = names.filter(|name| !recorded.tie_break.contains(name));
    let mut columns =
        recorded.tie_break.iter().chain(rest).map(|name| column(rows, recorded, name)).collect::<Result<Vec<_>>>()?;
    columns.retain(|column| RowConverter::supports_fields(&[SortField::new(column.data_type().clone())]));
    let encoded = encode(&take_arrays(&columns, &UInt32Array::from(tied.to_vec()), None)?)?;
    let mut order: Vec<usize> = (0..tied.len()).collect();
    order.sort_unstable_by(|a, b| encoded.row(*a).cmp(&encoded.row(*b)));
    let mut ranks = vec![0; tied.len()];
    let equal = order.chunk_by(|a, b| encoded.row(*a) == encoded.row(*b));
    for (rank, run) in equal.enumerate() {
        for place in run {
            if let Some(slot) = ranks.get_mut(*place) {
                *slot = rank as u32;
            }
        }
    }
    Ok(ranks)
}

fn encode(columns: &[ArrayRef]) -> Result<Rows> {
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    Ok(RowConverter::new(fields)?.convert_columns(columns)?)
}
