//! Reads `TreeEnsembleClassifier` and `TreeEnsembleRegressor`, versions 1 and 3 of `ai.onnx.ml`: every node is a row of
//! lists, named by its tree and its number, and weights name the leaf that they belong to.

use std::collections::HashMap;

use super::ensemble::{Aggregate, Branch, Ensemble, Leaf, Opened, Test, TreeNode, Weight, preorder};
use super::number::Number;
use crate::kernels::Context;
use crate::kernels::scores::Transform;
use crate::tensor::Tensor;

/// `None` for a leaf.
fn test(mode: &[u8]) -> Result<Option<Test>, String> {
    Ok(Some(match mode {
        b"BRANCH_LEQ" => Test::LessOrEqual,
        b"BRANCH_LT" => Test::Less,
        b"BRANCH_GTE" => Test::GreaterOrEqual,
        b"BRANCH_GT" => Test::Greater,
        b"BRANCH_EQ" => Test::Equal,
        b"BRANCH_NEQ" => Test::NotEqual,
        b"LEAF" => return Ok(None),
        other => return Err(format!("nodes_modes holds `{}`, which is no mode", String::from_utf8_lossy(other))),
    }))
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

impl<'a> Lists<'a> {
    fn new(context: &Context<'a>, thresholds: usize) -> Result<Self, String> {
        let node = context.node;
        let modes: &[Vec<u8>] = node
            .proto()
            .attribute
            .iter()
            .find(|attribute| attribute.name == "nodes_modes")
            .map_or(&[], |attribute| &attribute.strings);
        let lists = Self {
            tree_ids: node.ints("nodes_treeids"),
            node_ids: node.ints("nodes_nodeids"),
            features: node.ints("nodes_featureids"),
            modes,
            yes: node.ints("nodes_truenodeids"),
            no: node.ints("nodes_falsenodeids"),
            missing: node.ints("nodes_missing_value_tracks_true"),
        };
        let count = lists.tree_ids.len();
        for (name, length) in [
            ("nodes_nodeids", lists.node_ids.len()),
            ("nodes_featureids", lists.features.len()),
            ("nodes_modes", lists.modes.len()),
            ("nodes_truenodeids", lists.yes.len()),
            ("nodes_falsenodeids", lists.no.len()),
            ("nodes_values", thresholds),
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
        Ok(lists)
    }

    /// The position of every node by tree and id.
    fn places(&self) -> Result<HashMap<(i64, i64), usize>, String> {
        let mut places = HashMap::with_capacity(self.tree_ids.len());
        for (index, (tree, node)) in self.tree_ids.iter().zip(self.node_ids).enumerate() {
            if places.insert((*tree, *node), index).is_some() {
                return Err(format!("node {node} of tree {tree} is given twice; export the model again"));
            }
        }
        Ok(places)
    }
}

/// Reads and checks the attributes; `prefix` is `class` or `target`.
pub(super) fn read<T: Number>(context: &Context<'_>, prefix: &str, targets: usize) -> Result<Ensemble<T>, String> {
    let node = context.node;
    let thresholds: Vec<T> = numbers(context, "nodes_values")?;
    let lists = Lists::new(context, thresholds.len())?;
    let places = lists.places()?;
    let (leaves, weights) = leaf_weights(context, prefix, targets, &places)?;
    let aggregate = match node.text("aggregate_function", "SUM")?.as_str() {
        "SUM" => Aggregate::Sum,
        "AVERAGE" => Aggregate::Average,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        other => return Err(format!("aggregate_function `{other}` is none of SUM, AVERAGE, MIN and MAX")),
    };
    let mut trees: Vec<Vec<TreeNode<T>>> = Vec::new();
    let mut taken = vec![false; lists.tree_ids.len()];
    let mut previous = None;
    for (root, tree) in lists.tree_ids.iter().enumerate() {
        if previous.replace(tree) == Some(tree) {
            continue;
        }
        if taken[root] {
            return Err(format!("the nodes of tree {tree} are not together; export the model again"));
        }
        trees.push(preorder(root, |index| {
            let id = lists.node_ids[index];
            if std::mem::replace(&mut taken[index], true) {
                return Err(format!("node {id} of tree {tree} is reached twice; export the model again"));
            }
            let Some(test) = test(&lists.modes[index])? else {
                return Ok(Opened::Leaf(leaves.get(&index).copied().unwrap_or_default()));
            };
            let feature = u32::try_from(lists.features[index])
                .map_err(|_| format!("node {id} of tree {tree} tests feature {}", lists.features[index]))?;
            let child = |side: i64| {
                places
                    .get(&(*tree, side))
                    .copied()
                    .ok_or_else(|| format!("node {id} of tree {tree} goes on to node {side}, which is not there"))
            };
            let missing_goes_on = lists.missing.get(index) == Some(&1);
            let branch = Branch { feature, test, threshold: thresholds[index], missing_goes_on, other: 0 };
            Ok(Opened::Branch(branch, child(lists.yes[index])?, child(lists.no[index])?))
        })?);
    }
    let (base, transform) =
        (numbers(context, "base_values")?, Transform::parse(&node.text("post_transform", "NONE")?)?);
    Ok(Ensemble { trees, weights, sets: Vec::new(), targets, base, aggregate, transform })
}

/// Numbers of an attribute `name`, or of the double tensor `name_as_tensor`.
fn numbers<T: Number>(context: &Context<'_>, name: &str) -> Result<Vec<T>, String> {
    let tensor = format!("{name}_as_tensor");
    Ok(match context.node.tensor(&tensor)? {
        Some(found) => floats(&tensor, &found)?,
        None => context.node.floats(name).iter().map(|value| T::from_f32(*value)).collect(),
    })
}

/// The numbers of the tensor attribute `name`.
pub(super) fn floats<T: Number>(name: &str, tensor: &Tensor) -> Result<Vec<T>, String> {
    match tensor {
        Tensor::Float64(array) => Ok(array.data().iter().map(|value| T::from_f64(*value)).collect()),
        Tensor::Float32(array) => Ok(array.data().iter().map(|value| T::from_f32(*value)).collect()),
        other => Err(format!("{name} holds {}, not floats", other.data_type())),
    }
}

/// Each leaf by the position of its node, and the weights of all leaves.
type LeafWeights<T> = (HashMap<usize, Leaf>, Vec<Weight<T>>);

/// The weights leaf by leaf, within a leaf in the order of the file; and every leaf's own, by the position of its node.
fn leaf_weights<T: Number>(
    context: &Context<'_>,
    prefix: &str,
    targets: usize,
    places: &HashMap<(i64, i64), usize>,
) -> Result<LeafWeights<T>, String> {
    let node = context.node;
    let list = |name: &str| node.ints(&format!("{prefix}_{name}"));
    let (ids, trees, nodes) = (list("ids"), list("treeids"), list("nodeids"));
    let values: Vec<T> = numbers(context, &format!("{prefix}_weights"))?;
    if ids.len() != values.len() || trees.len() != values.len() || nodes.len() != values.len() {
        return Err(format!(
            "it has {} {prefix}_weights, {} {prefix}_ids, {} {prefix}_treeids and {} {prefix}_nodeids",
            values.len(),
            ids.len(),
            trees.len(),
            nodes.len()
        ));
    }
    let mut found = Vec::with_capacity(values.len());
    for (((id, tree), node), value) in ids.iter().zip(trees).zip(nodes).zip(values) {
        let place = places
            .get(&(*tree, *node))
            .ok_or_else(|| format!("a weight is for node {node} of tree {tree}, which is not there"))?;
        found.push((*place, Weight { target: target(*id, targets)?, value }));
    }
    found.sort_by_key(|(place, _)| *place);
    let mut leaves: HashMap<usize, Leaf> = HashMap::new();
    for (first, (place, _)) in found.iter().enumerate() {
        leaves.entry(*place).or_insert(Leaf { first: first as u32, count: 0 }).count += 1;
    }
    Ok((leaves, found.into_iter().map(|(_, weight)| weight).collect()))
}

/// The target of a weight, below `targets`.
pub(super) fn target(id: i64, targets: usize) -> Result<u32, String> {
    u32::try_from(id)
        .ok()
        .filter(|target| (*target as usize) < targets)
        .ok_or_else(|| format!("a weight is for target {id} of {targets}"))
}
