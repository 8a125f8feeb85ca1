//! From an ONNX graph to what wonnx can run: which nodes go to the GPU, in which pieces, and in what form.
//!
//! wonnx bakes every shape into its shaders, the batch included, multiplies matrices only where all dimensions share
//! a factor, knows no transposed `Gemm`, and one unknown node refuses the whole model. So the graph is cut into
//! [`Piece`]s: runs of nodes over matrices of floats with at least one matrix product become a [`GpuPiece`], everything
//! between stays on the CPU. A GPU piece is rewritten for a given batch by [`GpuPiece::model`].

mod constant;
mod piece;

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, ValueInfoProto, tensor_shape_proto, type_proto};

pub(crate) use constant::Matrix;
pub(crate) use piece::{BATCHES, GpuPiece, Operand, Step, StepKind, padded};

/// The element type that ONNX calls FLOAT.
pub(crate) const FLOAT: i32 = 1;

/// Some nodes of the graph, in order, that run on one device.
pub(crate) enum Piece {
    /// Nodes that wonnx runs.
    Gpu(GpuPiece),
    /// Nodes that stay on the CPU, as a model of their own.
    Cpu(CpuPiece),
}

/// Nodes that stay on the CPU.
pub(crate) struct CpuPiece {
    /// The model that holds these nodes only.
    pub(crate) model: ModelProto,
    /// The values that it needs from outside, in the order of the model's inputs.
    pub(crate) inputs: Vec<String>,
    /// The values that others need of it, in the order of the model's outputs.
    pub(crate) outputs: Vec<String>,
}

/// Where one node runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The node's name, or its first output where it has none.
    pub node: String,
    /// The node's operator.
    pub op: String,
    /// True where it runs on the GPU.
    pub gpu: bool,
    /// Why it stays on the CPU; empty for a node on the GPU.
    pub reason: String,
}

/// A graph cut into pieces.
pub(crate) struct Lowered {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) placements: Vec<Placement>,
}

/// What is known of a value while the graph is walked.
struct Walk<'a> {
    constants: HashMap<String, Matrix>,
    /// Names of initializers and of the outputs of `Constant` nodes, floats or not.
    fixed: HashSet<&'a str>,
    /// Columns of the values that are known to be float matrices `[batch, columns]`.
    widths: HashMap<String, usize>,
}

/// Cuts a model into pieces. The model's nodes are in topological order, as ONNX demands; a graph that is not is
/// refused by the CPU engine before it comes here.
pub(crate) fn lower(model: &ModelProto) -> Lowered {
    let empty = GraphProto::default();
    let graph = model.graph.as_ref().unwrap_or(&empty);
    let mut walk = Walk { constants: HashMap::new(), fixed: HashSet::new(), widths: HashMap::new() };
    for tensor in &graph.initializer {
        walk.fixed.insert(&tensor.name);
        if let Some(matrix) = Matrix::from_tensor(tensor) {
            walk.constants.insert(tensor.name.clone(), matrix);
        }
    }
    let mut remaining: Vec<&NodeProto> = Vec::with_capacity(graph.node.len());
    for node in &graph.node {
        match (node.op_type.as_str(), node.output.first()) {
            ("Constant", Some(output)) => {
                walk.fixed.insert(output);
                if let Some(matrix) = Matrix::from_constant(node) {
                    walk.constants.insert(output.clone(), matrix);
                }
            }
            _ => remaining.push(node),
        }
    }
    for input in graph.input.iter().chain(&graph.value_info) {
        if let Some(width) = declared_width(input) {
            walk.widths.insert(input.name.clone(), width);
        }
    }

    let mut lowered = Lowered { pieces: Vec::new(), placements: Vec::new() };
    let mut done: HashSet<&str> =
        graph.input.iter().map(|input| input.name.as_str()).chain(walk.fixed.iter().copied()).collect();
    while !remaining.is_empty() {
        let (taken, steps) = gpu_closure(&remaining, &done, &mut walk);
        let product = steps.iter().any(|step| matches!(step.kind, StepKind::Product { .. }));
        let (taken, steps) = if product { (taken, Some(steps)) } else { (cpu_closure(&remaining, &done, &walk), None) };
        // A node whose inputs nobody makes: leave it to the CPU engine to say so.
        let taken: Vec<usize> = if taken.is_empty() { (0..remaining.len()).collect() } else { taken };

        let nodes: Vec<&NodeProto> = taken.iter().filter_map(|&index| remaining.get(index).copied()).collect();
        let chosen: HashSet<usize> = taken.into_iter().collect();
        let mut index = 0;
        remaining.retain(|_| {
            index += 1;
            !chosen.contains(&(index - 1))
        });
        done.extend(nodes.iter().flat_map(|node| node.output.iter().map(String::as_str)));
        for node in &nodes {
            lowered.placements.push(Placement {
                node: name_of(node).to_owned(),
                op: node.op_type.clone(),
                gpu: product,
                reason: if product { String::new() } else { why_not(node, &walk) },
            });
        }
        let needed: HashSet<&str> = remaining
            .iter()
            .flat_map(|node| node.input.iter().map(String::as_str))
            .chain(graph.output.iter().map(|output| output.name.as_str()))
            .collect();
        lowered.pieces.push(match steps {
            Some(steps) => Piece::Gpu(GpuPiece::new(cut(model, graph, &nodes, &walk, &needed), steps, &walk.widths)),
            None => Piece::Cpu(cut(model, graph, &nodes, &walk, &needed)),
        });
    }
    lowered
}

