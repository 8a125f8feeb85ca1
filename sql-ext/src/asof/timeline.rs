//! The rows of an index by group and time, sorted on every core.

use std::ops::Range;

use skewless_udf::groups::starts;

/// Fewer rows are sorted sooner than a thread starts.
const WORTH_A_THREAD: usize = 1 << 16;
/// From here on a radix sort is faster than comparing.
const RADIX: usize = 1 << 12;

/// The rows of each group by time; rows of one time are in the order in which they came.
pub(super) struct Timeline {
    /// Group `g` is `starts[g]..starts[g + 1]` of the others.
    pub(super) starts: Vec<u32>,
    pub(super) places: Vec<i64>,
    pub(super) rows: Vec<u32>,
}

/// What one thread does: whole groups.
struct Share {
    groups: Range<usize>,
    positions: Range<usize>,
}

impl Share {
    fn len(&self) -> usize {
        self.positions.len()
    }
}

impl Timeline {
    /// The rows with these groups and times, on up to `threads` threads. A row whose group is not below `groups` is left
    /// out.
    pub(super) fn of(ids: &[u32], times: Vec<i64>, groups: usize, threads: usize) -> Self {
        let starts = starts(ids, groups);
        let total = starts.last().copied().unwrap_or(0) as usize;
        let threads = threads.clamp(1, (total / WORTH_A_THREAD).max(1));
        let shares = shares(&starts, threads);
        let (places, rows) = if groups == 1 && total == ids.len() {
            (times, (0..total as u32).collect())
        } else {
            dealt(ids, &times, &starts, &shares)
        };
        let mut timeline = Self { starts, places, rows };
        timeline.sort(&shares, threads);
        timeline
    }

    fn sort(&mut self, shares: &[Share], threads: usize) {
        let Self { starts, places, rows } = self;
        // What would keep one thread busy when the others are done is sorted by all of them.
        let long = (places.len() / (4 * threads)).max(2 * WORTH_A_THREAD);
        let by_all = |group: &Range<usize>| threads > 1 && group.len() >= long;
        let groups = |share: &Share| -> Vec<Range<usize>> {
            let bounds = starts.get(share.groups.start..=share.groups.end).unwrap_or_default();
            bounds.windows(2).filter_map(|pair| Some(*pair.first()? as usize..*pair.last()? as usize)).collect()
        };
        each(shares, places, rows, Share::len, |share, places, rows| {
            let mut sorter = Sorter::default();
            for group in groups(share).into_iter().filter(|group| !by_all(group)) {
                let own = group.start - share.positions.start..group.end - share.positions.start;
                if let (Some(places), Some(rows)) = (places.get_mut(own.clone()), rows.get_mut(own)) {
                    sorter.sort(places, rows);
                }
            }
        });
        for group in shares.iter().flat_map(groups).filter(by_all) {
            if let (Some(places), Some(rows)) = (places.get_mut(group.clone()), rows.get_mut(group)) {
                sort_on(threads, places, rows);
            }
        }
    }
}

/// The groups in as many shares of about equal size.
fn shares(starts: &[u32], count: usize) -> Vec<Share> {
    let groups = starts.len().saturating_sub(1);
    let total = starts.last().copied().unwrap_or(0) as usize;
    let mut shares = Vec::with_capacity(count);
    let mut first = 0;
    for nth in 1..=count {
        let goal = total / count * nth;
        let end =
            if nth == count { groups } else { starts.partition_point(|start| (*start as usize) < goal).min(groups) };
        let end = end.max(first);
        let at = |group: usize| starts.get(group).copied().unwrap_or(0) as usize;
        shares.push(Share { groups: first..end, positions: at(first)..at(end) });
        first = end;
    }
    shares
}

/// Does the work of each share on a thread of its own, with the share's places and rows.
fn each<T: Sync>(
    shares: &[T],
    mut places: &mut [i64],
    mut rows: &mut [u32],
    length: impl Fn(&T) -> usize,
    work: impl Fn(&T, &mut [i64], &mut [u32]) + Sync,
) {
    std::thread::scope(|scope| {
        for (nth, share) in shares.iter().enumerate() {
            let (own, others) = std::mem::take(&mut places).split_at_mut(length(share));
            places = others;
            let (own_rows, others) = std::mem::take(&mut rows).split_at_mut(length(share));
            rows = others;
            let work = &work;
            if nth + 1 == shares.len() {
                work(share, own, own_rows);
            } else {
                scope.spawn(move || work(share, own, own_rows));
            }
        }
    });
}

