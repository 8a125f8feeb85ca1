//! The columns of a view's rows, by their role.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion_common::{DataFusionError, Result, ScalarValue, plan_err};

use super::Recorded;
use super::time::{self, Clock, Scale};

/// Event and availability times of all rows, in one unit.
pub(super) struct Times {
    pub(super) event: Int64Array,
    /// `None` where rows are known at their event.
    pub(super) available: Option<Int64Array>,
    pub(super) scale: Scale,
}

impl Times {
    /// The times of rows of the view; those without rows have the same unit.
    pub(super) fn of(recorded: &Recorded, rows: &RecordBatch) -> Result<Self> {
        let event = column(rows, recorded, &recorded.timestamp)?;
        let (event_scale, _) = time::values(&event.slice(0, 0), &recorded.timestamp)?;
        let Some(name) = &recorded.available_at else {
            let event = time::values_in(&event, &recorded.timestamp, event_scale)?;
            return Ok(Self { event, available: None, scale: event_scale });
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
            available: Some(time::values_in(&available, name, scale)?),
            scale,
        })
    }

    /// Whether each row was known at the cutoff.
    pub(super) fn known_at(&self, cutoff: &ScalarValue, view: &str) -> Result<impl Iterator<Item = bool> + '_> {
        let (scale, value) = time::values(&cutoff.to_array()?, "known_at")?;
        let value = value.as_primitive::<Int64Type>();
        let (Some(clock), Some(Some(cutoff))) = (Clock::new(scale, self.scale), value.iter().next()) else {
            return plan_err!(
                "known_at is {cutoff} of type {}, which does not compare with the times of the feature view `{view}`; \
                 give a time of their kind",
                cutoff.data_type()
            );
        };
        let cutoff = clock.floor(cutoff);
        let available = self.available.as_ref().unwrap_or(&self.event);
        Ok(available.iter().map(move |available| available.is_some_and(|known| known <= cutoff)))
    }
}

/// The time of a row.
pub(super) fn at(times: &Int64Array, row: u32) -> Option<i64> {
    let row = row as usize;
    times.is_valid(row).then(|| times.values().get(row).copied()).flatten()
}

/// A column of the rows by name.
pub(super) fn column(rows: &RecordBatch, recorded: &Recorded, name: &str) -> Result<ArrayRef> {
    rows.column_by_name(name).map(Arc::clone).ok_or_else(|| {
        let known: Vec<&str> = recorded.rows.iter().map(|column| column.name.as_str()).collect();
        DataFusionError::Plan(format!("the stored rows have no column `{name}`; they have {}", known.join(", ")))
    })
}
