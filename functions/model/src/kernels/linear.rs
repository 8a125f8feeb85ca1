//! `LinearClassifier` and `LinearRegressor`. Dot products are summed in double precision, so that no order of summation
//! that another engine may choose is further from the truth.

use super::scores::{Labels, Transform, logistic, probit};
use super::{Built, Closure, Context, Fact, as_f32, float32, input, kernel, matrix, numeric, rows, width};
use crate::plan::Dim;
use crate::tensor::{DataType, Tensor};

struct Weights {
    features: usize,
    targets: usize,
    coefficients: Vec<f32>,
    intercepts: Vec<f32>,
}

impl Weights {
    fn new(context: &Context<'_>, targets: usize) -> Result<Self, String> {
        let fact = context.fact(0)?;
        numeric(fact)?;
        let coefficients = context.node.floats("coefficients").to_vec();
        if targets == 0 || coefficients.is_empty() || !coefficients.len().is_multiple_of(targets) {
            return Err(format!("{} coefficients do not make {targets} targets", coefficients.len()));
        }
        let features = coefficients.len() / targets;
        if let Some(width) = width(fact)?
            && width != features
        {
            return Err(format!("its input has {width} features and its coefficients are for {features}"));
        }
        let intercepts = context.node.floats("intercepts").to_vec();
        if !intercepts.is_empty() && intercepts.len() != targets {
            return Err(format!("it has {} intercepts for {targets} targets", intercepts.len()));
        }
        Ok(Self { features, targets, coefficients, intercepts })
    }

    /// Raw scores, `targets` a row.
    fn scores(&self, tensor: &Tensor) -> Result<(usize, Vec<f32>), String> {
        let (rows, width) = matrix(tensor)?;
        if width != self.features {
            return Err(format!("its input has {width} features and its coefficients are for {}", self.features));
        }
        let data = as_f32(tensor)?;
        let mut scores = Vec::with_capacity(rows * self.targets);
        for row in data.chunks_exact(width) {
            for (target, coefficients) in self.coefficients.chunks_exact(width).enumerate() {
                let dot: f64 = row.iter().zip(coefficients).map(|(x, weight)| f64::from(*x) * f64::from(*weight)).sum();
                scores.push((dot + self.intercepts.get(target).map_or(0.0, |value| f64::from(*value))) as f32);
            }
        }
        Ok((rows, scores))
    }
}

pub(super) fn regressor(context: &Context<'_>) -> Built {
    let targets = usize::try_from(context.node.int("targets", 1)).map_err(|_| "it has a negative number of targets")?;
    let weights = Weights::new(context, targets)?;
    let transform = Transform::parse(&context.node.text("post_transform", "NONE")?)?;
    let fact = Fact::new(DataType::Float32, Some(vec![rows(context.fact(0)?), Dim::Fixed(targets)]));
    Ok(kernel(fact, move |inputs| {
        let (rows, mut scores) = weights.scores(input(inputs, 0)?)?;
        if targets > 1 || transform == Transform::Probit {
            scores.chunks_exact_mut(targets).for_each(|row| transform.apply(row));
        }
        float32(vec![rows, targets], scores)
    }))
}

pub(super) fn labels(context: &Context<'_>, ints: &str, strings: &str) -> Result<Labels, String> {
    let strings = context.node.texts(strings)?;
    let labels =
        if strings.is_empty() { Labels::Int64(context.node.ints(ints).to_vec()) } else { Labels::String(strings) };
    if labels.len() == 0 { Err("it has no class labels; export the model again".to_owned()) } else { Ok(labels) }
}

pub(super) fn classifier(context: &Context<'_>) -> Built {
    let labels = labels(context, "classlabels_ints", "classlabels_strings")?;
    let intercepts = context.node.floats("intercepts").len();
    let targets = if intercepts > 0 { intercepts } else { labels.len() };
    let binary = targets == 1 && labels.len() == 2;
    if !binary && targets != labels.len() {
        return Err(format!("it has {} classes and {targets} targets", labels.len()));
    }
    let weights = Weights::new(context, targets)?;
    let transform = Transform::parse(&context.node.text("post_transform", "NONE")?)?;
    let batch = rows(context.fact(0)?);
    let label_type = if matches!(labels, Labels::Int64(_)) { DataType::Int64 } else { DataType::String };
    let classes = labels.len();
    let facts = vec![
        Fact::new(label_type, Some(vec![batch])),
        Fact::new(DataType::Float32, Some(vec![batch, Dim::Fixed(classes)])),
    ];
    let run = move |inputs: &[Option<&Tensor>]| {
        let (rows, raw) = weights.scores(input(inputs, 0)?)?;
        let mut picked = Vec::with_capacity(rows);
        let mut scores = Vec::with_capacity(rows * classes);
        for row in raw.chunks_exact(targets) {
            if let ([score], true) = (row, binary) {
                picked.push(usize::from(*score > 0.0));
                // A softmax of one score is left out.
                let score = match transform {
                    Transform::Logistic => logistic(*score),
                    Transform::Probit => probit(*score),
                    _ => *score,
                };
                let both = [1.0 - score, score];
                scores.extend(both);
                continue;
            }
            let mut best = 0;
            for (class, score) in row.iter().enumerate() {
                if row.get(best).is_some_and(|largest| score > largest) {
                    best = class;
                }
            }
            picked.push(best);
            let start = scores.len();
            scores.extend_from_slice(row);
            transform.apply(&mut scores[start..]);
        }
        Ok(vec![labels.pick(&picked), float32(vec![rows, classes], scores)?])
    };
    Ok(Box::new(Closure { facts, run }))
}
