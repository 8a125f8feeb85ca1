//! Dense sub-graphs on tract.

use crate::Error;
use crate::plan::{DenseEngine, DenseGraph, DenseProgram};

/// Runs dense sub-graphs on tract, with a symbolic batch dimension.
#[derive(Clone, Copy, Debug, Default)]
pub struct TractEngine;

impl DenseEngine for TractEngine {
    fn name(&self) -> &'static str {
        "tract"
    }

    fn compile(&self, graph: &DenseGraph) -> Result<Box<dyn DenseProgram>, Error> {
        Err(Error::Engine { engine: graph.name.clone(), reason: "todo".to_owned() })
    }
}
