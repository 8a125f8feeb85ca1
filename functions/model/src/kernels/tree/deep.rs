//! Trees too deep to pad. Where all tests are order tests, several rows or trees go down side by side, and wait in their
//! leaves for the last; otherwise each goes alone.

use std::sync::Arc;

use super::ensemble::{Branch, Leaf, Ordered, TreeNode};
use super::number::Number;
use super::run::{Group, LANES, Run, Scores, Weights};

/// A node of trees whose tests are all `column <= threshold`: where the test holds, the next node follows, else `skip`
/// nodes are passed over as well. A leaf's threshold is NaN and its skip leads to itself.
struct Step<T> {
    threshold: T,
    column: u32,
    skip: u32,
}

/// Trees of order tests, one after the other.
pub(super) struct Descent<T> {
    roots: Vec<u32>,
    steps: Vec<Step<T>>,
    /// What every leaf gives, and nothing for every branch.
    leaves: Vec<Leaf>,
}

impl<T: Number> Descent<T> {
    pub(super) fn new() -> Self {
        Self { roots: Vec::new(), steps: Vec::new(), leaves: Vec::new() }
    }

    /// Adds a tree whose branches are all order tests.
    pub(super) fn push(&mut self, nodes: &[TreeNode<T>], column: impl Fn(u32, Ordered<T>) -> u32) {
        self.roots.push(self.steps.len() as u32);
        // A node of the tree, and the step that passes over others to reach it.
        let mut waiting = vec![(0, None)];
        while let Some((index, from)) = waiting.pop() {
            let here = self.steps.len() as u32;
            if let Some(from) = from {
                let step: &mut Step<T> = &mut self.steps[from as usize];
                step.skip = here - from - 1;
            }
            let (mut step, mut leaf) = (Step { threshold: T::NAN, column: 0, skip: u32::MAX }, Leaf::default());
            match nodes[index] {
                TreeNode::Leaf(found) => leaf = found,
                TreeNode::Branch(branch) => {
                    if let Some(ordered) = branch.ordered() {
                        (step.threshold, step.column) = (ordered.threshold, column(branch.feature, ordered));
                        let (yes, no) = (index + 1, branch.other as usize);
                        let (holds, not) = if ordered.swapped { (no, yes) } else { (yes, no) };
                        waiting.extend([(not, Some(here)), (holds, None)]);
                    }
                }
            }
            self.steps.push(step);
            self.leaves.push(leaf);
        }
    }

    /// The leaves that are reached from several places at once. Steps only lead onwards, or nowhere from a leaf.
    fn settle<const M: usize>(&self, mut places: [u32; M], value: impl Fn(usize, usize) -> T) -> [Leaf; M] {
        loop {
            let mut moved = 0;
            for (lane, place) in places.iter_mut().enumerate() {
                let step = &self.steps[*place as usize];
                let holds = u32::from(value(step.column as usize, lane) <= step.threshold);
                // No bits where the test holds, else all: a branch here would be predicted wrongly half of the time.
                let beyond = holds.wrapping_sub(1);
                let next = place.wrapping_add(1).wrapping_add(step.skip & beyond);
                moved |= next ^ *place;
                *place = next;
            }
            if moved == 0 {
                return places.map(|place| self.leaves[place as usize]);
            }
        }
    }
}

impl<T: Number> Run<T> for Descent<T> {
    fn rows(&self, groups: &mut [Group<T>], weights: &Weights<T>) {
        for root in &self.roots {
            for Group { columns, scores } in &mut *groups {
                let leaves = self.settle([*root; LANES], |column, lane| columns[column][lane]);
                for (lane, leaf) in leaves.into_iter().enumerate() {
                    weights.give(leaf, scores, lane);
                }
            }
        }
    }

    fn row(&self, columns: &[T], scores: &mut Scores<T>, lane: usize, weights: &Weights<T>) {
        let mut give = |leaf| weights.give(leaf, scores, lane);
        let (chunks, rest) = self.roots.as_chunks::<LANES>();
        for roots in chunks {
            self.settle(*roots, |column, _| columns[column]).into_iter().for_each(&mut give);
        }
        for root in rest {
            self.settle([*root], |column, _| columns[column]).into_iter().for_each(&mut give);
        }
    }
}

/// Trees with other tests than order tests among theirs.
pub(super) struct Walk<T> {
    roots: Vec<u32>,
    /// Features are columns here, and `other` counts over all trees.
    nodes: Vec<TreeNode<T>>,
    sets: Arc<[Vec<T>]>,
}

impl<T: Number> Walk<T> {
    pub(super) fn new(sets: Arc<[Vec<T>]>) -> Self {
        Self { roots: Vec::new(), nodes: Vec::new(), sets }
    }

    pub(super) fn push(&mut self, nodes: &[TreeNode<T>], column: impl Fn(u32) -> u32) {
        let root = self.nodes.len() as u32;
        self.roots.push(root);
        self.nodes.extend(nodes.iter().map(|node| match node {
            TreeNode::Leaf(leaf) => TreeNode::Leaf(*leaf),
            TreeNode::Branch(branch) => {
                TreeNode::Branch(Branch { feature: column(branch.feature), other: root + branch.other, ..*branch })
            }
        }));
    }

    fn leaf(&self, root: u32, value: impl Fn(usize) -> T) -> Leaf {
        let mut place = root as usize;
        loop {
            match &self.nodes[place] {
                TreeNode::Leaf(leaf) => return *leaf,
                TreeNode::Branch(branch) if branch.holds(value(branch.feature as usize), &self.sets) => place += 1,
                TreeNode::Branch(branch) => place = branch.other as usize,
            }
        }
    }
}

impl<T: Number> Run<T> for Walk<T> {
    #[allow(clippy::needless_range_loop, reason = "the lanes are inside the columns")]
    fn rows(&self, groups: &mut [Group<T>], weights: &Weights<T>) {
        for root in &self.roots {
            for Group { columns, scores } in &mut *groups {
                for lane in 0..LANES {
                    weights.give(self.leaf(*root, |column| columns[column][lane]), scores, lane);
                }
            }
        }
    }

    fn row(&self, columns: &[T], scores: &mut Scores<T>, lane: usize, weights: &Weights<T>) {
        for root in &self.roots {
            weights.give(self.leaf(*root, |column| columns[column]), scores, lane);
        }
    }
}
