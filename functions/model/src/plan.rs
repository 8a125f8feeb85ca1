//! Splits an ONNX graph into stages: own kernels (`ai.onnx.ml`, text, light operators), and dense sub-graphs that a
//! [`DenseEngine`] runs. A model is split in the same place whichever engine runs its dense stages.
//!
//! *Heavy* operators (those without a kernel of ours: matrix products, convolutions, …) are dense, and so are the light
//! ones between them and the activations right behind them; everything else is ours. A model without heavy operators,
//! such as every tree ensemble and linear model, therefore has no dense stage and gives the same bits on every target.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use prost::Message;
use tract_onnx::pb;
use tract_onnx::prelude::TypedModel;

use crate::kernels::{self, Context, Fact, Kernel};
use crate::onnx::{Declared, Domain, Graph, Node, data_type, to_tensor, type_code};
use crate::signature::{Signature, Width};
use crate::tensor::Array;
use crate::{Bundle, DataType, Error, Session, Tensor, tract};

/// The name of the batch dimension in dense sub-graphs.
pub const BATCH: &str = "N";
/// The largest tensor that an operator may make out of constants.
const MOST_VALUES: usize = 1 << 28;

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
    proto: pb::ModelProto,
    typed: Arc<TypedModel>,
}

impl DenseGraph {
    /// A sub-graph of its own, for an engine that hands the nodes it lacks to another. The model's inputs are declared
    /// as `inputs` are; types and shapes of its outputs are found by analysing it.
    pub fn new(name: impl Into<String>, mut proto: pb::ModelProto, inputs: Vec<DensePort>) -> Result<Self, Error> {
        let name = name.into();
        if let Some(graph) = &mut proto.graph {
            graph.input = inputs.iter().map(|port| value_info(port, None)).collect();
        }
        let (typed, outputs) = tract::analyse(&proto).map_err(|reason| Error::onnx(&name, reason))?;
        Ok(Self { name, inputs, outputs, proto, typed })
    }

    /// The sub-graph as an ONNX file. With a batch size, every batch dimension of inputs and outputs is that number,
    /// for engines that need static shapes; else it is the symbol [`BATCH`].
    pub fn onnx(&self, batch: Option<usize>) -> Vec<u8> {
        let mut proto = self.proto.clone();
        if let Some(graph) = &mut proto.graph {
            graph.input = self.inputs.iter().map(|port| value_info(port, batch)).collect();
            graph.output = self.outputs.iter().map(|port| value_info(port, batch)).collect();
        }
        proto.encode_to_vec()
    }

    /// Its operators, in order.
    pub fn operators(&self) -> Vec<String> {
        self.proto.graph.iter().flat_map(|graph| &graph.node).map(|node| node.op_type.clone()).collect()
    }

