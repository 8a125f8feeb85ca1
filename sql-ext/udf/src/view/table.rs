//! Rows of one view, indexed by entity and time, and the as-of look-up.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{concat_batches, filter_record_batch, is_not_null, take, take_record_batch};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion_common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use skewless_catalog::pit::{Row, Status, Timeline};

use super::time::{self, Scale, Span};
use super::{FeatureValue, FeatureView, Recorded, Window, conform, key};
use crate::expression;

/// The rows of a recorded view, of one entity or of many, in canonical order and ready for look-ups.
///
/// Canonical order is by key, event, availability, tie-break columns and then the remaining columns as declared, so it
/// does not depend on the order in which rows came. Rows with a NULL in their key can match nothing and are dropped.
#[derive(Debug)]
pub struct FeatureTable {
    view: Arc<FeatureView>,
    rows: RecordBatch,
    entities: Vec<Entity>,
    index: HashMap<OwnedRow, u32>,
    keys: Option<RowConverter>,
    key_types: Vec<DataType>,
    time_type: DataType,
    scale: Scale,
    ttl: Option<i128>,
    windows: Vec<Prepared>,
}

#[derive(Debug)]
struct Entity {
    start: usize,
    len: usize,
    timeline: Timeline,
}

/// A window feature with its arguments evaluated over all rows.
#[derive(Debug)]
struct Prepared {
    feature: usize,
    range: Option<i128>,
    call: AggregateFunctionExpr,
    args: Vec<ArrayRef>,
    filter: Option<BooleanArray>,
    /// The value of a window without rows.
    empty: ScalarValue,
    /// NULL of the feature's type, for rows that have no window at all.
    null: ScalarValue,
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
        let Some(recorded) = view.recorded() else {
            return plan_err!("the feature view `{}` is ON DEMAND and has no rows", view.name);
        };
        let schema = view.rows_schema();
        let batches = batches.iter().map(|rows| conform(&view.name, rows, &schema)).collect::<Result<Vec<_>>>()?;
        let mut rows = concat_batches(&schema, &batches)?;
        drop(batches);

        for name in &recorded.entity {
            let column = column(&rows, recorded, name)?;
            if column.null_count() > 0 {
                rows = filter_record_batch(&rows, &is_not_null(&column)?)?;
            }
        }
        let mut times = Times::of(recorded, &rows)?;
        if let Some(cutoff) = cutoff {
            let known = times.known_at(cutoff, &view.name)?;
            rows = filter_record_batch(&rows, &known)?;
            times = Times::of(recorded, &rows)?;
        }

        let keys = recorded
            .entity
            .iter()
            .map(|name| {
                let column = column(&rows, recorded, name)?;
                key::conform(&column, column.data_type())
            })
            .collect::<Result<Vec<_>>>()?;
        let order = canonical_order(recorded, &rows, &keys, &times)?;
        let rows = take_record_batch(&rows, &order)?;
        let times = times.take(&order);

        let (keys, index, entities) = if keys.is_empty() {
            let all = Entity::new(&times, 0, rows.num_rows());
            (None, HashMap::new(), if rows.num_rows() > 0 { vec![all] } else { Vec::new() })
        } else {
            let sorted = keys.iter().map(|key| take(key, &order, None)).collect::<Result<Vec<_>, _>>()?;
            let converter =
                RowConverter::new(sorted.iter().map(|key| SortField::new(key.data_type().clone())).collect())?;
            let encoded = converter.convert_columns(&sorted)?;
            let mut index = HashMap::new();
            let mut entities = Vec::new();
            let mut start = 0;
            while start < encoded.num_rows() {
                let first = encoded.row(start);
                let mut end = start + 1;
                while end < encoded.num_rows() && encoded.row(end) == first {
                    end += 1;
                }
                index.insert(first.owned(), entities.len() as u32);
                entities.push(Entity::new(&times, start, end));
                start = end;
            }
            (Some(converter), index, entities)
        };

