//! A run of nodes on the GPU, and the model that wonnx gets for it at a given batch.

use std::collections::HashMap;

use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, attribute_proto::AttributeType, tensor_shape_proto, type_proto,
};

use super::{CpuPiece, FLOAT, Matrix};

/// wonnx multiplies matrices in blocks of this many rows and columns, so every dimension is padded to a multiple.
pub(crate) const BLOCK: usize = 4;

/// The batches that sessions are made for; rows are padded to the next one.
pub(crate) const BATCHES: [usize; 6] = [4, 16, 64, 256, 1024, 4096];

/// WebGPU's limit on workgroups in a dimension. Beyond it wonnx makes larger workgroups that run past the end of the
/// data, so pieces stay below.
const MAX_WORKGROUPS: usize = 65_535;

/// What wonnx calls the operators' version; the newest at which it accepts all that is used here.
const OPSET: i64 = 13;

/// One input of a step.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    /// A value of the graph.
    Value(String),
    /// A constant, added to (or multiplied with, …) every row.
    Row(Matrix),
}

/// What a step does.
#[derive(Clone, Debug)]
pub(crate) enum StepKind {
    /// The output is the input under another name.
    Alias,
    /// A function of each element.
    Map { op: String, alpha: Option<f32> },
    /// An operation on each pair of elements.
    Arithmetic { op: String },
    /// The input times a constant matrix, plus a constant row.
    Product { weight: Matrix, bias: Option<Matrix> },
}

/// One node on the GPU.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) node: String,
    pub(crate) kind: StepKind,
    pub(crate) inputs: Vec<Operand>,
    pub(crate) output: String,
}

/// A run of nodes on the GPU.
pub(crate) struct GpuPiece {
    /// The same nodes for the CPU, for rows that the GPU is not to be trusted with.
    pub(crate) twin: CpuPiece,
    /// The values taken from outside, with their columns.
    pub(crate) inputs: Vec<(String, usize)>,
    /// The values that others need, with the value that holds them (see [`StepKind::Alias`]) and their columns.
    pub(crate) outputs: Vec<(String, String, usize)>,
    steps: Vec<Step>,
    widths: HashMap<String, usize>,
    /// The largest batch that one session can take; 0 where even the smallest is too large.
    pub(crate) max_batch: usize,
}

impl GpuPiece {
    pub(crate) fn new(twin: CpuPiece, steps: Vec<Step>, known: &HashMap<String, usize>) -> Self {
        let mut widths = known.clone();
        let mut holders: HashMap<String, String> = HashMap::new();
        for step in &steps {
            if let (StepKind::Product { weight, .. }, [Operand::Value(input)]) = (&step.kind, step.inputs.as_slice()) {
                widths.entry(input.clone()).or_insert(weight.rows);
            }
            if let (StepKind::Alias, [Operand::Value(input)]) = (&step.kind, step.inputs.as_slice()) {
                let holder = holders.get(input).unwrap_or(input).clone();
                holders.insert(step.output.clone(), holder);
            }
        }
        let width = |name: &String| widths.get(name).copied().unwrap_or(0);
        let inputs: Vec<(String, usize)> = twin.inputs.iter().map(|name| (name.clone(), width(name))).collect();
        let outputs: Vec<(String, String, usize)> = twin
            .outputs
            .iter()
            .map(|name| (name.clone(), holders.get(name).unwrap_or(name).clone(), width(name)))
            .collect();
        let mut steps: Vec<Step> = steps.into_iter().filter(|step| !matches!(step.kind, StepKind::Alias)).collect();
        for operand in steps.iter_mut().flat_map(|step| &mut step.inputs) {
            if let Operand::Value(name) = operand
                && let Some(holder) = holders.get(name)
            {
                name.clone_from(holder);
            }
        }
        fuse_bias(&mut steps, &outputs);
        let max_batch = max_batch(&steps, &widths);
        Self { twin, inputs, outputs, steps, widths, max_batch }
    }

    /// The smallest session batch for so many rows, or the largest there is.
    pub(crate) fn batch_for(&self, rows: usize) -> usize {
        BATCHES.into_iter().find(|&batch| batch >= rows).unwrap_or(self.max_batch).min(self.max_batch)
    }

