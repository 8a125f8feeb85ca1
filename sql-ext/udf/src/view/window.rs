//! Window features: which kernel computes each, and one slide for the windows of equal range over each entity.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use datafusion_common::{HashMap, Result, ScalarValue, plan_err};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use skewless_catalog::pit::{Change, Timelines};

use super::kernel::{Fast, Inside, Kernel, Replay};
use super::time::Clock;
use super::{FeatureValue, Recorded, Window};
use crate::expression;
use crate::groups::{NO_GROUP, bucket};

/// A window feature with its arguments evaluated over all rows, in the order of positions.
#[derive(Debug)]
pub(super) struct Prepared {
    /// How far the window reaches back, on the scale of [`Span::steps`](super::Span::steps).
    range: Option<i128>,
    aggregate: Aggregate,
    fast: Option<Fast>,
}

/// An aggregate call over rows.
#[derive(Debug)]
pub(super) struct Aggregate {
    pub(super) call: AggregateFunctionExpr,
    pub(super) args: Vec<ColumnarValue>,
    /// Where the FILTER is true.
    pub(super) filter: Option<BooleanBuffer>,
    /// NULL of the feature's type, for rows that have no window at all.
    pub(super) null: ScalarValue,
}

/// What is looked up: the probes that have a key and a time, by entity and time.
pub(super) struct Probes<'a> {
    starts: Vec<u32>,
    order: Vec<u32>,
    times: &'a [i64],
    pub(super) clock: Clock,
}

/// The window features of a view, in their order.
pub(super) fn prepare(recorded: &Recorded, rows: &RecordBatch, timelines: &Timelines) -> Result<Vec<Prepared>> {
    let mut placed = Placed::new(rows, timelines);
    let schema = rows.schema();
    let mut windows = Vec::new();
    for feature in &recorded.features {
        let FeatureValue::Window(window) = &feature.value else { continue };
        let aggregate = Aggregate {
            call: call(window, &feature.name, &schema)?,
            args: window.args.iter().map(|sql| placed.value(sql)).collect::<Result<_>>()?,
            filter: match &window.filter {
                None => None,
                Some(sql) => Some(mask(&placed.value(sql)?, timelines.rows().len(), &feature.name)?),
            },
            null: ScalarValue::try_from(&feature.data_type.0)?,
        };
        let fast = Fast::of(window, &aggregate, timelines)?;
        windows.push(Prepared { range: window.range.steps(), aggregate, fast });
    }
    Ok(windows)
}

/// The value of each window at each probe: one array for each window.
pub(super) fn values(windows: &[Prepared], timelines: &Timelines, probes: &Probes<'_>) -> Result<Vec<ArrayRef>> {
    let kernels = windows.iter().map(|window| window.kernel(probes.times.len())).collect::<Result<_>>()?;
    run(windows, kernels, timelines, probes)
}

/// The same by one accumulator for each window, fed its rows from scratch.
#[cfg(test)]
pub(super) fn replayed(windows: &[Prepared], timelines: &Timelines, probes: &Probes<'_>) -> Result<Vec<ArrayRef>> {
    let kernels = windows.iter().map(|window| window.replay(probes.times.len())).collect();
    run(windows, kernels, timelines, probes)
}

fn run(
    windows: &[Prepared],
    mut kernels: Vec<Box<dyn Kernel + '_>>,
    timelines: &Timelines,
    probes: &Probes<'_>,
) -> Result<Vec<ArrayRef>> {
    if kernels.is_empty() {
        return Ok(Vec::new());
    }
    let mut ranges: Vec<Option<i128>> = Vec::new();
    for window in windows {
        if !ranges.contains(&window.range) {
            ranges.push(window.range);
        }
    }
    let clock = probes.clock;
    let mut change = Change::default();
    for (entity, own) in probes.by_entity() {
        for range in &ranges {
            let length = range.map(|range| clock.length(range));
            let same = |window: &Prepared| window.range == *range;
            let mut slide = timelines.slide(entity);
            for (_, kernel) in windows.iter().zip(&mut kernels).filter(|(window, _)| same(window)) {
                kernel.entity(timelines.positions(entity));
            }
            for (probe, t) in own.clone() {
                let from = length.map_or(Some(i64::MIN), |length| clock.start(t, length));
                let inside = Inside { timelines, entity, t: clock.floor(t), from };
                slide.to(inside.t, from, &mut change);
                for (_, kernel) in windows.iter().zip(&mut kernels).filter(|(window, _)| same(window)) {
                    // Neighbouring probes often see the same window.
                    if !change.is_none() {
                        kernel.step(&change, &inside)?;
                    }
                    kernel.emit(probe);
                }
            }
        }
    }
    kernels.into_iter().map(Kernel::finish).collect()
}

