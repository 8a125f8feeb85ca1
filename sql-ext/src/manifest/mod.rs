//! The manifest beside a training set: what it was made from, and a check that it still is what that gives.
//!
//! `record` is the file format, `content` the hash of the rows, `source` the files behind a plan, `write` makes a file
//! and its manifest (COPY and `skewless training-set build`), `verify` makes everything anew and says what differs.

mod content;
mod difference;
mod error;
mod record;
mod source;
#[cfg(test)]
mod tests;
mod verify;
mod write;

pub(crate) use content::hex;
pub use difference::{Content, Difference, Row, Side};
pub use error::ManifestError;
pub use record::{Column, Manifest, Model, Source, Table, View};
pub use verify::Verification;
pub use write::{Writing, Written};

pub(crate) use write::{copied_query, writes_training_set};
