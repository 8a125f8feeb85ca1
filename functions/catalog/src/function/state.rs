//! States of aggregates that are smaller than their rows: updated, merged in any order, sent as bytes.

use std::fmt::Debug;

use super::{Call, Column, Error, Function};

/// Bytes that are not a state of this function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are not a state of this function; aggregate the rows again")]
pub struct BadState;

/// What an aggregate remembers of its rows. Whatever the order of rows and merges, the result has the same bits.
pub trait State: Send + Sync + Debug {
    /// Adds the rows of a call; its options are those that the state was made with.
    fn update(&mut self, call: &Call<'_>) -> Result<(), Error>;

    /// Adds what another state of the same function and options holds.
    fn merge(&mut self, bytes: &[u8]) -> Result<(), BadState>;

    /// Everything that it holds, as [`State::merge`] reads it.
    fn to_bytes(&self) -> Vec<u8>;

    /// The result, as a column of one row.
    fn finish(&self) -> Result<Column<'static>, Error>;

    /// Bytes held on the heap.
    fn heap_size(&self) -> usize;
}

/// [`Function::compute`] of an aggregate with a state: one update with all rows.
pub fn compute(function: &dyn Function, call: &Call<'_>) -> Result<Column<'static>, Error> {
    let Some(mut state) = function.state(call)? else {
        return Err(call.refuse("it has no state to compute its result with"));
    };
    state.update(call)?;
    state.finish()
}