impl Prepared {
    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        let args = self.aggregate.args.iter().map(|arg| match arg {
            ColumnarValue::Array(array) => array.get_array_memory_size(),
            ColumnarValue::Scalar(value) => value.size(),
        });
        let filter = self.aggregate.filter.as_ref().map_or(0, |filter| filter.inner().capacity());
        size_of::<Self>() + args.sum::<usize>() + filter + self.fast.as_ref().map_or(0, Fast::size)
    }

    fn kernel(&self, probes: usize) -> Result<Box<dyn Kernel + '_>> {
        match &self.fast {
            Some(fast) => fast.kernel(&self.aggregate, probes),
            None => Ok(self.replay(probes)),
        }
    }

    fn replay(&self, probes: usize) -> Box<dyn Kernel + '_> {
        Box::new(Replay::new(&self.aggregate, probes))
    }
}

impl<'a> Probes<'a> {
    /// Probes of entities numbered below `count`.
    pub(super) fn new(
        entities: &[u32],
        count: usize,
        times: &'a [i64],
        nulls: Option<&NullBuffer>,
        clock: Clock,
    ) -> Self {
        let there = |probe: usize| nulls.is_none_or(|nulls| nulls.is_valid(probe));
        let ids = entities.iter().enumerate();
        let ids: Vec<u32> =
            ids.map(|(probe, entity)| if there(probe) { (*entity).min(count as u32) } else { NO_GROUP }).collect();
        let (starts, mut order) = bucket(&ids, count + 1);
        let time = |probe: &u32| times.get(*probe as usize);
        for bounds in starts.array_windows() {
            let [start, end] = bounds.map(|bound| bound as usize);
            if let Some(own) = order.get_mut(start..end)
                && !own.is_sorted_by_key(time)
            {
                own.sort_by_key(time);
            }
        }
        Self { starts, order, times, clock }
    }

    /// The probes of each entity, (probe, time) by time; those of entities that are not there come last, as one more.
    pub(super) fn by_entity(&self) -> impl Iterator<Item = (u32, impl Iterator<Item = (usize, i64)> + Clone)> {
        self.starts.array_windows().enumerate().filter_map(|(entity, [start, end])| {
            let own = self.order.get(*start as usize..*end as usize).filter(|own| !own.is_empty())?;
            let timed = own.iter().filter_map(|probe| Some((*probe as usize, *self.times.get(*probe as usize)?)));
            Some((entity as u32, timed))
        })
    }
}

/// Expressions over the rows, each evaluated once and put in the order of positions.
struct Placed<'a> {
    rows: &'a RecordBatch,
    /// `None` where the rows are in that order.
    order: Option<UInt32Array>,
    values: HashMap<String, ColumnarValue>,
}

impl<'a> Placed<'a> {
    fn new(rows: &'a RecordBatch, timelines: &Timelines) -> Self {
        let order = timelines.rows();
        let same =
            order.len() == rows.num_rows() && order.iter().enumerate().all(|(place, row)| *row as usize == place);
        Self { rows, order: (!same).then(|| UInt32Array::from(order.to_vec())), values: HashMap::new() }
    }

    fn value(&mut self, sql: &str) -> Result<ColumnarValue> {
        if let Some(value) = self.values.get(sql) {
            return Ok(value.clone());
        }
        let value = match (expression::compile(sql, &self.rows.schema())?.evaluate(self.rows)?, &self.order) {
            (ColumnarValue::Array(array), Some(order)) => ColumnarValue::Array(take(&array, order, None)?),
            (value, _) => value,
        };
        self.values.insert(sql.to_owned(), value.clone());
        Ok(value)
    }
}

/// Where a condition is true.
fn mask(condition: &ColumnarValue, rows: usize, feature: &str) -> Result<BooleanBuffer> {
    let array = condition.to_array(rows)?;
    let Some(condition) = array.as_boolean_opt() else {
        return plan_err!("the FILTER of the feature `{feature}` is not a condition");
    };
    Ok(match condition.nulls() {
        None => condition.values().clone(),
        Some(nulls) => condition.values() & nulls.inner(),
    })
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
