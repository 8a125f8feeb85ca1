//! The catalog as DataFusion functions.

use std::sync::Arc;

use datafusion_common::Result;
use datafusion_expr::registry::FunctionRegistry;
use datafusion_expr::{AggregateUDF, ScalarUDF};

/// The catalog's scalar functions.
pub fn scalars() -> Vec<Arc<ScalarUDF>> {
    Vec::new()
}

/// The transcendental functions over the pinned `libm`, under DataFusion's names.
pub fn pinned_math() -> Vec<Arc<ScalarUDF>> {
    Vec::new()
}

/// The catalog's aggregate functions.
pub fn aggregates() -> Vec<Arc<AggregateUDF>> {
    Vec::new()
}

/// `sum`, `avg`, `var*` and `stddev*`, exact and independent of order.
pub fn exact_aggregates() -> Vec<Arc<AggregateUDF>> {
    Vec::new()
}

/// Registers the catalog's functions.
pub fn register_all(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in scalars() {
        registry.register_udf(function)?;
    }
    for function in aggregates() {
        registry.register_udaf(function)?;
    }
    Ok(())
}
