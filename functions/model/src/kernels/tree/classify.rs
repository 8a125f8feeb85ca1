//! `TreeEnsembleClassifier`: which class the scores of a row decide for, as ONNX Runtime has it.

use super::ensemble::{Ensemble, TreeNode};
use super::forest::{Forest, Score};
use super::number::Number;
use super::{attributes, double};
use crate::kernels::scores::{Labels, Transform, logistic, probit};
use crate::kernels::{Built, Closure, Context, Fact, float32, input, linear, matrix, numeric, rows};
use crate::plan::Dim;
use crate::tensor::{DataType, Tensor};

/// What decides the class of a row.
pub(super) struct Decision<T> {
    classes: usize,
    /// Two classes of which only one has weights.
    one_sided: bool,
    all_positive: bool,
    base: Vec<T>,
    transform: Transform,
}

pub(in crate::kernels) fn classifier(context: &Context<'_>) -> Built {
    if double(context, "nodes_values_as_tensor")? {
        classification::<f64>(context)
    } else {
        classification::<f32>(context)
    }
}

fn classification<T: Number>(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?;
    numeric(fact)?;
    let labels = linear::labels(context, "classlabels_int64s", "classlabels_strings")?;
    let classes = labels.len();
    let ids = context.node.ints("class_ids");
    let one_sided = classes == 2 && ids.windows(2).all(|pair| pair[0] == pair[1]);
    let batch = rows(fact);
    let label_type = if matches!(labels, Labels::Int64(_)) { DataType::Int64 } else { DataType::String };
    let facts = vec![
        Fact::new(label_type, Some(vec![batch])),
        Fact::new(DataType::Float32, Some(vec![batch, Dim::Fixed(classes)])),
    ];
    let ensemble: Ensemble<T> = attributes::read(context, "class", classes)?;
    ensemble.check_width(fact)?;
    let decision = Decision::new(&ensemble, one_sided)?;
    let forest = Forest::new(&ensemble);
    let run = move |inputs: &[Option<&Tensor>]| {
        let tensor = input(inputs, 0)?;
        let (_, width) = matrix(tensor)?;
        decision.run(&forest, &T::read(tensor)?, width, &labels)
    };
    Ok(Box::new(Closure { facts, run }))
}

impl<T: Number> Decision<T> {
    pub(super) fn new(ensemble: &Ensemble<T>, one_sided: bool) -> Result<Self, String> {
        let (classes, base) = (ensemble.targets, ensemble.base.len());
        if base != 0 && base != classes && (classes, base) != (2, 1) {
            return Err(format!("it has {base} base_values for {classes} classes"));
        }
        let all_positive = ensemble.trees.iter().flatten().all(|node| match node {
            TreeNode::Leaf(leaf) => ensemble.weights_of(*leaf).iter().all(|weight| weight.value >= T::ZERO),
            TreeNode::Branch(_) => true,
        });
        Ok(Self { classes, one_sided, all_positive, base: ensemble.base.clone(), transform: ensemble.transform })
    }

    fn run(&self, forest: &Forest<T>, data: &[T], width: usize, labels: &Labels) -> Result<Vec<Tensor>, String> {
        let rows = data.len() / width.max(1);
        let mut picked = Vec::with_capacity(rows);
        let mut out = Vec::with_capacity(rows * self.classes);
        forest.each_row(data, width, |scores| picked.push(self.decide(scores, &mut out)))?;
        Ok(vec![labels.pick(&picked), float32(vec![rows, self.classes], out)?])
    }

    /// The class of a row by its raw scores. Its final scores are appended, one a class.
    pub(super) fn decide(&self, scores: &mut [Score<T>], out: &mut Vec<f32>) -> usize {
        if let ([first, second], 2) = (&mut *scores, self.classes) {
            self.binary(first, second, out)
        } else {
            self.many(scores, out)
        }
    }

    /// Three classes or more, or one: the largest score wins, the first among equals.
    fn many(&self, scores: &mut [Score<T>], out: &mut Vec<f32>) -> usize {
        for (score, base) in scores.iter_mut().zip(&self.base) {
            score.value += *base;
            score.given = true;
        }
        let mut best: Option<(usize, T)> = None;
        for (class, score) in scores.iter().enumerate().filter(|(_, score)| score.given) {
            if best.is_none_or(|(_, largest)| score.value > largest) {
                best = Some((class, score.value));
            }
        }
        let start = out.len();
        out.extend(scores.iter().map(|score| score.value.to_f32()));
        self.transform.apply(&mut out[start..]);
        best.map_or(0, |(class, _)| class)
    }

    /// Two classes. ONNX Runtime's rules, case by case: what a model with one-sided weights means is not in the
    /// specification.
    fn binary(&self, first: &mut Score<T>, second: &mut Score<T>, out: &mut Vec<f32>) -> usize {
        let two_bases = match self.base.as_slice() {
            [base] => {
                first.value += *base;
                false
            }
            [_, base_second] if second.given => {
                let mut value = *base_second;
                value += first.value;
                second.value = value;
                first.value = T::ZERO - value;
                true
            }
            [base_first, _] => {
                first.value += *base_first;
                true
            }
            _ => false,
        };
        let deciding = if second.given { second.value } else { first.value }.to_f32();
        let winner = if self.all_positive { usize::from(deciding > 0.5) } else { usize::from(deciding > 0.0) };
        if second.given || two_bases {
            let mut both = [first.value.to_f32(), second.value.to_f32()];
            // Where both classes have weights the larger score wins, as the specification has it; ONNX Runtime answers
            // the second class whenever its score is above zero.
            let class = if self.one_sided { winner } else { usize::from(both[1] > both[0]) };
            self.transform.apply(&mut both);
            out.extend(both);
            return class;
        }
        out.extend(match self.transform {
            Transform::Logistic => [logistic(-deciding), logistic(deciding)],
            Transform::Probit => [1.0 - probit(deciding), probit(deciding)],
            _ if self.all_positive => [1.0 - deciding, deciding],
            _ => [-deciding, deciding],
        });
        winner
    }
}
