//! `TreeEnsembleClassifier` and `TreeEnsembleRegressor`, versions 1 and 3 of `ai.onnx.ml`.
//!
//! A tree is an array of nodes in preorder: where the test holds, the next node follows, else the node says where to go
//! on. Children always lie behind their parent, so a walk ends whatever the file said. Rows are taken in blocks, tree
//! by tree; a row's scores are summed in the order of the trees whatever the batch, so its result does not depend on
//! its neighbours.

use std::collections::HashMap;

use super::scores::{Labels, Transform, logistic, probit};
use super::{Built, Closure, Context, Fact, as_f32, float32, input, linear, matrix, numeric, rows, width};
use crate::plan::Dim;
use crate::tensor::{DataType, Tensor};

/// Rows that go through one tree before the next tree is taken up.
const BLOCK: usize = 64;

/// Thresholds and scores: 32-bit floats, or 64-bit where the model says so.
trait Number:
    Copy
    + PartialOrd
    + PartialEq
    + Send
    + Sync
    + std::ops::AddAssign
    + std::ops::Div<Output = Self>
    + std::ops::Sub<Output = Self>
    + 'static
{
    const ZERO: Self;
    fn from_f32(value: f32) -> Self;
    fn from_f64(value: f64) -> Self;
    fn from_count(value: usize) -> Self;
    fn to_f32(self) -> f32;
    fn missing(self) -> bool;
}

impl Number for f32 {
    const ZERO: Self = 0.0;
    fn from_f32(value: f32) -> Self {
        value
    }
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    fn from_count(value: usize) -> Self {
        value as f32
    }
    fn to_f32(self) -> f32 {
        self
    }
    fn missing(self) -> bool {
        self.is_nan()
    }
}

impl Number for f64 {
    const ZERO: Self = 0.0;
    fn from_f32(value: f32) -> Self {
        f64::from(value)
    }
    fn from_f64(value: f64) -> Self {
        value
    }
    fn from_count(value: usize) -> Self {
        value as f64
    }
    fn to_f32(self) -> f32 {
        self as f32
    }
    fn missing(self) -> bool {
        self.is_nan()
    }
}

/// How a node compares a feature with its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    Equal,
    NotEqual,
    Leaf,
}

impl Test {
    fn parse(mode: &[u8]) -> Result<Self, String> {
        Ok(match mode {
            b"BRANCH_LEQ" => Self::LessOrEqual,
            b"BRANCH_LT" => Self::Less,
            b"BRANCH_GTE" => Self::GreaterOrEqual,
            b"BRANCH_GT" => Self::Greater,
            b"BRANCH_EQ" => Self::Equal,
            b"BRANCH_NEQ" => Self::NotEqual,
            b"LEAF" => Self::Leaf,
            other => return Err(format!("nodes_modes holds `{}`, which is no mode", String::from_utf8_lossy(other))),
        })
    }

    fn holds<T: Number>(self, value: T, threshold: T) -> bool {
        match self {
            Self::LessOrEqual => value <= threshold,
            Self::Less => value < threshold,
            Self::GreaterOrEqual => value >= threshold,
            Self::Greater => value > threshold,
            Self::Equal => value == threshold,
            Self::NotEqual => value != threshold,
            Self::Leaf => false,
        }
    }
}

/// One node. A leaf's `other` and `count` are its place and number in the list of weights.
#[derive(Clone, Copy, Debug)]
struct TreeNode<T> {
    threshold: T,
    feature: u32,
    other: u32,
    count: u32,
    test: Test,
    missing_goes_on: bool,
}

#[derive(Clone, Copy, Debug)]
struct Weight<T> {
    target: u32,
    value: T,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

/// Scores of one target of one row while its trees are taken.
#[derive(Clone, Copy, Debug)]
struct Score<T> {
    value: T,
    given: bool,
}

struct Forest<T> {
    nodes: Vec<TreeNode<T>>,
    weights: Vec<Weight<T>>,
    roots: Vec<u32>,
    targets: usize,
    /// One more than the largest feature that a node tests.
    features: usize,
    base: Vec<T>,
    aggregate: Aggregate,
    transform: Transform,
    /// Every test is `<=` and no missing value goes on: the shape of most models.
    plain: bool,
}

/// The attribute lists of a node, by their lengths checked against each other.
struct Lists<'a> {
    tree_ids: &'a [i64],
    node_ids: &'a [i64],
    features: &'a [i64],
    modes: &'a [Vec<u8>],
    yes: &'a [i64],
    no: &'a [i64],
    missing: &'a [i64],
}

