//! The right side of an as-of join in memory: for each key its times, ascending, each with the one row that counts.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::{concat, take, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::{HashMap, Result, exec_datafusion_err, internal_err};
use datafusion::physical_expr::PhysicalExpr;
use skewless_udf::groups::{Groups, NO_GROUP};

use super::instant::{Axis, Distance, Moments};
use super::node::{Direction, Tolerance};
use super::rule::{Rule, Side, one_zero};
use super::timeline::Timeline;

/// No row.
const NONE: u32 = u32::MAX;

/// The right side, ready for look-ups.
pub(super) struct Index {
    groups: Groups,
    axis: Axis,
    /// The times of group `g` are `places[starts[g]..starts[g + 1]]`, ascending and distinct.
    starts: Vec<u32>,
    places: Vec<i64>,
    /// For each place the row that counts.
    rows: Vec<u32>,
    /// Where the times of each group are expected; empty where the groups are too short for that to be worth it.
    lines: Vec<Line>,
    /// The columns that the join gives out.
    columns: Vec<ArrayRef>,
}

/// Several rows of one key and one time, of which the greatest by the tie columns counts.
///
/// (group, place in time) to the position among [`Index::places`].
pub(super) type Ties = HashMap<(u32, i64), u32>;

/// An index, and what is left to decide in it.
pub(super) struct Built {
    pub(super) index: Index,
    /// Ties that only columns decide which the right side was not asked for.
    pub(super) ties: Ties,
}

impl Index {
    /// Indexes all rows of the right side on up to `threads` threads.
    pub(super) fn build(batches: Vec<RecordBatch>, schema: &SchemaRef, rule: &Rule, threads: usize) -> Result<Built> {
        let batch = concatenated(&batches, schema, threads)?;
        drop(batches);
        let keys = rule.right.keys(&batch)?;
        let time = rule.right.time(&batch)?;
        let axis = Axis::of(&time)?;
        let places = axis.places(&time)?;
        let (groups, mut ids) = Groups::of(&keys, batch.num_rows())?;
        forget(&mut ids, time.logical_nulls().as_ref());
        let Timeline { starts, places, rows } = Timeline::of(&ids, places, groups.len(), threads);
        drop(ids);
        let mut index = Self { groups, axis, starts, places, rows, lines: Vec::new(), columns: Vec::new() };
        let undecided = index.distinct();
        index.lines = index.lines();
        index.columns = rule.output.iter().filter_map(|column| batch.columns().get(*column)).map(Arc::clone).collect();

        let mut ties = Ties::new();
        if !undecided.is_empty() {
            if rule.wide.is_some() {
                ties = undecided.into_iter().map(|tie| (tie.key, tie.position)).collect();
            } else {
                let rows: Vec<u32> = undecided.iter().flat_map(|tie| tie.rows.iter().copied()).collect();
                let positions: Vec<u32> =
                    undecided.iter().flat_map(|tie| std::iter::repeat_n(tie.position, tie.rows.len())).collect();
                let candidates = take_record_batch(&batch, &UInt32Array::from(rows.clone()))?;
                for (position, winner) in greatest(&positions, &rule.ties, &candidates)? {
                    let row = rows.get(winner as usize).copied().unwrap_or(NONE);
                    index.settle(position, row);
                }
            }
        }
        Ok(Built { index, ties })
    }

    /// Bytes that indexing takes beside the rows themselves, for each row.
    pub(super) const BYTES_A_ROW: usize = 48;

    /// Decides `ties` among rows of the wide right side, those that [`Index::tied`] kept.
    pub(super) fn decide(&mut self, ties: &Ties, rows: &[RecordBatch], schema: &SchemaRef, rule: &Rule) -> Result<()> {
        let Some(wide) = &rule.wide else {
            return internal_err!("an as-of join has ties and no columns to decide them");
        };
        let batch = concatenated(rows, schema, 1)?;
        let (ids, places) = self.positions(&batch, &wide.side)?;
        let position = |(id, place): (&u32, &i64)| ties.get(&(*id, *place)).copied().unwrap_or(NONE);
        let positions: Vec<u32> = ids.iter().zip(&places).map(position).collect();
        let winners: Vec<(u32, u32)> =
            greatest(&positions, &rule.ties, &batch)?.into_iter().filter(|(position, _)| *position != NONE).collect();

        let (_, output) = rule.full();
        // The winners' columns come after those of the rows that are there.
        let first = self.columns.first().map_or(0, Array::len);
        let order = UInt32Array::from_iter_values(winners.iter().map(|(_, row)| *row));
        for (column, source) in self.columns.iter_mut().zip(&output) {
            let Some(source) = batch.columns().get(*source) else { return internal_err!("a right column is missing") };
            let added = take(source, &order, None)?;
            *column = concat(&[column.as_ref(), added.as_ref()])?;
        }
        for (added, (position, _)) in winners.iter().enumerate() {
            self.settle(*position, u32::try_from(first + added).unwrap_or(NONE));
        }
        Ok(())
    }

