//! The whole history of a view's rows, for audits of tables that were made elsewhere: where a row stands at a time, and
//! what a window would have given if rows had counted that must not.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::{cast, take, take_record_batch};
use arrow::datatypes::Int64Type;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion_common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};

use super::table::FeatureTable;
use super::time;
use super::{FeatureValue, FeatureView, Window, entity_key};
use crate::expression;

/// How many later events of an entity are tried as the end of a window that saw the future.
pub const LATER_EVENTS: usize = 16;

/// Where a row stands at an as-of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It happened, it was known, and the ttl reaches back to it.
    Known,
    /// It happened and was known, and is older than the ttl.
    Expired,
    /// It happened and was not known yet.
    NotYetAvailable,
    /// It had not happened.
    Future,
}

/// All rows of a recorded view by entity and time, whether known or not.
#[derive(Debug)]
pub struct History {
    view: Arc<FeatureView>,
    rows: RecordBatch,
    entities: HashMap<String, Range<usize>>,
    event: Vec<Option<i128>>,
    available: Vec<Option<i128>>,
    ttl: Option<i128>,
    known_at: Option<i128>,
    /// By position among the features; `None` for a plain one.
    windows: Vec<Option<Aggregate>>,
}

/// A window feature with its arguments evaluated over all rows.
#[derive(Debug)]
struct Aggregate {
    reach: Option<i128>,
    call: AggregateFunctionExpr,
    args: Vec<ArrayRef>,
    filter: Option<BooleanArray>,
}

impl History {
    /// The history behind a table that holds all rows; what was not known at `known_at` was not known at any time.
    pub fn new(table: &FeatureTable, known_at: Option<&ScalarValue>) -> Result<Self> {
        let view = Arc::clone(table.view());
        let mut rows = table.rows()?;
        let recorded = view.to_recorded()?;
        let mut entities = HashMap::new();
        let mut start = 0;
        for (key, own) in table.entities()? {
            let end = start + own.num_rows();
            entities.insert(key, start..end);
            start = end;
        }
        let time_of = |rows: &RecordBatch, name: &String| match rows.column_by_name(name) {
            Some(times) => Self::instants(times),
            None => Err(DataFusionError::Internal(format!("the rows of `{}` lost `{name}`", view.name))),
        };
        // Rows that can never count come first in the table; here every row of an entity stands at its event.
        let event = time_of(&rows, &recorded.timestamp)?;
        let mut order: Vec<usize> = (0..rows.num_rows()).collect();
        for own in entities.values() {
            if let Some(own) = order.get_mut(Range::clone(own)) {
                own.sort_by_key(|position| event.get(*position).copied().flatten());
            }
        }
        let order: UInt64Array = order.into_iter().map(|position| position as u64).collect();
        rows = take_record_batch(&rows, &order)?;
        let windows = recorded
            .features
            .iter()
            .map(|feature| match &feature.value {
                FeatureValue::Plain { .. } => Ok(None),
                FeatureValue::Window(window) => Aggregate::new(window, &feature.name, &rows).map(Some),
            })
            .collect::<Result<_>>()?;
        let known_at = match known_at {
            None => None,
            Some(cutoff) => Self::instants(&cutoff.to_array()?)?.first().copied().flatten(),
        };
        Ok(Self {
            entities,
            event: time_of(&rows, &recorded.timestamp)?,
            available: time_of(&rows, recorded.available_at.as_ref().unwrap_or(&recorded.timestamp))?,
            ttl: recorded.ttl.and_then(time::Span::steps),
            known_at,
            windows,
            rows,
            view,
        })
    }

    /// All rows: those of an entity together, in order of their events and in canonical order among equal ones.
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// The rows of each entity, as positions in [`History::rows`].
    pub fn entities(&self) -> impl Iterator<Item = &Range<usize>> {
        self.entities.values()
    }

