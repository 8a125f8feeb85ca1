//! Data contracts: what a table promises, and the rows that break it.
//!
//! `CREATE CONTRACT` is written as a table is: columns with their types, `NOT NULL`, `UNIQUE` and `CHECK`. `define` reads
//! it, `registry` keeps the contracts of a session, `validate` plans `ml_validate_data` into one aggregation over the data.

mod define;
mod registry;
mod validate;

pub use define::Contract;
pub(crate) use define::{CreateContract, define};
pub use registry::ContractRegistry;

use crate::relation::{Parameter, Relation};

/// The FROM-functions of this module.
pub(crate) static RELATIONS: &[Relation] = &[Relation {
    name: validate::NAME,
    parameters: &[Parameter::required("data"), Parameter::required("contract")],
    plan: validate::plan,
}];

#[cfg(test)]
mod tests;