    /// The rows of a batch of the wide right side that `ties` are between.
    pub(super) fn tied(&self, ties: &Ties, batch: &RecordBatch, rule: &Rule) -> Result<RecordBatch> {
        let Some(wide) = &rule.wide else {
            return internal_err!("an as-of join has ties and no columns to decide them");
        };
        let (ids, places) = self.positions(batch, &wide.side)?;
        let both = ids.iter().zip(&places).enumerate();
        let rows = both.filter(|(_, (id, place))| ties.contains_key(&(**id, **place))).map(|(row, _)| row as u32);
        Ok(take_record_batch(batch, &UInt32Array::from_iter_values(rows))?)
    }

    fn positions(&self, batch: &RecordBatch, side: &Side) -> Result<(Vec<u32>, Vec<i64>)> {
        let time = side.time(batch)?;
        let mut ids = self.groups.find(&side.keys(batch)?, batch.num_rows())?;
        forget(&mut ids, time.logical_nulls().as_ref());
        Ok((ids, self.axis.places(&time)?))
    }

    fn settle(&mut self, position: u32, row: u32) {
        if let Some(slot) = self.rows.get_mut(position as usize) {
            *slot = row;
        }
    }

    /// Leaves one place for each time of a group, with the last of its rows; gives the ties.
    fn distinct(&mut self) -> Vec<Tie> {
        let groups = self.starts.windows(2).filter_map(|pair| Some(*pair.first()? as usize..*pair.last()? as usize));
        let repeats = |range: &std::ops::Range<usize>| {
            self.places.get(range.clone()).is_some_and(|places| !places.is_sorted_by(|a, b| a < b))
        };
        if !groups.clone().any(|range| repeats(&range)) {
            return Vec::new();
        }
        let mut ties = Vec::new();
        let mut starts = vec![0];
        let mut places = Vec::with_capacity(self.places.len());
        let mut rows = Vec::with_capacity(self.rows.len());
        for (group, range) in groups.enumerate() {
            let of_group = self.places.get(range.clone()).unwrap_or_default();
            let mut from = range.start;
            for same in of_group.chunk_by(|a, b| a == b) {
                let of_place = self.rows.get(from..from + same.len()).unwrap_or_default();
                from += same.len();
                let (Some(place), Some(row)) = (same.first(), of_place.last()) else { continue };
                if same.len() > 1 {
                    let key = (group as u32, *place);
                    ties.push(Tie { key, position: places.len() as u32, rows: of_place.to_vec() });
                }
                places.push(*place);
                rows.push(*row);
            }
            starts.push(places.len() as u32);
        }
        (self.starts, self.places, self.rows) = (starts, places, rows);
        ties
    }

    /// The right columns for each row of a batch of the left side.
    pub(super) fn join(&self, left: &RecordBatch, rule: &Rule) -> Result<Vec<ArrayRef>> {
        let count = left.num_rows();
        let time = rule.left.time(left)?;
        let mut ids = self.groups.find(&rule.left.keys(left)?, count)?;
        forget(&mut ids, time.logical_nulls().as_ref());
        let moments = Moments::new(&time)?;
        let last = |equal: bool| moments.last_places(&self.axis, equal);
        let mut found = match rule.direction {
            Direction::Backward { equal } => self.search(&ids, &last(equal), |end, _| end.checked_sub(1)),
            // What is not before the time, and with `equal` at it, is after it.
            Direction::Forward { equal } => self.search(&ids, &last(!equal), |end, len| (end < len).then_some(end)),
            Direction::Nearest => {
                let before = self.search(&ids, &last(true), |end, _| end.checked_sub(1));
                let after = self.search(&ids, &last(false), |end, len| (end < len).then_some(end));
                let nearer = |(row, (before, after)): (usize, (u32, u32))| {
                    let distance = |position: u32| self.distance(position, &moments, row);
                    match (distance(before), distance(after)) {
                        (Some(b), Some(a)) if a < b => after,
                        (None, Some(_)) => after,
                        _ => before,
                    }
                };
                before.into_iter().zip(after).enumerate().map(nearer).collect()
            }
        };
        if let Some(tolerance) = rule.tolerance {
            let limit = limit(tolerance);
            for (row, position) in found.iter_mut().enumerate() {
                if self.distance(*position, &moments, row).is_some_and(|distance| !distance.within(limit)) {
                    *position = NONE;
                }
            }
        }
        let is_match = |row: usize| found.get(row).is_some_and(|position| *position != NONE);
        let matched = NullBuffer::new(BooleanBuffer::collect_bool(count, is_match));
        for position in &mut found {
            *position = self.rows.get(*position as usize).copied().unwrap_or(0);
        }
        let nothing = matched.null_count() == count;
        let rows = UInt32Array::new(found.into(), Some(matched));
        let column = |column: &ArrayRef| {
            if nothing { Ok(new_null_array(column.data_type(), count)) } else { Ok(take(column, &rows, None)?) }
        };
        self.columns.iter().map(column).collect()
    }

