//! Why a cell does not hold what its view gives at the row's time: the row of the entity that it must have come from.
//!
//! Several rows may hold a cell's value. The smallest deviation from the rule is reported: first the row that the ttl
//! alone excludes, then one that was not available yet, then one of the future, and only then older rows. Within these
//! it is the row nearest to the as-of time.

use std::ops::Range;
use std::sync::OnceLock;

use datafusion::common::{Result, internal_err};
use skewless_udf::view::{FeatureTable, FeatureValue, FeatureView, History, Standing};

use super::compare::{Comparable, Comparer};
use super::tally::Reason;

/// A recorded view with all its rows.
#[derive(Debug)]
pub(super) struct Traced {
    /// The rows that were known by `known_at`.
    pub(super) table: FeatureTable,
    pub(super) history: History,
    /// One for each feature: where its values stand in the history; `None` for a window.
    values: Vec<Option<Values>>,
}

/// The values of a plain feature, found by entity and value.
#[derive(Debug)]
struct Values {
    column: String,
    sorted: OnceLock<Sorted>,
}

struct Sorted {
    values: Comparable,
    /// Positions of rows: by entity as in the history, within one by value, within one value in canonical order.
    order: Vec<usize>,
}

impl std::fmt::Debug for Sorted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sorted").field("rows", &self.order.len()).finish_non_exhaustive()
    }
}

/// One cell that holds something else than its view gives.
pub(super) struct Cell<'a> {
    /// Position of the feature in the view.
    pub(super) feature: usize,
    pub(super) comparer: &'a Comparer,
    pub(super) found: &'a Comparable,
    pub(super) row: usize,
    pub(super) entity: Range<usize>,
    pub(super) t: i128,
}

/// Whether a cell is the label.
pub(super) enum Label {
    /// It is another value, or there is no label.
    Other,
    /// It has the label's value; of when the label is, is not known.
    Equal,
    /// It has the label's value, and the label is of this time.
    At(i128),
}

impl Traced {
    pub(super) fn new(view: &FeatureView, table: FeatureTable, history: History) -> Result<Self> {
        let Some(recorded) = view.recorded() else { return internal_err!("a view on demand has no history") };
        let values = recorded
            .features
            .iter()
            .map(|feature| match &feature.value {
                FeatureValue::Plain { column } => Some(Values { column: column.clone(), sorted: OnceLock::new() }),
                FeatureValue::Window(_) => None,
            })
            .collect();
        Ok(Self { table, history, values })
    }

    /// Whether a cell that holds what the view gives holds the label's own row.
    pub(super) fn is_label(&self, feature: usize, entity: &Range<usize>, t: i128, label: &Label) -> bool {
        let plain = self.values.get(feature).is_some_and(Option::is_some);
        match (label, plain) {
            (Label::At(time), true) => {
                self.history.winner(entity, t).is_some_and(|position| self.is_of(position, *time))
            }
            _ => false,
        }
    }

    /// Why the cell holds what it holds, and the row that it came from.
    pub(super) fn explain(&self, cell: &Cell<'_>, label: &Label) -> Result<(Reason, Option<usize>)> {
        match self.values.get(cell.feature) {
            Some(Some(values)) => self.explain_plain(values, cell, label),
            _ => self.explain_window(cell),
        }
    }

    fn explain_plain(&self, values: &Values, cell: &Cell<'_>, label: &Label) -> Result<(Reason, Option<usize>)> {
        let candidates = self.candidates(values, cell)?;
        if let Label::At(time) = label
            && let Some(&position) = candidates.iter().find(|&&position| self.is_of(position, *time))
        {
            return Ok((Reason::LabelSource, Some(position)));
        }
        let standing = |position: usize| self.history.standing(position, cell.t);
        if let Some(winner) = self.history.winner(&cell.entity, cell.t)
            && standing(winner) == Some(Standing::Expired)
            && candidates.binary_search(&winner).is_ok()
        {
            return Ok((Reason::Expired, Some(winner)));
        }
        let latest =
            |wanted: Standing| candidates.iter().rev().copied().find(|&position| standing(position) == Some(wanted));
        let future = || candidates.iter().copied().find(|&position| standing(position) == Some(Standing::Future));
        let found = latest(Standing::NotYetAvailable)
            .map(|position| (Reason::NotYetAvailable, position))
            .or_else(|| future().map(|position| (Reason::FutureEvent, position)));
        if let Some((reason, position)) = found {
            // Of when the label is, is not known: a value that could not be known and is the label's is the label's.
            let reason = if matches!(label, Label::Equal) { Reason::LabelSource } else { reason };
            return Ok((reason, Some(position)));
        }
        Ok(latest(Standing::Expired)
            .map(|position| (Reason::Expired, Some(position)))
            .or_else(|| latest(Standing::Known).map(|position| (Reason::Superseded, Some(position))))
            .unwrap_or((Reason::Unexplained, None)))
    }

    fn explain_window(&self, cell: &Cell<'_>) -> Result<(Reason, Option<usize>)> {
        for violation in self.history.violations(cell.feature, &cell.entity, cell.t) {
            let (standing, position, value) = violation?;
            let value = cell.comparer.prepare(&value.to_array()?)?;
            if cell.comparer.equal(cell.found, cell.row, &value, 0) {
                let reason = match standing {
                    Standing::Future => Reason::FutureEvent,
                    _ => Reason::NotYetAvailable,
                };
                return Ok((reason, Some(position)));
            }
        }
        Ok((Reason::Unexplained, None))
    }

    /// Whether a row happened or became available at the label's time.
    fn is_of(&self, position: usize, time: i128) -> bool {
        let (event, available) = self.history.times(position);
        event == Some(time) || available == Some(time)
    }

    /// The entity's rows that hold the cell's value, in canonical order.
    fn candidates(&self, values: &Values, cell: &Cell<'_>) -> Result<Vec<usize>> {
        let sorted = if let Some(sorted) = values.sorted.get() {
            sorted
        } else {
            let sorted = self.sort(values, cell.comparer)?;
            values.sorted.get_or_init(|| sorted)
        };
        let own = sorted.order.get(cell.entity.clone()).unwrap_or_default();
        let holds = |position: usize| cell.comparer.equal(cell.found, cell.row, &sorted.values, position);
        if !cell.comparer.exact() {
            let mut candidates: Vec<usize> = own.iter().copied().filter(|&position| holds(position)).collect();
            candidates.sort_unstable();
            return Ok(candidates);
        }
        let wanted = cell.found.bytes(cell.row);
        let start = own.partition_point(|&position| sorted.values.bytes(position) < wanted);
        Ok(own.iter().skip(start).copied().take_while(|&position| holds(position)).collect())
    }

    fn sort(&self, values: &Values, comparer: &Comparer) -> Result<Sorted> {
        let Some(column) = self.history.rows().column_by_name(&values.column) else {
            return internal_err!("the history lost the column `{}`", values.column);
        };
        let comparable = comparer.prepare(column)?;
        let mut order: Vec<usize> = (0..column.len()).collect();
        for entity in self.history.entities() {
            if let Some(own) = order.get_mut(entity.clone()) {
                own.sort_by(|&a, &b| comparable.bytes(a).cmp(comparable.bytes(b)));
            }
        }
        Ok(Sorted { values: comparable, order })
    }
}
