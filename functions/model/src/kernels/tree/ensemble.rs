//! Trees as a file states them, in preorder, before a layout is chosen: where a test holds, the next node follows, else
//! the branch says where to go on. Children lie behind their parent, so every walk ends whatever the file said.

use super::number::Number;
use crate::kernels::scores::Transform;

/// How a branch compares a feature with its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    Equal,
    NotEqual,
    /// The feature is in the ensemble's set of this number.
    Member(u32),
}

/// An inner node. A missing value goes to the next node where `missing_goes_on`, or where the test holds for NaN.
#[derive(Clone, Copy, Debug)]
pub(super) struct Branch<T> {
    pub(super) feature: u32,
    pub(super) test: Test,
    pub(super) threshold: T,
    pub(super) missing_goes_on: bool,
    /// Where the walk goes on in the tree when the test does not hold.
    pub(super) other: u32,
}

impl<T: Number> Branch<T> {
    pub(super) fn holds(&self, value: T, sets: &[Vec<T>]) -> bool {
        let threshold = self.threshold;
        let holds = match self.test {
            Test::LessOrEqual => value <= threshold,
            Test::Less => value < threshold,
            Test::GreaterOrEqual => value >= threshold,
            Test::Greater => value > threshold,
            Test::Equal => value == threshold,
            Test::NotEqual => value != threshold,
            Test::Member(set) => sets.get(set as usize).is_some_and(|set| {
                let place = set.partition_point(|member| *member < value);
                set.get(place).is_some_and(|member| *member == value)
            }),
        };
        holds || (self.missing_goes_on && value.missing())
    }

    /// The branch as `feature <= threshold`, where it is an order test that can be written so for every float.
    pub(super) fn ordered(&self) -> Option<Ordered<T>> {
        let (threshold, swapped) = match self.test {
            Test::LessOrEqual => (self.threshold, false),
            Test::Greater => (self.threshold, true),
            // Below t is the same as at most the next float below t. Nothing is below negative infinity, nor at most NaN.
            Test::Less | Test::GreaterOrEqual if self.threshold == T::NEG_INFINITY => {
                (T::NAN, self.test == Test::GreaterOrEqual)
            }
            Test::Less => (self.threshold.next_down(), false),
            Test::GreaterOrEqual => (self.threshold.next_down(), true),
            Test::Equal | Test::NotEqual | Test::Member(_) => return None,
        };
        let missing_holds = self.missing_goes_on != swapped;
        // Comparing with NaN swaps to what is never true either, and no stand-in for a missing value is at most NaN.
        let inexpressible = self.threshold.missing() || (threshold.missing() && missing_holds);
        (!inexpressible).then_some(Ordered { threshold, swapped, missing_holds })
    }
}

/// A branch as `feature <= threshold`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ordered<T> {
    pub(super) threshold: T,
    /// The test holds where the branch's own does not.
    pub(super) swapped: bool,
    /// A missing value counts as the smallest.
    pub(super) missing_holds: bool,
}

/// Place and number of a leaf's weights in the ensemble's list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) first: u32,
    pub(super) count: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum TreeNode<T> {
    Branch(Branch<T>),
    Leaf(Leaf),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Weight<T> {
    pub(super) target: u32,
    pub(super) value: T,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

/// A whole ensemble. Targets of weights are below `targets`.
#[derive(Clone, Debug)]
pub(super) struct Ensemble<T> {
    pub(super) trees: Vec<Vec<TreeNode<T>>>,
    pub(super) weights: Vec<Weight<T>>,
    /// What set tests look for, each set in order.
    pub(super) sets: Vec<Vec<T>>,
    pub(super) targets: usize,
    pub(super) base: Vec<T>,
    pub(super) aggregate: Aggregate,
    pub(super) transform: Transform,
}

impl<T: Number> Ensemble<T> {
    /// One more than the largest feature that a branch tests.
    pub(super) fn features(&self) -> usize {
        let needed = self.trees.iter().flatten().map(|node| match node {
            TreeNode::Branch(branch) => branch.feature as usize + 1,
            TreeNode::Leaf(_) => 0,
        });
        needed.max().unwrap_or(0)
    }

    pub(super) fn weights_of(&self, leaf: Leaf) -> &[Weight<T>] {
        &self.weights[leaf.first as usize..][..leaf.count as usize]
    }
}

/// What a node of the file turns out to be: `R` is how the file refers to nodes.
pub(super) enum Opened<T, R> {
    Leaf(Leaf),
    /// The branch, without its `other`, and where it goes on when its test holds and when it does not.
    Branch(Branch<T>, R, R),
}

/// The tree below a root in preorder.
pub(super) fn preorder<T: Number, R>(
    root: R,
    mut open: impl FnMut(R) -> Result<Opened<T, R>, String>,
) -> Result<Vec<TreeNode<T>>, String> {
    let mut nodes: Vec<TreeNode<T>> = Vec::new();
    // A node, and the branch whose `other` it is.
    let mut waiting = vec![(root, None)];
    while let Some((reference, parent)) = waiting.pop() {
        let here = nodes.len();
        if let Some(TreeNode::Branch(parent)) = parent.and_then(|parent: usize| nodes.get_mut(parent)) {
            parent.other = here as u32;
        }
        match open(reference)? {
            Opened::Leaf(leaf) => nodes.push(TreeNode::Leaf(leaf)),
            Opened::Branch(branch, yes, no) => {
                nodes.push(TreeNode::Branch(branch));
                // The last one pushed comes next: the side on which the test holds.
                waiting.push((no, Some(here)));
                waiting.push((yes, None));
            }
        }
    }
    Ok(nodes)
}