    fn distance(&self, position: u32, moments: &Moments, row: usize) -> Option<Distance> {
        self.places.get(position as usize).map(|place| self.axis.distance(*place, moments.at(row)))
    }

    /// The line through the first and the last place of each group.
    fn lines(&self) -> Vec<Line> {
        /// Shorter groups are searched from their middle.
        const LONG: usize = 32;
        if self.places.len() < LONG * self.groups.len() {
            return Vec::new();
        }
        let line = |pair: &[u32]| {
            let places = self.places.get(*pair.first()? as usize..*pair.last()? as usize)?;
            let (first, last) = (*places.first()? as f64, *places.last()? as f64);
            Some(Line { first, slope: if last > first { (places.len() - 1) as f64 / (last - first) } else { 0.0 } })
        };
        self.starts.windows(2).map(|pair| line(pair).unwrap_or_default()).collect()
    }

    /// For each left row the position that `pick` makes of (how many places are reached, how many there are).
    fn search(&self, ids: &[u32], last: &[Option<i64>], pick: impl Fn(usize, usize) -> Option<usize>) -> Vec<u32> {
        /// More groups than this have short lists, and their cursors would not stay in the cache.
        const CURSORS: usize = 1 << 12;
        let ascending = self.groups.len() <= CURSORS && mostly_ascending(last);
        let mut cursors = if ascending { vec![0_u32; self.groups.len()] } else { Vec::new() };
        let guesses = if ascending || self.lines.is_empty() { Vec::new() } else { self.guesses(ids, last) };
        let one = |(row, (id, last)): (usize, (&u32, &Option<i64>))| {
            let id = *id as usize;
            let (Some(start), Some(end)) = (self.starts.get(id), self.starts.get(id + 1)) else { return NONE };
            let Some(places) = self.places.get(*start as usize..*end as usize) else { return NONE };
            let reached = match (last, cursors.get_mut(id), guesses.get(row)) {
                (None, ..) => 0,
                (Some(last), Some(cursor), _) => {
                    let reached = gallop(places, *last, *cursor as usize);
                    *cursor = reached as u32;
                    reached
                }
                (Some(last), None, Some(guess)) => gallop(places, *last, guess.saturating_sub(*start) as usize),
                (Some(last), None, None) => places.partition_point(|place| place <= last),
            };
            pick(reached, places.len()).map_or(NONE, |position| *start + position as u32)
        };
        ids.iter().zip(last).enumerate().map(one).collect()
    }

    /// Positions near those of the times, by interpolation. Each pass reads one place for every row, and no read waits
    /// for another: a binary search waits for memory at every step.
    fn guesses(&self, ids: &[u32], last: &[Option<i64>]) -> Vec<u32> {
        /// Where times are spread evenly, the second pass is off by the fourth root of a group's length.
        const PASSES: usize = 3;
        let ends = |id: u32| Some((*self.starts.get(id as usize)?, *self.starts.get(id as usize + 1)?));
        let near = |id: u32, from: f64, distance: f64| {
            let Some((start, end)) = ends(id) else { return 0 };
            // A float beyond the integers becomes the nearest one.
            (from + distance).clamp(f64::from(start), f64::from(end.saturating_sub(1).max(start))) as u32
        };
        let both = || ids.iter().zip(last).map(|(id, last)| (*id, last.unwrap_or(0) as f64));
        let line = |id: u32| self.lines.get(id as usize).copied().unwrap_or_default();
        let mut guesses: Vec<u32> = both()
            .map(|(id, last)| {
                let Line { first, slope } = line(id);
                near(id, ends(id).map_or(0.0, |(start, _)| f64::from(start)), (last - first) * slope)
            })
            .collect();
        for _ in 1..PASSES {
            for (guess, (id, last)) in guesses.iter_mut().zip(both()) {
                let place = self.places.get(*guess as usize).copied().unwrap_or(0) as f64;
                *guess = near(id, f64::from(*guess), (last - place) * line(id).slope);
            }
        }
        guesses
    }
}

/// Where a time of a group is expected among its places.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    first: f64,
    /// Places to a unit of time.
    slope: f64,
}

/// Rows of one key and one time.
struct Tie {
    key: (u32, i64),
    position: u32,
    rows: Vec<u32>,
}

