//! Slices of a sample whose loss is worse than that of its other rows, with the errors of the whole search controlled.
//!
//! [`Division::of`] makes the cells of a column from its profile, [`Losses`] gathers the losses of every slice in one pass
//! and merges, [`find`] tests them all. SQL's `ml_find_slices` calls the three.

mod bound;
mod cells;
mod find;
mod losses;
mod number;

use serde::{Deserialize, Serialize};

use super::Correction;

pub use cells::{Coder, Division, Literal, NO_CELL};
pub use find::{Slice, find};
pub use losses::{Losses, MOST_SLICES, TooMany};

/// The most columns that a slice may be of.
pub const MOST_COLUMNS: usize = 3;

/// The corrections that hold however the slices overlap, by name.
pub const CORRECTIONS: [Correction; 4] =
    [Correction::Holm, Correction::Bonferroni, Correction::BenjaminiYekutieli, Correction::None];

/// What is searched, and how sure it has to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// A slice is of at most so many columns, from 1 to [`MOST_COLUMNS`].
    pub max_columns: usize,
    /// A slice has at least so many rows.
    pub min_rows: u64,
    /// Numbers of many different values are cut into so many cells of about equal numbers of rows.
    pub bins: usize,
    /// The rate of false alarms that is accepted over all slices of a search.
    pub alpha: f64,
    /// How p-values are corrected for the number of slices.
    pub correction: Correction,
    /// A slice with a smaller effect is not worse: at millions of rows every difference is significant.
    pub min_effect: f64,
    /// How many slices are shown.
    pub top: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_columns: 2,
            min_rows: 30,
            bins: 5,
            alpha: 0.05,
            correction: Correction::Holm,
            min_effect: 0.0,
            top: 20,
        }
    }
}

#[cfg(test)]
mod tests;
