//! The point-in-time rule: which row of an entity counts at an as-of time, and why not the others.
//!
//! [`as_of`] is the rule, one row at a time, and the oracle of every test; [`Timelines`] answers the same question in
//! logarithmic time and is what the SQL operator and the online store call. Times are integers in one unit that the
//! caller chooses; the rule never converts them.
//!
//! A row counts at time `t` iff its event time and its availability time are both at most `t`; a row without an event
//! time or without an availability time never counts. Among the rows that count, the greatest
//! (event, available, tie) wins. A winner whose event is older than the ttl is *expired*: an older row never replaces
//! it. A window of length `w` holds the rows that count and whose event time is at least `t - w`.

use std::fmt;
use std::ops::Range;

/// Why an as-of look-up has the value that it has: the first of these that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// A part of the entity key is NULL.
    NullKey,
    /// The as-of time is NULL.
    NullTime,
    /// The entity has no row at all.
    NoEntity,
    /// The entity's first event is later than the as-of time.
    BeforeFirst,
    /// Events had happened by then, but none of them was known yet.
    NotYetKnown,
    /// The latest known row is older than the ttl.
    Expired,
    /// A row counts.
    Ok,
}

impl Status {
    /// Every status, in the order in which they are tested.
    pub const ALL: [Self; 7] =
        [Self::NullKey, Self::NullTime, Self::NoEntity, Self::BeforeFirst, Self::NotYetKnown, Self::Expired, Self::Ok];

    /// The name that SQL and HTTP show.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NullKey => "null_key",
            Self::NullTime => "null_time",
            Self::NoEntity => "no_entity",
            Self::BeforeFirst => "before_first",
            Self::NotYetKnown => "not_yet_known",
            Self::Expired => "expired",
            Self::Ok => "ok",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The times of one candidate row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// When it happened; `None` never counts.
    pub event: Option<i64>,
    /// When it became known; `None` is "not available".
    pub available: Option<i64>,
    /// Rank among rows of equal event and availability: the larger wins.
    pub tie: u32,
}

impl Row {
    /// (event, available, tie), for a row that can count at some time.
    fn order(&self) -> Option<(i64, i64, u32)> {
        Some((self.event?, self.available?, self.tie))
    }
}

/// The rule for one entity: the status at time `t` and the index of the row that counts.
///
/// `ttl` is inclusive: a row exactly `ttl` old still counts. The index is given for [`Status::Ok`] and
/// [`Status::Expired`] (there it is the expired winner).
pub fn as_of(rows: &[Row], t: i64, ttl: Option<i64>) -> (Status, Option<usize>) {
    if rows.is_empty() {
        return (Status::NoEntity, None);
    }
    if !rows.iter().any(|row| row.event.is_some_and(|event| event <= t)) {
        return (Status::BeforeFirst, None);
    }
    let mut winner: Option<(usize, (i64, i64, u32))> = None;
    for (index, row) in rows.iter().enumerate() {
        let Some(order) = row.order() else { continue };
        if order.0 <= t && order.1 <= t && winner.is_none_or(|(_, best)| order > best) {
            winner = Some((index, order));
        }
    }
    match winner {
        None => (Status::NotYetKnown, None),
        Some((index, (event, ..))) if ttl.is_some_and(|ttl| i128::from(t) - i128::from(event) > i128::from(ttl)) => {
            (Status::Expired, Some(index))
        }
        Some((index, _)) => (Status::Ok, Some(index)),
    }
}

/// The rows of a window at time `t`, in (event, available, tie) order: those that count and whose event is at least
/// `from`. The rule behind [`Timelines::window`] and [`Slide`].
pub fn window(rows: &[Row], t: i64, from: i64) -> Vec<usize> {
    let mut inside: Vec<_> = rows
        .iter()
        .enumerate()
        .filter_map(|(index, row)| Some((row.order()?, index)))
        .filter(|((event, available, _), _)| from <= *event && *event <= t && *available <= t)
        .collect();
    inside.sort_unstable();
    inside.into_iter().map(|(_, index)| index).collect()
}