        let windows = prepare(recorded, &rows)?;
        let key_types = view.entity_fields().iter().map(|field| field.data_type().clone()).collect();
        Ok(Self {
            scale: times.scale,
            time_type: column(&rows, recorded, &recorded.timestamp)?.data_type().clone(),
            ttl: recorded.ttl.and_then(Span::steps),
            rows,
            entities,
            index,
            keys,
            key_types,
            windows,
            view,
        })
    }

    /// The view whose rows these are.
    pub fn view(&self) -> &Arc<FeatureView> {
        &self.view
    }

    /// All rows in canonical order.
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// Each entity's key as [`entity_key`](super::entity_key) writes it, and its rows in canonical order.
    pub fn entities(&self) -> impl Iterator<Item = (String, RecordBatch)> + '_ {
        let keys: Vec<ArrayRef> = self
            .view
            .recorded()
            .map(|r| r.entity.iter().filter_map(|name| self.rows.column_by_name(name)).map(Arc::clone).collect())
            .unwrap_or_default();
        self.entities.iter().filter_map(move |entity| {
            Some((key::entity_key(&keys, entity.start)?, self.rows.slice(entity.start, entity.len)))
        })
    }

    /// Looks up every feature for each (key, time).
    ///
    /// `keys` are the entity's columns in ENTITY order, each of a type that compares with the view's; `times` likewise.
    /// A key of the right kind that the view's type cannot hold is simply no entity.
    pub fn lookup(&self, keys: &[ArrayRef], times: &ArrayRef) -> Result<Lookup> {
        let recorded = self.recorded()?;
        let count = times.len();
        let (scale, instants) = time::values(times, "as-of time")?;
        if scale.finer(self.scale).is_none() {
            return plan_err!(
                "the as-of time is {} ({}) and the time of the feature view `{}` is {} ({}); cast one to the other",
                time::time_name(times.data_type()),
                times.data_type(),
                self.view.name,
                time::time_name(&self.time_type),
                self.time_type
            );
        }
        let instants = instants.as_primitive::<Int64Type>();
        let entities = self.find(keys, count)?;

        let step = self.scale.steps();
        let mut status = Vec::with_capacity(count);
        let mut counts: Vec<Option<u64>> = Vec::with_capacity(count);
        let mut witness: Vec<Option<u64>> = Vec::with_capacity(count);
        let mut moments: Vec<Option<(Option<u32>, i128)>> = Vec::with_capacity(count);
        for (row, found) in entities.iter().enumerate() {
            let (state, winner, expired, moment) = match (found, instants.is_valid(row)) {
                (Found::NullKey, _) => (Status::NullKey, None, false, None),
                (_, false) => (Status::NullTime, None, false, None),
                (found, true) => {
                    let t = i128::from(instants.value(row)) * scale.steps();
                    match found.entity().and_then(|id| Some((id, self.entities.get(id as usize)?))) {
                        None => (Status::NoEntity, None, false, Some((None, t))),
                        Some((id, entity)) => {
                            let (state, winner) = entity.timeline.latest(time::floor(t, step));
                            let expired = winner
                                .zip(self.ttl)
                                .is_some_and(|((_, event), ttl)| t - i128::from(event) * step > ttl);
                            let state = if expired { Status::Expired } else { state };
                            let winner = winner.map(|(index, _)| (entity.start + index) as u64);
                            (state, winner, expired, Some((Some(id), t)))
                        }
                    }
                }
            };
            status.push(state);
            counts.push(winner.filter(|_| !expired));
            witness.push(winner);
            moments.push(moment);
        }

        let counts = UInt64Array::from(counts);
        let witness = UInt64Array::from(witness);
        let mut values: Vec<Option<ArrayRef>> = recorded
            .features
            .iter()
            .map(|feature| match &feature.value {
                FeatureValue::Plain { column: name } => {
                    Ok(Some(take(&column(&self.rows, recorded, name)?, &counts, None)?))
                }
                FeatureValue::Window(_) => Ok(None),
            })
            .collect::<Result<_>>()?;
        for (feature, array) in self.windows(&moments)? {
            if let Some(slot) = values.get_mut(feature) {
                *slot = Some(array);
            }
        }
        let event = column(&self.rows, recorded, &recorded.timestamp)?;
        let available = column(&self.rows, recorded, recorded.available_at.as_ref().unwrap_or(&recorded.timestamp))?;
        Ok(Lookup {
            values: values.into_iter().flatten().collect(),
            status,
            event_time: take(&event, &witness, None)?,
            available_at: take(&available, &witness, None)?,
        })
    }

    fn recorded(&self) -> Result<&Recorded> {
        self.view.recorded().ok_or_else(|| DataFusionError::Internal("an on-demand view has no rows".to_owned()))
    }

    fn find(&self, keys: &[ArrayRef], count: usize) -> Result<Vec<Found>> {
        if keys.len() != self.key_types.len() {
            return plan_err!(
                "the feature view `{}` has {} key columns and the look-up gives {}",
                self.view.name,
                self.key_types.len(),
                keys.len()
            );
        }
        let Some(converter) = &self.keys else {
            return Ok(vec![if self.entities.is_empty() { Found::Unknown } else { Found::Entity(0) }; count]);
        };
        let mut found = vec![Found::Unknown; count];
        let mut cast = Vec::with_capacity(keys.len());
        for (given, own) in keys.iter().zip(&self.key_types) {
            if !key::compatible(given.data_type(), own) {
                return plan_err!(
                    "a key of type {} cannot equal the key of type {own} of the feature view `{}`; cast one to the other",
                    given.data_type(),
                    self.view.name
                );
            }
            if let Some(nulls) = given.logical_nulls() {
                for (slot, valid) in found.iter_mut().zip(nulls.iter()) {
                    if !valid {
                        *slot = Found::NullKey;
                    }
                }
            }
            cast.push(key::conform(given, own)?);
        }
        let encoded = converter.convert_columns(&cast)?;
        for (row, slot) in found.iter_mut().enumerate() {
            if matches!(slot, Found::Unknown)
                && let Some(id) = self.index.get(&encoded.row(row).owned())
            {
                *slot = Found::Entity(*id);
            }
        }
        Ok(found)
    }

    /// The window features: (position among the features, values).
    fn windows(&self, moments: &[Option<(Option<u32>, i128)>]) -> Result<Vec<(usize, ArrayRef)>> {
        let mut ranges: Vec<Option<i128>> = Vec::new();
        for window in &self.windows {
            if !ranges.contains(&window.range) {
                ranges.push(window.range);
            }
        }
        let mut out = Vec::with_capacity(self.windows.len());
        for range in ranges {
            let group: Vec<&Prepared> = self.windows.iter().filter(|window| window.range == range).collect();
            let mut columns: Vec<Vec<ScalarValue>> = vec![Vec::with_capacity(moments.len()); group.len()];
            let mut inside: Vec<u64> = Vec::new();
            let mut last: Option<(u32, Vec<u64>)> = None;
            for moment in moments {
                let Some((entity, t)) = moment else {
                    for (window, column) in group.iter().zip(&mut columns) {
                        column.push(window.null.clone());
                    }
                    last = None;
                    continue;
                };
                inside.clear();
                if let Some(entity) = entity.and_then(|id| self.entities.get(id as usize)) {
                    entity.window(*t, range, self.scale.steps(), &mut inside);
                }
                // Neighbouring spine rows often see the same window.
                let same =
                    entity.is_some() && last.as_ref().is_some_and(|(id, rows)| Some(*id) == *entity && *rows == inside);
                for (window, column) in group.iter().zip(&mut columns) {
                    let value = match column.last() {
                        Some(value) if same => value.clone(),
                        _ => window.value(&inside)?,
                    };
                    column.push(value);
                }
                last = entity.map(|id| (id, std::mem::take(&mut inside)));
            }
            for (window, column) in group.iter().zip(columns) {
                let array = if column.is_empty() {
                    arrow::array::new_empty_array(&window.null.data_type())
                } else {
                    ScalarValue::iter_to_array(column)?
                };
                out.push((window.feature, array));
            }
        }
        Ok(out)
    }
}

