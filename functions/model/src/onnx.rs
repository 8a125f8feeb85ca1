//! Reads an ONNX file into a validated graph: sorted, acyclic, every name defined once, every tensor as long as it
//! says. What comes out can be split and compiled without looking for lies again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use prost::Message;
use skewless_catalog::suggest::did_you_mean;
use tract_onnx::pb;

use crate::Error;
use crate::tensor::{Array, DataType, Tensor};

/// Larger files are refused: protobuf itself ends at 2 GiB, and a hostile file expands in memory.
pub(crate) const LARGEST_FILE: usize = 256 << 20;
/// Nodes, attributes, tensors and dimensions together. Each takes up to 600 bytes in memory and as few as two in a file.
const MOST_MESSAGES: usize = 400_000;
/// ONNX files nest messages this deep at most.
const DEEPEST: usize = 16;
/// IR versions that this reader knows.
const IR_VERSIONS: std::ops::RangeInclusive<i64> = 3..=13;
/// Versions of ONNX's own operators whose meaning this reader knows.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=26;
/// Versions of `ai.onnx.ml`.
const ML_OPSETS: std::ops::RangeInclusive<i64> = 1..=5;
/// The longest name that is worth showing in a message.
const LONGEST_NAME: usize = 200;

/// A dimension as the file states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Declared {
    Fixed(usize),
    Open,
}

/// An input or output of the graph. `data_type` is `None` for an output that is a sequence of maps.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) data_type: Option<DataType>,
    pub(crate) shape: Option<Vec<Declared>>,
}

/// The validated graph. Nodes that no output depends on are gone.
#[derive(Clone, Debug)]
pub(crate) struct Graph {
    pub(crate) model: String,
    pub(crate) ir_version: i64,
    pub(crate) opset: i64,
    pub(crate) ml_opset: i64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) constants: BTreeMap<String, pb::TensorProto>,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
}

/// One operator of the graph.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    proto: pb::NodeProto,
}

/// Whether a domain is `ai.onnx.ml`, ONNX's own, or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Domain {
    Onnx,
    Ml,
    Other,
}

impl Node {
    pub(crate) fn proto(&self) -> &pb::NodeProto {
        &self.proto
    }

    pub(crate) fn domain(&self) -> Domain {
        match self.proto.domain.as_str() {
            "" | "ai.onnx" => Domain::Onnx,
            "ai.onnx.ml" => Domain::Ml,
            _ => Domain::Other,
        }
    }

    pub(crate) fn operator(&self) -> &str {
        &self.proto.op_type
    }

    /// Input names; an omitted optional input is empty.
    pub(crate) fn inputs(&self) -> &[String] {
        &self.proto.input
    }

    /// Output names; an omitted optional output is empty.
    pub(crate) fn outputs(&self) -> &[String] {
        &self.proto.output
    }

    fn label(&self) -> String {
        let name = if self.proto.name.is_empty() {
            self.proto.output.iter().find(|name| !name.is_empty()).map_or("", String::as_str)
        } else {
            &self.proto.name
        };
        shown(name)
    }

    fn full_operator(&self) -> String {
        match self.domain() {
            Domain::Onnx => shown(&self.proto.op_type),
            _ => format!("{}.{}", shown(&self.proto.domain), shown(&self.proto.op_type)),
        }
    }

    /// The node in a message.
    pub(crate) fn describe(&self) -> String {
        format!("node `{}` ({})", self.label(), self.full_operator())
    }

    /// An error about this node.
    pub(crate) fn error(&self, model: &str, reason: impl Into<String>) -> Error {
        Error::Node {
            model: model.to_owned(),
            node: self.label(),
            operator: self.full_operator(),
            reason: reason.into(),
        }
    }

    fn attribute(&self, name: &str) -> Option<&pb::AttributeProto> {
        self.proto.attribute.iter().find(|attribute| attribute.name == name)
    }