/// The rows of many entities, indexed for as-of look-ups: the fast form of [`as_of`] and [`window`].
///
/// A row counts from `max(event, available)` on, so sorting by that and keeping a running arg-max of
/// (event, available, tie) turns the two inequalities of the rule into one search. The rows of an entity lie next to
/// each other, first those that can never count, and then the others by (event, available, tie); a *position* is a
/// place in that order. All entities share the same few arrays.
#[derive(Clone, Debug, Default)]
pub struct Timelines {
    /// Entity `e` has the positions from `starts[e]` to `starts[e + 1]`.
    starts: Vec<u32>,
    /// The first position of each entity whose row can count; empty where every row can.
    counting: Vec<u32>,
    /// The caller's row at each position.
    rows: Vec<u32>,
    /// Event times by position.
    events: Vec<i64>,
    /// `None` where every row is known at its event.
    known: Option<Known>,
}

/// From when rows are known, where that is not their event time.
#[derive(Clone, Debug)]
struct Known {
    /// From when each row counts, by position: the later of event and availability.
    from: Vec<i64>,
    /// The first event of each entity, available or not.
    first: Vec<Option<i64>>,
    /// `None` where the rows of each entity become known in the order of their positions.
    order: Option<Order>,
}

/// The rows of each entity in the order in which they become known.
#[derive(Clone, Debug)]
struct Order {
    /// From when the row counts.
    from: Vec<i64>,
    /// Its position.
    enters: Vec<u32>,
    /// The greatest position so far: the winner from then on.
    winners: Vec<u32>,
}

impl Timelines {
    /// Indexes rows in buckets of one entity each: those of entity `e` are `rows[starts[e]..starts[e + 1]]`, in any order.
    ///
    /// `event` and `available` give the times of a row; without `available` a row is known at its event. `rank` is
    /// asked once, for the rows that are equal to another in entity, event and availability, if there are any; of rows
    /// with equal ranks the first in `rows` comes first.
    pub fn new<E>(
        starts: Vec<u32>,
        rows: Vec<u32>,
        event: impl Fn(u32) -> Option<i64>,
        available: Option<&impl Fn(u32) -> Option<i64>>,
        rank: impl FnOnce(&[u32]) -> Result<Vec<u32>, E>,
    ) -> Result<Self, E> {
        let mut sorting = Sorting::new(starts, rows, available.is_some());
        let available = |row: u32, event: Option<i64>| available.map_or(event, |available| available(row));
        for entity in 0..sorting.starts.len().saturating_sub(1) {
            sorting.sort(entity, |row| {
                let event = event(row);
                (event, available(row, event))
            });
        }
        sorting.break_ties(rank)?;
        Ok(sorting.finish())
    }

