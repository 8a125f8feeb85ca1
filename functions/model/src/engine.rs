//! What runs a bundle: an [`Engine`] loads it once into a [`Session`], which scores batches from any thread.

use std::sync::Arc;

use crate::plan::Plan;
use crate::tract::TractEngine;
use crate::{Bundle, Error, Tensor};

/// A way to run models, for example the CPU.
pub trait Engine: Send + Sync {
    /// A short name for messages and plans: `cpu`, `gpu`.
    fn name(&self) -> &'static str;

    /// Prepares a model once; the session is then shared by all callers.
    fn load(&self, bundle: &Bundle) -> Result<Arc<dyn Session>, Error>;
}

/// A model that is ready to score.
pub trait Session: Send + Sync {
    /// Scores a batch.
    ///
    /// Takes one tensor per input of the signature, in order: `[n]` or `[n, 1]` for a scalar, `[n, width]` for a vector
    /// (what [`Signature::bind`](crate::Signature::bind) makes). Gives one per output, in order: `[n]` for a scalar,
    /// `[n, width]` for a vector. No rows give no rows. A row's result does not depend on the other rows of its batch,
    /// but for the rounding of dense stages.
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error>;

    /// The stages that the model was split into and what runs each, one line a stage, for `EXPLAIN`.
    fn stages(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Runs every model on the CPU: own kernels for `ai.onnx.ml`, text and light operators, tract for the dense rest.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuEngine;

impl Engine for CpuEngine {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn load(&self, bundle: &Bundle) -> Result<Arc<dyn Session>, Error> {
        Ok(Arc::new(Plan::new(bundle)?.session(&TractEngine)?))
    }
}