    /// Times on the exact scale on which an audit compares them.
    pub fn instants(times: &ArrayRef) -> Result<Vec<Option<i128>>> {
        let (scale, values) = time::values(times, "as-of time")?;
        Ok(values.as_primitive::<Int64Type>().iter().map(|value| Some(i128::from(value?) * scale.steps())).collect())
    }

    /// Keys as this view has them; a value that the view's type cannot hold becomes NULL, for it is no entity.
    pub fn keys(&self, keys: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let fields = self.view.entity_fields();
        keys.iter().zip(&fields).map(|(key, field)| Ok(cast(key, field.data_type())?)).collect()
    }

    /// The rows of the entity that [`History::keys`] name in `row`; none where there is no such entity.
    pub fn entity(&self, keys: &[ArrayRef], row: usize) -> Range<usize> {
        entity_key(keys, row).and_then(|key| self.entities.get(&key).cloned()).unwrap_or(0..0)
    }

    /// The event and availability times of a row.
    pub fn times(&self, position: usize) -> (Option<i128>, Option<i128>) {
        let time = |times: &[Option<i128>]| times.get(position).copied().flatten();
        (time(&self.event), time(&self.available))
    }

    /// The same as text.
    pub fn times_text(&self, position: usize) -> Result<(Option<String>, Option<String>)> {
        let Some(recorded) = self.view.recorded() else { return Ok((None, None)) };
        let text = |name: &str| match self.rows.column_by_name(name) {
            Some(column) if position < column.len() && column.is_valid(position) => {
                let one = column.slice(position, 1);
                Ok::<_, DataFusionError>(Some(
                    ArrayFormatter::try_new(one.as_ref(), &FormatOptions::default())?.value(0).try_to_string()?,
                ))
            }
            _ => Ok(None),
        };
        Ok((text(&recorded.timestamp)?, text(recorded.available_at.as_ref().unwrap_or(&recorded.timestamp))?))
    }

    /// Where a row stands at `t`; `None` for one without an event time, which never counts.
    pub fn standing(&self, position: usize, t: i128) -> Option<Standing> {
        let (event, available) = self.times(position);
        let event = event?;
        if event > t {
            return Some(Standing::Future);
        }
        if available.is_none_or(|available| available > self.known_at.map_or(t, |cutoff| cutoff.min(t))) {
            return Some(Standing::NotYetAvailable);
        }
        let expired = self.ttl.is_some_and(|ttl| t.saturating_sub(event) > ttl);
        Some(if expired { Standing::Expired } else { Standing::Known })
    }

    /// The row that counts at `t`, or would if it were not expired.
    pub fn winner(&self, entity: &Range<usize>, t: i128) -> Option<usize> {
        self.between(entity, None, Some(t))
            .rev()
            .find(|&position| matches!(self.standing(position, t), Some(Standing::Known | Standing::Expired)))
    }