#[derive(Clone, Copy, Debug)]
enum Found {
    NullKey,
    Unknown,
    Entity(u32),
}

impl Found {
    fn entity(self) -> Option<u32> {
        match self {
            Self::Entity(id) => Some(id),
            Self::NullKey | Self::Unknown => None,
        }
    }
}

impl Entity {
    fn new(times: &Times, start: usize, end: usize) -> Self {
        let rows: Vec<Row> = times
            .event
            .iter()
            .zip(&times.available)
            .skip(start)
            .take(end - start)
            .enumerate()
            .map(|(tie, (event, available))| Row { event: *event, available: *available, tie: tie as u32 })
            .collect();
        Self { start, len: end - start, timeline: Timeline::new(&rows) }
    }

    /// The rows of the window that ends at `t`, as positions in the table.
    fn window(&self, t: i128, range: Option<i128>, step: i128, inside: &mut Vec<u64>) {
        let from = match range {
            None => Some(i64::MIN),
            Some(range) => time::ceil(t.saturating_sub(range), step),
        };
        if let Some(from) = from {
            inside.extend(self.timeline.window(time::floor(t, step), from).map(|index| (self.start + index) as u64));
        }
    }
}

impl Prepared {
    /// The aggregate over these rows, fed in one piece and in order.
    fn value(&self, rows: &[u64]) -> Result<ScalarValue> {
        let filtered: Vec<u64>;
        let rows = match &self.filter {
            None => rows,
            Some(filter) => {
                filtered = rows
                    .iter()
                    .copied()
                    .filter(|&row| filter.is_valid(row as usize) && filter.value(row as usize))
                    .collect();
                &filtered
            }
        };
        let (Some(&first), Some(&last)) = (rows.first(), rows.last()) else { return Ok(self.empty.clone()) };
        let contiguous = last - first + 1 == rows.len() as u64;
        let args = self
            .args
            .iter()
            .map(|arg| {
                Ok(if contiguous {
                    arg.slice(first as usize, rows.len())
                } else {
                    take(arg, &UInt64Array::from(rows.to_vec()), None)?
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let mut accumulator = self.call.create_accumulator()?;
        accumulator.update_batch(&args)?;
        accumulator.evaluate()
    }
}

/// Event and availability times of all rows, in one unit.
struct Times {
    event: Vec<Option<i64>>,
    available: Vec<Option<i64>>,
    scale: Scale,
}

impl Times {
    fn of(recorded: &Recorded, rows: &RecordBatch) -> Result<Self> {
        let event = column(rows, recorded, &recorded.timestamp)?;
        let (event_scale, _) = time::values(&event.slice(0, 0), &recorded.timestamp)?;
        let Some(name) = &recorded.available_at else {
            let event = time::values_in(&event, &recorded.timestamp, event_scale)?;
            return Ok(Self { available: event.clone(), event, scale: event_scale });
        };
        let available = column(rows, recorded, name)?;
        let (available_scale, _) = time::values(&available.slice(0, 0), name)?;
        let Some(scale) = event_scale.finer(available_scale) else {
            return plan_err!(
                "the event time `{}` is {} and the availability `{name}` is {}; cast one to the other",
                recorded.timestamp,
                time::time_name(event.data_type()),
                time::time_name(available.data_type())
            );
        };
        Ok(Self {
            event: time::values_in(&event, &recorded.timestamp, scale)?,
            available: time::values_in(&available, name, scale)?,
            scale,
        })
    }

    fn known_at(&self, cutoff: &ScalarValue, view: &str) -> Result<BooleanArray> {
        let (scale, value) = time::values(&cutoff.to_array()?, "known_at")?;
        let value = value.as_primitive::<Int64Type>();
        if scale.finer(self.scale).is_none() || value.is_empty() || value.is_null(0) {
            return plan_err!(
                "known_at is {cutoff} of type {}, which does not compare with the times of the feature view `{view}`; \
                 give a time of their kind",
                cutoff.data_type()
            );
        }
        let cutoff = time::floor(i128::from(value.value(0)) * scale.steps(), self.scale.steps());
        Ok(self.available.iter().map(|available| Some(available.is_some_and(|known| known <= cutoff))).collect())
    }

    fn take(&self, order: &UInt32Array) -> Self {
        let pick =
            |times: &[Option<i64>]| order.values().iter().map(|&i| times.get(i as usize).copied().flatten()).collect();
        Self { event: pick(&self.event), available: pick(&self.available), scale: self.scale }
    }
}

fn canonical_order(recorded: &Recorded, rows: &RecordBatch, keys: &[ArrayRef], times: &Times) -> Result<UInt32Array> {
    let mut columns: Vec<ArrayRef> = keys.to_vec();
    columns.push(Arc::new(Int64Array::from(times.event.clone())));
    columns.push(Arc::new(Int64Array::from(times.available.clone())));
    for name in &recorded.tie_break {
        columns.push(column(rows, recorded, name)?);
    }
    for (name, column) in rows.schema_ref().fields().iter().map(|field| field.name()).zip(rows.columns()) {
        if !recorded.tie_break.contains(name) {
            columns.push(Arc::clone(column));
        }
    }
    columns.retain(|column| RowConverter::supports_fields(&[SortField::new(column.data_type().clone())]));
    let converter = RowConverter::new(columns.iter().map(|c| SortField::new(c.data_type().clone())).collect())?;
    let encoded = converter.convert_columns(&columns)?;
    let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
    let row = |i: &u32| encoded.row(*i as usize);
    if !order.is_sorted_by_key(row) {
        order.sort_unstable_by(|a, b| row(a).cmp(&row(b)));
    }
    Ok(order.into())
}

fn prepare(recorded: &Recorded, rows: &RecordBatch) -> Result<Vec<Prepared>> {
    let schema = rows.schema();
    let mut windows = Vec::new();
    for (position, feature) in recorded.features.iter().enumerate() {
        let FeatureValue::Window(window) = &feature.value else { continue };
        let call = call(window, &feature.name, &schema)?;
        let args = call.expressions().iter().map(|arg| expression::evaluate(arg, rows)).collect::<Result<Vec<_>>>()?;
        let filter = match &window.filter {
            None => None,
            Some(sql) => {
                let mask = expression::evaluate(&expression::compile(sql, &schema)?, rows)?;
                Some(mask.as_boolean_opt().cloned().ok_or_else(|| {
                    DataFusionError::Plan(format!("the FILTER of the feature `{}` is not a condition", feature.name))
                })?)
            }
        };
        windows.push(Prepared {
            feature: position,
            range: window.range.steps(),
            empty: call.create_accumulator()?.evaluate()?,
            null: ScalarValue::try_from(&feature.data_type.0)?,
            call,
            args,
            filter,
        });
    }
    Ok(windows)
}

fn call(window: &Window, name: &str, schema: &SchemaRef) -> Result<AggregateFunctionExpr> {
    let Some(function) = expression::aggregate(&window.function) else {
        return plan_err!(
            "the feature `{name}` uses the aggregate `{}`, which this build does not have; create the view again",
            window.function
        );
    };
    let args = window.args.iter().map(|sql| expression::compile(sql, schema)).collect::<Result<Vec<_>>>()?;
    AggregateExprBuilder::new(function, args)
        .schema(Arc::clone(schema))
        .alias(name)
        .with_distinct(window.distinct)
        .with_ignore_nulls(window.ignore_nulls)
        .build()
}

/// A column of the rows by name.
fn column(rows: &RecordBatch, recorded: &Recorded, name: &str) -> Result<ArrayRef> {
    rows.column_by_name(name).map(Arc::clone).ok_or_else(|| {
        let known: Vec<&str> = recorded.rows.iter().map(|column| column.name.as_str()).collect();
        DataFusionError::Plan(format!("the stored rows have no column `{name}`; they have {}", known.join(", ")))
    })
}