    /// How many entities there are, and among them those without rows.
    pub fn entities(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// The caller's row at each position.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The positions of an entity; none for one that is not there.
    pub fn positions(&self, entity: u32) -> Range<usize> {
        let start = entity as usize;
        match (self.starts.get(start), self.starts.get(start + 1)) {
            (Some(start), Some(end)) => *start as usize..*end as usize,
            _ => 0..0,
        }
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        let known = self.known.as_ref().map_or(0, |known| {
            let order = known.order.as_ref().map_or(0, |order| {
                8 * order.from.capacity() + 4 * (order.enters.capacity() + order.winners.capacity())
            });
            8 * known.from.capacity() + size_of::<Option<i64>>() * known.first.capacity() + order
        });
        4 * (self.starts.capacity() + self.counting.capacity() + self.rows.capacity())
            + 8 * self.events.capacity()
            + known
    }

    /// The event time at a position whose row can count.
    pub fn event(&self, position: usize) -> Option<i64> {
        self.events.get(position).copied()
    }

    /// The status at `t` and the position of the winner, whatever its age.
    ///
    /// For callers whose `t` is in a finer unit than the rows': with `t` rounded down, "event ≤ t" stays exact, and
    /// they test the ttl in their own unit. Look-ups of one entity that share a [`Cursor`] are fast where their times
    /// ascend.
    pub fn latest(&self, entity: u32, t: i64, cursor: &mut Cursor) -> (Status, Option<usize>) {
        let all = self.positions(entity);
        if all.is_empty() {
            return (Status::NoEntity, None);
        }
        let inside = self.counting(entity, all);
        let known = cursor.advance(self.known_from().get(inside.clone()).unwrap_or_default(), t);
        if let Some(last) = known.checked_sub(1) {
            let place = inside.start + last;
            let order = self.known.as_ref().and_then(|known| known.order.as_ref());
            let winner = order.and_then(|order| order.winners.get(place)).map_or(place, |winner| *winner as usize);
            return (Status::Ok, Some(winner));
        }
        let first = self.known.as_ref().and_then(|known| known.first.get(entity as usize).copied().flatten());
        let happened = first.is_some_and(|first| first <= t);
        (if happened { Status::NotYetKnown } else { Status::BeforeFirst }, None)
    }

    /// The positions, descending, of those rows with an event before `from` that can still be the winner of a look-up at
    /// `from` or later: of the rows that are known by then the greatest, and of the others each that is known before
    /// every greater one.
    pub fn lasting(&self, entity: u32, from: i64) -> Vec<usize> {
        let inside = self.counting(entity, self.positions(entity));
        let events = self.events.get(inside.clone()).unwrap_or_default();
        let end = inside.start + events.partition_point(|event| *event < from);
        let mut earliest = i64::MAX;
        let mut lasting = Vec::new();
        for position in (inside.start..end).rev() {
            let known = self.known.as_ref().map_or(from, |known| known.from.get(position).copied().unwrap_or(from));
            if known < earliest || lasting.is_empty() {
                lasting.push(position);
                earliest = known;
            }
            if known <= from {
                break;
            }
        }
        lasting
    }

    /// The positions of the rows of a window at time `t`, ascending: those that count and whose event is at least
    /// `from`.
    pub fn window(&self, entity: u32, t: i64, from: i64) -> impl Iterator<Item = usize> + '_ {
        let inside = self.counting(entity, self.positions(entity));
        let events = self.events.get(inside.clone()).unwrap_or_default();
        let start = events.partition_point(|event| *event < from);
        let end = events.partition_point(|event| *event <= t).max(start);
        (inside.start + start..inside.start + end).filter(move |position| self.is_known(*position, t))
    }

    /// The window of one entity as its as-of time goes on.
    pub fn slide(&self, entity: u32) -> Slide<'_> {
        let inside = self.counting(entity, self.positions(entity));
        Slide {
            timelines: self,
            start: inside.start,
            events: self.events.get(inside.clone()).unwrap_or_default(),
            known: self.known_from().get(inside).unwrap_or_default(),
            at: None,
        }
    }

    /// The positions among these whose rows can count.
    fn counting(&self, entity: u32, all: Range<usize>) -> Range<usize> {
        self.counting.get(entity as usize).map_or(all.start, |first| *first as usize)..all.end
    }

    /// From when rows count, in the order in which they become known.
    fn known_from(&self) -> &[i64] {
        match &self.known {
            None => &self.events,
            Some(Known { order: None, from, .. }) => from,
            Some(Known { order: Some(order), .. }) => &order.from,
        }
    }

    /// Whether a row whose event is at most `t` is known at `t`.
    fn is_known(&self, position: usize, t: i64) -> bool {
        self.known.as_ref().is_none_or(|known| known.from.get(position).is_some_and(|from| *from <= t))
    }
}

/// Where an earlier look-up of the same entity ended. Any cursor gives the same answer.
#[derive(Clone, Copy, Debug)]
pub struct Cursor(usize);

impl Default for Cursor {
    fn default() -> Self {
        Self(usize::MAX)
    }
}

impl Cursor {
    /// How many of the ascending times are at most `t`.
    fn advance(&mut self, times: &[i64], t: i64) -> usize {
        let mut low = self.0.min(times.len());
        self.0 = match low.checked_sub(1) {
            // Back in time, or the first look-up.
            Some(last) if times.get(last).is_some_and(|time| *time > t) => {
                times.get(..last).unwrap_or_default().partition_point(|time| *time <= t)
            }
            _ => {
                let mut step = 1;
                while times.get(low + step - 1).is_some_and(|time| *time <= t) {
                    low += step;
                    step *= 2;
                }
                let high = (low + step - 1).min(times.len());
                low + times.get(low..high).unwrap_or_default().partition_point(|time| *time <= t)
            }
        };
        self.0
    }
}