/// A node's name for messages.
pub(crate) fn name_of(node: &NodeProto) -> &str {
    if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name }
}

/// The columns of a value declared as a float matrix.
fn declared_width(value: &ValueInfoProto) -> Option<usize> {
    let type_proto::Value::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()?;
    if tensor.elem_type != FLOAT {
        return None;
    }
    let [_, columns] = tensor.shape.as_ref()?.dim.as_slice() else { return None };
    match columns.value.as_ref()? {
        tensor_shape_proto::dimension::Value::DimValue(columns) => usize::try_from(*columns).ok().filter(|&n| n > 0),
        tensor_shape_proto::dimension::Value::DimParam(_) => None,
    }
}

/// All nodes that the GPU can run once `done` is there, with what they become.
fn gpu_closure<'a>(nodes: &[&'a NodeProto], done: &HashSet<&'a str>, walk: &mut Walk) -> (Vec<usize>, Vec<Step>) {
    let mut done = done.clone();
    let (mut taken, mut steps) = (Vec::new(), Vec::new());
    for (index, node) in nodes.iter().enumerate() {
        if !node.input.iter().all(|input| done.contains(input.as_str())) {
            continue;
        }
        if let Ok((step, width)) = walk.step(node) {
            walk.widths.insert(step.output.clone(), width);
            steps.push(step);
            taken.push(index);
            done.extend(node.output.iter().map(String::as_str));
        }
    }
    (taken, steps)
}

/// All nodes that can run on the CPU once `done` is there, up to the next product that the GPU could do.
fn cpu_closure<'a>(nodes: &[&'a NodeProto], done: &HashSet<&'a str>, walk: &Walk) -> Vec<usize> {
    let mut done = done.clone();
    let mut taken = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let ready = node.input.iter().all(|input| input.is_empty() || done.contains(input.as_str()));
        let product = matches!(walk.step(node), Ok((Step { kind: StepKind::Product { .. }, .. }, _)));
        if ready && !product {
            taken.push(index);
            done.extend(node.output.iter().map(String::as_str));
        }
    }
    taken
}

fn why_not(node: &NodeProto, walk: &Walk) -> String {
    match walk.step(node) {
        Err(reason) => reason,
        Ok(_) => "no matrix product beside it makes the way to the GPU worth while".to_owned(),
    }
}

