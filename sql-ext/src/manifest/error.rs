//! Why a manifest cannot be read or a training set not be written.

use super::record::VERSION;

/// Why a manifest cannot be read or a training set not be written.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is no manifest beside the file.
    #[error(
        "there is no manifest `{location}`; COPY (SELECT … FROM ml_training_set(…)) TO '….parquet' and \
         `skewless training-set build` write one beside the training set"
    )]
    Missing {
        /// Where it would be.
        location: String,
    },
    /// The file beside the training set is not a manifest.
    #[error("`{location}` is not the manifest of a training set: {reason}")]
    Malformed {
        /// The file.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The manifest is of a version that this build does not read.
    #[error(
        "the manifest `{location}` is of version {found} and this build reads version {VERSION}; check it with the \
         build that wrote it, or build the training set again"
    )]
    Version {
        /// The file.
        location: String,
        /// Its version.
        found: u64,
    },
    /// The text to build from is no query of a training set.
    #[error("{0}")]
    Query(String),
    /// The target is not a Parquet file.
    #[error(
        "`{0}` does not end in .parquet; a training set is written as Parquet, which keeps the types of its columns"
    )]
    NotParquet(String),
}