/// The window of one entity while neither its as-of time nor its start goes back: each row enters and leaves once.
#[derive(Clone, Debug)]
pub struct Slide<'a> {
    timelines: &'a Timelines,
    /// The first position whose row can count.
    start: usize,
    events: &'a [i64],
    known: &'a [i64],
    at: Option<At>,
}

/// Where a [`Slide`] stands.
#[derive(Clone, Copy, Debug)]
struct At {
    t: i64,
    /// How many events are before the window.
    gone: Cursor,
    /// How many events are at most `t`.
    happened: Cursor,
    /// How many rows are known at `t`.
    known: Cursor,
}

/// How a window differs from the one before.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// The rows that were inside have all left, and `left` does not list them.
    pub anew: bool,
    /// Positions of the rows that left, ascending.
    pub left: Vec<u32>,
    /// Positions of the rows that entered, in the order in which they became known or, in a window made anew,
    /// ascending.
    pub entered: Vec<u32>,
}

impl Change {
    /// Whether the window is the same as before.
    pub fn is_none(&self) -> bool {
        !self.anew && self.left.is_empty() && self.entered.is_empty()
    }
}

impl Slide<'_> {
    /// Goes on to the window at `t` that starts at `from`; `None` is after every event. Neither may be less than before.
    pub fn to(&mut self, t: i64, from: Option<i64>, change: &mut Change) {
        change.left.clear();
        change.entered.clear();
        let before = self.at;
        let at = before.unwrap_or(At { t, gone: Cursor(0), happened: Cursor(0), known: Cursor(0) });
        let (mut gone, mut happened, mut known) = (at.gone, at.happened, at.known);
        if before.is_none() {
            (gone, happened, known) = Default::default();
        }
        let first = match from.map(|from| from.checked_sub(1)) {
            Some(Some(last_gone)) => gone.advance(self.events, last_gone),
            Some(None) => {
                gone = Cursor(0);
                0
            }
            None => {
                gone = Cursor(self.events.len());
                self.events.len()
            }
        };
        let end = happened.advance(self.events, t).max(first);
        let now_known = known.advance(self.known, t);
        self.at = Some(At { t, gone, happened, known });
        // Rows that would leave or enter one by one, against all that are inside.
        change.anew = before.is_none() || end - first < (first - at.gone.0) + (now_known - at.known.0);
        let timelines = self.timelines;
        if change.anew {
            let inside = (self.start + first..self.start + end).filter(|position| timelines.is_known(*position, t));
            change.entered.extend(inside.map(|position| position as u32));
            return;
        }
        let left = (self.start + at.gone.0..self.start + first)
            .filter(|position| timelines.events.get(*position).is_some_and(|event| *event <= at.t))
            .filter(|position| timelines.is_known(*position, at.t));
        change.left.extend(left.map(|position| position as u32));
        let entering = self.start + at.known.0..self.start + now_known;
        let first = (self.start + first) as u32;
        match timelines.known.as_ref().and_then(|known| known.order.as_ref()) {
            None => change.entered.extend((entering.start as u32).max(first)..entering.end as u32),
            Some(order) => {
                let entering = order.enters.get(entering).unwrap_or_default();
                change.entered.extend(entering.iter().copied().filter(|position| *position >= first));
            }
        }
    }
}

/// [`Timelines`] in the making.
struct Sorting {
    starts: Vec<u32>,
    counting: Vec<u32>,
    rows: Vec<u32>,
    events: Vec<i64>,
    /// From when rows count, and the first event of each entity, where rows have a time of availability.
    known: Option<(Vec<i64>, Vec<Option<i64>>)>,
    /// Positions of rows that are equal in entity, event and availability.
    ties: Vec<Range<usize>>,
    scratch: Vec<Timed>,
}

/// Event, availability and row.
type Timed = (Option<i64>, Option<i64>, u32);

impl Sorting {
    fn new(starts: Vec<u32>, rows: Vec<u32>, late: bool) -> Self {
        let count = rows.len();
        Self {
            counting: Vec::new(),
            events: Vec::with_capacity(count),
            known: late.then(|| (Vec::with_capacity(count), Vec::with_capacity(starts.len()))),
            ties: Vec::new(),
            scratch: Vec::new(),
            starts,
            rows,
        }
    }