    /// An integer attribute, or its default.
    pub(crate) fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.i)
    }

    /// An integer attribute, where it is there.
    pub(crate) fn optional_int(&self, name: &str) -> Option<i64> {
        self.attribute(name).map(|attribute| attribute.i)
    }

    /// A float attribute, or its default.
    pub(crate) fn float(&self, name: &str, default: f32) -> f32 {
        self.attribute(name).map_or(default, |attribute| attribute.f)
    }

    /// A text attribute, or its default.
    pub(crate) fn text(&self, name: &str, default: &str) -> Result<String, String> {
        self.attribute(name).map_or_else(|| Ok(default.to_owned()), |attribute| utf8(name, &attribute.s))
    }

    /// A list of integers; empty where it is not there.
    pub(crate) fn ints(&self, name: &str) -> &[i64] {
        self.attribute(name).map_or(&[], |attribute| &attribute.ints)
    }

    /// A list of integers, where it is there.
    pub(crate) fn optional_ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|attribute| attribute.ints.as_slice())
    }

    /// A list of floats; empty where it is not there.
    pub(crate) fn floats(&self, name: &str) -> &[f32] {
        self.attribute(name).map_or(&[], |attribute| &attribute.floats)
    }

    /// A list of texts; empty where it is not there.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        self.attribute(name)
            .map_or_else(|| Ok(Vec::new()), |attribute| attribute.strings.iter().map(|text| utf8(name, text)).collect())
    }

    /// The number of texts in a list.
    pub(crate) fn texts_len(&self, name: &str) -> usize {
        self.attribute(name).map_or(0, |attribute| attribute.strings.len())
    }

    /// The values of an 8-bit unsigned tensor attribute; empty where it is not there.
    pub(crate) fn bytes(&self, name: &str) -> Result<Vec<u8>, String> {
        match self.attribute(name).and_then(|attribute| attribute.t.as_ref()) {
            None => Ok(Vec::new()),
            Some(tensor) if tensor.data_type != pb::tensor_proto::DataType::Uint8 as i32 => {
                Err(format!("attribute `{name}` is not a tensor of type uint8; export the model again"))
            }
            Some(tensor) if tensor.raw_data.is_empty() => {
                let values = tensor.int32_data.iter().map(|value| u8::try_from(*value));
                values.collect::<Result<_, _>>().map_err(|_| format!("attribute `{name}` is out of the range of uint8"))
            }
            Some(tensor) => Ok(tensor.raw_data.clone()),
        }
    }

    /// A tensor attribute, where it is there.
    pub(crate) fn tensor(&self, name: &str) -> Result<Option<Tensor>, String> {
        self.attribute(name)
            .and_then(|attribute| attribute.t.as_ref())
            .map(|tensor| to_tensor(tensor).map_err(|reason| format!("attribute `{name}`: {reason}")))
            .transpose()
    }
}

fn utf8(name: &str, bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| format!("attribute `{name}` is not UTF-8 text; export the model again"))
}

/// A name from a file, short enough for a message.
fn shown(name: &str) -> String {
    if name.chars().count() <= LONGEST_NAME {
        name.to_owned()
    } else {
        let start: String = name.chars().take(LONGEST_NAME).collect();
        format!("{start}…")
    }
}

impl Graph {
    /// Reads and validates a file.
    pub(crate) fn read(model: &str, file: &[u8]) -> Result<Self, Error> {
        Self::read_inner(model, file).map_err(|error| match error {
            Problem::File(reason) => Error::onnx(model, reason),
            Problem::Node(error) => *error,
        })
    }

