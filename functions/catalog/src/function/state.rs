//! States of aggregates that are smaller than their rows: updated, merged in any order, sent as bytes.

use std::fmt::Debug;

use super::{Call, Column, Error, Function};
use crate::sum::{ExactMoments, ExactSum};

/// Bytes that are not a state of this function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are not a state of this function; aggregate the rows again")]
pub struct BadState;

/// What an aggregate remembers of its rows. Whatever the order of rows and merges, the result has the same bits.
pub trait State: Send + Sync + Debug {
    /// Adds the rows of a call; its options are those that the state was made with.
    fn update(&mut self, call: &Call<'_>) -> Result<(), Error>;

    /// Makes an empty state fit for giving rows back, as the frames of windows that slide need it; `false` where it cannot.
    fn slide(&mut self) -> bool {
        false
    }

    /// Takes back rows that were added, after [`State::slide`]: what is left has the bits of a state that never had them.
    fn retract(&mut self, call: &Call<'_>) -> Result<(), Error> {
        Err(call.refuse("its state cannot give rows back"))
    }

    /// Adds what another state of the same function and options holds.
    fn merge(&mut self, bytes: &[u8]) -> Result<(), BadState>;

    /// Everything that it holds, as [`State::merge`] reads it.
    fn to_bytes(&self) -> Vec<u8>;

    /// The result, as a column of one row.
    fn finish(&self) -> Result<Column<'static>, Error>;

    /// Bytes held on the heap.
    fn heap_size(&self) -> usize;
}

/// Whether rows come or go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Add,
    Retract,
}

impl Step {
    /// One row more or less.
    pub(crate) fn count(self, count: &mut u64) {
        self.count_by(count, 1);
    }

    /// So many rows more or less.
    pub(crate) fn count_by(self, count: &mut u64, rows: u64) {
        *count = match self {
            Self::Add => *count + rows,
            Self::Retract => count.saturating_sub(rows),
        }
    }

    /// One value of a sum more or less.
    pub(crate) fn sum(self, sum: &mut ExactSum, value: f64) {
        match self {
            Self::Add => sum.add(value),
            Self::Retract => sum.subtract(value),
        }
    }

    /// One value of the moments more or less.
    pub(crate) fn moments(self, moments: &mut ExactMoments, value: f64) {
        match self {
            Self::Add => moments.add(value),
            Self::Retract => moments.subtract(value),
        }
    }

    /// One of the kept values more or less.
    pub(crate) fn keep<T>(self, kept: &mut Vec<T>, value: T, is_same: impl Fn(&T, &T) -> bool) {
        match self {
            Self::Add => kept.push(value),
            Self::Retract => {
                if let Some(at) = kept.iter().position(|other| is_same(other, &value)) {
                    kept.swap_remove(at);
                }
            }
        }
    }
}

/// [`Function::compute`] of an aggregate with a state: one update with all rows.
pub fn compute(function: &dyn Function, call: &Call<'_>) -> Result<Column<'static>, Error> {
    let Some(mut state) = function.state(call)? else {
        return Err(call.refuse("it has no state to compute its result with"));
    };
    state.update(call)?;
    state.finish()
}

#[cfg(test)]
mod tests;
