//! What tree ensembles and linear models do with a row's raw scores, as ONNX Runtime does it.

use crate::signature::Classes;
use crate::tensor::{Array, Tensor};

/// The last step of a tree ensemble or a linear model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transform {
    None,
    Logistic,
    Softmax,
    SoftmaxZero,
    Probit,
}

impl Transform {
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "NONE" => Self::None,
            "LOGISTIC" => Self::Logistic,
            "SOFTMAX" => Self::Softmax,
            "SOFTMAX_ZERO" => Self::SoftmaxZero,
            "PROBIT" => Self::Probit,
            other => {
                return Err(format!(
                    "post_transform `{other}` is none of NONE, LOGISTIC, SOFTMAX, SOFTMAX_ZERO and PROBIT"
                ));
            }
        })
    }

    /// Applies to the scores of one row with two or more of them.
    pub(crate) fn apply(self, scores: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Logistic => scores.iter_mut().for_each(|score| *score = logistic(*score)),
            Self::Softmax => softmax(scores),
            Self::SoftmaxZero => softmax_zero(scores),
            Self::Probit => scores.iter_mut().for_each(|score| *score = probit(*score)),
        }
    }
}

pub(crate) fn logistic(value: f32) -> f32 {
    let upper = 1.0 / (1.0 + libm::expf(-value.abs()));
    if value < 0.0 { 1.0 - upper } else { upper }
}

/// The approximation of the inverse error function that ONNX Runtime uses.
pub(crate) fn probit(value: f32) -> f32 {
    const A: f32 = 0.147;
    #[allow(clippy::approx_constant, reason = "the digits that ONNX Runtime has")]
    const PI: f32 = 3.141_59;
    let x = 2.0 * value - 1.0;
    let sign = if x < 0.0 { -1.0 } else { 1.0 };
    let log = libm::logf((1.0 - x) * (1.0 + x));
    let v = 2.0 / (PI * A) + 0.5 * log;
    let inner = -v + libm::sqrtf(v * v - 1.0 / A * log);
    std::f32::consts::SQRT_2 * sign * libm::sqrtf(inner)
}

fn largest(scores: &[f32]) -> f32 {
    scores.iter().fold(-f32::MAX, |largest, score| if *score > largest { *score } else { largest })
}

pub(crate) fn softmax(scores: &mut [f32]) {
    let largest = largest(scores);
    let mut sum = 0.0;
    for score in &mut *scores {
        *score = libm::expf(*score - largest);
        sum += *score;
    }
    for score in scores {
        *score /= sum;
    }
}

/// Softmax that leaves scores of zero out of the sum.
fn softmax_zero(scores: &mut [f32]) {
    const ZERO: f32 = 1e-7;
    let largest = largest(scores);
    let scale = libm::expf(-largest);
    let mut sum = 0.0;
    for score in &mut *scores {
        if score.abs() > ZERO {
            *score = libm::expf(*score - largest);
            sum += *score;
        } else {
            *score *= scale;
        }
    }
    for score in scores {
        *score /= sum;
    }
}

/// The class labels of a classifier node.
#[derive(Clone, Debug)]
pub(crate) enum Labels {
    Int64(Vec<i64>),
    String(Vec<String>),
}

impl Labels {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Int64(labels) => labels.len(),
            Self::String(labels) => labels.len(),
        }
    }

    /// Labels of rows by class index, shape `[n]`. An index beyond the classes is the first class.
    pub(crate) fn pick(&self, classes: &[usize]) -> Tensor {
        match self {
            Self::Int64(labels) => Tensor::Int64(Array::vector(
                classes
                    .iter()
                    .map(|class| labels.get(*class).or(labels.first()).copied().unwrap_or_default())
                    .collect(),
            )),
            Self::String(labels) => Tensor::String(Array::vector(
                classes
                    .iter()
                    .map(|class| labels.get(*class).or(labels.first()).cloned().unwrap_or_default())
                    .collect(),
            )),
        }
    }
}

impl From<Labels> for Classes {
    fn from(labels: Labels) -> Self {
        match labels {
            Labels::Int64(labels) => Self::Int64(labels),
            Labels::String(labels) => Self::String(labels),
        }
    }
}