    fn read_inner(model: &str, file: &[u8]) -> Result<Self, Problem> {
        if file.len() > LARGEST_FILE {
            return Err(format!(
                "it has {} bytes and the largest that is read has {LARGEST_FILE}; quantize it or split it",
                file.len()
            )
            .into());
        }
        let mut messages = 0;
        count_messages(file, Kind::Model, 0, &mut messages)?;
        let proto = pb::ModelProto::decode(file)
            .map_err(|error| format!("it is not an ONNX file, or it is damaged ({error}); export it again"))?;
        if !IR_VERSIONS.contains(&proto.ir_version) {
            return Err(format!(
                "its IR version is {} and versions {} to {} are read; export it with a current onnx package",
                proto.ir_version,
                IR_VERSIONS.start(),
                IR_VERSIONS.end()
            )
            .into());
        }
        let (opset, ml_opset) = versions(&proto)?;
        if !proto.functions.is_empty() {
            return Err("it defines functions of its own, which are not read; inline them when you export it \
                        (onnx.inliner.inline_local_functions)"
                .to_owned()
                .into());
        }
        let graph = proto.graph.ok_or_else(|| "it holds no graph; export it again".to_owned())?;
        if !graph.sparse_initializer.is_empty() {
            return Err("it has sparse initializers, which are not read; export it with dense ones".to_owned().into());
        }
        let mut constants = BTreeMap::new();
        for tensor in graph.initializer {
            check_tensor(&tensor).map_err(|reason| format!("initializer `{}`: {reason}", shown(&tensor.name)))?;
            let name = tensor.name.clone();
            if name.is_empty() || constants.insert(name.clone(), tensor).is_some() {
                return Err(
                    format!("the initializer `{}` has no name of its own; export it again", shown(&name)).into()
                );
            }
        }
        let inputs = graph
            .input
            .iter()
            .filter(|input| !constants.contains_key(&input.name))
            .map(|input| port("input", input))
            .collect::<Result<Vec<_>, _>>()?;
        let outputs = graph.output.iter().map(|output| port("output", output)).collect::<Result<Vec<_>, _>>()?;
        let mut defined: HashSet<&str> = constants.keys().map(String::as_str).collect();
        for input in &inputs {
            if input.data_type.is_none() {
                return Err(format!(
                    "its input `{}` is not a tensor of a type that is read; export it with float, double, int32, int64, \
                     bool or string tensors",
                    shown(&input.name)
                )
                .into());
            }
            if !defined.insert(&input.name) {
                return Err(format!("two inputs are named `{}`; export it again", shown(&input.name)).into());
            }
        }
        let nodes: Vec<Node> = graph.node.into_iter().map(|proto| Node { proto }).collect();
        for node in &nodes {
            check_node(model, node)?;
            for output in node.outputs().iter().filter(|name| !name.is_empty()) {
                if !defined.insert(output) {
                    return Err(node
                        .error(
                            model,
                            format!("its output `{}` is already defined; export the model again", shown(output)),
                        )
                        .into());
                }
            }
        }
        let mut seen = HashSet::new();
        for output in &outputs {
            if !defined.contains(output.name.as_str()) {
                return Err(format!(
                    "its output `{}` is not computed by any node{}",
                    shown(&output.name),
                    did_you_mean(&output.name, defined.iter().copied())
                )
                .into());
            }
            if !seen.insert(&output.name) {
                return Err(format!("two outputs are named `{}`; export it again", shown(&output.name)).into());
            }
        }
        if outputs.is_empty() {
            return Err("it has no outputs; export it again".to_owned().into());
        }
        for node in &nodes {
            if let Some(missing) =
                node.inputs().iter().find(|name| !name.is_empty() && !defined.contains(name.as_str()))
            {
                let hint = did_you_mean(missing, defined.iter().copied());
                return Err(node
                    .error(model, format!("its input `{}` is not defined anywhere{hint}", shown(missing)))
                    .into());
            }
        }
        drop(defined);
        let nodes = sorted(model, nodes, &outputs)?;
        let mut graph = Self {
            model: model.to_owned(),
            ir_version: proto.ir_version,
            opset,
            ml_opset,
            nodes,
            constants,
            inputs,
            outputs,
        };
        graph.fold_constant_nodes()?;
        graph.drop_unused_constants();
        Ok(graph)
    }