    pub(crate) fn typed(&self) -> &Arc<TypedModel> {
        &self.typed
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

/// Where a value is kept while a model runs.
type Slot = usize;

/// One thing to do.
#[derive(Clone)]
enum Step {
    Own { kernel: Arc<dyn Kernel>, label: String, operator: String, inputs: Vec<Option<Slot>>, outputs: Vec<Slot> },
    Dense { graph: usize, inputs: Vec<Slot>, outputs: Vec<Slot> },
}

/// A model split into stages.
#[derive(Clone)]
pub struct Plan {
    model: String,
    signature: Signature,
    /// Declared shapes of the inputs, without the batch; `None` for an input of shape `[n]`.
    input_shapes: Vec<Option<Vec<usize>>>,
    steps: Vec<Step>,
    dense: Vec<DenseGraph>,
    constants: Arc<Vec<(Slot, Tensor)>>,
    slots: usize,
    outputs: Vec<Slot>,
    output_facts: Vec<Fact>,
}

impl Plan {
    /// Splits a model and checks that every node can be run.
    pub fn new(bundle: &Bundle) -> Result<Self, Error> {
        Self::of(bundle.graph(), bundle.signature().clone())
    }

    pub(crate) fn of(graph: &Graph, signature: Signature) -> Result<Self, Error> {
        let mut forced = HashSet::new();
        loop {
            match Builder::new(graph).run(&forced)? {
                // A light operator whose kernel does not take these types goes to the dense engine.
                Outcome::MakeDense(node) if forced.insert(node) => {}
                Outcome::MakeDense(_) => return Err(Error::onnx(&graph.model, "it cannot be split into stages")),
                Outcome::Done(built) => return built.finish(graph, signature),
            }
        }
    }

    /// The dense sub-graphs, in order.
    pub fn dense(&self) -> &[DenseGraph] {
        &self.dense
    }

    /// Types and shapes of the outputs, in order, where they are known.
    pub(crate) fn output_facts(&self) -> &[Fact] {
        &self.output_facts
    }

    /// Prepares a session whose dense stages run on `engine`.
    pub fn session(self, engine: &dyn DenseEngine) -> Result<PlannedSession, Error> {
        let programs = self.dense.iter().map(|graph| engine.compile(graph)).collect::<Result<_, _>>()?;
        let mut last_step = BTreeMap::new();
        for (index, step) in self.steps.iter().enumerate() {
            match step {
                Step::Own { inputs, .. } => last_step.extend(inputs.iter().flatten().map(|slot| (*slot, index))),
                Step::Dense { inputs, .. } => last_step.extend(inputs.iter().map(|slot| (*slot, index))),
            }
        }
        let mut read_last = vec![Vec::new(); self.steps.len()];
        for (slot, step) in last_step.into_iter().filter(|(slot, _)| !self.outputs.contains(slot)) {
            if let Some(slots) = read_last.get_mut(step) {
                slots.push(slot);
            }
        }
        Ok(PlannedSession { plan: self, programs, engine: engine.name(), read_last })
    }
}

/// Why building stopped.
enum Outcome<'a> {
    Done(Box<Builder<'a>>),
    MakeDense(usize),
}

/// Operators that leave a dense stage's shape as it is and belong to it when they follow it.
const ACTIVATIONS: &[&str] = &[
    "Add",
    "Clip",
    "Div",
    "Elu",
    "Identity",
    "LeakyRelu",
    "Mul",
    "Relu",
    "Selu",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Sub",
    "Tanh",
];
/// Operators that draw random numbers: their results cannot be reproduced.
const RANDOM: &[&str] =
    &["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"];

struct Builder<'a> {
    graph: &'a Graph,
    model: &'a str,
    types: HashMap<&'a str, DataType>,
    producer: HashMap<&'a str, usize>,
    facts: HashMap<&'a str, Fact>,
    slots: BTreeMap<&'a str, Slot>,
    constants: Vec<(Slot, Tensor)>,
    steps: Vec<Step>,
    dense: Vec<DenseGraph>,
}

impl<'a> Builder<'a> {
    fn new(graph: &'a Graph) -> Self {
        let mut producer = HashMap::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            for output in node.outputs().iter().filter(|name| !name.is_empty()) {
                producer.insert(output.as_str(), index);
            }
        }
        Self {
            graph,
            model: &graph.model,
            types: HashMap::new(),
            producer,
            facts: HashMap::new(),
            slots: BTreeMap::new(),
            constants: Vec::new(),
            steps: Vec::new(),
            dense: Vec::new(),
        }
    }

