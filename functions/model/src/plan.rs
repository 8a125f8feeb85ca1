//! Splits an ONNX graph into stages: own kernels (`ai.onnx.ml`, text, light operators), and dense sub-graphs that a
//! [`DenseEngine`] runs. A model is split in the same place whichever engine runs its dense stages.

use crate::{Bundle, DataType, Error, Session, Tensor};

/// A dimension of a value inside a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// As many as the batch has rows.
    Batch,
    /// A fixed number.
    Fixed(usize),
    /// Not known before the model runs.
    Unknown,
}

/// An input or output of a dense sub-graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DensePort {
    /// The value's name in the graph.
    pub name: String,
    /// The element type; never text.
    pub data_type: DataType,
    /// The dimensions, where the rank is known.
    pub shape: Option<Vec<Dim>>,
}

/// A self-contained sub-graph of ONNX's own operators, with its initializers.
#[derive(Clone, Debug)]
pub struct DenseGraph {
    /// The model's name, for messages.
    pub name: String,
    /// Inputs in the order that programs take them.
    pub inputs: Vec<DensePort>,
    /// Outputs in the order that programs give them.
    pub outputs: Vec<DensePort>,
}

impl DenseGraph {
    /// The sub-graph as an ONNX file. With a batch size, every batch dimension of inputs and outputs is that number,
    /// for engines that need static shapes; else it is symbolic.
    pub fn onnx(&self, batch: Option<usize>) -> Vec<u8> {
        let _ = batch;
        Vec::new()
    }
}

/// A way to run dense sub-graphs: tract on the CPU, wonnx on a GPU.
pub trait DenseEngine: Send + Sync {
    /// A short name for plans.
    fn name(&self) -> &'static str;

    /// Prepares a sub-graph once per model.
    fn compile(&self, graph: &DenseGraph) -> Result<Box<dyn DenseProgram>, Error>;
}

/// A dense sub-graph that is ready to run.
pub trait DenseProgram: Send + Sync {
    /// Takes and gives tensors in the order of the sub-graph's inputs and outputs. The batch is never empty.
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error>;
}

/// A model split into stages.
pub struct Plan {}

impl Plan {
    /// Splits a model and checks that every node can be run.
    pub fn new(bundle: &Bundle) -> Result<Self, Error> {
        Err(Error::onnx(bundle.name(), "todo"))
    }

    /// The dense sub-graphs, in order.
    pub fn dense(&self) -> &[DenseGraph] {
        &[]
    }

    /// Prepares a session whose dense stages run on `engine`.
    pub fn session(&self, engine: &dyn DenseEngine) -> Result<PlannedSession, Error> {
        Err(Error::Engine { engine: engine.name().to_owned(), reason: "todo".to_owned() })
    }
}

/// A split model that is ready to score.
pub struct PlannedSession {}

impl Session for PlannedSession {
    fn run(&self, _inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        Ok(Vec::new())
    }
}
