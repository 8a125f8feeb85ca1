//! The catalog as DataFusion functions: one adapter for every scalar function, one for every aggregate, one for every
//! detector (a window function). Beside them, for
//! use inside feature views, the transcendental functions over `libm` and float aggregates that no order changes.

mod aggregate;
mod convert;
mod exact;
mod grouped;
mod math;
mod scalar;
mod types;
mod window;

use std::sync::{Arc, LazyLock};

use datafusion_common::{DataFusionError, Result};
use datafusion_expr::registry::FunctionRegistry;
use datafusion_expr::{AggregateUDF, DocSection, Documentation, ScalarUDF, WindowUDF};
use skewless_catalog::function::{Function, Kind, names, signature};
use skewless_catalog::{FUNCTIONS, Section, Value};

pub(crate) use exact::ExactState;
pub use exact::exact_aggregates;
pub use math::pinned_math;

static SCALARS: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
    let of_kind = FUNCTIONS.iter().filter(|function| function.kind() == Kind::Scalar);
    of_kind.map(|function| Arc::new(ScalarUDF::from(scalar::Scalar::new(*function)))).collect()
});

static AGGREGATES: LazyLock<Vec<Arc<AggregateUDF>>> = LazyLock::new(|| {
    let of_kind = FUNCTIONS.iter().filter(|function| function.kind() == Kind::Aggregate);
    of_kind.map(|function| Arc::new(AggregateUDF::from(aggregate::Aggregate::new(*function)))).collect()
});

/// The catalog's scalar functions.
pub fn scalars() -> Vec<Arc<ScalarUDF>> {
    SCALARS.clone()
}

/// The catalog's aggregate functions.
pub fn aggregates() -> Vec<Arc<AggregateUDF>> {
    AGGREGATES.clone()
}

/// The catalog's detectors.
pub fn windows() -> Vec<Arc<WindowUDF>> {
    let of_kind = FUNCTIONS.iter().filter(|function| function.kind() == Kind::Window);
    of_kind.map(|function| Arc::new(WindowUDF::from(window::Window::new(*function)))).collect()
}

/// Registers the catalog's functions.
pub fn register_all(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in scalars() {
        registry.register_udf(function)?;
    }
    for function in aggregates() {
        registry.register_udaf(function)?;
    }
    for function in windows() {
        registry.register_udwf(function)?;
    }
    Ok(())
}

/// All names but the first, which is the function's own.
fn aliases(function: &dyn Function) -> Vec<String> {
    names(function).into_iter().skip(1).collect()
}

/// What `SHOW FUNCTIONS` tells.
fn documentation(function: &dyn Function) -> Documentation {
    let label = match function.section() {
        Section::Features => "Feature Functions",
        Section::Drift => "Drift Functions",
        Section::Profiles => "Profile Functions",
        Section::Detectors => "Change Detectors",
        Section::Quality => "Model Quality Functions",
    };
    let section = DocSection { include: true, label, description: None };
    let mut builder = Documentation::builder(section, function.short(), signature(function));
    for arg in function.args() {
        builder = builder.with_argument(arg.name, arg.about);
    }
    if let (Kind::Scalar, Some(example)) = (function.kind(), function.examples().first()) {
        let args: Vec<String> = example.rows.iter().flatten().map(Value::to_string).collect();
        builder = builder.with_sql_example(format!("SELECT {}({});", function.name(), args.join(", ")));
    }
    builder.build()
}

/// A refusal by the catalog while a query runs.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err calls")]
fn refused(error: skewless_catalog::Error) -> DataFusionError {
    DataFusionError::Execution(error.to_string())
}

#[cfg(test)]
mod tests;