    /// Sorts the rows of the next entity by (event, available); rows that can never count first.
    fn sort(&mut self, entity: usize, times: impl Fn(u32) -> (Option<i64>, Option<i64>)) {
        let (Some(start), Some(end)) = (self.starts.get(entity), self.starts.get(entity + 1)) else { return };
        let (start, end) = (*start as usize, *end as usize);
        let Some(rows) = self.rows.get_mut(start..end) else { return };
        let mut last = (i64::MIN, i64::MIN);
        let sorted = rows.iter().all(|row| {
            let (Some(event), Some(available)) = times(*row) else { return false };
            let ascending = last <= (event, available);
            if ascending {
                if last == (event, available) && self.events.len() > start {
                    tie(&mut self.ties, self.events.len());
                }
                last = (event, available);
                self.events.push(event);
                if let Some((from, _)) = &mut self.known {
                    from.push(event.max(available));
                }
            }
            ascending
        });
        if sorted {
            if let Some((_, first_events)) = &mut self.known {
                first_events.push(self.events.get(start).copied());
            }
            return;
        }

        self.events.truncate(start);
        while self.ties.pop_if(|run| run.start >= start).is_some() {}
        self.scratch.clear();
        self.scratch.extend(rows.iter().map(|row| {
            let (event, available) = times(*row);
            (event, available, *row)
        }));
        if self.scratch.iter().all(|(event, available, _)| event.is_some() && available.is_some()) {
            sort_counting(&mut self.scratch, self.known.is_some());
        } else {
            let counts = |(event, available, _): &Timed| event.is_some() && available.is_some();
            self.scratch.sort_by_key(|row| (counts(row), row.0, row.1));
            if self.counting.is_empty() {
                self.counting.clone_from(&self.starts);
            }
            if let Some(first) = self.counting.get_mut(entity) {
                *first += self.scratch.iter().filter(|row| !counts(row)).count() as u32;
            }
        }
        let mut before = None;
        for (place, ((event, available, row), slot)) in self.scratch.iter().zip(rows).enumerate() {
            *slot = *row;
            self.events.push(event.unwrap_or(i64::MIN));
            if before.replace((event, available)) == Some((event, available)) {
                tie(&mut self.ties, start + place);
            }
        }
        if let Some((from, first_events)) = &mut self.known {
            from.truncate(start);
            let times = self.scratch.iter().map(|(event, available, _)| event.max(available));
            from.extend(times.map(|time| time.unwrap_or(i64::MIN)));
            first_events.push(self.scratch.iter().filter_map(|(event, ..)| *event).min());
        }
    }

    fn break_ties<E>(&mut self, rank: impl FnOnce(&[u32]) -> Result<Vec<u32>, E>) -> Result<(), E> {
        if self.ties.is_empty() {
            return Ok(());
        }
        let tied: Vec<u32> =
            self.ties.iter().flat_map(|run| self.rows.get(run.clone()).unwrap_or_default()).copied().collect();
        let ranks = rank(&tied)?;
        let mut ranked = ranks.into_iter().zip(tied);
        for run in &self.ties {
            let Some(slots) = self.rows.get_mut(run.clone()) else { continue };
            let mut run: Vec<(u32, u32)> = ranked.by_ref().take(slots.len()).collect();
            run.sort_by_key(|(rank, _)| *rank);
            for (slot, (_, row)) in slots.iter_mut().zip(run) {
                *slot = row;
            }
        }
        Ok(())
    }

    fn finish(self) -> Timelines {
        let mut timelines = Timelines {
            starts: self.starts,
            counting: self.counting,
            rows: self.rows,
            events: self.events,
            known: None,
        };
        timelines.known = self.known.map(|(from, first)| Known { order: order(&timelines, &from), from, first });
        timelines
    }
}

