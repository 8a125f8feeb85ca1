//! `ml_predict` as a scalar function and as a relation, and the models it knows.
//!
//! The relation form is a projection over the scalar functions, so that whoever has the functions by name can run it.

mod bind;
mod function;
mod loaded;
mod registry;
mod relation;
mod tensor;

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;

pub use loaded::Model;
pub use registry::ModelRegistry;
pub(crate) use relation::RELATIONS;

use crate::context::Shared;

/// Registers this module's scalar functions; they hold the registry of models.
pub(crate) fn register(state: &mut SessionState, shared: &Arc<Shared>) -> Result<()> {
    for function in function::all(&shared.models) {
        state.register_udf(Arc::new(function))?;
    }
    Ok(())
}
