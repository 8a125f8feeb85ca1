//! Feature views, point-in-time training sets, as-of joins, batch scoring and drift as SQL.
//!
//! Every entry (shell, library, tests) goes through one front door, [`SkewlessContext`]: a text of statements is
//! parsed, our own DDL is taken out, joins that DataFusion cannot plan are rewritten, and the rest is planned and
//! run by DataFusion.

mod asof;
mod audit;
pub mod codec;
mod context;
mod contract;
mod ddl;
mod error;
mod execution;
mod front;
mod label;
pub mod manifest;
mod object_stores;
mod project;
mod relation;
mod score;
mod split;
mod training;
mod validate;

pub use context::{Device, Options, SkewlessContext};
pub use contract::{Contract, ContractRegistry, Door};
pub use ddl::{View, ViewRegistry};
pub use error::{Error, Result};
pub use front::{Outcome, Statement};
pub use project::Project;
pub use score::{Model, ModelRegistry};