impl Walk<'_> {
    /// What a node becomes on the GPU and the columns of its output, or why it cannot.
    fn step(&self, node: &NodeProto) -> Result<(Step, usize), String> {
        if !(node.domain.is_empty() || node.domain == "ai.onnx") {
            return Err(format!("wonnx has no operators of the domain {}", node.domain));
        }
        let [output] = node.output.as_slice() else { return Err("it has several outputs".to_owned()) };
        let step = |kind, inputs: Vec<Operand>, width| {
            Ok((Step { node: name_of(node).to_owned(), kind, inputs, output: output.clone() }, width))
        };
        let dynamic = |name: &String| {
            if self.fixed.contains(name.as_str()) {
                return Err(format!("its input `{name}` is a constant"));
            }
            self.widths
                .get(name)
                .copied()
                .ok_or_else(|| format!("`{name}` is not known to be a matrix of floats with a fixed number of columns"))
        };
        match (node.op_type.as_str(), node.input.as_slice()) {
            ("Identity", [input]) => step(StepKind::Alias, vec![Operand::Value(input.clone())], dynamic(input)?),
            ("Cast", [input]) if integer(node, "to", 0) == i64::from(FLOAT) => {
                step(StepKind::Alias, vec![Operand::Value(input.clone())], dynamic(input)?)
            }
            ("Relu" | "Sigmoid" | "Tanh", [input]) => {
                let kind = StepKind::Map { op: node.op_type.clone(), alpha: None };
                step(kind, vec![Operand::Value(input.clone())], dynamic(input)?)
            }
            ("LeakyRelu" | "Elu", [input]) => {
                let default = if node.op_type == "Elu" { 1.0 } else { 0.01 };
                let kind = StepKind::Map { op: node.op_type.clone(), alpha: Some(float(node, "alpha", default)) };
                step(kind, vec![Operand::Value(input.clone())], dynamic(input)?)
            }
            ("Add" | "Sub" | "Mul" | "Div", [left, right]) => {
                let (kind, inputs, width) = self.arithmetic(node, left, right)?;
                step(kind, inputs, width)
            }
            ("MatMul", [left, right]) => {
                let weight = self.weight(right)?.clone();
                let width = weight.cols;
                self.product_input(left, weight.rows)?;
                step(StepKind::Product { weight, bias: None }, vec![Operand::Value(left.clone())], width)
            }
            ("Gemm", [left, right, bias @ ..]) if bias.len() <= 1 => {
                let (weight, bias) = self.gemm(node, right, bias.first())?;
                let width = weight.cols;
                self.product_input(left, weight.rows)?;
                step(StepKind::Product { weight, bias }, vec![Operand::Value(left.clone())], width)
            }
            (op, _) => Err(format!("wonnx has no `{op}` in this form")),
        }
    }

    fn weight(&self, name: &str) -> Result<&Matrix, String> {
        let matrix = self.constants.get(name).ok_or_else(|| format!("its weights `{name}` are not constant floats"))?;
        if matrix.rank == 2 && matrix.rows > 0 && matrix.cols > 0 {
            Ok(matrix)
        } else {
            Err(format!("its weights `{name}` are no matrix"))
        }
    }

    /// The left side of a product has as many columns as the weights have rows. Where its width is not known here, it
    /// is checked when the piece runs.
    fn product_input(&self, name: &str, rows: usize) -> Result<(), String> {
        if self.fixed.contains(name) {
            return Err(format!("its input `{name}` is a constant"));
        }
        match self.widths.get(name) {
            Some(&width) if width != rows => Err(format!("`{name}` has {width} columns, its weights have {rows} rows")),
            _ => Ok(()),
        }
    }

    /// `alpha * A * B + beta * C` as a product with both factors worked into the constants.
    fn gemm(&self, node: &NodeProto, b: &str, c: Option<&String>) -> Result<(Matrix, Option<Matrix>), String> {
        if integer(node, "transA", 0) != 0 {
            return Err("wonnx has no Gemm with transA".to_owned());
        }
        let mut weight = self.weight(b)?.clone();
        if integer(node, "transB", 0) != 0 {
            weight = weight.transposed();
        }
        weight.scale(float(node, "alpha", 1.0));
        let bias = match c.filter(|name| !name.is_empty()) {
            None => None,
            Some(name) => {
                let bias =
                    self.constants.get(name).ok_or_else(|| format!("its bias `{name}` is not a constant of floats"))?;
                let mut bias = bias.as_row(weight.cols).ok_or_else(|| format!("its bias `{name}` is not one row"))?;
                bias.scale(float(node, "beta", 1.0));
                Some(bias)
            }
        };
        Ok((weight, bias))
    }

    fn arithmetic(
        &self,
        node: &NodeProto,
        left: &String,
        right: &String,
    ) -> Result<(StepKind, Vec<Operand>, usize), String> {
        let kind = StepKind::Arithmetic { op: node.op_type.clone() };
        let width = |name: &String| {
            self.widths
                .get(name)
                .copied()
                .ok_or_else(|| format!("`{name}` is not known to be a matrix of floats with a fixed number of columns"))
        };
        let row = |name: &String, width| {
            let matrix = self.constants.get(name).and_then(|matrix| matrix.as_row(width));
            matrix.ok_or_else(|| format!("its constant `{name}` is not one row of {width} floats"))
        };
        match (self.fixed.contains(left.as_str()), self.fixed.contains(right.as_str())) {
            (false, false) => {
                let (a, b) = (width(left)?, width(right)?);
                if a != b {
                    return Err(format!("`{left}` has {a} columns and `{right}` {b}"));
                }
                Self::divisor(node, a)?;
                Ok((kind, vec![Operand::Value(left.clone()), Operand::Value(right.clone())], a))
            }
            (false, true) => {
                let columns = width(left)?;
                Ok((kind, vec![Operand::Value(left.clone()), Operand::Row(row(right, columns)?)], columns))
            }
            (true, false) => {
                let columns = width(right)?;
                Self::divisor(node, columns)?;
                Ok((kind, vec![Operand::Row(row(left, columns)?), Operand::Value(right.clone())], columns))
            }
            (true, true) => Err("both its inputs are constants".to_owned()),
        }
    }

    /// The columns that pad a matrix hold zeros, which must not become divisors.
    fn divisor(node: &NodeProto, columns: usize) -> Result<(), String> {
        if node.op_type == "Div" && !columns.is_multiple_of(piece::BLOCK) {
            return Err("it divides by a matrix that has to be padded".to_owned());
        }
        Ok(())
    }
}