    fn run(mut self, forced: &HashSet<usize>) -> Result<Outcome<'a>, Error> {
        let graph = self.graph;
        for (name, tensor) in &graph.constants {
            if let Some(data_type) = data_type(tensor.data_type) {
                self.types.insert(name, data_type);
            }
        }
        for input in &graph.inputs {
            if let Some(data_type) = input.data_type {
                self.types.insert(&input.name, data_type);
                let fact = Fact { data_type, shape: Some(batched(input.shape.as_deref())) };
                self.facts.insert(&input.name, fact);
                self.slot(&input.name);
            }
        }
        for node in &graph.nodes {
            self.propagate_type(node);
        }
        let dense = self.classify(forced)?;
        let levels = self.levels(&dense);
        let deepest = levels.iter().copied().max().unwrap_or(0);
        for level in 0..=deepest {
            if level % 2 == 1 {
                self.dense_stage(&levels, level)?;
                continue;
            }
            for (index, _) in levels.iter().enumerate().filter(|(_, of)| **of == level) {
                if self.own_step(index)? == Made::NeedsDense {
                    return Ok(Outcome::MakeDense(index));
                }
            }
        }
        Ok(Outcome::Done(Box::new(self)))
    }

    fn slot(&mut self, name: &'a str) -> Slot {
        let next = self.slots.len();
        *self.slots.entry(name).or_insert(next)
    }

    fn is_constant(&self, name: &str) -> bool {
        self.graph.constants.contains_key(name)
    }

    /// Element types by what operators are specified to give. Dense stages are analysed again, exactly.
    fn propagate_type(&mut self, node: &'a Node) {
        let of = |input: usize| node.inputs().get(input).and_then(|name| self.types.get(name.as_str())).copied();
        let first = of(0);
        let labels = |strings: &str| if node.texts_len(strings) > 0 { DataType::String } else { DataType::Int64 };
        let kinds: Vec<Option<DataType>> = match (node.domain(), node.operator()) {
            (Domain::Ml, "TreeEnsembleClassifier" | "LinearClassifier") => {
                vec![Some(labels("classlabels_strings")), Some(DataType::Float32)]
            }
            (Domain::Ml, "LabelEncoder" | "CategoryMapper") => vec![None],
            (Domain::Ml, "Imputer" | "ArrayFeatureExtractor" | "ZipMap") => vec![first],
            (Domain::Ml, _) => vec![Some(DataType::Float32)],
            (_, "Cast") => vec![i32::try_from(node.int("to", 0)).ok().and_then(data_type)],
            (
                _,
                "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "And" | "Or" | "Xor" | "Not"
                | "IsNaN" | "IsInf",
            ) => vec![Some(DataType::Bool)],
            (_, "Shape" | "Size" | "ArgMax" | "ArgMin" | "NonZero") => vec![Some(DataType::Int64)],
            (_, "Where") => vec![of(1)],
            (_, "OneHot") => vec![of(2)],
            (_, "ConstantOfShape") => {
                vec![
                    node.tensor("value")
                        .ok()
                        .flatten()
                        .map_or(Some(DataType::Float32), |value| Some(value.data_type())),
                ]
            }
            (_, "TopK" | "MaxPool") => vec![first, Some(DataType::Int64)],
            (_, "Dropout") => vec![first, Some(DataType::Bool)],
            (_, "QuantizeLinear" | "DynamicQuantizeLinear") => vec![],
            _ => vec![first; node.outputs().len()],
        };
        let label_encoder = || {
            if node.texts_len("classes_strings") > 0 {
                return Some(if first == Some(DataType::String) { DataType::Int64 } else { DataType::String });
            }
            if node.operator() == "CategoryMapper" {
                return Some(if first == Some(DataType::String) { DataType::Int64 } else { DataType::String });
            }
            if let Ok(Some(tensor)) = node.tensor("values_tensor") {
                return Some(tensor.data_type());
            }
            Some(if node.texts_len("values_strings") > 0 {
                DataType::String
            } else if node.ints("values_int64s").is_empty() {
                DataType::Float32
            } else {
                DataType::Int64
            })
        };
        let mapper = node.domain() == Domain::Ml && matches!(node.operator(), "LabelEncoder" | "CategoryMapper");
        for (place, output) in node.outputs().iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let kind = if mapper { label_encoder() } else { kinds.get(place).copied().flatten() };
            if let Some(kind) = kind {
                self.types.insert(output, kind);
            }
        }
    }

    fn touches_text(&self, node: &Node) -> bool {
        node.inputs().iter().chain(node.outputs()).any(|name| self.types.get(name.as_str()) == Some(&DataType::String))
    }

    fn floats_only(&self, node: &Node) -> bool {
        let float = |name: &String| {
            name.is_empty() || self.types.get(name.as_str()).is_some_and(|data_type| data_type.is_float())
        };
        // Shapes and axes are integers, and constant.
        node.inputs().iter().all(|name| float(name) || self.is_constant(name)) && node.outputs().iter().all(float)
    }

    /// Which nodes belong to dense stages.
    fn classify(&self, forced: &HashSet<usize>) -> Result<Vec<bool>, Error> {
        let nodes = &self.graph.nodes;
        let mut dense = vec![false; nodes.len()];
        let mut light = vec![false; nodes.len()];
        for (index, node) in nodes.iter().enumerate() {
            let own = kernels::supports(node) && !forced.contains(&index);
            if !own {
                self.check_dense(node)?;
                dense[index] = true;
            }
            light[index] = own && node.domain() == Domain::Onnx && self.floats_only(node);
        }
        let sources = |node: &Node| -> Vec<usize> {
            node.inputs().iter().filter_map(|name| self.producer.get(name.as_str()).copied()).collect()
        };
        // Light nodes with a dense one both before and behind them, along light nodes.
        let mut after = dense.clone();
        for (index, node) in nodes.iter().enumerate() {
            after[index] |= light[index] && sources(node).into_iter().any(|source| after[source]);
        }
        let mut before = dense.clone();
        for (index, node) in nodes.iter().enumerate().rev() {
            if before[index] {
                for source in sources(node) {
                    before[source] |= light[source];
                }
            }
        }
        for index in 0..nodes.len() {
            dense[index] |= light[index] && after[index] && before[index];
        }
        for (index, node) in nodes.iter().enumerate() {
            let computed = sources(node);
            if light[index]
                && ACTIVATIONS.contains(&node.operator())
                && !computed.is_empty()
                && computed.iter().all(|source| dense[*source])
                && node.inputs().iter().all(|name| self.producer.contains_key(name.as_str()) || self.is_constant(name))
            {
                dense[index] = true;
            }
        }
        Ok(dense)
    }

    /// Refuses what no engine runs, by name.
    fn check_dense(&self, node: &Node) -> Result<(), Error> {
        let refuse = |reason: String| Err(node.error(self.model, reason));
        match node.domain() {
            Domain::Ml => {
                return refuse(format!(
                    "this operator is not supported; the operators of ai.onnx.ml that are: {}",
                    kernels::ML.join(", ")
                ));
            }
            Domain::Other => {
                return refuse(
                    "operators of this domain are not supported; export the model with standard ONNX operators only"
                        .to_owned(),
                );
            }
            Domain::Onnx => {}
        }
        if RANDOM.contains(&node.operator()) {
            return refuse("it draws random numbers, so its result cannot be reproduced; remove it".to_owned());
        }
        if self.touches_text(node) {
            return refuse("this operator is not supported on text; encode the text before it".to_owned());
        }
        if !tract::supports(node.operator()) {
            return refuse("this operator is not supported; export the model with other operators".to_owned());
        }
        // Shapes that are constants are honoured while the model is prepared, whatever they cost.
        if matches!(
            node.operator(),
            "ConstantOfShape" | "Expand" | "Tile" | "Pad" | "Resize" | "Range" | "OneHot" | "EyeLike" | "CenterCropPad"
        ) {
            for name in node.inputs() {
                let Some(tensor) = self.graph.constants.get(name) else { continue };
                let Some(values) = to_tensor(tensor).ok().and_then(|tensor| tensor.to_f64()) else { continue };
                let product: f64 = values.iter().map(|value| value.abs().max(1.0)).product();
                if product > MOST_VALUES as f64 {
                    return refuse(format!("it makes more than {MOST_VALUES} values; export a smaller model"));
                }
            }
        }
        Ok(())
    }

    /// Own nodes at even levels, dense ones at odd levels, each behind what it reads.
    fn levels(&self, dense: &[bool]) -> Vec<usize> {
        let mut levels = vec![0; dense.len()];
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let mut level = usize::from(dense[index]);
            for name in node.inputs() {
                if let Some(source) = self.producer.get(name.as_str()) {
                    level = level.max(levels[*source] + usize::from(dense[*source] != dense[index]));
                }
            }
            levels[index] = level;
        }
        levels
    }

    /// A constant as a tensor of ours.
    fn constant(&self, name: &str) -> Result<Option<Tensor>, String> {
        self.graph
            .constants
            .get(name)
            .map(|tensor| to_tensor(tensor).map_err(|reason| format!("its constant `{name}`: {reason}")))
            .transpose()
    }

    /// The slot of a value that a step reads; constants get theirs, and their fact, on first use.
    fn read(&mut self, name: &'a str) -> Result<Slot, String> {
        if let Some(slot) = self.slots.get(name) {
            return Ok(*slot);
        }
        let slot = self.slot(name);
        if let Some(tensor) = self.constant(name)? {
            self.facts.insert(name, fixed(&tensor));
            self.constants.push((slot, tensor));
        }
        Ok(slot)
    }

    fn own_step(&mut self, index: usize) -> Result<Made, Error> {
        let graph = self.graph;
        let Some(node) = graph.nodes.get(index) else { return Ok(Made::Step) };
        let model = self.model;
        let failed = |reason: String| node.error(model, reason);
        let mut inputs = Vec::with_capacity(node.inputs().len());
        let mut facts = Vec::with_capacity(node.inputs().len());
        let mut constants = Vec::with_capacity(node.inputs().len());
        for name in node.inputs() {
            if name.is_empty() {
                inputs.push(None);
                facts.push(None);
                constants.push(None);
                continue;
            }
            inputs.push(Some(self.read(name).map_err(failed)?));
            let fact = self.facts.get(name.as_str()).cloned();
            facts.push(Some(fact.ok_or_else(|| failed(format!("the type of its input `{name}` is not known")))?));
            constants.push(self.constant(name).map_err(failed)?);
        }
        let context =
            Context { node, opset: graph.opset, ml_opset: graph.ml_opset, facts: &facts, constants: &constants };
        let kernel = match kernels::build(&context) {
            Ok(kernel) => kernel,
            Err(_) if node.domain() == Domain::Onnx && !self.touches_text(node) && tract::supports(node.operator()) => {
                return Ok(Made::NeedsDense);
            }
            Err(reason) => return Err(failed(reason)),
        };
        let mut outputs = Vec::with_capacity(node.outputs().len());
        for (place, name) in node.outputs().iter().enumerate() {
            let Some(fact) = kernel.facts().get(place) else {
                return Err(failed(format!("it has {} outputs and gives {place}", node.outputs().len())));
            };
            if !name.is_empty() {
                self.facts.insert(name, fact.clone());
            }
            // An output that nobody named still needs a place.
            let slot = if name.is_empty() { usize::MAX } else { self.slot(name) };
            outputs.push(slot);
        }
        self.steps.push(Step::Own {
            kernel: Arc::from(kernel),
            label: node.describe(),
            operator: node.operator().to_owned(),
            inputs,
            outputs,
        });
        Ok(Made::Step)
    }

    fn dense_stage(&mut self, levels: &[usize], level: usize) -> Result<(), Error> {
        let graph = self.graph;
        let members: BTreeSet<usize> =
            levels.iter().enumerate().filter(|(_, of)| **of == level).map(|(index, _)| index).collect();
        if members.is_empty() {
            return Ok(());
        }
        let inside: HashSet<&str> = members
            .iter()
            .filter_map(|index| graph.nodes.get(*index))
            .flat_map(|node| node.outputs().iter().map(String::as_str))
            .collect();
        let mut inputs: Vec<&'a str> = Vec::new();
        let mut initializers: BTreeMap<&str, &pb::TensorProto> = BTreeMap::new();
        for node in members.iter().filter_map(|index| graph.nodes.get(*index)) {
            for name in node.inputs().iter().filter(|name| !name.is_empty() && !inside.contains(name.as_str())) {
                if let Some(tensor) = graph.constants.get(name) {
                    initializers.insert(name, tensor);
                } else if !inputs.contains(&name.as_str()) {
                    inputs.push(name);
                }
            }
        }
        let wanted: HashSet<&str> = graph
            .nodes
            .iter()
            .enumerate()
            .filter(|(index, _)| !members.contains(index))
            .flat_map(|(_, node)| node.inputs().iter().map(String::as_str))
            .chain(graph.outputs.iter().map(|output| output.name.as_str()))
            .collect();
        let mut outputs: Vec<&'a str> = Vec::new();
        for node in members.iter().filter_map(|index| graph.nodes.get(*index)) {
            outputs.extend(node.outputs().iter().map(String::as_str).filter(|name| wanted.contains(name)));
        }
        let mut ports = Vec::with_capacity(inputs.len());
        for name in &inputs {
            let fact = self
                .facts
                .get(name)
                .ok_or_else(|| Error::onnx(self.model, format!("the type of the value `{name}` is not known")))?;
            ports.push(DensePort { name: (*name).to_owned(), data_type: fact.data_type, shape: fact.shape.clone() });
        }
        let proto = pb::ModelProto {
            ir_version: graph.ir_version.min(8),
            opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: graph.opset }],
            graph: Some(pb::GraphProto {
                name: "dense".to_owned(),
                node: members
                    .iter()
                    .filter_map(|index| graph.nodes.get(*index))
                    .map(|node| node.proto().clone())
                    .collect(),
                initializer: initializers.into_values().cloned().collect(),
                input: ports.iter().map(|port| value_info(port, None)).collect(),
                output: outputs
                    .iter()
                    .map(|name| pb::ValueInfoProto { name: (*name).to_owned(), ..Default::default() })
                    .collect(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let (typed, found) = tract::analyse(&proto).map_err(|reason| {
            let operators: Vec<&str> =
                members.iter().filter_map(|index| graph.nodes.get(*index)).map(Node::operator).collect();
            Error::onnx(self.model, format!("its dense part ({}) cannot be run: {reason}", operators.join(", ")))
        })?;
        for (name, port) in outputs.iter().zip(&found) {
            self.facts.insert(name, Fact { data_type: port.data_type, shape: port.shape.clone() });
        }
        let mut from = Vec::with_capacity(inputs.len());
        for name in inputs {
            from.push(self.read(name).map_err(|reason| Error::onnx(self.model, reason))?);
        }
        let to = outputs.into_iter().map(|name| self.slot(name)).collect();
        self.steps.push(Step::Dense { graph: self.dense.len(), inputs: from, outputs: to });
        self.dense.push(DenseGraph { name: self.model.to_owned(), inputs: ports, outputs: found, proto, typed });
        Ok(())
    }

    fn finish(mut self, graph: &'a Graph, signature: Signature) -> Result<Plan, Error> {
        let mut outputs = Vec::with_capacity(graph.outputs.len());
        let mut output_facts = Vec::with_capacity(graph.outputs.len());
        for output in &graph.outputs {
            outputs.push(self.read(&output.name).map_err(|reason| Error::onnx(&graph.model, reason))?);
            output_facts.push(self.facts.get(output.name.as_str()).cloned().ok_or_else(|| {
                Error::onnx(&graph.model, format!("the type of its output `{}` is not known", output.name))
            })?);
        }
        let input_shapes = graph
            .inputs
            .iter()
            .map(|input| match input.shape.as_deref() {
                Some([_]) => None,
                shape => Some(
                    batched(shape)
                        .iter()
                        .skip(1)
                        .map(|dimension| if let Dim::Fixed(fixed) = dimension { *fixed } else { 0 })
                        .collect(),
                ),
            })
            .collect();
        Ok(Plan {
            model: graph.model.clone(),
            signature,
            input_shapes,
            steps: self.steps,
            dense: self.dense,
            constants: Arc::new(self.constants),
            slots: self.slots.len(),
            outputs,
            output_facts,
        })
    }
}

#[derive(PartialEq, Eq)]
enum Made {
    Step,
    NeedsDense,
}

/// An input's declared shape with its first dimension as the batch. A matrix of unknown width stays unknown.
fn batched(shape: Option<&[Declared]>) -> Vec<Dim> {
    match shape {
        None => vec![Dim::Batch, Dim::Unknown],
        Some(shape) => shape
            .iter()
            .enumerate()
            .map(|(place, dimension)| match dimension {
                _ if place == 0 => Dim::Batch,
                Declared::Fixed(fixed) => Dim::Fixed(*fixed),
                Declared::Open => Dim::Unknown,
            })
            .collect(),
    }
}

fn fixed(tensor: &Tensor) -> Fact {
    Fact {
        data_type: tensor.data_type(),
        shape: Some(tensor.shape().iter().map(|dimension| Dim::Fixed(*dimension)).collect()),
    }
}

fn value_info(port: &DensePort, batch: Option<usize>) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::Dimension;
    use pb::tensor_shape_proto::dimension::Value;
    let shape = port.shape.as_ref().map(|shape| pb::TensorShapeProto {
        dim: shape
            .iter()
            .map(|dimension| Dimension {
                denotation: String::new(),
                value: match (dimension, batch) {
                    (Dim::Batch, None) => Some(Value::DimParam(BATCH.to_owned())),
                    (Dim::Batch, Some(rows)) => Some(Value::DimValue(rows as i64)),
                    (Dim::Fixed(fixed), _) => Some(Value::DimValue(*fixed as i64)),
                    (Dim::Unknown, _) => None,
                },
            })
            .collect(),
    });
    pb::ValueInfoProto {
        name: port.name.clone(),
        r#type: Some(pb::TypeProto {
            denotation: String::new(),
            value: Some(pb::type_proto::Value::TensorType(pb::type_proto::Tensor {
                elem_type: type_code(port.data_type),
                shape,
            })),
        }),
        doc_string: String::new(),
    }
}