    /// `Constant` nodes become constants.
    fn fold_constant_nodes(&mut self) -> Result<(), Problem> {
        let mut kept = Vec::with_capacity(self.nodes.len());
        for node in std::mem::take(&mut self.nodes) {
            if node.domain() != Domain::Onnx || node.operator() != "Constant" {
                kept.push(node);
                continue;
            }
            let mut tensor = constant_value(&node).map_err(|reason| Box::new(node.error(&self.model, reason)))?;
            check_tensor(&tensor).map_err(|reason| Box::new(node.error(&self.model, reason)))?;
            if let Some(name) = node.outputs().first() {
                tensor.name.clone_from(name);
                self.constants.insert(name.clone(), tensor);
            }
        }
        self.nodes = kept;
        Ok(())
    }

    fn drop_unused_constants(&mut self) {
        let used: HashSet<&str> = self
            .nodes
            .iter()
            .flat_map(|node| node.inputs().iter().map(String::as_str))
            .chain(self.outputs.iter().map(|output| output.name.as_str()))
            .collect();
        self.constants.retain(|name, _| used.contains(name.as_str()));
    }

    /// The node that computes a value.
    pub(crate) fn producer(&self, value: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.outputs().iter().any(|output| output == value))
    }
}

/// What is wrong with a file: something about the whole, or one node.
enum Problem {
    File(String),
    Node(Box<Error>),
}

impl From<String> for Problem {
    fn from(reason: String) -> Self {
        Self::File(reason)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Node(Box::new(error))
    }
}

impl From<Box<Error>> for Problem {
    fn from(error: Box<Error>) -> Self {
        Self::Node(error)
    }
}

/// The versions of ONNX's own operators and of `ai.onnx.ml`, after checking the imports.
fn versions(proto: &pb::ModelProto) -> Result<(i64, i64), String> {
    let mut opset = None;
    let mut ml_opset = None;
    for import in &proto.opset_import {
        let (range, name) = match import.domain.as_str() {
            "" | "ai.onnx" => (OPSETS, "ai.onnx"),
            "ai.onnx.ml" => (ML_OPSETS, "ai.onnx.ml"),
            // An import that no node uses does no harm; a node of such a domain is refused by name.
            _ => continue,
        };
        if !range.contains(&import.version) {
            return Err(format!(
                "it uses version {} of the operators of {name} and versions {} to {} are read; export it with another \
                 target_opset",
                import.version,
                range.start(),
                range.end()
            ));
        }
        if name == "ai.onnx" {
            opset = Some(import.version);
        } else {
            ml_opset = Some(import.version);
        }
    }
    // A graph of ai.onnx.ml operators alone need not import ONNX's own.
    Ok((opset.unwrap_or(*OPSETS.end()), ml_opset.unwrap_or(*ML_OPSETS.end())))
}

fn check_node(model: &str, node: &Node) -> Result<(), Problem> {
    let mut names = BTreeSet::new();
    for attribute in &node.proto.attribute {
        if !names.insert(attribute.name.as_str()) {
            let reason = format!("attribute `{}` is given twice; export the model again", shown(&attribute.name));
            return Err(node.error(model, reason).into());
        }
        if attribute.g.is_some() || !attribute.graphs.is_empty() {
            let reason = "it holds a graph of its own (a branch or a loop), which is not run; \
                          export the model without control flow";
            return Err(node.error(model, reason).into());
        }
        if !attribute.ref_attr_name.is_empty() || attribute.sparse_tensor.is_some() {
            let reason = format!("attribute `{}` is of a kind that is not read", shown(&attribute.name));
            return Err(node.error(model, reason).into());
        }
        for tensor in attribute.t.iter().chain(&attribute.tensors) {
            check_tensor(tensor)
                .map_err(|reason| node.error(model, format!("attribute `{}`: {reason}", shown(&attribute.name))))?;
        }
    }
    if node.outputs().iter().all(String::is_empty) {
        return Err(node.error(model, "it has no outputs; export the model again").into());
    }
    Ok(())
}

