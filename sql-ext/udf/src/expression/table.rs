//! The fixed function table of feature expressions: DataFusion's functions, with the transcendental ones replaced by
//! the catalog's over `libm`, the float aggregates by exact ones, and the catalog's own functions added.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use datafusion_expr::{AggregateUDF, ScalarUDF};

use crate::functions;

static SCALARS: LazyLock<BTreeMap<String, Arc<ScalarUDF>>> = LazyLock::new(|| {
    let mut table = BTreeMap::new();
    // Later entries replace earlier ones of the same name.
    let all = datafusion_functions::all_default_functions()
        .into_iter()
        .chain(functions::pinned_math())
        .chain(functions::scalars());
    for function in all {
        for alias in function.aliases() {
            table.insert(alias.clone(), Arc::clone(&function));
        }
        table.insert(function.name().to_owned(), function);
    }
    table
});

static AGGREGATES: LazyLock<BTreeMap<String, Arc<AggregateUDF>>> = LazyLock::new(|| {
    let mut table = BTreeMap::new();
    let all = datafusion_functions_aggregate::all_default_aggregate_functions()
        .into_iter()
        .chain(functions::exact_aggregates())
        .chain(functions::aggregates());
    for function in all {
        for alias in function.aliases() {
            table.insert(alias.clone(), Arc::clone(&function));
        }
        table.insert(function.name().to_owned(), function);
    }
    table
});

/// The scalar function of that name or alias.
pub fn scalar(name: &str) -> Option<Arc<ScalarUDF>> {
    SCALARS.get(name).map(Arc::clone)
}

/// The aggregate function of that name or alias.
pub fn aggregate(name: &str) -> Option<Arc<AggregateUDF>> {
    AGGREGATES.get(name).map(Arc::clone)
}

/// Names and aliases of the scalar functions, sorted.
pub fn scalar_names() -> Vec<String> {
    SCALARS.keys().cloned().collect()
}

/// Names and aliases of the aggregate functions, sorted.
pub fn aggregate_names() -> Vec<String> {
    AGGREGATES.keys().cloned().collect()
}
