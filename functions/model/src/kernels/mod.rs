//! Own kernels: every `ai.onnx.ml` operator that scikit-learn exports need, every operator on text, and the light
//! operators around them. Plain scalar Rust over slices, with `libm` for transcendentals, so that every target gives
//! the same bits.

mod elementwise;
mod encode;
mod linear;
mod scale;
mod scores;
mod shape;
mod tree;

use std::borrow::Cow;

use crate::onnx::{Domain, Node};
use crate::plan::Dim;
use crate::tensor::{DataType, Tensor};

/// What is known of a value before the model runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fact {
    pub(crate) data_type: DataType,
    pub(crate) shape: Option<Vec<Dim>>,
}

impl Fact {
    fn new(data_type: DataType, shape: Option<Vec<Dim>>) -> Self {
        Self { data_type, shape }
    }
}

/// An operator that is ready to run. Messages of errors are completed with the node's name by the caller.
pub(crate) trait Kernel: Send + Sync {
    /// Type and shape of each output.
    fn facts(&self) -> &[Fact];

    /// Evaluates one batch. An omitted optional input is `None`.
    fn run(&self, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>, String>;
}

/// What a kernel is built from.
pub(crate) struct Context<'a> {
    pub(crate) node: &'a Node,
    pub(crate) opset: i64,
    pub(crate) ml_opset: i64,
    /// One per input; `None` where it is omitted.
    pub(crate) facts: &'a [Option<Fact>],
    /// The values of inputs that are constants.
    pub(crate) constants: &'a [Option<Tensor>],
}

impl Context<'_> {
    fn fact(&self, input: usize) -> Result<&Fact, String> {
        self.facts
            .get(input)
            .and_then(Option::as_ref)
            .ok_or_else(|| format!("input {input} is missing; export the model again"))
    }

    fn constant(&self, input: usize) -> Option<&Tensor> {
        self.constants.get(input).and_then(Option::as_ref)
    }

    fn given(&self, input: usize) -> bool {
        self.facts.get(input).is_some_and(Option::is_some)
    }
}

type Built = Result<Box<dyn Kernel>, String>;

/// Whether an operator has an own kernel (for the element types that it takes).
pub(crate) fn supports(node: &Node) -> bool {
    match node.domain() {
        Domain::Ml => ML.contains(&node.operator()),
        Domain::Onnx => elementwise::supports(node.operator()) || shape::OPERATORS.contains(&node.operator()),
        Domain::Other => false,
    }
}

/// Operators of `ai.onnx.ml` that have a kernel.
pub(crate) const ML: &[&str] = &[
    "ArrayFeatureExtractor",
    "Binarizer",
    "CategoryMapper",
    "FeatureVectorizer",
    "Imputer",
    "LabelEncoder",
    "LinearClassifier",
    "LinearRegressor",
    "Normalizer",
    "OneHotEncoder",
    "Scaler",
    "TreeEnsemble",
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
    "ZipMap",
];

/// Builds the kernel of an operator that [`supports`] says there is one for.
pub(crate) fn build(context: &Context<'_>) -> Built {
    let operator = context.node.operator();
    if context.node.domain() == Domain::Ml {
        return match operator {
            "ArrayFeatureExtractor" => encode::array_feature_extractor(context),
            "Binarizer" => scale::binarizer(context),
            "CategoryMapper" => encode::category_mapper(context),
            "FeatureVectorizer" => scale::feature_vectorizer(context),
            "Imputer" => scale::imputer(context),
            "LabelEncoder" => encode::label_encoder(context),
            "LinearClassifier" => linear::classifier(context),
            "LinearRegressor" => linear::regressor(context),
            "Normalizer" => scale::normalizer(context),
            "OneHotEncoder" => encode::one_hot_encoder(context),
            "Scaler" => scale::scaler(context),
            "TreeEnsemble" => tree::ensemble(context),
            "TreeEnsembleClassifier" => tree::classifier(context),
            "TreeEnsembleRegressor" => tree::regressor(context),
            // Probabilities stay a tensor; the classes go into the signature.
            "ZipMap" => shape::identity(context),
            _ => Err(format!("there is no kernel for ai.onnx.ml.{operator}")),
        };
    }
    if elementwise::supports(operator) { elementwise::build(context) } else { shape::build(context) }
}