/// Sorts rows that all have their times; those of equal times keep their order.
fn sort_counting(rows: &mut Vec<Timed>, late: bool) {
    let span = |time: fn(&Timed) -> Option<i64>| {
        let times = || rows.iter().filter_map(time);
        let (least, greatest) = (times().min()?, times().max()?);
        Some((least, u64::BITS - greatest.abs_diff(least).leading_zeros()))
    };
    let (Some((event, event_bits)), Some((available, bits))) = (span(|row| row.0), span(|row| row.1)) else { return };
    let bits = if late { bits } else { 0 };
    if event_bits + bits + u32::BITS > u128::BITS {
        rows.sort_by_key(|row| (row.0, row.1));
        return;
    }
    // One word for each row sorts several times faster than three.
    let word = |(place, row): (usize, &Timed)| {
        let event = u128::from(row.0.map_or(0, |time| time.abs_diff(event)));
        let available = if late { u128::from(row.1.map_or(0, |time| time.abs_diff(available))) } else { 0 };
        (((event << bits) | available) << u32::BITS) | place as u128
    };
    let mut words: Vec<u128> = rows.iter().enumerate().map(word).collect();
    words.sort_unstable();
    *rows = words.iter().filter_map(|word| rows.get(*word as u32 as usize).copied()).collect();
}

/// Notes that the row at a position is equal to the one before it.
fn tie(ties: &mut Vec<Range<usize>>, position: usize) {
    match ties.last_mut() {
        Some(run) if run.end == position => run.end += 1,
        _ => ties.push(position - 1..position + 1),
    }
}