    /// What the window feature at this position would have given if the entity's rows had counted that must not, each
    /// with the row that must not, from the smallest violation on: rows that were not available yet; windows that end at
    /// one of the next [`LATER_EVENTS`] events, reaching back from `t` or from their own end, from there with all rows or
    /// those that were known by then; and all rows that there ever were.
    pub fn violations<'a>(
        &'a self,
        feature: usize,
        entity: &'a Range<usize>,
        t: i128,
    ) -> impl Iterator<Item = Result<(Standing, usize, ScalarValue)>> + 'a {
        let window = self.windows.get(feature).and_then(Option::as_ref);
        window.into_iter().flat_map(move |window| {
            let from = |end: i128| window.reach.map(|reach| end.saturating_sub(reach));
            let early = self.between(entity, from(t), Some(t));
            let unavailable =
                early.clone().rev().find(|&position| self.standing(position, t) == Some(Standing::NotYetAvailable));
            let early = unavailable
                .map(|witness| window.value(early.collect()).map(|value| (Standing::NotYetAvailable, witness, value)));
            let later = self.between(entity, Some(t.saturating_add(1)), None);
            let mut ends: Vec<(usize, i128)> = Vec::new();
            for position in later.clone() {
                let Some(event) = self.times(position).0 else { continue };
                let full = ends.len() == LATER_EVENTS;
                match ends.last_mut() {
                    Some(last) if last.1 == event => last.0 = position,
                    _ if full => break,
                    _ => ends.push((position, event)),
                }
            }
            let sliding = ends.into_iter().flat_map(move |(witness, end)| {
                let stretched: Vec<usize> = self.between(entity, from(t), Some(end)).collect();
                let moved: Vec<usize> = self.between(entity, from(end), Some(end)).collect();
                let known: Vec<usize> = moved
                    .iter()
                    .copied()
                    .filter(|&position| self.times(position).1.is_some_and(|available| available <= end))
                    .collect();
                let known = (known.len() < moved.len()).then_some(known);
                let moved = (moved.len() < stretched.len()).then_some(moved);
                [Some(stretched), moved, known]
                    .into_iter()
                    .flatten()
                    .map(move |rows| window.value(rows).map(|value| (Standing::Future, witness, value)))
            });
            let all = later.clone().next_back().map(|witness| {
                window.value(self.between(entity, None, None).collect()).map(|value| (Standing::Future, witness, value))
            });
            early.into_iter().chain(sliding).chain(all)
        })
    }

    /// The entity's rows with an event time between these, inclusive.
    fn between(&self, entity: &Range<usize>, from: Option<i128>, to: Option<i128>) -> Range<usize> {
        let events = self.event.get(entity.clone()).unwrap_or_default();
        // Rows without an event time come first.
        let from = from.unwrap_or(i128::MIN);
        let start = events.partition_point(|event| event.is_none_or(|event| event < from));
        let end = to.map_or(events.len(), |to| events.partition_point(|event| event.is_none_or(|event| event <= to)));
        entity.start + start..entity.start + end.max(start)
    }
}

impl Aggregate {
    fn new(window: &Window, name: &str, rows: &RecordBatch) -> Result<Self> {
        let schema = rows.schema();
        let Some(function) = expression::aggregate(&window.function) else {
            return plan_err!(
                "the feature `{name}` uses the aggregate `{}`, which this build does not have; create the view again",
                window.function
            );
        };
        let args = window.args.iter().map(|sql| expression::compile(sql, &schema)).collect::<Result<Vec<_>>>()?;
        let call = AggregateExprBuilder::new(function, args)
            .schema(Arc::clone(&schema))
            .alias(name)
            .with_distinct(window.distinct)
            .with_ignore_nulls(window.ignore_nulls)
            .build()?;
        let args = call.expressions().iter().map(|arg| expression::evaluate(arg, rows)).collect::<Result<Vec<_>>>()?;
        let filter = match &window.filter {
            None => None,
            Some(sql) => {
                let mask = expression::evaluate(&expression::compile(sql, &schema)?, rows)?;
                Some(mask.as_boolean_opt().cloned().ok_or_else(|| {
                    DataFusionError::Plan(format!("the FILTER of the feature `{name}` is not a condition"))
                })?)
            }
        };
        Ok(Self { reach: window.range.steps(), call, args, filter })
    }

    /// The aggregate over these rows, fed in one piece and in order.
    fn value(&self, mut rows: Vec<usize>) -> Result<ScalarValue> {
        if let Some(filter) = &self.filter {
            rows.retain(|&row| row < filter.len() && filter.is_valid(row) && filter.value(row));
        }
        let mut accumulator = self.call.create_accumulator()?;
        if !rows.is_empty() {
            let rows: UInt64Array = rows.into_iter().map(|row| row as u64).collect();
            let args = self.args.iter().map(|arg| take(arg, &rows, None)).collect::<Result<Vec<_>, _>>()?;
            accumulator.update_batch(&args)?;
        }
        accumulator.evaluate()
    }
}