/// A split model that is ready to score.
pub struct PlannedSession {
    plan: Plan,
    programs: Vec<Box<dyn DenseProgram>>,
    engine: &'static str,
    /// The slots that no step after this one reads.
    read_last: Vec<Vec<Slot>>,
}

impl PlannedSession {
    fn failed(&self, reason: impl Into<String>) -> Error {
        Error::Run { model: self.plan.model.clone(), reason: reason.into() }
    }

    /// An input under the shape that the graph declares for it.
    fn prepare<'t>(&self, index: usize, tensor: &'t Tensor, rows: usize) -> Result<Cow<'t, Tensor>, Error> {
        let Some(spec) = self.plan.signature.inputs.get(index) else {
            return Err(self.failed(format!("it takes {} inputs", self.plan.signature.inputs.len())));
        };
        let width = spec.width.scalars();
        if tensor.data_type() != spec.data_type {
            return Err(Error::input(
                &spec.name,
                format!("input `{}` takes {} and was given {}", spec.name, spec.data_type, tensor.data_type()),
            ));
        }
        if tensor.batch() != rows || rows.checked_mul(width) != Some(tensor.len()) {
            return Err(Error::input(
                &spec.name,
                format!("input `{}` has shape {:?}; it takes [{rows}, {width}]", spec.name, tensor.shape()),
            ));
        }
        let shape = match self.plan.input_shapes.get(index) {
            Some(Some(tail)) if tail.iter().product::<usize>() == width => {
                std::iter::once(rows).chain(tail.iter().copied()).collect()
            }
            Some(None) => vec![rows],
            _ => vec![rows, width],
        };
        if tensor.shape() == shape.as_slice() {
            return Ok(Cow::Borrowed(tensor));
        }
        tensor.clone().reshape(shape).map(Cow::Owned)
    }

    /// The outputs for no rows.
    fn nothing(&self) -> Result<Vec<Tensor>, Error> {
        self.plan
            .signature
            .outputs
            .iter()
            .map(|output| {
                let shape = output_shape(output.width, 0);
                Ok(match output.data_type {
                    DataType::Float32 => Tensor::Float32(Array::new(shape, Vec::new())?),
                    DataType::Float64 => Tensor::Float64(Array::new(shape, Vec::new())?),
                    DataType::Int32 => Tensor::Int32(Array::new(shape, Vec::new())?),
                    DataType::Int64 => Tensor::Int64(Array::new(shape, Vec::new())?),
                    DataType::Bool => Tensor::Bool(Array::new(shape, Vec::new())?),
                    DataType::String => Tensor::String(Array::new(shape, Vec::new())?),
                })
            })
            .collect()
    }
}