impl<T: Number> Forest<T> {
    /// Reads and checks the attributes; `prefix` is `class` or `target`.
    fn new(context: &Context<'_>, prefix: &str, targets: usize) -> Result<Self, String> {
        let node = context.node;
        let modes: &[Vec<u8>] = node
            .proto()
            .attribute
            .iter()
            .find(|attribute| attribute.name == "nodes_modes")
            .map_or(&[], |attribute| &attribute.strings);
        let lists = Lists {
            tree_ids: node.ints("nodes_treeids"),
            node_ids: node.ints("nodes_nodeids"),
            features: node.ints("nodes_featureids"),
            modes,
            yes: node.ints("nodes_truenodeids"),
            no: node.ints("nodes_falsenodeids"),
            missing: node.ints("nodes_missing_value_tracks_true"),
        };
        let count = lists.tree_ids.len();
        let thresholds: Vec<T> = numbers(context, "nodes_values")?;
        for (name, length) in [
            ("nodes_nodeids", lists.node_ids.len()),
            ("nodes_featureids", lists.features.len()),
            ("nodes_modes", lists.modes.len()),
            ("nodes_truenodeids", lists.yes.len()),
            ("nodes_falsenodeids", lists.no.len()),
            ("nodes_values", thresholds.len()),
        ] {
            if length != count {
                return Err(format!("it has {count} nodes_treeids and {length} {name}; export the model again"));
            }
        }
        if !lists.missing.is_empty() && lists.missing.len() != count {
            return Err(format!("it has {count} nodes and {} nodes_missing_value_tracks_true", lists.missing.len()));
        }
        if count == 0 || u32::try_from(count).is_err() {
            return Err(format!("it has {count} nodes; export the model again"));
        }
        let places = places(&lists)?;
        let leaf_weights = leaf_weights(context, prefix, targets, &places)?;
        let aggregate = match node.text("aggregate_function", "SUM")?.as_str() {
            "SUM" => Aggregate::Sum,
            "AVERAGE" => Aggregate::Average,
            "MIN" => Aggregate::Min,
            "MAX" => Aggregate::Max,
            other => return Err(format!("aggregate_function `{other}` is none of SUM, AVERAGE, MIN and MAX")),
        };
        let mut forest = Self {
            nodes: Vec::with_capacity(count),
            weights: Vec::new(),
            roots: Vec::new(),
            targets,
            features: 0,
            base: numbers(context, "base_values")?,
            aggregate,
            transform: Transform::parse(&node.text("post_transform", "NONE")?)?,
            plain: true,
        };
        let mut taken = vec![false; count];
        let mut previous = None;
        for (index, tree) in lists.tree_ids.iter().enumerate() {
            if previous.replace(tree) != Some(tree) {
                if taken[index] {
                    return Err(format!("the nodes of tree {tree} are not together; export the model again"));
                }
                forest.roots.push(forest.nodes.len() as u32);
                forest.lay_out(index, &lists, &thresholds, &places, &leaf_weights, &mut taken)?;
            }
        }
        if let Some(width) = width(context.fact(0)?)?
            && forest.features > width
        {
            return Err(format!("it tests feature {} and its input has {width}", forest.features - 1));
        }
        Ok(forest)
    }

