//! Data contracts: what a table promises, and the rows that break it.
//!
//! `CREATE CONTRACT` is written as a table is: columns with their types, `NOT NULL`, `UNIQUE` and `CHECK`, and `DRIFT` for
//! how far a column may move. `baseline` turns the queries that drift is measured from into profiles, `define` reads the
//! statement, `registry` keeps the contracts of a session. `validate` plans `ml_validate_data` into one aggregation over
//! the data, in which `duplicates` and `drift` are the functions of their rules; `door` finds the rules that one row shows,
//! for the component that serves a feature view.

mod baseline;
mod define;
mod door;
mod drift;
mod duplicates;
mod registry;
mod validate;

use std::fmt::Write as _;

use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;

pub(crate) use define::{Base, CreateContract, DriftPromise};
pub use define::{Contract, Door};
pub use registry::ContractRegistry;

use crate::SkewlessContext;
use crate::relation::{Parameter, Relation};

/// The FROM-functions of this module.
pub(crate) static RELATIONS: &[Relation] = &[Relation {
    name: validate::NAME,
    parameters: &[Parameter::required("data"), Parameter::required("contract")],
    plan: validate::plan,
}];

/// Registers the functions that the plans call.
pub(crate) fn register(state: &mut SessionState) -> Result<()> {
    state.register_udf(drift::function())?;
    state.register_udaf(duplicates::function())?;
    Ok(())
}

/// Creates a contract; the message says how many promises it makes, and which of them requests are not checked by.
pub(crate) async fn create(mut statement: CreateContract, context: &SkewlessContext) -> Result<String> {
    let contracts = context.contracts();
    if let Some(done) = contracts.taken(&statement)? {
        return Ok(done);
    }
    baseline::freeze(&mut statement, context).await?;
    let mut contract = define::define(statement)?;
    let promises = contract.len();
    let mut message = format!(
        "contract {} created, {promises} {}",
        contract.name,
        if promises == 1 { "promise" } else { "promises" }
    );
    if let Some(door) = &contract.door {
        let view = context.views().find(&door.view)?;
        contract.door = Some(Door { view: view.definition.name.clone(), ..door.clone() });
        let (_, left) = door::of(&contract, &view.definition)?;
        if !left.is_empty() {
            let _ = write!(message, "; one request does not show whether {} is kept", left.join(", "));
        }
    }
    contracts.insert(contract);
    Ok(message)
}

#[cfg(test)]
mod tests;
