use std::net::SocketAddr;
use std::path::PathBuf;

use crate::key_value;

/// Why an app could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The manifest file could not be read.
    #[error("cannot read the manifest `{}`: {source}; name it with `-f path/to/spin.toml`", path.display())]
    Read {
        /// The manifest.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The manifest is not TOML.
    #[error("`{}` is not valid TOML:\n{source}", path.display())]
    Toml {
        /// The manifest.
        path: PathBuf,
        /// Where and why.
        source: toml::de::Error,
    },
    /// A field of the manifest is wrong; the reason holds the remedy.
    #[error("{}: {field}: {reason}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The field, as a dotted path.
        field: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// A component has not been built.
    #[error(
        "component `{component}`: `{}` does not exist; build it with {remedy}",
        path.display()
    )]
    NotBuilt {
        /// The component.
        component: String,
        /// Its `source`.
        path: PathBuf,
        /// The commands that build it.
        remedy: String,
    },
    /// A component was read but cannot run here.
    #[error("component `{component}`: {reason}")]
    Component {
        /// The component.
        component: String,
        /// Why, with the remedy.
        reason: String,
    },
    /// The engine itself could not be set up.
    #[error("cannot set up the WebAssembly engine: {0}")]
    Engine(String),
    /// The state folder could not be made.
    #[error("cannot create the state folder `{}`: {source}; choose another with `--state-dir`", path.display())]
    State {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The key-value store could not be opened.
    #[error(transparent)]
    KeyValue(#[from] key_value::Error),
    /// The address could not be bound.
    #[error("cannot listen on {address}: {source}; choose another with `--listen 127.0.0.1:0`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
}
