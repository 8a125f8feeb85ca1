//! The catalog and the model in a web page: `loadModel`, `Model.predict`, `evaluate` and `functions`, for JavaScript.
//!
//! The same crates answer in SQL and over HTTP, so a page that has the features of a row has the same prediction, bit for
//! bit. [`score`] and [`call`] know nothing of JavaScript and are tested natively; [`js`] converts values and errors.

pub mod call;
pub mod cell;
pub mod js;
pub mod score;

pub use cell::Cell;

/// Why a call from the page is refused; its text is the message of the JavaScript `Error`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model or its input.
    #[error(transparent)]
    Model(#[from] skewless_model::Error),
    /// The catalog function or its arguments.
    #[error(transparent)]
    Function(#[from] skewless_catalog::Error),
    /// An input whose values have no common type.
    #[error("input `{input}`: row {row} is {found} where a row before it is {expected}; give one type")]
    Mixed {
        /// The input's name.
        input: String,
        /// The first row that differs, from 0.
        row: usize,
        /// What it holds.
        found: &'static str,
        /// What came before.
        expected: &'static str,
    },
    /// A JavaScript value that is no row, list or scalar.
    #[error("{what} is {found}; give {expected}")]
    Value {
        /// Where it stands.
        what: String,
        /// What it is.
        found: String,
        /// What is taken there.
        expected: &'static str,
    },
}
