//! The engine: the dense stages of a model's plan on the GPU, everything else where the CPU engine runs it.

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message;
use skewless_model::plan::{DenseEngine, DenseGraph, DensePort, DenseProgram, Dim, Plan};
use skewless_model::{Bundle, DataType, Engine, Error as ModelError, Session, Tensor, TractEngine};
use tract_onnx::pb::ModelProto;

use crate::error::Error;
use crate::lower::{CpuPiece, Lowered, Piece, Placement, lower};
use crate::session::Program;

/// Runs the dense stages of models on a GPU, through wonnx.
///
/// One device is shared by the whole process. `WGPU_BACKEND` and `WGPU_ADAPTER_NAME` choose it, see [`wgpu::connect`].
/// Rows that hold NaN, an infinity or a number so large that sums of it may overflow are run on the CPU: WGSL promises
/// nothing of what then comes about.
#[derive(Clone, Debug)]
pub struct WonnxEngine {
    device: String,
}

impl WonnxEngine {
    /// Opens the device, or says why there is none.
    pub fn new() -> Result<Self, Error> {
        let info = wgpu::connect().map_err(|error| Error::NoDevice(error.to_string()))?;
        Ok(Self { device: format!("{} ({:?})", info.name, info.backend) })
    }

    /// The adapter's name and its back end, such as `llvmpipe (LLVM 15.0.6, 256 bits) (Vulkan)`.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Where each node of a model's dense stages runs, and why not on the GPU where it does not.
    pub fn placements(&self, bundle: &Bundle) -> Result<Vec<Placement>, ModelError> {
        let plan = Plan::new(bundle)?;
        let mut placements = Vec::new();
        for graph in plan.dense() {
            placements.extend(lowered(graph)?.placements);
        }
        Ok(placements)
    }
}

impl Engine for WonnxEngine {
    fn name(&self) -> &'static str {
        "gpu"
    }

    fn load(&self, bundle: &Bundle) -> Result<Arc<dyn Session>, ModelError> {
        Ok(Arc::new(Plan::new(bundle)?.session(self)?))
    }
}

impl DenseEngine for WonnxEngine {
    fn name(&self) -> &'static str {
        "wonnx"
    }

    fn compile(&self, graph: &DenseGraph) -> Result<Box<dyn DenseProgram>, ModelError> {
        let lowered = lowered(graph)?;
        for placement in lowered.placements.iter().filter(|placement| !placement.gpu) {
            log::info!("{}: {} ({}) runs on the CPU: {}", graph.name, placement.node, placement.op, placement.reason);
        }
        if !lowered.pieces.iter().any(|piece| matches!(piece, Piece::Gpu(piece) if piece.max_batch > 0)) {
            return TractEngine.compile(graph);
        }
        let mut ports: HashMap<String, DensePort> =
            graph.inputs.iter().map(|port| (port.name.clone(), port.clone())).collect();
        let mut stages = Vec::with_capacity(lowered.pieces.len());
        for piece in lowered.pieces {
            stages.push(match piece {
                Piece::Gpu(piece) if piece.max_batch > 0 => {
                    for (name, width) in &piece.inputs {
                        ports.entry(name.clone()).or_insert_with(|| matrix(name, *width));
                    }
                    let twin = Twin::compile(graph, &piece.twin, &mut ports)?;
                    let program = Program::new(piece)
                        .map_err(|error| ModelError::Engine { engine: "gpu".to_owned(), reason: error.to_string() })?;
                    Stage::Gpu(Box::new(program), twin)
                }
                Piece::Gpu(piece) => Stage::Cpu(Twin::compile(graph, &piece.twin, &mut ports)?),
                Piece::Cpu(piece) => Stage::Cpu(Twin::compile(graph, &piece, &mut ports)?),
            });
        }
        let names = |ports: &[DensePort]| ports.iter().map(|port| port.name.clone()).collect();
        Ok(Box::new(Split {
            model: graph.name.clone(),
            inputs: names(&graph.inputs),
            outputs: names(&graph.outputs),
            stages,
        }))
    }
}

fn lowered(graph: &DenseGraph) -> Result<Lowered, ModelError> {
    let model = ModelProto::decode(graph.onnx(None).as_slice())
        .map_err(|error| ModelError::Onnx { model: graph.name.clone(), reason: error.to_string() })?;
    Ok(lower(&model))
}

fn matrix(name: &str, width: usize) -> DensePort {
    DensePort { name: name.to_owned(), data_type: DataType::Float32, shape: Some(vec![Dim::Batch, Dim::Fixed(width)]) }
}

/// A part of a dense stage on the CPU.
struct Twin {
    inputs: Vec<String>,
    outputs: Vec<String>,
    program: Box<dyn DenseProgram>,
}

