//! The signature of an ONNX graph: what its inputs and outputs are, as far as the graph says.

use std::collections::BTreeMap;

use crate::Error;
use crate::onnx::{Declared, Graph, Node, to_tensor};
use crate::plan::{Dim, Plan};
use crate::signature::{Classes, InputSpec, OutputSpec, Role, Signature, Width};
use crate::tensor::{DataType, Tensor};

/// How far back from an output its classes are looked for.
const FAR: usize = 64;

/// Reads the signature from the graph. `columns` names the scalars of vector inputs.
pub(crate) fn signature(graph: &Graph, columns: &BTreeMap<String, Vec<String>>) -> Result<Signature, Error> {
    let mut inputs = Vec::with_capacity(graph.inputs.len());
    for input in &graph.inputs {
        let refuse = |reason: String| Err(Error::onnx(&graph.model, format!("its input `{}` {reason}", input.name)));
        let Some(data_type) = input.data_type else {
            return refuse("is not a tensor".to_owned());
        };
        let given = columns.get(&input.name);
        let width = match input.shape.as_deref() {
            Some([]) => return refuse("has no batch dimension; export it with shape [None, 1]".to_owned()),
            Some([_]) => Width::Scalar,
            Some([_, rest @ ..]) => {
                let product = rest.iter().try_fold(1usize, |product, dimension| match dimension {
                    Declared::Fixed(fixed) => product.checked_mul(*fixed),
                    Declared::Open => None,
                });
                match (product, given, rest.len()) {
                    (Some(1), _, 1) => Width::Scalar,
                    (Some(width), _, _) => Width::Vector(width),
                    (None, Some(names), 1) => Width::Vector(names.len()),
                    _ => {
                        return refuse(
                            "does not state its width; export it with a fixed width, such as [None, 4], or name its \
                             columns"
                                .to_owned(),
                        );
                    }
                }
            }
            None => match given {
                Some(names) => Width::Vector(names.len()),
                None => return refuse("does not state its shape; export it with one, such as [None, 4]".to_owned()),
            },
        };
        let names = match (width, given) {
            (Width::Scalar, _) => Vec::new(),
            (Width::Vector(width), Some(names)) if names.len() == width => names.clone(),
            (Width::Vector(width), Some(names)) => {
                return refuse(format!("has {width} columns and {} are named", names.len()));
            }
            (Width::Vector(width), None) if width > MOST_COLUMNS => {
                return refuse(format!("has {width} scalars a row, and the most that is taken is {MOST_COLUMNS}"));
            }
            (Width::Vector(width), None) if graph.inputs.len() == 1 => {
                (0..width).map(|place| format!("f{place}")).collect()
            }
            (Width::Vector(width), None) => (0..width).map(|place| format!("{}_{place}", input.name)).collect(),
        };
        inputs.push(InputSpec {
            name: input.name.clone(),
            data_type,
            width,
            columns: names,
            feature: None,
            features: Vec::new(),
        });
    }
    let mut signature = Signature { inputs, outputs: Vec::new() };
    // What an output is follows from the plan where the graph does not say.
    let plan = Plan::of(graph, signature.clone())?;
    for (output, fact) in graph.outputs.iter().zip(plan.output_facts()) {
        let classes = classes(graph, &output.name);
        let label = matches!(fact.data_type, DataType::Int64 | DataType::Int32 | DataType::String) && classes.is_some();
        let known = match fact.shape.as_deref() {
            Some([_] | [_, Dim::Fixed(1)]) => Some(Width::Scalar),
            Some([_, rest @ ..]) => rest
                .iter()
                .try_fold(1usize, |product, dimension| match dimension {
                    Dim::Fixed(fixed) => product.checked_mul(*fixed),
                    _ => None,
                })
                .map(Width::Vector),
            _ => None,
        };
        let width = known.or(match &output.shape {
            Some(shape) if shape.len() == 1 => Some(Width::Scalar),
            _ if label => Some(Width::Scalar),
            _ => classes.as_ref().map(|classes| Width::Vector(classes.len())),
        });
        let width = width.ok_or_else(|| {
            Error::onnx(
                &graph.model,
                format!("its output `{}` does not state its width; export it with a fixed shape", output.name),
            )
        })?;
        let role = match (&classes, width) {
            (Some(_), Width::Scalar) if label => Role::Label,
            (Some(classes), Width::Vector(width)) if fact.data_type.is_float() && classes.len() == width => {
                Role::Probabilities
            }
            _ if output.name.contains("label") && matches!(width, Width::Scalar) => Role::Label,
            _ => Role::Value,
        };
        let classes = if role == Role::Value { None } else { classes };
        signature.outputs.push(OutputSpec {
            name: output.name.clone(),
            data_type: fact.data_type,
            role,
            width,
            classes,
        });
    }
    share_classes(&mut signature);
    Ok(signature)
}

/// The most scalars of one row.
const MOST_COLUMNS: usize = 65_536;

/// A label's classes are those of the probabilities beside it.
fn share_classes(signature: &mut Signature) {
    let Some(classes) = signature.classes().cloned() else { return };
    let count = classes.len();
    let mut probabilities = signature.outputs.iter().any(|output| output.role == Role::Probabilities);
    for output in &mut signature.outputs {
        let fits = output.data_type.is_float() && output.width == Width::Vector(count);
        if output.role == Role::Value && fits && !probabilities {
            output.role = Role::Probabilities;
            probabilities = true;
        }
        if output.role != Role::Value && output.classes.is_none() {
            output.classes = Some(classes.clone());
        }
    }
}

/// The classes that an output is about: those of the nearest node behind it that has some.
fn classes(graph: &Graph, output: &str) -> Option<Classes> {
    let mut name = output;
    for _ in 0..FAR {
        let node = graph.producer(name)?;
        if let Some(classes) = node_classes(graph, node) {
            return Some(classes);
        }
        name = match node.operator() {
            "Identity" | "Cast" | "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" | "Normalizer" | "ZipMap" => {
                node.inputs().first()?
            }
            _ => return None,
        };
    }
    None
}

fn node_classes(graph: &Graph, node: &Node) -> Option<Classes> {
    if node.operator() == "ArrayFeatureExtractor" {
        // An index, by ArgMax, into the list of classes.
        return match to_tensor(graph.constants.get(node.inputs().first()?)?).ok()? {
            Tensor::String(array) => Some(Classes::String(array.into_data())),
            Tensor::Int64(array) => Some(Classes::Int64(array.into_data())),
            Tensor::Int32(array) => Some(Classes::Int64(array.into_data().into_iter().map(i64::from).collect())),
            _ => None,
        };
    }
    let strings = node.texts("classlabels_strings").ok()?;
    if !strings.is_empty() {
        return Some(Classes::String(strings));
    }
    ["classlabels_int64s", "classlabels_ints"]
        .iter()
        .map(|name| node.ints(name))
        .find(|ints| !ints.is_empty())
        .map(|ints| Classes::Int64(ints.to_vec()))
}
