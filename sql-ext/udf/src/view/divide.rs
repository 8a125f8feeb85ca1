//! Rows of one entity divided by time, where they are too many to be looked up at once.
//!
//! Look-ups from a time on need the rows from there on, those that their windows reach back to, and of the rows before
//! only the few that [`FeatureView::carried`] keeps. Times are integers in the unit of the view's rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};

use super::columns::{Times, at};
use super::table::{Indexed, as_of_times};
use super::time::Clock;
use super::{FeatureValue, FeatureView};

impl FeatureView {
    /// The event time of each row, NULL where it has none.
    pub fn event_times(&self, rows: &RecordBatch) -> Result<Int64Array> {
        Ok(Times::of(self.to_recorded()?, rows)?.event)
    }

    /// The as-of times, rounded down: the rows up to each are the same.
    pub fn as_of_times(&self, times: &ArrayRef) -> Result<Int64Array> {
        let (clock, times) = as_of_times(self, self.no_times()?.scale, times)?;
        Ok(times.unary(|t| clock.floor(t)))
    }

    /// The earliest event that a window of a look-up at `from` or later holds: `from` itself for a view without
    /// windows, the least integer for one with a window over all rows before.
    pub fn reach(&self, from: i64) -> Result<i64> {
        let scale = self.no_times()?.scale;
        let Some(clock) = Clock::new(scale, scale) else { return Ok(from) };
        let mut earliest = from;
        for feature in &self.to_recorded()?.features {
            let FeatureValue::Window(window) = &feature.value else { continue };
            let start = match window.range.steps() {
                None => i64::MIN,
                Some(steps) => clock.start(from, clock.length(steps)).unwrap_or(from),
            };
            earliest = earliest.min(start);
        }
        Ok(earliest)
    }

    /// Of rows of one entity, those before an event time that look-ups at that time or later need besides what their
    /// windows hold: the rows that can still be the winner; without one, a row that tells by its event time that
    /// something had happened; without one of these, a row that tells that the entity is there.
    ///
    /// With `known_at`, what was not known by then does not exist. What is kept of several parts of the rows, together,
    /// serves for this as all of them do.
    pub fn carried(&self, rows: &[RecordBatch], known_at: Option<&ScalarValue>, from: i64) -> Result<RecordBatch> {
        let Indexed { rows, timelines, times, .. } = Indexed::of(self, rows, known_at)?;
        let mut kept: Vec<u32> = Vec::new();
        for entity in 0..timelines.entities() as u32 {
            let existing = timelines.rows().get(timelines.positions(entity)).unwrap_or_default();
            let lasting = timelines.lasting(entity, from);
            if lasting.is_empty() {
                let event = |row: &&u32| at(&times.event, **row);
                let happened = existing.iter().filter(|row| event(row).is_some_and(|event| event < from));
                let timeless = || existing.iter().find(|row| event(row).is_none());
                kept.extend(happened.min_by_key(event).or_else(timeless).copied());
            }
            kept.extend(lasting.iter().filter_map(|position| timelines.rows().get(*position).copied()));
        }
        let kept = take_record_batch(&rows, &UInt32Array::from(kept))?;
        // A view of a text would keep all texts of its batch.
        let columns = kept.columns().iter().map(|column| -> ArrayRef {
            match column.data_type() {
                DataType::Utf8View => Arc::new(column.as_string_view().gc()),
                DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
                _ => Arc::clone(column),
            }
        });
        Ok(RecordBatch::try_new(kept.schema(), columns.collect())?)
    }

    /// The times of no rows, in the unit that those of rows have.
    fn no_times(&self) -> Result<Times> {
        Times::of(self.to_recorded()?, &RecordBatch::new_empty(self.rows_schema()))
    }
}
