//! Exact tests of ranks: a second pass in which each column's values come in order.
//!
//! The first input of the operator is the profiles, as the report reads them; each of the others is a column of numbers,
//! which DataFusion sorts by slice and value, spilling where memory is short. From the profiles the operator knows the sizes
//! of the samples before their values come, which every statistic needs, and which columns need their rows at all: one whose
//! profiles hold every value, or whose test is of categories, is never sorted. The columns are read one after another, so
//! that each sort has all the memory there is; a test's state does not grow with the rows.

mod exec;
mod node;
mod sorted;

pub(crate) use exec::ExactDriftExec;
pub(super) use exec::ExactDriftPlanner;
pub(crate) use node::{ExactDrift, Spec};