/// Nodes that outputs depend on, each after what it reads.
fn sorted(model: &str, nodes: Vec<Node>, outputs: &[Port]) -> Result<Vec<Node>, Problem> {
    let producer: HashMap<&str, usize> = nodes
        .iter()
        .enumerate()
        .flat_map(|(index, node)| {
            node.outputs().iter().filter(|name| !name.is_empty()).map(move |name| (name.as_str(), index))
        })
        .collect();
    let mut needed = vec![false; nodes.len()];
    let mut waiting: Vec<usize> =
        outputs.iter().filter_map(|output| producer.get(output.name.as_str()).copied()).collect();
    while let Some(index) = waiting.pop() {
        if std::mem::replace(&mut needed[index], true) {
            continue;
        }
        waiting.extend(nodes[index].inputs().iter().filter_map(|name| producer.get(name.as_str()).copied()));
    }
    let mut missing = vec![0usize; nodes.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate().filter(|(index, _)| needed[*index]) {
        for source in node.inputs().iter().filter_map(|name| producer.get(name.as_str()).copied()) {
            missing[index] += 1;
            readers[source].push(index);
        }
    }
    // A set keeps the file's order among nodes that are ready, so that plans are reproducible.
    let mut ready: BTreeSet<usize> = (0..nodes.len()).filter(|index| needed[*index] && missing[*index] == 0).collect();
    let mut order = Vec::new();
    while let Some(index) = ready.pop_first() {
        order.push(index);
        for reader in &readers[index] {
            missing[*reader] -= 1;
            if missing[*reader] == 0 {
                ready.insert(*reader);
            }
        }
    }
    if let Some(stuck) = (0..nodes.len()).find(|index| needed[*index] && missing[*index] > 0) {
        return Err(nodes[stuck].error(model, "it depends on its own output; export the model again").into());
    }
    drop(producer);
    let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|index| nodes[index].take()).collect())
}

fn port(kind: &str, info: &pb::ValueInfoProto) -> Result<Port, String> {
    if info.name.is_empty() {
        return Err(format!("an {kind} has no name; export it again"));
    }
    let Some(pb::type_proto::Value::TensorType(tensor)) = info.r#type.as_ref().and_then(|kind| kind.value.as_ref())
    else {
        return Ok(Port { name: info.name.clone(), data_type: None, shape: None });
    };
    let shape = tensor.shape.as_ref().map(|shape| {
        shape
            .dim
            .iter()
            .map(|dimension| match dimension.value {
                // A dimension of 0 or less is how some exporters write "any".
                Some(pb::tensor_shape_proto::dimension::Value::DimValue(value)) if value > 0 => {
                    Declared::Fixed(usize::try_from(value).unwrap_or(usize::MAX))
                }
                _ => Declared::Open,
            })
            .collect()
    });
    Ok(Port { name: info.name.clone(), data_type: data_type(tensor.elem_type), shape })
}

/// The element types that values between stages can have.
pub(crate) fn data_type(code: i32) -> Option<DataType> {
    Some(match code {
        1 => DataType::Float32,
        6 => DataType::Int32,
        7 => DataType::Int64,
        8 => DataType::String,
        9 => DataType::Bool,
        11 => DataType::Float64,
        _ => return None,
    })
}

/// The code of an element type in an ONNX file.
pub(crate) fn type_code(data_type: DataType) -> i32 {
    match data_type {
        DataType::Float32 => 1,
        DataType::Int32 => 6,
        DataType::Int64 => 7,
        DataType::String => 8,
        DataType::Bool => 9,
        DataType::Float64 => 11,
    }
}

