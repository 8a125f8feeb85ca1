//! The right side of an as-of join in memory: for each key its times, ascending, each with the one row that counts.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::compute::{concat, take, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::{HashMap, Result, exec_datafusion_err, internal_err};
use datafusion::physical_expr::PhysicalExpr;
use skewless_udf::groups::{Groups, NO_GROUP, bucket};

use super::instant::{Axis, Distance, Moments};
use super::node::{Direction, Tolerance};
use super::rule::{Rule, Side, one_zero};

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
        if let Some(nulls) = time.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
            for (id, valid) in ids.iter_mut().zip(&nulls) {
                if !valid {
                    *id = NO_GROUP;
                }
            }
        }
        let (starts, rows) = bucket(&ids, groups.len());
        drop(ids);
        let places = rows.iter().map(|row| places.get(*row as usize).copied().unwrap_or_default()).collect();
        let mut index = Self { groups, axis, starts, places, rows, columns: Vec::new() };
        index.sort(threads);
        let undecided = index.distinct();
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
    pub(super) const BYTES_A_ROW: usize = 40;

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

    /// Sorts each group by time; rows of one time stay in the order in which they came.
    fn sort(&mut self, threads: usize) {
        /// Fewer rows are sorted sooner than a thread starts.
        const WORTH_A_THREAD: usize = 1 << 16;
        let threads = threads.clamp(1, (self.places.len() / WORTH_A_THREAD).max(1));
        let share = self.places.len().div_ceil(threads).max(1);
        let bounds: Vec<usize> = self.starts.iter().map(|start| *start as usize).collect();
        let mut places = self.places.as_mut_slice();
        let mut rows = self.rows.as_mut_slice();
        let mut done = 0;
        let mut ranges = bounds.windows(2).filter_map(|pair| Some(pair.first()?..pair.last()?)).peekable();
        std::thread::scope(|scope| {
            while ranges.peek().is_some() {
                // Whole groups up to a thread's share.
                let mut lengths = Vec::new();
                let from = done;
                while let Some(range) = ranges.next_if(|_| done - from < share) {
                    lengths.push(range.end - range.start);
                    done = *range.end;
                }
                let (mine, others) = std::mem::take(&mut places).split_at_mut(done - from);
                places = others;
                let (my_rows, others) = std::mem::take(&mut rows).split_at_mut(done - from);
                rows = others;
                let mut work = move || sort_groups(mine, my_rows, &lengths);
                if ranges.peek().is_some() {
                    scope.spawn(work);
                } else {
                    work();
                }
            }
        });
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
        let matched: NullBuffer = found.iter().map(|position| *position != NONE).collect();
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

    /// For each left row the position that `pick` makes of (how many places are reached, how many there are).
    fn search(&self, ids: &[u32], last: &[Option<i64>], pick: impl Fn(usize, usize) -> Option<usize>) -> Vec<u32> {
        /// More groups than this have short lists, and their cursors would not stay in the cache.
        const CURSORS: usize = 1 << 12;
        let mut cursors = if self.groups.len() <= CURSORS && mostly_ascending(last) {
            vec![0_u32; self.groups.len()]
        } else {
            Vec::new()
        };
        let one = |(id, last): (&u32, &Option<i64>)| {
            let id = *id as usize;
            let (Some(start), Some(end)) = (self.starts.get(id), self.starts.get(id + 1)) else { return NONE };
            let Some(places) = self.places.get(*start as usize..*end as usize) else { return NONE };
            let reached = match (last, cursors.get_mut(id)) {
                (None, _) => 0,
                (Some(last), None) => places.partition_point(|place| place <= last),
                (Some(last), Some(cursor)) => {
                    let reached = gallop(places, *last, *cursor as usize);
                    *cursor = reached as u32;
                    reached
                }
            };
            pick(reached, places.len()).map_or(NONE, |position| *start + position as u32)
        };
        ids.iter().zip(last).map(one).collect()
    }
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

fn sort_groups(places: &mut [i64], rows: &mut [u32], lengths: &[usize]) {
    /// From here on a radix sort is faster than comparing.
    const LONG: usize = 1 << 12;
    let mut pairs: Vec<(i64, u32)> = Vec::new();
    let mut spare = Vec::new();
    let mut from = 0;
    for length in lengths {
        let range = from..from + length;
        from = range.end;
        let (Some(places), Some(rows)) = (places.get_mut(range.clone()), rows.get_mut(range)) else { continue };
        if places.is_sorted() {
            continue;
        }
        pairs.clear();
        pairs.extend(places.iter().copied().zip(rows.iter().copied()));
        if *length >= LONG {
            radix_sort(&mut pairs, &mut spare);
        } else {
            // Rows of a group ascend before it is sorted, so this order is that of a stable sort.
            pairs.sort_unstable();
        }
        for ((place, row), pair) in places.iter_mut().zip(rows).zip(&pairs) {
            (*place, *row) = *pair;
        }
    }
}

/// Sorts by the first of each pair, stably, in as many passes as the range of the values takes.
fn radix_sort(pairs: &mut Vec<(i64, u32)>, spare: &mut Vec<(i64, u32)>) {
    const BITS: u32 = 11;
    let bounds = pairs.iter().fold((i64::MAX, i64::MIN), |(low, high), (at, _)| (low.min(*at), high.max(*at)));
    let range = bounds.1.wrapping_sub(bounds.0) as u64;
    let passes = (u64::BITS - range.leading_zeros()).div_ceil(BITS);
    spare.clear();
    spare.resize(pairs.len(), (0, 0));
    for pass in 0..passes {
        let digit = |at: i64| ((at.wrapping_sub(bounds.0) as u64 >> (pass * BITS)) & ((1 << BITS) - 1)) as usize;
        let mut next = [0_usize; 1 << BITS];
        for (at, _) in pairs.iter() {
            if let Some(count) = next.get_mut(digit(*at)) {
                *count += 1;
            }
        }
        let mut total = 0;
        for slot in &mut next {
            total += std::mem::replace(slot, total);
        }
        for pair in pairs.iter() {
            if let Some(place) = next.get_mut(digit(pair.0)) {
                if let Some(slot) = spare.get_mut(*place) {
                    *slot = *pair;
                }
                *place += 1;
            }
        }
        std::mem::swap(pairs, spare);
    }
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

        #[test]
        fn a_radix_sort_is_a_stable_sort(values in prop::collection::vec(
            prop_oneof![any::<i64>(), -5_i64..5, Just(i64::MIN), Just(i64::MAX)], 0..200,
        )) {
            let mut pairs: Vec<(i64, u32)> = values.iter().copied().zip(0..).collect();
            let mut expected = pairs.clone();
            expected.sort_by_key(|(at, _)| *at);
            radix_sort(&mut pairs, &mut Vec::new());
            prop_assert_eq!(pairs, expected);
        }
    }
}