    /// Appends the tree below a root in preorder.
    fn lay_out(
        &mut self,
        root: usize,
        lists: &Lists<'_>,
        thresholds: &[T],
        places: &HashMap<(i64, i64), usize>,
        leaf_weights: &HashMap<usize, Vec<Weight<T>>>,
        taken: &mut [bool],
    ) -> Result<(), String> {
        // A node, and the node whose `other` it is.
        let mut waiting = vec![(root, None)];
        while let Some((index, parent)) = waiting.pop() {
            let tree = lists.tree_ids[index];
            let id = lists.node_ids[index];
            if std::mem::replace(&mut taken[index], true) {
                return Err(format!("node {id} of tree {tree} is reached twice; export the model again"));
            }
            let here = self.nodes.len() as u32;
            if let Some(parent) = parent {
                let parent: &mut TreeNode<T> = &mut self.nodes[parent];
                parent.other = here;
            }
            let test = Test::parse(&lists.modes[index])?;
            if test == Test::Leaf {
                let weights = leaf_weights.get(&index).map_or(&[] as &[_], Vec::as_slice);
                self.nodes.push(TreeNode {
                    threshold: T::ZERO,
                    feature: 0,
                    other: self.weights.len() as u32,
                    count: weights.len() as u32,
                    test,
                    missing_goes_on: false,
                });
                self.weights.extend_from_slice(weights);
                continue;
            }
            let feature = u32::try_from(lists.features[index])
                .map_err(|_| format!("node {id} of tree {tree} tests feature {}", lists.features[index]))?;
            self.features = self.features.max(feature as usize + 1);
            let missing_goes_on = lists.missing.get(index) == Some(&1);
            self.plain &= test == Test::LessOrEqual && !missing_goes_on;
            self.nodes.push(TreeNode {
                threshold: thresholds[index],
                feature,
                other: 0,
                count: 0,
                test,
                missing_goes_on,
            });
            let child = |side: i64| {
                places
                    .get(&(tree, side))
                    .copied()
                    .ok_or_else(|| format!("node {id} of tree {tree} goes on to node {side}, which is not there"))
            };
            // The last one pushed comes next: the side on which the test holds.
            waiting.push((child(lists.no[index])?, Some(here as usize)));
            waiting.push((child(lists.yes[index])?, None));
        }
        Ok(())
    }

    /// The leaf of a row. Children lie behind their parents and features within the row, by construction.
    fn leaf(&self, root: u32, row: &[T]) -> &TreeNode<T> {
        let mut place = root as usize;
        if self.plain {
            loop {
                let node = &self.nodes[place];
                if node.test == Test::Leaf {
                    return node;
                }
                place = if row[node.feature as usize] <= node.threshold { place + 1 } else { node.other as usize };
            }
        }
        loop {
            let node = &self.nodes[place];
            if node.test == Test::Leaf {
                return node;
            }
            let value = row[node.feature as usize];
            let holds = node.test.holds(value, node.threshold) || (node.missing_goes_on && value.missing());
            place = if holds { place + 1 } else { node.other as usize };
        }
    }

    /// Raw scores of every row, handed over one row at a time.
    fn each_row(&self, data: &[T], width: usize, mut finish: impl FnMut(&mut [Score<T>])) -> Result<(), String> {
        if self.features > width {
            return Err(format!("it tests feature {} and its input has {width}", self.features - 1));
        }
        let start = Score { value: T::ZERO, given: false };
        let mut scores = vec![start; BLOCK * self.targets];
        for block in data.chunks(BLOCK * width.max(1)) {
            scores.fill(start);
            for root in &self.roots {
                for (row, scores) in block.chunks_exact(width.max(1)).zip(scores.chunks_exact_mut(self.targets)) {
                    let leaf = self.leaf(*root, row);
                    let from = leaf.other as usize;
                    for weight in &self.weights[from..from + leaf.count as usize] {
                        let score = &mut scores[weight.target as usize];
                        match self.aggregate {
                            Aggregate::Sum | Aggregate::Average => score.value += weight.value,
                            Aggregate::Min if score.given && score.value <= weight.value => {}
                            Aggregate::Max if score.given && score.value >= weight.value => {}
                            Aggregate::Min | Aggregate::Max => score.value = weight.value,
                        }
                        score.given = true;
                    }
                }
            }
            block
                .chunks_exact(width.max(1))
                .zip(scores.chunks_exact_mut(self.targets))
                .for_each(|(_, row)| finish(row));
        }
        Ok(())
    }

    /// A regression's outputs, `targets` a row.
    fn regress(&self, data: &[T], width: usize) -> Result<Vec<f32>, String> {
        let trees = T::from_count(self.roots.len());
        let mut out = Vec::with_capacity(data.len() / width.max(1) * self.targets);
        let mut row = vec![0.0; self.targets];
        self.each_row(data, width, |scores| {
            for (target, score) in scores.iter_mut().enumerate() {
                if self.aggregate == Aggregate::Average {
                    score.value = score.value / trees;
                }
                if self.base.len() == self.targets
                    && let Some(base) = self.base.get(target)
                {
                    score.value += *base;
                }
                row[target] = score.value.to_f32();
            }
            // ONNX Runtime leaves a single target as it is under every transform but PROBIT.
            if self.targets > 1 || self.transform == Transform::Probit {
                self.transform.apply(&mut row);
            }
            out.extend_from_slice(&row);
        })?;
        Ok(out)
    }
}