/// The value of a `Constant` node, whichever attribute holds it.
fn constant_value(node: &Node) -> Result<pb::TensorProto, String> {
    let attribute = node.proto.attribute.first().ok_or("it has no value; export the model again")?;
    let mut tensor = pb::TensorProto::default();
    match attribute.name.as_str() {
        "value" => {
            tensor = attribute.t.clone().ok_or("its value is not a tensor; export the model again")?;
        }
        "value_float" => {
            tensor.data_type = 1;
            tensor.float_data = vec![attribute.f];
        }
        "value_floats" => {
            tensor.data_type = 1;
            tensor.dims = vec![attribute.floats.len() as i64];
            tensor.float_data.clone_from(&attribute.floats);
        }
        "value_int" => {
            tensor.data_type = 7;
            tensor.int64_data = vec![attribute.i];
        }
        "value_ints" => {
            tensor.data_type = 7;
            tensor.dims = vec![attribute.ints.len() as i64];
            tensor.int64_data.clone_from(&attribute.ints);
        }
        "value_string" => {
            tensor.data_type = 8;
            tensor.string_data = vec![attribute.s.clone()];
        }
        "value_strings" => {
            tensor.data_type = 8;
            tensor.dims = vec![attribute.strings.len() as i64];
            tensor.string_data.clone_from(&attribute.strings);
        }
        other => return Err(format!("its value is given as `{}`, which is not read", shown(other))),
    }
    Ok(tensor)
}

/// The number of elements that a tensor's dimensions state.
fn elements(tensor: &pb::TensorProto) -> Result<usize, String> {
    tensor
        .dims
        .iter()
        .try_fold(1usize, |size, dimension| {
            usize::try_from(*dimension).ok().and_then(|dimension| size.checked_mul(dimension))
        })
        .ok_or_else(|| format!("its dimensions {:?} cannot be; export the model again", tensor.dims))
}

/// Refuses a tensor whose data are elsewhere, of an unknown type, or not as long as its dimensions say.
fn check_tensor(tensor: &pb::TensorProto) -> Result<(), String> {
    if tensor.data_location == Some(pb::tensor_proto::DataLocation::External as i32) || !tensor.external_data.is_empty()
    {
        return Err("its data are in another file, which is not read; save the model with save_as_external_data=False"
            .to_owned());
    }
    if tensor.segment.is_some() {
        return Err("it is one segment of a larger tensor, which is not read; export the model again".to_owned());
    }
    let count = elements(tensor)?;
    let (size, typed) = match tensor.data_type {
        1 => (4, tensor.float_data.len()),
        // u8, i8, bool; u16, i16, f16, bf16; i32: all of them stored as int32 where they are not raw.
        2 | 3 | 9 => (1, tensor.int32_data.len()),
        4 | 5 | 10 | 16 => (2, tensor.int32_data.len()),
        6 => (4, tensor.int32_data.len()),
        7 => (8, tensor.int64_data.len()),
        8 => (0, tensor.string_data.len()),
        11 => (8, tensor.double_data.len()),
        other => {
            let name = pb::tensor_proto::DataType::try_from(other).map_or("unknown", |known| known.as_str_name());
            return Err(format!("its element type {other} ({name}) is not read; export the model with float tensors"));
        }
    };
    let found = if tensor.raw_data.is_empty() {
        typed
    } else if size == 0 {
        return Err("it holds text as raw bytes; export the model again".to_owned());
    } else if !tensor.raw_data.len().is_multiple_of(size) || typed != 0 {
        return Err(format!(
            "it has {} bytes of raw data, which do not fit; export the model again",
            tensor.raw_data.len()
        ));
    } else {
        tensor.raw_data.len() / size
    };
    if found != count {
        return Err(format!(
            "its dimensions {:?} ask for {count} values and it holds {found}; export the model again",
            tensor.dims
        ));
    }
    Ok(())
}