fn output_shape(width: Width, rows: usize) -> Vec<usize> {
    match width {
        Width::Scalar => vec![rows],
        Width::Vector(width) => vec![rows, width],
    }
}

impl Session for PlannedSession {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        let specs = &self.plan.signature.inputs;
        if inputs.len() != specs.len() {
            return Err(self.failed(format!("it takes {} inputs and was given {}", specs.len(), inputs.len())));
        }
        let rows = inputs.first().map_or(0, Tensor::batch);
        let mut slots: Vec<Option<Cow<'_, Tensor>>> = Vec::new();
        slots.resize_with(self.plan.slots, || None);
        for (index, tensor) in inputs.iter().enumerate() {
            // Inputs took the first slots, in order.
            let prepared = self.prepare(index, tensor, rows)?;
            if let Some(slot) = slots.get_mut(index) {
                *slot = Some(prepared);
            }
        }
        if rows == 0 {
            return self.nothing();
        }
        for (slot, tensor) in self.plan.constants.iter() {
            if let Some(slot) = slots.get_mut(*slot) {
                *slot = Some(Cow::Borrowed(tensor));
            }
        }
        for (index, step) in self.plan.steps.iter().enumerate() {
            let (made, outputs) = match step {
                Step::Own { kernel, label, inputs, outputs, .. } => {
                    let read: Vec<Option<&Tensor>> =
                        inputs.iter().map(|slot| slot.and_then(|slot| slots.get(slot)?.as_deref())).collect();
                    let made = kernel.run(&read).map_err(|reason| self.failed(format!("{label}: {reason}")))?;
                    (made, outputs)
                }
                Step::Dense { graph, inputs, outputs } => {
                    let read: Vec<Tensor> =
                        inputs.iter().filter_map(|slot| slots.get(*slot)?.as_deref().cloned()).collect();
                    let program = self.programs.get(*graph).ok_or_else(|| self.failed("a dense stage is missing"))?;
                    (program.run(&read)?, outputs)
                }
            };
            for (slot, tensor) in outputs.iter().zip(made) {
                if let Some(slot) = slots.get_mut(*slot) {
                    *slot = Some(Cow::Owned(tensor));
                }
            }
            for slot in self.read_last.get(index).into_iter().flatten() {
                if let Some(slot) = slots.get_mut(*slot) {
                    *slot = None;
                }
            }
        }
        let mut results = Vec::with_capacity(self.plan.outputs.len());
        for (slot, spec) in self.plan.outputs.iter().zip(&self.plan.signature.outputs) {
            let tensor = slots
                .get(*slot)
                .and_then(Option::as_deref)
                .cloned()
                .ok_or_else(|| self.failed(format!("its output `{}` was not computed", spec.name)))?;
            let shape = output_shape(spec.width, rows);
            if tensor.data_type() != spec.data_type || tensor.len() != shape.iter().product::<usize>() {
                return Err(self.failed(format!(
                    "its output `{}` is {} of shape {:?}, and its signature says {} of shape {shape:?}",
                    spec.name,
                    tensor.data_type(),
                    tensor.shape(),
                    spec.data_type
                )));
            }
            results.push(tensor.reshape(shape)?);
        }
        Ok(results)
    }

    fn stages(&self) -> Vec<String> {
        let mut stages: Vec<String> = Vec::new();
        let mut own: Vec<&str> = Vec::new();
        let flush = |own: &mut Vec<&str>, stages: &mut Vec<String>| {
            if !own.is_empty() {
                stages.push(format!("kernels: {}", own.join(", ")));
                own.clear();
            }
        };
        for step in &self.plan.steps {
            match step {
                Step::Own { operator, .. } => own.push(operator),
                Step::Dense { graph, .. } => {
                    flush(&mut own, &mut stages);
                    let operators = self.plan.dense.get(*graph).map(DenseGraph::operators).unwrap_or_default();
                    stages.push(format!("{}: {}", self.engine, operators.join(", ")));
                }
            }
        }
        flush(&mut own, &mut stages);
        stages
    }
}