/// The order in which rows become known, where that is not the order of their positions.
fn order(timelines: &Timelines, known: &[i64]) -> Option<Order> {
    let entities = || {
        (0..timelines.entities() as u32)
            .map(|entity| timelines.counting(entity, timelines.positions(entity)))
            .filter(|inside| !known.get(inside.clone()).unwrap_or_default().is_sorted())
    };
    entities().next()?;
    let mut from = known.to_vec();
    let mut enters: Vec<u32> = (0..known.len() as u32).collect();
    let mut winners = enters.clone();
    let mut scratch: Vec<(i64, u32)> = Vec::new();
    for inside in entities() {
        scratch.clear();
        scratch.extend(inside.clone().filter_map(|position| Some((*known.get(position)?, position as u32))));
        scratch.sort_unstable();
        let mut best = 0;
        for (place, (time, position)) in inside.zip(&scratch) {
            best = best.max(*position);
            if let (Some(from), Some(enters), Some(winner)) =
                (from.get_mut(place), enters.get_mut(place), winners.get_mut(place))
            {
                (*from, *enters, *winner) = (*time, *position, best);
            }
        }
    }
    Some(Order { from, enters, winners })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(event: i64, available: i64, tie: u32) -> Row {
        Row { event: Some(event), available: Some(available), tie }
    }

    fn both(rows: &[Row], t: i64, ttl: Option<i64>) -> (Status, Option<usize>) {
        let rule = as_of(rows, t, ttl);
        assert_eq!(fast(&index(&[rows]), 0, t, ttl, &mut Cursor::default()), rule);
        rule
    }

    /// Rows of several entities, dealt out in turn; row `i` of entity `e` is `1000 e + i`.
    fn index(entities: &[&[Row]]) -> Timelines {
        let mut starts = vec![0];
        let mut rows: Vec<u32> = Vec::new();
        for (entity, own) in entities.iter().enumerate() {
            rows.extend((0..own.len()).map(|i| (1000 * entity + i) as u32));
            starts.push(rows.len() as u32);
        }
        let row = |row: u32| entities[row as usize / 1000][row as usize % 1000];
        let rank = |tied: &[u32]| Ok::<_, std::convert::Infallible>(tied.iter().map(|i| row(*i).tie).collect());
        let every = entities.iter().copied().flatten();
        let timelines = if every.clone().all(|row| row.available == row.event) {
            let none = None::<&fn(u32) -> Option<i64>>;
            Timelines::new(starts, rows, |i| row(i).event, none, rank)
        } else {
            Timelines::new(starts, rows, |i| row(i).event, Some(&|i| row(i).available), rank)
        };
        let Ok(timelines) = timelines;
        timelines
    }

    /// The same question as [`as_of`]'s.
    fn fast(timelines: &Timelines, entity: u32, t: i64, ttl: Option<i64>, at: &mut Cursor) -> (Status, Option<usize>) {
        let (status, position) = timelines.latest(entity, t, at);
        let event = position.and_then(|position| timelines.event(position));
        let expired = event.zip(ttl).is_some_and(|(event, ttl)| i128::from(t) - i128::from(event) > i128::from(ttl));
        let row = position.map(|position| timelines.rows()[position] as usize % 1000);
        (if expired { Status::Expired } else { status }, row)
    }

    fn window_of(timelines: &Timelines, entity: u32, t: i64, from: i64) -> Vec<usize> {
        timelines.window(entity, t, from).map(|position| timelines.rows()[position] as usize % 1000).collect()
    }

    #[test]
    fn a_row_counts_from_the_instant_it_is_known() {
        let rows = [row(10, 20, 0)];
        assert_eq!(both(&rows, 9, None), (Status::BeforeFirst, None));
        assert_eq!(both(&rows, 10, None), (Status::NotYetKnown, None));
        assert_eq!(both(&rows, 19, None), (Status::NotYetKnown, None));
        assert_eq!(both(&rows, 20, None), (Status::Ok, Some(0)));
    }

    #[test]
    fn a_late_row_of_an_older_event_does_not_replace_a_newer_event() {
        let rows = [row(10, 50, 0), row(20, 21, 0)];
        assert_eq!(both(&rows, 49, None), (Status::Ok, Some(1)));
        assert_eq!(both(&rows, 50, None), (Status::Ok, Some(1)));
    }

    #[test]
    fn a_row_known_before_its_event_counts_from_the_event() {
        let rows = [row(10, 0, 0)];
        assert_eq!(both(&rows, 5, None), (Status::BeforeFirst, None));
        assert_eq!(both(&rows, 10, None), (Status::Ok, Some(0)));
    }

    #[test]
    fn ttl_is_inclusive_and_an_expired_winner_is_not_replaced() {
        let rows = [row(0, 0, 0), row(10, 10, 0)];
        assert_eq!(both(&rows, 15, Some(5)), (Status::Ok, Some(1)));
        assert_eq!(both(&rows, 16, Some(5)), (Status::Expired, Some(1)));
        assert_eq!(both(&rows, 10, Some(0)), (Status::Ok, Some(1)));
    }

    #[test]
    fn null_availability_is_not_available_and_null_event_never_counts() {
        let unknown = Row { event: Some(1), available: None, tie: 0 };
        assert_eq!(both(&[unknown], 100, None), (Status::NotYetKnown, None));
        let timeless = Row { event: None, available: Some(1), tie: 0 };
        assert_eq!(both(&[timeless], 100, None), (Status::BeforeFirst, None));
        assert_eq!(both(&[], 100, None), (Status::NoEntity, None));
    }

    #[test]
    fn ties_go_to_the_greater_availability_then_the_greater_rank() {
        assert_eq!(both(&[row(1, 3, 0), row(1, 2, 9)], 5, None), (Status::Ok, Some(0)));
        assert_eq!(both(&[row(1, 2, 7), row(1, 2, 3)], 5, None), (Status::Ok, Some(0)));
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let rows = [row(i64::MIN, i64::MIN, 0)];
        assert_eq!(both(&rows, i64::MAX, Some(i64::MAX)), (Status::Expired, Some(0)));
        assert_eq!(both(&rows, i64::MIN, Some(0)), (Status::Ok, Some(0)));
    }

    #[test]
    fn a_window_that_ends_before_it_starts_is_empty() {
        let rows = [row(1, 1, 0)];
        assert_eq!(window_of(&index(&[&rows]), 0, 0, 5), Vec::<usize>::new());
        assert_eq!(window(&rows, 0, 5), Vec::<usize>::new());
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let time = || prop_oneof![1 => Just(None), 8 => (0_i64..20).prop_map(Some)];
        prop::collection::vec((time(), time()), 0..24).prop_map(|times| {
            times
                .into_iter()
                .enumerate()
                .map(|(i, (event, available))| Row { event, available, tie: (i as u32).wrapping_mul(7) % 24 })
                .collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_timelines_equal_the_rule(
            entities in prop::collection::vec((rows(), any::<bool>()), 1..4),
            ttl in prop::option::of(0_i64..12),
            w in 0_i64..25,
            times in prop::collection::vec(-2_i64..23, 0..30),
            no_availability in any::<bool>(),
        ) {
            let mut entities = entities;
            for (rows, sorted) in &mut entities {
                for row in rows.iter_mut().filter(|_| no_availability) {
                    row.available = row.event;
                }
                if *sorted {
                    rows.sort_by_key(Row::order);
                }
            }
            let slices: Vec<&[Row]> = entities.iter().map(|(rows, _)| rows.as_slice()).collect();
            let timelines = index(&slices);
            for (entity, rows) in slices.iter().enumerate() {
                let mut cursor = Cursor::default();
                for t in (-2..23).chain(times.iter().copied()) {
                    let entity = entity as u32;
                    prop_assert_eq!(fast(&timelines, entity, t, ttl, &mut cursor), as_of(rows, t, ttl));
                    prop_assert_eq!(window_of(&timelines, entity, t, t - w), window(rows, t, t - w));
                }
            }
            prop_assert_eq!(timelines.latest(slices.len() as u32, 0, &mut Cursor::default()), (Status::NoEntity, None));
        }

        #[test]
        fn what_lasts_of_earlier_rows_and_the_later_rows_give_the_same_winners(
            rows in rows(),
            from in -2_i64..23,
            no_availability in any::<bool>(),
        ) {
            let mut rows = rows;
            for row in rows.iter_mut().filter(|_| no_availability) {
                row.available = row.event;
            }
            let timelines = index(&[&rows]);
            let lasting: Vec<usize> =
                timelines.lasting(0, from).into_iter().map(|place| timelines.rows()[place] as usize).collect();
            prop_assert!(lasting.iter().all(|row| rows[*row].event.is_some_and(|event| event < from)));
            let earlier = |row: &Row| row.order().is_some_and(|(event, ..)| event < from);
            prop_assert_eq!(lasting.is_empty(), !rows.iter().any(earlier));
            let kept: Vec<usize> =
                (0..rows.len()).filter(|row| !earlier(&rows[*row]) || lasting.contains(row)).collect();
            let left: Vec<Row> = kept.iter().map(|row| rows[*row]).collect();
            for t in from..23 {
                let (status, winner) = as_of(&left, t, None);
                prop_assert_eq!((status, winner.map(|winner| kept[winner])), as_of(&rows, t, None));
            }
        }

        #[test]
        fn a_slide_holds_the_rows_of_each_window(
            rows in rows(),
            w in prop::option::of(0_i64..25),
            mut times in prop::collection::vec(-2_i64..40, 0..30),
        ) {
            times.sort_unstable();
            let timelines = index(&[&rows]);
            let (mut slide, mut change) = (timelines.slide(0), Change::default());
            let mut inside = std::collections::BTreeSet::new();
            for t in times {
                let from = w.map_or(i64::MIN, |w| t - w);
                let before = inside.clone();
                slide.to(t, Some(from), &mut change);
                if change.anew {
                    inside.clear();
                }
                for position in &change.left {
                    prop_assert!(inside.remove(position), "{} left without having entered", position);
                }
                for position in &change.entered {
                    prop_assert!(inside.insert(*position), "{} entered twice", position);
                }
                prop_assert!(change.is_none() <= (inside == before));
                let now: Vec<usize> = inside.iter().map(|position| timelines.rows()[*position as usize] as usize).collect();
                prop_assert_eq!(now, window(&rows, t, from));
            }
            slide.to(i64::MAX, None, &mut change);
            inside.retain(|position| !change.anew && !change.left.contains(position));
            prop_assert!(inside.is_empty() && change.entered.is_empty());
        }

        #[test]
        fn the_winner_does_not_depend_on_the_order_of_the_rows(rows in rows(), seed in any::<u64>()) {
            let mut shuffled: Vec<usize> = (0..rows.len()).collect();
            let mut state = seed | 1;
            for i in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                shuffled.swap(i, (state >> 33) as usize % (i + 1));
            }
            let permuted: Vec<Row> = shuffled.iter().map(|&i| rows[i]).collect();
            let timelines = index(&[&permuted]);
            for t in 0..20 {
                let (status, row) = fast(&timelines, 0, t, None, &mut Cursor::default());
                prop_assert_eq!((status, row.map(|row| shuffled[row])), as_of(&rows, t, None));
            }
        }
    }
}
