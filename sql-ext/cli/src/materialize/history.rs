//! How much of an entity's history is stored. Whatever is left out, answers as of the cutoff or later are the same as
//! from all of it.

use std::str::FromStr;

use anyhow::{Context, Result, bail};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use skewless_udf::view::{FeatureValue, FeatureView, Span};

/// From when on answers are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum History {
    /// From the first row on.
    All,
    /// From the newest row on.
    Latest,
    /// From so many nanoseconds before the newest row on.
    Nanoseconds(i128),
}

impl FromStr for History {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "latest" => Ok(Self::Latest),
            duration => humantime::parse_duration(duration)
                .map(|duration| Self::Nanoseconds(duration.as_nanos() as i128))
                .map_err(|error| format!("{error}; write `all`, `latest` or a duration such as 90d, 18h or `2weeks`")),
        }
    }
}

/// What is kept of a view's rows.
pub(super) struct Cutoff {
    /// `None` keeps everything.
    time: Option<i128>,
    /// How far the view's widest window reaches back from there.
    lookback: i128,
    event: usize,
    available: Option<usize>,
}

impl History {
    /// The cutoff for a view with these rows.
    pub(super) fn cutoff(self, view: &FeatureView, rows: &RecordBatch) -> Result<Cutoff> {
        let recorded = view.recorded().with_context(|| format!("feature view `{}` has no rows", view.name))?;
        let schema = rows.schema();
        let event = schema.index_of(&recorded.timestamp)?;
        let available = recorded.available_at.as_ref().map(|name| schema.index_of(name)).transpose()?;
        let mut cutoff = Cutoff { time: None, lookback: 0, event, available };
        let before = match self {
            Self::All => return Ok(cutoff),
            Self::Latest => 0,
            Self::Nanoseconds(_) if schema.field(event).data_type().is_integer() => bail!(
                "feature view `{}` has integer times, to which a duration does not apply; use --history all or latest",
                view.name
            ),
            Self::Nanoseconds(before) => before,
        };
        for feature in &recorded.features {
            if let FeatureValue::Window(window) = &feature.value {
                match window.range {
                    Span::Time(length) | Span::Integer(length) => cutoff.lookback = cutoff.lookback.max(length.into()),
                    Span::Unbounded => return Ok(cutoff),
                }
            }
        }
        let known = cutoff.known_from(rows)?;
        cutoff.time = known.into_iter().flatten().max().map(|newest| newest - before);
        Ok(cutoff)
    }
}

impl Cutoff {
    /// The rows of one entity, in canonical order, without those that no answer from the cutoff on depends on.
    pub(super) fn keep(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let Some(cutoff) = self.time else { return Ok(rows.clone()) };
        let known = self.known_from(rows)?;
        let events = times(rows.column(self.event))?;
        // What counts at the cutoff is the last row known by then; a row before it can count no more, and only what
        // lies within a window's reach is still summed up.
        let counts = known.iter().rposition(|known| known.is_some_and(|known| known <= cutoff));
        let within = events.iter().position(|event| event.is_some_and(|event| event >= cutoff - self.lookback));
        let start = match (counts, within) {
            (Some(counts), Some(within)) => counts.min(within),
            (Some(counts), None) => counts,
            (None, _) => 0,
        };
        Ok(rows.slice(start, rows.num_rows() - start))
    }

    /// When each row can count: once it has happened and is available.
    fn known_from(&self, rows: &RecordBatch) -> Result<Vec<Option<i128>>> {
        let events = times(rows.column(self.event))?;
        let Some(available) = self.available else { return Ok(events) };
        let available = times(rows.column(available))?;
        Ok(events.into_iter().zip(available).map(|(event, available)| Some(event?.max(available?))).collect())
    }
}

/// Times in nanoseconds, or integers as they are.
fn times(array: &ArrayRef) -> Result<Vec<Option<i128>>> {
    let unit: i128 = match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
        DataType::Timestamp(TimeUnit::Millisecond, _) | DataType::Date64 => 1_000_000,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
        DataType::Date32 => 86_400_000_000_000,
        _ => 1,
    };
    let array = match array.data_type() {
        DataType::Date32 => cast(&cast(array, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(array, &DataType::Int64)?,
    };
    let integers = array.as_primitive_opt::<Int64Type>().context("a time column holds no times")?;
    Ok(integers.iter().map(|value| value.map(|value| i128::from(value) * unit)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::TimestampMicrosecondArray;

    use super::*;

    /// Rows of (event, available) in seconds.
    fn rows(times: &[(i64, i64)]) -> RecordBatch {
        let column = |pick: fn(&(i64, i64)) -> i64| -> ArrayRef {
            Arc::new(times.iter().map(|time| Some(pick(time) * 1_000_000)).collect::<TimestampMicrosecondArray>())
        };
        RecordBatch::try_from_iter([("event", column(|time| time.0)), ("available", column(|time| time.1))]).unwrap()
    }

    fn kept(cutoff: i128, lookback: i128, times: &[(i64, i64)]) -> usize {
        let second = 1_000_000_000;
        let cutoff = Cutoff { time: Some(cutoff * second), lookback: lookback * second, event: 0, available: Some(1) };
        cutoff.keep(&rows(times)).unwrap().num_rows()
    }

    #[test]
    fn the_row_that_counts_at_the_cutoff_stays_and_older_rows_go() {
        assert_eq!(kept(10, 0, &[(1, 1), (5, 5), (12, 12)]), 2);
        assert_eq!(kept(10, 0, &[(1, 1), (5, 5)]), 1);
        assert_eq!(kept(10, 0, &[(12, 12)]), 1);
    }

    #[test]
    fn a_row_that_becomes_known_after_the_cutoff_stays() {
        assert_eq!(kept(10, 0, &[(1, 1), (5, 11), (6, 20)]), 3);
        assert_eq!(kept(10, 0, &[(1, 20), (5, 5)]), 1);
    }

    #[test]
    fn rows_within_reach_of_a_window_stay() {
        assert_eq!(kept(10, 5, &[(4, 4), (5, 5), (6, 6), (9, 9)]), 3);
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!("all".parse(), Ok(History::All));
        assert_eq!("latest".parse(), Ok(History::Latest));
        assert_eq!("18h".parse(), Ok(History::Nanoseconds(18 * 3_600 * 1_000_000_000)));
        assert!("soon".parse::<History>().is_err());
    }
}