/// Numbers of an attribute `name`, or of the double tensor `name_as_tensor`.
fn numbers<T: Number>(context: &Context<'_>, name: &str) -> Result<Vec<T>, String> {
    match context.node.tensor(&format!("{name}_as_tensor"))? {
        Some(Tensor::Float64(array)) => Ok(array.data().iter().map(|value| T::from_f64(*value)).collect()),
        Some(Tensor::Float32(array)) => Ok(array.data().iter().map(|value| T::from_f32(*value)).collect()),
        Some(other) => Err(format!("{name}_as_tensor holds {}, not floats", other.data_type())),
        None => Ok(context.node.floats(name).iter().map(|value| T::from_f32(*value)).collect()),
    }
}

/// The position of every node by tree and id.
fn places(lists: &Lists<'_>) -> Result<HashMap<(i64, i64), usize>, String> {
    let mut places = HashMap::with_capacity(lists.tree_ids.len());
    for (index, (tree, node)) in lists.tree_ids.iter().zip(lists.node_ids).enumerate() {
        if places.insert((*tree, *node), index).is_some() {
            return Err(format!("node {node} of tree {tree} is given twice; export the model again"));
        }
    }
    Ok(places)
}

/// The weights at every node, in the order of the file.
fn leaf_weights<T: Number>(
    context: &Context<'_>,
    prefix: &str,
    targets: usize,
    places: &HashMap<(i64, i64), usize>,
) -> Result<HashMap<usize, Vec<Weight<T>>>, String> {
    let node = context.node;
    let list = |name: &str| node.ints(&format!("{prefix}_{name}"));
    let (ids, trees, nodes) = (list("ids"), list("treeids"), list("nodeids"));
    let weights: Vec<T> = numbers(context, &format!("{prefix}_weights"))?;
    if ids.len() != weights.len() || trees.len() != weights.len() || nodes.len() != weights.len() {
        return Err(format!(
            "it has {} {prefix}_weights, {} {prefix}_ids, {} {prefix}_treeids and {} {prefix}_nodeids",
            weights.len(),
            ids.len(),
            trees.len(),
            nodes.len()
        ));
    }
    let mut at: HashMap<usize, Vec<Weight<T>>> = HashMap::new();
    for (((id, tree), node), value) in ids.iter().zip(trees).zip(nodes).zip(weights) {
        let place = places
            .get(&(*tree, *node))
            .ok_or_else(|| format!("a weight is for node {node} of tree {tree}, which is not there"))?;
        let target = usize::try_from(*id)
            .ok()
            .filter(|target| *target < targets)
            .ok_or_else(|| format!("a weight is for target {id} of {targets}"))?;
        at.entry(*place).or_default().push(Weight { target: target as u32, value });
    }
    Ok(at)
}

/// Whether thresholds are doubles, or the input is.
fn double(context: &Context<'_>) -> Result<bool, String> {
    let tensor = context.node.tensor("nodes_values_as_tensor")?;
    Ok(context.fact(0)?.data_type == DataType::Float64
        || tensor.is_some_and(|tensor| tensor.data_type() == DataType::Float64))
}

/// Numbers as doubles.
fn as_f64(tensor: &Tensor) -> Result<std::borrow::Cow<'_, [f64]>, String> {
    if let Tensor::Float64(array) = tensor {
        return Ok(array.data().into());
    }
    tensor.to_f64().map(Into::into).ok_or_else(|| "its input is text and it takes numbers".to_owned())
}

pub(super) fn regressor(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?;
    numeric(fact)?;
    let targets = usize::try_from(context.node.int("n_targets", 1))
        .ok()
        .filter(|targets| (1..=1 << 20).contains(targets))
        .ok_or_else(|| format!("n_targets is {}; export the model again", context.node.int("n_targets", 1)))?;
    let facts = vec![Fact::new(DataType::Float32, Some(vec![rows(fact), Dim::Fixed(targets)]))];
    if double(context)? {
        let forest = Forest::<f64>::new(context, "target", targets)?;
        check_base(forest.base.len(), targets)?;
        let run = move |inputs: &[Option<&Tensor>]| {
            let tensor = input(inputs, 0)?;
            let (rows, width) = matrix(tensor)?;
            Ok(vec![float32(vec![rows, targets], forest.regress(&as_f64(tensor)?, width)?)?])
        };
        return Ok(Box::new(Closure { facts, run }));
    }
    let forest = Forest::<f32>::new(context, "target", targets)?;
    check_base(forest.base.len(), targets)?;
    let run = move |inputs: &[Option<&Tensor>]| {
        let tensor = input(inputs, 0)?;
        let (rows, width) = matrix(tensor)?;
        Ok(vec![float32(vec![rows, targets], forest.regress(&as_f32(tensor)?, width)?)?])
    };
    Ok(Box::new(Closure { facts, run }))
}

