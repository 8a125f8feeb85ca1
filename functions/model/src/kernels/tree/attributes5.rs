//! Reads `TreeEnsemble`, version 5 of `ai.onnx.ml`: inner nodes and leaves are lists of their own, trees are named by the
//! position of their root, and tests can look for the feature in a set.

use super::attributes::{floats, target};
use super::ensemble::{Aggregate, Branch, Ensemble, Leaf, Opened, Test, TreeNode, Weight, preorder};
use super::number::Number;
use crate::kernels::Context;
use crate::kernels::scores::Transform;

const MEMBER: u8 = 6;

/// The attribute lists of the node, by their lengths checked against each other.
struct Lists<'a> {
    features: &'a [i64],
    modes: Vec<u8>,
    yes: &'a [i64],
    no: &'a [i64],
    yes_is_leaf: &'a [i64],
    no_is_leaf: &'a [i64],
    missing: &'a [i64],
}

impl<'a> Lists<'a> {
    fn new(context: &Context<'a>, thresholds: usize) -> Result<Self, String> {
        let node = context.node;
        let lists = Self {
            features: node.ints("nodes_featureids"),
            modes: node.bytes("nodes_modes")?,
            yes: node.ints("nodes_truenodeids"),
            no: node.ints("nodes_falsenodeids"),
            yes_is_leaf: node.ints("nodes_trueleafs"),
            no_is_leaf: node.ints("nodes_falseleafs"),
            missing: node.ints("nodes_missing_value_tracks_true"),
        };
        let count = lists.modes.len();
        for (name, length) in [
            ("nodes_featureids", lists.features.len()),
            ("nodes_truenodeids", lists.yes.len()),
            ("nodes_falsenodeids", lists.no.len()),
            ("nodes_trueleafs", lists.yes_is_leaf.len()),
            ("nodes_falseleafs", lists.no_is_leaf.len()),
            ("nodes_splits", thresholds),
        ] {
            if length != count {
                return Err(format!("it has {count} nodes_modes and {length} {name}; export the model again"));
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

    /// The test of every node; set tests are numbered in the order of the nodes.
    fn tests(&self, sets: usize) -> Result<Vec<Test>, String> {
        let mut members = 0;
        let tests = self
            .modes
            .iter()
            .map(|mode| {
                Ok(match mode {
                    0 => Test::LessOrEqual,
                    1 => Test::Less,
                    2 => Test::GreaterOrEqual,
                    3 => Test::Greater,
                    4 => Test::Equal,
                    5 => Test::NotEqual,
                    &MEMBER => {
                        members += 1;
                        Test::Member(members - 1)
                    }
                    other => {
                        return Err(format!("nodes_modes holds {other}, which is no mode; modes are 0 to {MEMBER}"));
                    }
                })
            })
            .collect::<Result<Vec<_>, String>>()?;
        if members as usize != sets {
            return Err(format!(
                "it has {members} nodes of mode BRANCH_MEMBER and {sets} sets in membership_values, each of which ends \
                 with NaN; export the model again"
            ));
        }
        Ok(tests)
    }
}

/// A place in the list of inner nodes, or of leaves.
#[derive(Clone, Copy)]
enum Place {
    Inner(i64),
    Leaf(i64),
}

/// Reads and checks the attributes.
pub(super) fn read<T: Number>(context: &Context<'_>, targets: usize) -> Result<Ensemble<T>, String> {
    let node = context.node;
    let numbers = |name: &str| node.tensor(name)?.map_or_else(|| Ok(Vec::new()), |tensor| floats(name, &tensor));
    let thresholds: Vec<T> = numbers("nodes_splits")?;
    let lists = Lists::new(context, thresholds.len())?;
    let sets = sets(&numbers("membership_values")?)?;
    let tests = lists.tests(sets.len())?;
    let (values, ids): (Vec<T>, _) = (numbers("leaf_weights")?, node.ints("leaf_targetids"));
    if values.len() != ids.len() {
        return Err(format!("it has {} leaf_weights and {} leaf_targetids", values.len(), ids.len()));
    }
    let weights = ids.iter().zip(values).map(|(id, value)| Ok(Weight { target: target(*id, targets)?, value }));
    let weights = weights.collect::<Result<Vec<_>, String>>()?;
    let mut taken = vec![false; tests.len()];
    let mut trees: Vec<Vec<TreeNode<T>>> = Vec::new();
    for (tree, root) in node.ints("tree_roots").iter().enumerate() {
        trees.push(preorder(Place::Inner(*root), |place| {
            let known = |at: i64, count: usize| usize::try_from(at).ok().filter(|at| *at < count);
            let index = match place {
                Place::Leaf(leaf) => {
                    let first = known(leaf, weights.len())
                        .ok_or_else(|| format!("tree {tree} ends in leaf {leaf} of {}", weights.len()))?;
                    return Ok(Opened::Leaf(Leaf { first: first as u32, count: 1 }));
                }
                Place::Inner(inner) => known(inner, tests.len())
                    .ok_or_else(|| format!("tree {tree} goes on to node {inner} of {}", tests.len()))?,
            };
            if std::mem::replace(&mut taken[index], true) {
                return Err(format!("node {index} is reached twice; export the model again"));
            }
            let feature = u32::try_from(lists.features[index])
                .map_err(|_| format!("node {index} tests feature {}", lists.features[index]))?;
            let missing_goes_on = lists.missing.get(index) == Some(&1);
            let side = |leaf: i64, to: i64| if leaf == 0 { Place::Inner(to) } else { Place::Leaf(to) };
            Ok(Opened::Branch(
                Branch { feature, test: tests[index], threshold: thresholds[index], missing_goes_on, other: 0 },
                side(lists.yes_is_leaf[index], lists.yes[index]),
                side(lists.no_is_leaf[index], lists.no[index]),
            ))
        })?);
    }
    if trees.is_empty() {
        return Err("it has no tree_roots; export the model again".to_owned());
    }
    let aggregate = match node.int("aggregate_function", 1) {
        0 => Aggregate::Average,
        1 => Aggregate::Sum,
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        other => {
            return Err(format!("aggregate_function {other} is none of 0 (AVERAGE), 1 (SUM), 2 (MIN) and 3 (MAX)"));
        }
    };
    let transform = match node.int("post_transform", 0) {
        0 => Transform::None,
        1 => Transform::Softmax,
        2 => Transform::Logistic,
        3 => Transform::SoftmaxZero,
        4 => Transform::Probit,
        other => {
            return Err(format!(
                "post_transform {other} is none of 0 (NONE), 1 (SOFTMAX), 2 (LOGISTIC), 3 (SOFTMAX_ZERO) and 4 (PROBIT)"
            ));
        }
    };
    Ok(Ensemble { trees, weights, sets, targets, base: Vec::new(), aggregate, transform })
}

/// The sets that set tests look in, each in order. Every set ends with NaN in the file.
fn sets<T: Number>(members: &[T]) -> Result<Vec<Vec<T>>, String> {
    if members.last().is_some_and(|last| !last.missing()) {
        return Err("its membership_values do not end with NaN, as every set does; export the model again".to_owned());
    }
    let mut sets: Vec<Vec<T>> = members.split(|member| member.missing()).map(<[T]>::to_vec).collect();
    sets.pop();
    for set in &mut sets {
        set.sort_by(|one, other| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
    }
    Ok(sets)
}
