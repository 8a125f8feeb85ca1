//! Tree ensembles of `ai.onnx.ml`: `TreeEnsembleClassifier` and `TreeEnsembleRegressor`, versions 1 and 3, and
//! `TreeEnsemble`, version 5.
//!
//! A file becomes an [`ensemble`], whichever operator it holds, and an ensemble a [`forest`], whose trees are laid out for
//! the processor. A row's scores are summed in the order of the trees whatever the layout and the batch, so its result
//! does not depend on its neighbours, to the bit.

mod attributes;
mod attributes5;
mod classify;
mod deep;
mod ensemble;
mod forest;
mod number;
mod perfect;
mod run;
#[cfg(test)]
mod tests;

pub(super) use classify::classifier;
use ensemble::{Aggregate, Ensemble};
use forest::{Forest, Score};
use number::Number;

use super::scores::Transform;
use super::{Built, Closure, Context, Fact, float32, input, matrix, numeric, rows, width};
use crate::plan::Dim;
use crate::tensor::{DataType, Tensor};

/// Whether thresholds, held by a tensor of this name, are doubles, or the input is.
fn double(context: &Context<'_>, thresholds: &str) -> Result<bool, String> {
    let tensor = context.node.tensor(thresholds)?;
    Ok(context.fact(0)?.data_type == DataType::Float64
        || tensor.is_some_and(|tensor| tensor.data_type() == DataType::Float64))
}

impl<T: Number> Ensemble<T> {
    /// Refuses an input that is known to have fewer features than are tested.
    fn check_width(&self, fact: &Fact) -> Result<(), String> {
        match (width(fact)?, self.features()) {
            (Some(width), features) if features > width => {
                Err(format!("it tests feature {} and its input has {width}", features - 1))
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn regressor(context: &Context<'_>) -> Built {
    fn build<T: Number>(context: &Context<'_>) -> Built {
        let targets = targets(context)?;
        let (run, batch) = regression::<T>(context, attributes::read(context, "target", targets)?)?;
        let facts = vec![Fact::new(DataType::Float32, Some(vec![batch, Dim::Fixed(targets)]))];
        let run = move |inputs: &[Option<&Tensor>]| {
            let (rows, found) = run(inputs)?;
            Ok(vec![float32(vec![rows, targets], found.into_iter().map(T::to_f32).collect())?])
        };
        Ok(Box::new(Closure { facts, run }))
    }
    if double(context, "nodes_values_as_tensor")? { build::<f64>(context) } else { build::<f32>(context) }
}

/// `TreeEnsemble`: its outputs have the type of its input.
pub(super) fn ensemble(context: &Context<'_>) -> Built {
    fn build<T: Number>(context: &Context<'_>) -> Built {
        let targets = targets(context)?;
        let (run, batch) = regression::<T>(context, attributes5::read(context, targets)?)?;
        let facts = vec![Fact::new(T::DATA_TYPE, Some(vec![batch, Dim::Fixed(targets)]))];
        let run = move |inputs: &[Option<&Tensor>]| {
            let (rows, found) = run(inputs)?;
            Ok(vec![T::tensor(vec![rows, targets], found).map_err(|error| error.to_string())?])
        };
        Ok(Box::new(Closure { facts, run }))
    }
    if double(context, "nodes_splits")? { build::<f64>(context) } else { build::<f32>(context) }
}

fn targets(context: &Context<'_>) -> Result<usize, String> {
    let given = context.node.int("n_targets", 1);
    usize::try_from(given)
        .ok()
        .filter(|targets| (1..=1 << 20).contains(targets))
        .ok_or_else(|| format!("n_targets is {given}; export the model again"))
}

/// A regression as a function of its inputs that gives the number of rows and their outputs; and the batch dimension.
#[allow(clippy::type_complexity, reason = "a closure has no type that an alias could name")]
fn regression<T: Number>(
    context: &Context<'_>,
    ensemble: Ensemble<T>,
) -> Result<(impl Fn(&[Option<&Tensor>]) -> Result<(usize, Vec<T>), String> + use<T>, Dim), String> {
    let fact = context.fact(0)?;
    numeric(fact)?;
    ensemble.check_width(fact)?;
    let forest = Forest::new(&ensemble);
    let regression = Regression::new(ensemble)?;
    let run = move |inputs: &[Option<&Tensor>]| {
        let tensor = input(inputs, 0)?;
        let (rows, width) = matrix(tensor)?;
        let mut out = Vec::with_capacity(rows.saturating_mul(regression.targets).min(super::MOST_VALUES));
        forest.each_row(&T::read(tensor)?, width, |scores| regression.finish(scores, &mut out))?;
        Ok((rows, out))
    };
    Ok((run, rows(fact)))
}

/// What a regression does with the raw scores of a row.
struct Regression<T> {
    targets: usize,
    trees: T,
    base: Vec<T>,
    aggregate: Aggregate,
    transform: Transform,
}

impl<T: Number> Regression<T> {
    fn new(ensemble: Ensemble<T>) -> Result<Self, String> {
        let Ensemble { trees, targets, base, aggregate, transform, .. } = ensemble;
        if !base.is_empty() && base.len() != targets {
            return Err(format!("it has {} base_values for {targets} targets", base.len()));
        }
        // ONNX Runtime leaves a single target as it is under every transform but PROBIT.
        let transform = if targets > 1 || transform == Transform::Probit { transform } else { Transform::None };
        Ok(Self { targets, trees: T::from_count(trees.len()), base, aggregate, transform })
    }

    /// Appends the outputs of a row, one a target.
    fn finish(&self, scores: &mut [Score<T>], out: &mut Vec<T>) {
        let start = out.len();
        for (target, score) in scores.iter_mut().enumerate() {
            if self.aggregate == Aggregate::Average {
                score.value = score.value / self.trees;
            }
            if let Some(base) = self.base.get(target) {
                score.value += *base;
            }
            out.push(score.value);
        }
        if self.transform != Transform::None {
            let mut row: Vec<f32> = out[start..].iter().map(|value| value.to_f32()).collect();
            self.transform.apply(&mut row);
            out.truncate(start);
            out.extend(row.into_iter().map(T::from_f32));
        }
    }
}
