//! Dense sub-graphs on tract, with a symbolic batch dimension.

use std::sync::Arc;

use tract_onnx::pb;
use tract_onnx::prelude::*;

use crate::plan::{BATCH, DenseEngine, DenseGraph, DensePort, DenseProgram, Dim};
use crate::tensor::{Array, DataType};
use crate::{Error, Tensor};

/// Runs dense sub-graphs on tract. The batch stays symbolic: one program serves every batch size.
#[derive(Clone, Copy, Debug, Default)]
pub struct TractEngine;

impl DenseEngine for TractEngine {
    fn name(&self) -> &'static str {
        "tract"
    }

    fn compile(&self, graph: &DenseGraph) -> Result<Box<dyn DenseProgram>, Error> {
        let typed = TypedModel::clone(graph.typed());
        let plan = guard(|| typed.into_optimized()?.into_runnable()).map_err(|reason| refused(graph, &reason))?;
        Ok(Box::new(Program { model: graph.name.clone(), plan, outputs: graph.outputs.clone() }))
    }
}

fn refused(graph: &DenseGraph, reason: &str) -> Error {
    Error::onnx(&graph.name, format!("its dense part ({}) cannot be run: {reason}", graph.operators().join(", ")))
}

/// What tract says of a model that is not ours to trust. It returns errors for most of what can be wrong and panics
/// for the rest; on wasm a panic ends the instance, which its host answers with an error.
fn guard<T>(run: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(format!("{error:#}").chars().take(600).collect()),
        Err(_) => Err("its operators contradict each other; export the model again".to_owned()),
    }
}

/// Whether tract has an operator.
pub(crate) fn supports(operator: &str) -> bool {
    tract_onnx::onnx().op_register.0.contains_key(operator)
}

/// Types and shapes of a sub-graph's outputs, and the analysed model.
pub(crate) fn analyse(proto: &pb::ModelProto) -> Result<(Arc<TypedModel>, Vec<DensePort>), String> {
    let typed = guard(|| {
        let parsed = tract_onnx::onnx().parse(proto, None)?;
        parsed.model.into_typed()?.into_decluttered()
    })?;
    let batch = typed.symbols.sym(BATCH).to_dim();
    let names = proto.graph.iter().flat_map(|graph| &graph.output).map(|output| output.name.clone());
    let mut ports = Vec::new();
    for (index, name) in names.enumerate() {
        let fact = typed.output_fact(index).map_err(|error| error.to_string())?;
        let shape = fact.shape.iter().map(|dimension| {
            if *dimension == batch {
                Dim::Batch
            } else {
                dimension.to_i64().ok().and_then(|value| usize::try_from(value).ok()).map_or(Dim::Unknown, Dim::Fixed)
            }
        });
        ports.push(DensePort {
            data_type: own_type(fact.datum_type)
                .ok_or_else(|| format!("its output `{name}` is of type {:?}, which is not read", fact.datum_type))?,
            shape: Some(shape.collect()),
            name,
        });
    }
    Ok((Arc::new(typed), ports))
}

fn own_type(datum_type: DatumType) -> Option<DataType> {
    Some(match datum_type {
        DatumType::F32 => DataType::Float32,
        DatumType::F64 => DataType::Float64,
        DatumType::I32 => DataType::Int32,
        // Shapes are symbolic integers within tract.
        DatumType::I64 | DatumType::TDim => DataType::Int64,
        DatumType::Bool => DataType::Bool,
        _ => return None,
    })
}

struct Program {
    model: String,
    plan: Arc<TypedRunnableModel>,
    outputs: Vec<DensePort>,
}

impl DenseProgram for Program {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        let failed = |reason: String| Error::Run { model: self.model.clone(), reason };
        let inputs = inputs.iter().map(theirs).collect::<Result<TVec<_>, _>>().map_err(failed)?;
        let outputs = guard(|| self.plan.run(inputs)).map_err(failed)?;
        outputs
            .iter()
            .zip(&self.outputs)
            .map(|(output, port)| ours(output, port.data_type))
            .collect::<Result<_, _>>()
            .map_err(failed)
    }
}

fn theirs(tensor: &Tensor) -> Result<TValue, String> {
    let made = match tensor {
        Tensor::Float32(array) => tract_onnx::prelude::Tensor::from_shape(array.shape(), array.data()),
        Tensor::Float64(array) => tract_onnx::prelude::Tensor::from_shape(array.shape(), array.data()),
        Tensor::Int32(array) => tract_onnx::prelude::Tensor::from_shape(array.shape(), array.data()),
        Tensor::Int64(array) => tract_onnx::prelude::Tensor::from_shape(array.shape(), array.data()),
        Tensor::Bool(array) => tract_onnx::prelude::Tensor::from_shape(array.shape(), array.data()),
        Tensor::String(_) => return Err("text does not enter dense operators".to_owned()),
    };
    made.map(IntoTValue::into_tvalue).map_err(|error| error.to_string())
}

fn ours(value: &TValue, data_type: DataType) -> Result<Tensor, String> {
    let shape = value.shape().to_vec();
    macro_rules! read {
        ($variant:ident, $type:ty) => {{
            let cast = value.cast_to::<$type>().map_err(|error| error.to_string())?;
            let data = cast
                .try_as_plain_ram()
                .and_then(|plain| plain.as_slice::<$type>().map(<[$type]>::to_vec))
                .map_err(|error| error.to_string())?;
            Array::new(shape, data).map(Tensor::$variant)
        }};
    }
    let made = match data_type {
        DataType::Float32 => read!(Float32, f32),
        DataType::Float64 => read!(Float64, f64),
        DataType::Int32 => read!(Int32, i32),
        DataType::Int64 => read!(Int64, i64),
        DataType::Bool => read!(Bool, bool),
        DataType::String => return Err("text does not leave dense operators".to_owned()),
    };
    made.map_err(|error| error.to_string())
}