/// The times and numbers of the rows by group. Every thread reads all rows and writes those of its own groups.
fn dealt(ids: &[u32], times: &[i64], starts: &[u32], shares: &[Share]) -> (Vec<i64>, Vec<u32>) {
    let total = starts.last().copied().unwrap_or(0) as usize;
    let (mut places, mut rows) = (vec![0; total], vec![0; total]);
    each(shares, &mut places, &mut rows, Share::len, |share, places, rows| {
        let first = share.positions.start as u32;
        let own = starts.get(share.groups.clone()).unwrap_or_default();
        let mut next: Vec<u32> = own.iter().map(|start| start - first).collect();
        for (row, (id, time)) in ids.iter().zip(times).enumerate() {
            let Some(next) = next.get_mut((*id as usize).wrapping_sub(share.groups.start)) else { continue };
            if let (Some(place), Some(slot)) = (places.get_mut(*next as usize), rows.get_mut(*next as usize)) {
                (*place, *slot) = (*time, row as u32);
            }
            *next += 1;
        }
    });
    (places, rows)
}

/// A place and its index as one number that sorts as the two do.
#[derive(Clone, Copy)]
struct Packing {
    least: i64,
    /// Bits of the index, and of all.
    index: u32,
    bits: u32,
}

impl Packing {
    /// `None` where both do not fit.
    fn of(places: &[i64]) -> Option<Self> {
        let (least, greatest) = places.iter().fold((i64::MAX, i64::MIN), |(l, g), at| (l.min(*at), g.max(*at)));
        let width = |most: u64| u64::BITS - most.leading_zeros();
        let index = width(places.len() as u64);
        let bits = index + width(greatest.wrapping_sub(least) as u64);
        (bits <= u64::BITS).then_some(Self { least, index, bits })
    }

    fn pack(self, place: i64, index: usize) -> u64 {
        (place.wrapping_sub(self.least) as u64) << self.index | index as u64
    }

    fn unpack(self, packed: u64) -> (i64, usize) {
        let place = self.least.wrapping_add((packed >> self.index) as i64);
        (place, (packed & ((1 << self.index) - 1)) as usize)
    }
}

/// Sorts groups one after another.
#[derive(Default)]
struct Sorter {
    packed: Vec<u64>,
    spare: Vec<u64>,
    rows: Vec<u32>,
}

impl Sorter {
    fn sort(&mut self, places: &mut [i64], rows: &mut [u32]) {
        if places.is_sorted() {
            return;
        }
        let Some(packing) = Packing::of(places) else {
            let mut pairs: Vec<(i64, u32)> = places.iter().copied().zip(rows.iter().copied()).collect();
            // Rows of a group ascend before it is sorted, so this order is that of a stable sort.
            pairs.sort_unstable();
            for ((place, row), pair) in places.iter_mut().zip(rows).zip(&pairs) {
                (*place, *row) = *pair;
            }
            return;
        };
        self.packed.clear();
        self.packed.extend(places.iter().enumerate().map(|(index, place)| packing.pack(*place, index)));
        sort_packed(&mut self.packed, &mut self.spare, packing);
        self.rows.clear();
        self.rows.extend_from_slice(rows);
        unpack(&self.packed, packing, &self.rows, places, rows);
    }
}

fn unpack(packed: &[u64], packing: Packing, before: &[u32], places: &mut [i64], rows: &mut [u32]) {
    for ((place, row), packed) in places.iter_mut().zip(rows).zip(packed) {
        let (at, index) = packing.unpack(*packed);
        *place = at;
        *row = before.get(index).copied().unwrap_or_default();
    }
}

/// Sorts one group on several threads, each of which has the places between two pivots.
fn sort_on(threads: usize, places: &mut [i64], rows: &mut [u32]) {
    if places.is_sorted() {
        return;
    }
    let Some(packing) = Packing::of(places) else {
        Sorter::default().sort(places, rows);
        return;
    };
    let all: &[i64] = places;
    let pivots = pivots(all, threads);
    let mut parts: Vec<Vec<u64>> = vec![Vec::new(); threads];
    std::thread::scope(|scope| {
        for (nth, part) in parts.iter_mut().enumerate() {
            let from = nth.checked_sub(1).and_then(|before| pivots.get(before).copied());
            let to = pivots.get(nth).copied();
            scope.spawn(move || {
                let inside = |at: i64| from.is_none_or(|from| from <= at) && to.is_none_or(|to| at < to);
                let count = all.iter().map(|at| usize::from(inside(*at))).sum::<usize>();
                let mut packed = vec![0; count + 1];
                let mut next = 0;
                // Which rows are inside cannot be predicted: all are written, and those outside overwritten.
                for (index, at) in all.iter().enumerate() {
                    if let Some(slot) = packed.get_mut(next) {
                        *slot = packing.pack(*at, index);
                    }
                    next += usize::from(inside(*at));
                }
                packed.truncate(count);
                sort_packed(&mut packed, &mut Vec::new(), packing);
                *part = packed;
            });
        }
    });
    let before = rows.to_vec();
    each(&parts, places, rows, Vec::len, |part, places, rows| unpack(part, packing, &before, places, rows));
}