    /// The names of the nodes, for messages.
    pub(crate) fn nodes(&self) -> String {
        self.steps.iter().map(|step| step.node.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The model that wonnx compiles: every shape fixed, every dimension a multiple of [`BLOCK`].
    pub(crate) fn model(&self, batch: usize) -> ModelProto {
        let mut graph = GraphProto { name: "piece".to_owned(), ..GraphProto::default() };
        let width = |name: &String| padded(self.widths.get(name).copied().unwrap_or(0));
        for (name, columns) in &self.inputs {
            graph.input.push(value(name, batch, padded(*columns)));
        }
        for (_, holder, columns) in &self.outputs {
            let given = self.inputs.iter().any(|(input, _)| input == holder);
            if !given && !graph.output.iter().any(|output| output.name == *holder) {
                graph.output.push(value(holder, batch, padded(*columns)));
            }
        }
        for (index, step) in self.steps.iter().enumerate() {
            let columns = width(&step.output);
            let mut inputs = Vec::with_capacity(3);
            for operand in &step.inputs {
                inputs.push(match operand {
                    Operand::Value(name) => name.clone(),
                    Operand::Row(row) => {
                        // One is the neutral padding of a divisor, and does no harm elsewhere.
                        let name = format!("step{index}.row");
                        graph.initializer.push(tensor(&name, &[1, columns], row.padded(1, columns, 1.0)));
                        name
                    }
                });
            }
            let (op, attribute) = match &step.kind {
                StepKind::Alias => continue,
                StepKind::Map { op, alpha } => (op.as_str(), alpha.map(|alpha| float_attribute("alpha", alpha))),
                StepKind::Arithmetic { op } => (op.as_str(), None),
                StepKind::Product { weight, bias } => {
                    let rows = padded(weight.rows);
                    let name = format!("step{index}.weight");
                    graph.initializer.push(tensor(&name, &[rows, columns], weight.padded(rows, columns, 0.0)));
                    inputs.push(name);
                    if let Some(bias) = bias {
                        let name = format!("step{index}.bias");
                        graph.initializer.push(tensor(&name, &[1, columns], bias.padded(1, columns, 0.0)));
                        inputs.push(name);
                    }
                    ("Gemm", None)
                }
            };
            graph.value_info.push(value(&step.output, batch, columns));
            graph.node.push(NodeProto {
                name: step.node.clone(),
                op_type: op.to_owned(),
                input: inputs,
                output: vec![step.output.clone()],
                attribute: attribute.into_iter().collect(),
                ..NodeProto::default()
            });
        }
        ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
            graph: Some(graph),
            ..ModelProto::default()
        }
    }
}

/// The next multiple of [`BLOCK`].
pub(crate) fn padded(columns: usize) -> usize {
    columns.next_multiple_of(BLOCK)
}

/// `MatMul` followed by `Add` of a constant row becomes one product: scikit-learn's converter writes every layer so.
fn fuse_bias(steps: &mut Vec<Step>, outputs: &[(String, String, usize)]) {
    let mut at = 0;
    while at < steps.len() {
        if let Some(bias) = bias_after(steps, at, outputs)
            && let Some(Step { kind: StepKind::Product { bias: slot, .. }, output, .. }) = steps.get_mut(at)
        {
            *slot = Some(bias.row);
            *output = bias.output;
            steps.remove(bias.at);
        }
        at += 1;
    }
}

struct Bias {
    at: usize,
    row: Matrix,
    output: String,
}

/// The addition that is the only user of the product at `at`, where there is one.
fn bias_after(steps: &[Step], at: usize, outputs: &[(String, String, usize)]) -> Option<Bias> {
    let Step { kind: StepKind::Product { bias: None, .. }, output, .. } = steps.get(at)? else { return None };
    if outputs.iter().any(|(_, holder, _)| holder == output) {
        return None;
    }
    let reads = |step: &Step| step.inputs.iter().any(|input| matches!(input, Operand::Value(name) if name == output));
    let mut readers = steps.iter().enumerate().filter(|(_, step)| reads(step));
    let ((index, addition), None) = (readers.next()?, readers.next()) else { return None };
    let StepKind::Arithmetic { op } = &addition.kind else { return None };
    let ([Operand::Value(_), Operand::Row(row)] | [Operand::Row(row), Operand::Value(_)]) = addition.inputs.as_slice()
    else {
        return None;
    };
    (op == "Add").then(|| Bias { at: index, row: row.clone(), output: addition.output.clone() })
}

fn max_batch(steps: &[Step], widths: &HashMap<String, usize>) -> usize {
    let fits = |batch: usize| {
        steps.iter().all(|step| {
            let elements = batch.saturating_mul(padded(widths.get(&step.output).copied().unwrap_or(0)));
            // What one invocation computes: a block of a product, a vector of four, or a single element.
            let each = match step.kind {
                StepKind::Product { .. } => BLOCK * BLOCK,
                StepKind::Map { .. } | StepKind::Alias => 4,
                StepKind::Arithmetic { .. } => 1,
            };
            elements / each <= MAX_WORKGROUPS
        })
    };
    BATCHES.into_iter().rev().find(|&batch| fits(batch)).unwrap_or(0)
}

fn value(name: &str, rows: usize, cols: usize) -> ValueInfoProto {
    let dimension = |n: usize| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(n as i64)),
        ..tensor_shape_proto::Dimension::default()
    };
    let tensor = type_proto::Tensor {
        elem_type: FLOAT,
        shape: Some(TensorShapeProto { dim: vec![dimension(rows), dimension(cols)] }),
    };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.to_owned(), r#type: Some(r#type), ..ValueInfoProto::default() }
}

fn tensor(name: &str, dims: &[usize], data: Vec<f32>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.iter().map(|&n| n as i64).collect(),
        data_type: FLOAT,
        float_data: data,
        ..TensorProto::default()
    }
}

fn float_attribute(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: AttributeType::Float as i32, f: value, ..AttributeProto::default() }
}