fn check_base(base: usize, targets: usize) -> Result<(), String> {
    if base == 0 || base == targets { Ok(()) } else { Err(format!("it has {base} base_values for {targets} targets")) }
}

/// What decides the class of a row.
struct Decision {
    classes: usize,
    /// Two classes of which only one has weights.
    one_sided: bool,
    all_positive: bool,
}

pub(super) fn classifier(context: &Context<'_>) -> Built {
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
    if double(context)? {
        let forest = Forest::<f64>::new(context, "class", classes)?;
        let decision = Decision { classes, one_sided, all_positive: all_positive(&forest) };
        decision.check(forest.base.len())?;
        let run = move |inputs: &[Option<&Tensor>]| {
            let tensor = input(inputs, 0)?;
            let (_, width) = matrix(tensor)?;
            decision.run(&forest, &as_f64(tensor)?, width, &labels)
        };
        return Ok(Box::new(Closure { facts, run }));
    }
    let forest = Forest::<f32>::new(context, "class", classes)?;
    let decision = Decision { classes, one_sided, all_positive: all_positive(&forest) };
    decision.check(forest.base.len())?;
    let run = move |inputs: &[Option<&Tensor>]| {
        let tensor = input(inputs, 0)?;
        let (_, width) = matrix(tensor)?;
        decision.run(&forest, &as_f32(tensor)?, width, &labels)
    };
    Ok(Box::new(Closure { facts, run }))
}

fn all_positive<T: Number>(forest: &Forest<T>) -> bool {
    forest.weights.iter().all(|weight| weight.value >= T::ZERO)
}

impl Decision {
    fn check(&self, base: usize) -> Result<(), String> {
        if base == 0 || base == self.classes || (self.classes == 2 && base == 1) {
            Ok(())
        } else {
            Err(format!("it has {base} base_values for {} classes", self.classes))
        }
    }

    fn run<T: Number>(
        &self,
        forest: &Forest<T>,
        data: &[T],
        width: usize,
        labels: &Labels,
    ) -> Result<Vec<Tensor>, String> {
        let rows = data.len() / width.max(1);
        let mut picked = Vec::with_capacity(rows);
        let mut out = Vec::with_capacity(rows * self.classes);
        forest.each_row(data, width, |scores| {
            if let ([first, second], 2) = (&mut *scores, self.classes) {
                picked.push(self.binary(first, second, forest, &mut out));
            } else {
                picked.push(self.many(scores, forest, &mut out));
            }
        })?;
        Ok(vec![labels.pick(&picked), float32(vec![rows, self.classes], out)?])
    }

    /// Three classes or more, or one: the largest score wins, the first among equals.
    #[allow(clippy::unused_self, reason = "the counterpart of `binary`")]
    fn many<T: Number>(&self, scores: &mut [Score<T>], forest: &Forest<T>, out: &mut Vec<f32>) -> usize {
        for (score, base) in scores.iter_mut().zip(&forest.base) {
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
        forest.transform.apply(&mut out[start..]);
        best.map_or(0, |(class, _)| class)
    }

    /// Two classes. ONNX Runtime's rules, case by case: what a model with one-sided weights means is not in the
    /// specification.
    fn binary<T: Number>(
        &self,
        first: &mut Score<T>,
        second: &mut Score<T>,
        forest: &Forest<T>,
        out: &mut Vec<f32>,
    ) -> usize {
        let two_bases = match forest.base.as_slice() {
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
            forest.transform.apply(&mut both);
            out.extend(both);
            return class;
        }
        out.extend(match forest.transform {
            Transform::Logistic => [logistic(-deciding), logistic(deciding)],
            Transform::Probit => [1.0 - probit(deciding), probit(deciding)],
            _ if self.all_positive => [1.0 - deciding, deciding],
            _ => [-deciding, deciding],
        });
        winner
    }
}