/// An integer attribute.
fn integer(node: &NodeProto, name: &str, default: i64) -> i64 {
    node.attribute.iter().find(|attribute| attribute.name == name).map_or(default, |attribute| attribute.i)
}

/// A float attribute.
fn float(node: &NodeProto, name: &str, default: f32) -> f32 {
    node.attribute.iter().find(|attribute| attribute.name == name).map_or(default, |attribute| attribute.f)
}

/// The model of some nodes only: what they take from outside are its inputs, what others need are its outputs.
fn cut(model: &ModelProto, graph: &GraphProto, nodes: &[&NodeProto], walk: &Walk, needed: &HashSet<&str>) -> CpuPiece {
    let made: HashSet<&str> = nodes.iter().flat_map(|node| node.output.iter().map(String::as_str)).collect();
    let used: HashSet<&str> = nodes.iter().flat_map(|node| node.input.iter().map(String::as_str)).collect();
    let mut inputs: Vec<String> = Vec::new();
    for input in nodes.iter().flat_map(|node| &node.input) {
        let outside = !input.is_empty() && !made.contains(input.as_str()) && !walk.fixed.contains(input.as_str());
        if outside && !inputs.contains(input) {
            inputs.push(input.clone());
        }
    }
    let mut outputs: Vec<String> = Vec::new();
    for output in nodes.iter().flat_map(|node| &node.output) {
        if needed.contains(output.as_str()) && !outputs.contains(output) {
            outputs.push(output.clone());
        }
    }
    let info = |name: &String| {
        let declared = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
        declared
            .into_iter()
            .find(|value| value.name == *name)
            .cloned()
            .unwrap_or_else(|| ValueInfoProto { name: name.clone(), ..ValueInfoProto::default() })
    };
    let constants = graph
        .node
        .iter()
        .filter(|node| node.op_type == "Constant" && node.output.iter().any(|output| used.contains(output.as_str())));
    let piece = GraphProto {
        name: graph.name.clone(),
        node: constants.chain(nodes.iter().copied()).cloned().collect(),
        initializer: graph.initializer.iter().filter(|tensor| used.contains(tensor.name.as_str())).cloned().collect(),
        input: inputs.iter().map(info).collect(),
        output: outputs.iter().map(info).collect(),
        ..GraphProto::default()
    };
    let model = ModelProto {
        ir_version: model.ir_version,
        opset_import: model.opset_import.clone(),
        graph: Some(piece),
        ..ModelProto::default()
    };
    CpuPiece { model, inputs, outputs }
}
