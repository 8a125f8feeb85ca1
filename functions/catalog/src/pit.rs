//! The point-in-time rule: which row of an entity counts at an as-of time, and why not the others.
//!
//! [`as_of`] is the rule, one row at a time, and the oracle of every test; [`Timeline`] answers the same question in
//! logarithmic time and is what the SQL operator and the online store call. Times are integers in one unit that the
//! caller chooses; the rule never converts them.
//!
//! A row counts at time `t` iff its event time and its availability time are both at most `t`; a row without an event
//! time or without an availability time never counts. Among the rows that count, the greatest
//! (event, available, tie) wins. A winner whose event is older than the ttl is *expired*: an older row never replaces
//! it. A window of length `w` holds the rows that count and whose event time is at least `t - w`.

use std::cmp::Ordering;
use std::fmt;

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
/// `from`. The rule behind [`Timeline::window`].
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

/// One entity's rows, indexed for as-of look-ups.
///
/// A row counts from `max(event, available)` on, so sorting by that and keeping a running arg-max of
/// (event, available, tie) turns the two inequalities of the rule into one binary search.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// Rows that can count, by (event, available, tie): event, available, and the caller's index.
    rows: Vec<(i64, i64, u32)>,
    /// (counts from, position in `rows` of the winner from then on), by time; only where the winner changes.
    winners: Vec<(i64, u32)>,
    first_event: Option<i64>,
    empty: bool,
}

impl Timeline {
    /// Indexes one entity's rows, given in any order. Indices that look-ups return refer to this slice.
    pub fn new(rows: &[Row]) -> Self {
        let mut order: Vec<u32> = (0..rows.len() as u32).filter(|&i| rows[i as usize].order().is_some()).collect();
        let key = |i: &u32| rows[*i as usize].order();
        if !order.is_sorted_by_key(key) {
            order.sort_unstable_by(|a, b| key(a).cmp(&key(b)).then(a.cmp(b)));
        }
        let sorted: Vec<(i64, i64, u32)> = order
            .into_iter()
            .filter_map(|i| rows[i as usize].order().map(|(event, available, _)| (event, available, i)))
            .collect();

        let mut by_known: Vec<u32> = (0..sorted.len() as u32).collect();
        let known = |position: u32| {
            let (event, available, _) = sorted[position as usize];
            event.max(available)
        };
        if !by_known.is_sorted_by_key(|&p| known(p)) {
            by_known.sort_unstable_by_key(|&p| (known(p), p));
        }
        let mut winners: Vec<(i64, u32)> = Vec::new();
        for position in by_known {
            let from = known(position);
            match winners.last_mut() {
                Some((_, best)) if *best > position => {}
                Some((at, best)) if *at == from => *best = position,
                _ => winners.push((from, position)),
            }
        }
        Self {
            rows: sorted,
            winners,
            first_event: rows.iter().filter_map(|row| row.event).min(),
            empty: rows.is_empty(),
        }
    }

    /// The same answer as [`as_of`].
    pub fn as_of(&self, t: i64, ttl: Option<i64>) -> (Status, Option<usize>) {
        let (status, winner) = self.latest(t);
        match winner {
            Some((index, event)) if ttl.is_some_and(|ttl| i128::from(t) - i128::from(event) > i128::from(ttl)) => {
                (Status::Expired, Some(index))
            }
            winner => (status, winner.map(|(index, _)| index)),
        }
    }

    /// The winner at `t` and its event time, whatever its age.
    ///
    /// For callers whose `t` is in a finer unit than the rows': with `t` rounded down, "event ≤ t" stays exact, and
    /// they test the ttl in their own unit.
    pub fn latest(&self, t: i64) -> (Status, Option<(usize, i64)>) {
        if self.empty {
            return (Status::NoEntity, None);
        }
        if self.first_event.is_none_or(|first| first > t) {
            return (Status::BeforeFirst, None);
        }
        let known = self.winners.partition_point(|&(from, _)| from <= t);
        let winner = known.checked_sub(1).and_then(|last| self.winners.get(last));
        match winner.and_then(|&(_, position)| self.rows.get(position as usize)) {
            Some(&(event, _, index)) => (Status::Ok, Some((index as usize, event))),
            None => (Status::NotYetKnown, None),
        }
    }

    /// The rows of a window at time `t`: those that count and whose event is at least `from`, in
    /// (event, available, tie) order.
    pub fn window(&self, t: i64, from: i64) -> impl Iterator<Item = usize> + '_ {
        let start = self.rows.partition_point(|&(event, ..)| event < from);
        let end = self.rows.partition_point(|&(event, ..)| event <= t).max(start);
        let inside = self.rows.get(start..end).unwrap_or_default();
        inside.iter().filter(move |&&(_, available, _)| available <= t).map(|&(_, _, index)| index as usize)
    }
}

/// Ascending order of (event, available, tie) with rows that can never count first; the canonical order of stored rows.
pub fn canonical(a: &Row, b: &Row) -> Ordering {
    (a.event, a.available, a.tie).cmp(&(b.event, b.available, b.tie))
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
        assert_eq!(Timeline::new(rows).as_of(t, ttl), rule);
        rule
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
        assert_eq!(Timeline::new(&rows).window(0, 5).count(), 0);
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
        fn the_timeline_equals_the_rule(rows in rows(), ttl in prop::option::of(0_i64..12), w in 0_i64..25) {
            let timeline = Timeline::new(&rows);
            for t in -2..23 {
                let rule = as_of(&rows, t, ttl);
                prop_assert_eq!(timeline.as_of(t, ttl), rule);
                prop_assert_eq!(timeline.window(t, t - w).collect::<Vec<_>>(), window(&rows, t, t - w));
            }
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
            let timeline = Timeline::new(&permuted);
            for t in 0..20 {
                let (status, index) = timeline.as_of(t, None);
                prop_assert_eq!((status, index.map(|i| shuffled[i])), as_of(&rows, t, None));
            }
        }
    }
}
