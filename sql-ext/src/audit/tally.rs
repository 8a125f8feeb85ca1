//! Counts of cells by reason, with a bounded number of examples that do not depend on the order of the rows.

use std::collections::BinaryHeap;

/// Why a cell holds what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// What the view gives at the row's time.
    Ok,
    /// The label itself, from the label's own row.
    LabelSource,
    /// The value of an event after the row's time.
    FutureEvent,
    /// The value of a row that became available after the row's time.
    NotYetAvailable,
    /// The value of a row that the ttl excludes.
    Expired,
    /// The value of an older row, in whose place a later one counts.
    Superseded,
    /// NULL, though there was a value.
    Missing,
    /// No row of the entity explains it.
    Unexplained,
}

impl Reason {
    /// Every reason, in the order of the report.
    pub(super) const ALL: [Self; 8] = [
        Self::Ok,
        Self::LabelSource,
        Self::FutureEvent,
        Self::NotYetAvailable,
        Self::Expired,
        Self::Superseded,
        Self::Missing,
        Self::Unexplained,
    ];

    /// Its name in the report.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::LabelSource => "label_source",
            Self::FutureEvent => "future_event",
            Self::NotYetAvailable => "not_yet_available",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
            Self::Missing => "missing",
            Self::Unexplained => "unexplained",
        }
    }
}

/// A cell to look at. The order is that of the report: by time, then by key, then by whatever tells cells apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Example {
    /// The as-of time on the scale on which it is compared.
    pub(super) t: Option<i128>,
    pub(super) key: Option<String>,
    pub(super) as_of: Option<String>,
    pub(super) found: Option<String>,
    pub(super) expected: Option<String>,
    pub(super) event_time: Option<String>,
    pub(super) available_at: Option<String>,
}

/// The cells of one column and reason.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) cells: u64,
    /// The least examples so far, the greatest of them on top.
    examples: BinaryHeap<Example>,
}

impl Group {
    /// Whether an example at this time could be among the least.
    pub(super) fn wants(&self, t: Option<i128>, most: usize) -> bool {
        self.examples.len() < most || self.examples.peek().is_some_and(|greatest| t <= greatest.t)
    }

    pub(super) fn keep(&mut self, example: Example, most: usize) {
        self.examples.push(example);
        if self.examples.len() > most {
            self.examples.pop();
        }
    }

    /// The examples in their order.
    pub(super) fn examples(&self) -> Vec<Example> {
        self.examples.clone().into_sorted_vec()
    }
}

/// All cells of a table, by column and reason.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    columns: Vec<[Group; Reason::ALL.len()]>,
}

impl Tally {
    pub(super) fn new(columns: usize) -> Self {
        Self { columns: vec![Default::default(); columns] }
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = &[Group; Reason::ALL.len()]> {
        self.columns.iter()
    }

    /// The cells of a column that hold what they hold for this reason.
    pub(super) fn group(&mut self, column: usize, reason: Reason) -> Option<&mut Group> {
        self.columns.get_mut(column)?.get_mut(reason as usize)
    }

    /// Adds the cells of other rows.
    pub(super) fn merge(&mut self, other: Self, most: usize) {
        for (own, other) in self.columns.iter_mut().zip(other.columns) {
            for (own, other) in own.iter_mut().zip(other) {
                own.cells += other.cells;
                for example in other.examples {
                    own.keep(example, most);
                }
            }
        }
    }
}