/// Up to `parts - 1` ascending places that cut the others into parts of about equal size.
fn pivots(places: &[i64], parts: usize) -> Vec<i64> {
    const SAMPLE: usize = 1 << 12;
    let mut sample: Vec<i64> = places.iter().step_by((places.len() / SAMPLE).max(1)).copied().collect();
    sample.sort_unstable();
    (1..parts).filter_map(|part| sample.get(sample.len() * part / parts).copied()).collect()
}

/// Sorts packed places whose indices ascend.
fn sort_packed(packed: &mut Vec<u64>, spare: &mut Vec<u64>, packing: Packing) {
    const BITS: u32 = 8;
    if packed.len() < RADIX {
        packed.sort_unstable();
        return;
    }
    // All have the same bits above those in which any two differ.
    let differing = packed.iter().fold(0, |bits, at| bits | (at ^ packed.first().copied().unwrap_or_default()));
    let high = (u64::BITS - differing.leading_zeros()).min(packing.bits);
    spare.clear();
    spare.resize(packed.len(), 0);
    let mut shift = packing.index;
    while shift < high {
        let digit = |at: u64| (at >> shift & ((1 << BITS) - 1)) as usize;
        let mut next = [0_usize; 1 << BITS];
        for at in packed.iter() {
            if let Some(count) = next.get_mut(digit(*at)) {
                *count += 1;
            }
        }
        let mut total = 0;
        for slot in &mut next {
            total += std::mem::replace(slot, total);
        }
        for at in packed.iter() {
            if let Some(place) = next.get_mut(digit(*at)) {
                if let Some(slot) = spare.get_mut(*place) {
                    *slot = *at;
                }
                *place += 1;
            }
        }
        std::mem::swap(packed, spare);
        shift += BITS;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rows of each group in a stable sort by time.
    fn check(ids: &[u32], times: &[i64], groups: usize, threads: usize) {
        let Timeline { starts, places, rows } = Timeline::of(ids, times.to_vec(), groups, threads);
        assert_eq!((starts.len(), starts.first()), (groups + 1, Some(&0)));
        for group in 0..groups {
            let own = starts[group] as usize..starts[group + 1] as usize;
            let mut expected: Vec<u32> =
                (0..ids.len() as u32).filter(|row| ids[*row as usize] as usize == group).collect();
            expected.sort_by_key(|row| times[*row as usize]);
            assert!(rows[own.clone()] == expected, "group {group}");
            assert!(places[own] == expected.iter().map(|row| times[*row as usize]).collect::<Vec<_>>());
        }
        assert_eq!(starts[groups] as usize, ids.iter().filter(|id| (**id as usize) < groups).count());
    }

    proptest! {
        #[test]
        fn rows_are_sorted_stably_by_group_and_time(
            rows in prop::collection::vec((prop_oneof![9 => 0_u32..4, 1 => Just(u32::MAX)], prop_oneof![
                any::<i64>(), -5_i64..5, Just(i64::MIN), Just(i64::MAX),
            ]), 0..200),
            groups in 1_usize..4,
        ) {
            let (ids, times): (Vec<u32>, Vec<i64>) = rows.into_iter().unzip();
            check(&ids, &times, groups, 2);
        }
    }

    #[test]
    fn a_group_with_most_rows_is_sorted_by_all_threads_as_by_one() {
        let mut state = 9_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let count = 5 * WORTH_A_THREAD;
        for (groups, spread) in [(1, 1_000), (3, u64::MAX), (2, 1 << 31)] {
            let ids: Vec<u32> =
                (0..count).map(|_| if next() % 4 > 0 { 0 } else { (next() % (groups + 1)) as u32 }).collect();
            // A range beyond 46 bits leaves too few for the index.
            let far = if spread == u64::MAX { 1 << 33 } else { 1 };
            let times: Vec<i64> = (0..count).map(|_| (next() % spread).wrapping_mul(far) as i64 - 500).collect();
            for threads in [1, 2, 3] {
                check(&ids, &times, groups as usize, threads);
            }
        }
        let all = vec![0; count];
        let times: Vec<i64> = (0..count).map(|_| next() as i64).collect();
        check(&all, &times, 1, 4);
        check(&all, &vec![7; count], 1, 4);
    }
}