/// A validated tensor as ours; an error for the element types that only dense stages use.
pub(crate) fn to_tensor(proto: &pb::TensorProto) -> Result<Tensor, String> {
    let shape = proto
        .dims
        .iter()
        .map(|dimension| usize::try_from(*dimension).map_err(|_| "its dimensions cannot be".to_owned()))
        .collect::<Result<Vec<_>, _>>()?;
    macro_rules! read {
        ($type:ty, $field:ident) => {
            if proto.raw_data.is_empty() {
                proto.$field.clone()
            } else {
                let (values, _) = proto.raw_data.as_chunks::<{ size_of::<$type>() }>();
                values.iter().map(|bytes| <$type>::from_le_bytes(*bytes)).collect()
            }
        };
    }
    let made = match proto.data_type {
        1 => Array::new(shape, read!(f32, float_data)).map(Tensor::Float32),
        6 => Array::new(shape, read!(i32, int32_data)).map(Tensor::Int32),
        7 => Array::new(shape, read!(i64, int64_data)).map(Tensor::Int64),
        11 => Array::new(shape, read!(f64, double_data)).map(Tensor::Float64),
        9 => {
            let values = if proto.raw_data.is_empty() {
                proto.int32_data.iter().map(|value| *value != 0).collect()
            } else {
                proto.raw_data.iter().map(|value| *value != 0).collect()
            };
            Array::new(shape, values).map(Tensor::Bool)
        }
        8 => {
            let values = proto
                .string_data
                .iter()
                .map(|bytes| String::from_utf8(bytes.clone()).map_err(|_| "it holds text that is not UTF-8".to_owned()))
                .collect::<Result<_, _>>()?;
            Array::new(shape, values).map(Tensor::String)
        }
        other => return Err(format!("its element type {other} is only read within dense operators")),
    };
    made.map_err(|error| error.to_string())
}

/// The messages whose number is bounded before anything is decoded.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Value,
    Type,
    TensorType,
    Shape,
    Leaf,
}

impl Kind {
    /// The kind of message in a field of this kind of message.
    fn child(self, field: u64) -> Option<Self> {
        Some(match (self, field) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Graph, 1) => Self::Node,
            (Self::Graph, 11..=13) => Self::Value,
            (Self::Node, 5) => Self::Attribute,
            (Self::Attribute, 15) | (Self::Value, 2) => Self::Type,
            (Self::Type, 1) => Self::TensorType,
            (Self::TensorType, 2) => Self::Shape,
            (Self::Model, 8 | 14 | 20 | 25)
            | (Self::Graph, 5 | 14 | 15)
            | (Self::Attribute, 5 | 10 | 22 | 23)
            | (Self::Shape, 1) => Self::Leaf,
            _ => return None,
        })
    }
}

/// Walks a protobuf file without decoding it and refuses one that would expand to an absurd number of messages.
fn count_messages(mut bytes: &[u8], kind: Kind, depth: usize, count: &mut usize) -> Result<(), String> {
    let damaged = || "it is not an ONNX file, or it is damaged; export it again".to_owned();
    if depth > DEEPEST {
        return Err("it nests graphs too deeply; export it without control flow".to_owned());
    }
    while !bytes.is_empty() {
        let key = varint(&mut bytes).ok_or_else(damaged)?;
        let length = match key & 7 {
            0 => {
                varint(&mut bytes).ok_or_else(damaged)?;
                continue;
            }
            1 => 8,
            5 => 4,
            2 => usize::try_from(varint(&mut bytes).ok_or_else(damaged)?).map_err(|_| damaged())?,
            _ => return Err(damaged()),
        };
        let (field, rest) = bytes.split_at_checked(length).ok_or_else(damaged)?;
        bytes = rest;
        if key & 7 == 2
            && let Some(child) = kind.child(key >> 3)
        {
            *count += 1;
            if *count > MOST_MESSAGES {
                return Err(format!(
                    "it holds more than {MOST_MESSAGES} nodes, attributes and tensors; simplify it before you export it"
                ));
            }
            if !matches!(child, Kind::Leaf) {
                count_messages(field, child, depth + 1, count)?;
            }
        }
    }
    Ok(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