pub(super) fn limit(tolerance: Tolerance) -> Distance {
    match tolerance {
        Tolerance::Whole(limit) => Distance::Whole(limit),
        Tolerance::Float(limit) => Distance::Float(limit),
    }
}

fn forget(ids: &mut [u32], nulls: Option<&NullBuffer>) {
    if let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) {
        for (id, valid) in ids.iter_mut().zip(nulls) {
            if !valid {
                *id = NO_GROUP;
            }
        }
    }
}

/// Whether times come in an order in which the next is usually found near the last.
fn mostly_ascending(last: &[Option<i64>]) -> bool {
    const SAMPLE: usize = 64;
    let pairs = last.windows(2).step_by((last.len() / SAMPLE).max(1));
    let (ascending, all) =
        pairs.fold((0, 0), |(up, all), pair| (up + usize::from(pair.first() <= pair.last()), all + 1));
    ascending * 4 >= all * 3
}

/// How many of the ascending `places` are at most `last`, searched outward from `from`.
fn gallop(places: &[i64], last: i64, from: usize) -> usize {
    let reached = |index: usize| places.get(index).is_some_and(|place| *place <= last);
    let from = from.min(places.len());
    let (mut low, mut high, mut step) = (from, from, 1);
    if from == 0 || reached(from - 1) {
        // All before `low` are reached.
        while reached(low + step - 1) {
            low += step;
            step *= 2;
        }
        high = (low + step).min(places.len());
    } else {
        // `high` and all after it are not.
        high -= 1;
        while high >= step && !reached(high - step) {
            high -= step;
            step *= 2;
        }
        low = high.saturating_sub(step);
    }
    low + places.get(low..high).map_or(0, |near| near.partition_point(|place| *place <= last))
}

/// For each position the greatest of its rows by the tie columns: (position, row of the batch).
fn greatest(positions: &[u32], ties: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<Vec<(u32, u32)>> {
    let order = tie_order(ties, batch)?;
    let compare = |a: u32, b: u32| match &order {
        Some(order) => order.row(a as usize).cmp(&order.row(b as usize)),
        None => Ordering::Equal,
    };
    let mut best: HashMap<u32, u32> = HashMap::new();
    for (row, position) in positions.iter().enumerate() {
        let row = row as u32;
        best.entry(*position)
            .and_modify(|best| *best = if compare(row, *best).is_ge() { row } else { *best })
            .or_insert(row);
    }
    Ok(best.into_iter().collect())
}

/// The tie columns in a form that compares row by row; `None` where there are none.
pub(super) fn tie_order(ties: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<Option<Rows>> {
    let mut columns = Vec::with_capacity(ties.len());
    let mut exact = Vec::new();
    for tie in ties {
        let column = tie.evaluate(batch)?.into_array(batch.num_rows())?;
        columns.push(one_zero(&column));
        // Rows that differ in the sign of a zero alone still come out in one order.
        if column.data_type().is_floating() {
            exact.push(column);
        }
    }
    columns.extend(exact);
    if columns.is_empty() {
        return Ok(None);
    }
    let converter = RowConverter::new(columns.iter().map(|c| SortField::new(c.data_type().clone())).collect())?;
    Ok(Some(converter.convert_columns(&columns)?))
}

/// The batches in one piece, each column on a thread of its own.
fn concatenated(batches: &[RecordBatch], schema: &SchemaRef, threads: usize) -> Result<RecordBatch> {
    /// Fewer rows are copied sooner than a thread starts.
    const WORTH_A_THREAD: usize = 1 << 16;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if threads <= 1 || rows < WORTH_A_THREAD || batches.len() == 1 {
        return Ok(arrow::compute::concat_batches(schema, batches)?);
    }
    let column = |index: usize| -> Result<ArrayRef> {
        let parts: Vec<&dyn Array> = batches.iter().filter_map(|b| Some(b.columns().get(index)?.as_ref())).collect();
        Ok(concat(&parts)?)
    };
    let column = &column;
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let columns = std::thread::scope(|scope| {
        let mut columns = Vec::with_capacity(all.len());
        for some in all.chunks(threads) {
            let tasks: Vec<_> = some.iter().map(|index| scope.spawn(move || column(*index))).collect();
            for task in tasks {
                columns.push(task.join().map_err(|_| exec_datafusion_err!("a thread of the as-of join stopped"))??);
            }
        }
        Result::<_>::Ok(columns)
    })?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn galloping_finds_what_a_binary_search_finds(
            mut places in prop::collection::vec(-20_i64..20, 0..40),
            last in -22_i64..22,
            from in 0_usize..45,
        ) {
            places.sort_unstable();
            prop_assert_eq!(gallop(&places, last, from), places.partition_point(|place| *place <= last));
        }
    }
}