impl Twin {
    /// Compiles a part whose inputs are known, and makes its outputs known.
    fn compile(
        graph: &DenseGraph,
        piece: &CpuPiece,
        ports: &mut HashMap<String, DensePort>,
    ) -> Result<Self, ModelError> {
        let unknown = |name: &String| DensePort { name: name.clone(), data_type: DataType::Float32, shape: None };
        let inputs = piece.inputs.iter().map(|name| ports.get(name).cloned().unwrap_or_else(|| unknown(name)));
        let part = DenseGraph::new(graph.name.clone(), piece.model.clone(), inputs.collect())?;
        ports.extend(part.outputs.iter().map(|port| (port.name.clone(), port.clone())));
        let program = TractEngine.compile(&part)?;
        Ok(Self { inputs: piece.inputs.clone(), outputs: piece.outputs.clone(), program })
    }
}

enum Stage {
    Gpu(Box<Program>, Twin),
    Cpu(Twin),
}

/// A dense stage cut into parts.
struct Split {
    model: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
    stages: Vec<Stage>,
}

impl DenseProgram for Split {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, ModelError> {
        let mut values: HashMap<&str, Tensor> =
            self.inputs.iter().map(String::as_str).zip(inputs.iter().cloned()).collect();
        for stage in &self.stages {
            let (Stage::Gpu(_, twin) | Stage::Cpu(twin)) = stage;
            let given = twin.inputs.iter().map(|name| self.value(&values, name)).collect::<Result<Vec<Tensor>, _>>()?;
            let made = match stage {
                Stage::Gpu(program, twin) => self.run_gpu(program, twin, &given)?,
                Stage::Cpu(twin) => twin.program.run(&given)?,
            };
            values.extend(twin.outputs.iter().map(String::as_str).zip(made));
        }
        self.outputs.iter().map(|name| self.value(&values, name)).collect()
    }
}

impl Split {
    fn value(&self, values: &HashMap<&str, Tensor>, name: &str) -> Result<Tensor, ModelError> {
        values.get(name).cloned().ok_or_else(|| self.failed(format!("the value `{name}` was not computed")))
    }

    fn failed(&self, reason: String) -> ModelError {
        ModelError::Run { model: self.model.clone(), reason }
    }

    fn run_gpu(&self, program: &Program, twin: &Twin, given: &[Tensor]) -> Result<Vec<Tensor>, ModelError> {
        let Some((rows, matrices)) = matrices(given, &program.piece.inputs) else { return twin.program.run(given) };
        let mut odd: Vec<bool> = vec![false; rows];
        for (matrix, (_, columns)) in matrices.iter().zip(&program.piece.inputs) {
            mark(&mut odd, matrix, *columns);
        }
        if odd.iter().all(|odd| *odd) {
            return twin.program.run(given);
        }
        let mut made = program.run(&matrices, rows).map_err(|error| self.failed(error.to_string()))?;
        for output in &made {
            mark(&mut odd, &output.data, output.columns);
        }
        let odd: Vec<usize> = odd.iter().enumerate().filter(|(_, odd)| **odd).map(|(row, _)| row).collect();
        if !odd.is_empty() {
            let some = matrices
                .iter()
                .zip(&program.piece.inputs)
                .map(|(matrix, (_, columns))| {
                    let data = odd.iter().flat_map(|row| slice(matrix, *row, *columns)).copied().collect();
                    Tensor::float32(vec![odd.len(), *columns], data)
                })
                .collect::<Result<Vec<_>, _>>()?;
            let exact = twin.program.run(&some)?;
            for (output, exact) in made.iter_mut().zip(&exact) {
                let Tensor::Float32(exact) = exact else {
                    return Err(self.failed("the CPU gave another type than the GPU".to_owned()));
                };
                for (row, values) in odd.iter().zip(exact.data().chunks(output.columns.max(1))) {
                    let range = row * output.columns..(row + 1) * output.columns;
                    if let Some(place) = output.data.get_mut(range).filter(|place| place.len() == values.len()) {
                        place.copy_from_slice(values);
                    }
                }
            }
        }
        made.into_iter().map(|output| Tensor::float32(vec![rows, output.columns], output.data)).collect()
    }
}

/// The tensors as matrices of floats of these widths and one height; nothing where one is none.
fn matrices<'a>(given: &'a [Tensor], inputs: &[(String, usize)]) -> Option<(usize, Vec<&'a [f32]>)> {
    let rows = given.first()?.batch();
    let mut matrices = Vec::with_capacity(given.len());
    for (tensor, (_, width)) in given.iter().zip(inputs) {
        match tensor {
            Tensor::Float32(array) if array.shape() == [rows, *width] => matrices.push(array.data()),
            _ => return None,
        }
    }
    Some((rows, matrices))
}

/// Larger numbers than this may overflow within a few layers.
const LARGEST: f32 = 1e15;

/// Marks the rows that hold anything but numbers of ordinary size.
fn mark(odd: &mut [bool], matrix: &[f32], columns: usize) {
    for (odd, row) in odd.iter_mut().zip(matrix.chunks(columns.max(1))) {
        *odd |= !row.iter().all(|value| value.abs() <= LARGEST);
    }
}

fn slice(matrix: &[f32], row: usize, columns: usize) -> &[f32] {
    matrix.get(row * columns..(row + 1) * columns).unwrap_or_default()
}