/// The last dimension of a matrix, where it is known. An input that is not a matrix is refused.
fn width(fact: &Fact) -> Result<Option<usize>, String> {
    match fact.shape.as_deref() {
        Some([_, Dim::Fixed(width)]) => Ok(Some(*width)),
        None | Some([_, _]) => Ok(None),
        Some(shape) => {
            Err(format!("its input has {} dimensions and it takes a matrix of rows and features", shape.len()))
        }
    }
}

/// The first dimension of a matrix.
fn rows(fact: &Fact) -> Dim {
    fact.shape.as_ref().and_then(|shape| shape.first()).copied().unwrap_or(Dim::Unknown)
}

/// Rows and features of a matrix.
fn matrix(tensor: &Tensor) -> Result<(usize, usize), String> {
    match tensor.shape() {
        [rows, width] => Ok((*rows, *width)),
        shape => Err(format!("its input has shape {shape:?} and it takes a matrix of rows and features")),
    }
}

fn input<'a>(inputs: &[Option<&'a Tensor>], index: usize) -> Result<&'a Tensor, String> {
    inputs.get(index).copied().flatten().ok_or_else(|| format!("input {index} is missing"))
}

/// Numbers as 32-bit floats, as ONNX Runtime converts them.
fn as_f32(tensor: &Tensor) -> Result<Cow<'_, [f32]>, String> {
    Ok(match tensor {
        Tensor::Float32(array) => Cow::Borrowed(array.data()),
        Tensor::Float64(array) => array.data().iter().map(|value| *value as f32).collect(),
        Tensor::Int32(array) => array.data().iter().map(|value| *value as f32).collect(),
        Tensor::Int64(array) => array.data().iter().map(|value| *value as f32).collect(),
        Tensor::Bool(array) => array.data().iter().map(|value| f32::from(u8::from(*value))).collect(),
        Tensor::String(_) => return Err("its input is text and it takes numbers".to_owned()),
    })
}

fn numeric(fact: &Fact) -> Result<(), String> {
    if fact.data_type == DataType::String { Err("its input is text and it takes numbers".to_owned()) } else { Ok(()) }
}

/// The largest tensor that a kernel makes. A hostile model would otherwise turn a few constants into all of memory.
const MOST_VALUES: usize = 1 << 28;

/// The size of a result, where it can be afforded.
fn affordable(factors: impl IntoIterator<Item = usize>) -> Result<usize, String> {
    factors
        .into_iter()
        .try_fold(1usize, usize::checked_mul)
        .filter(|size| *size <= MOST_VALUES)
        .ok_or_else(|| format!("its result has more than {MOST_VALUES} values; score fewer rows at a time"))
}

fn float32(shape: Vec<usize>, data: Vec<f32>) -> Result<Tensor, String> {
    Tensor::float32(shape, data).map_err(|error| error.to_string())
}

/// A kernel that is a closure over its parameters.
struct Closure<F> {
    facts: Vec<Fact>,
    run: F,
}

impl<F> Kernel for Closure<F>
where
    F: Fn(&[Option<&Tensor>]) -> Result<Vec<Tensor>, String> + Send + Sync,
{
    fn facts(&self) -> &[Fact] {
        &self.facts
    }

    fn run(&self, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>, String> {
        (self.run)(inputs)
    }
}

/// A kernel with one output.
fn kernel(
    fact: Fact,
    run: impl Fn(&[Option<&Tensor>]) -> Result<Tensor, String> + Send + Sync + 'static,
) -> Box<dyn Kernel> {
    Box::new(Closure {
        facts: vec![fact],
        run: move |inputs: &[Option<&Tensor>]| run(inputs).map(|output| vec![output]),
    })
}
