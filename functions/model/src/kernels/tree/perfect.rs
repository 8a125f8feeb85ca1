//! Trees that are padded to their full depth. A level is a comparison and a shift, without a branch to predict; the first
//! three levels of eight rows are compared at once, all seven nodes, as vectors.

use super::ensemble::{Leaf, Ordered, TreeNode};
use super::number::Number;
use super::run::{Column, Group, LANES, Run, Scores, Weights};

/// Columns that the trees of a section test at most, so that a column fits into a byte and needs no check of its bounds.
pub(super) const COLUMNS: usize = 256;
/// The deepest tree that is padded. It has 255 inner nodes, so it never tests more than [`COLUMNS`].
pub(super) const DEEPEST: usize = 8;
/// Levels that are compared as vectors.
const DENSE: u32 = 3;

/// A tree as a heap: the children of node `i` are `2 i`, where the test holds, and `2 i + 1`. Node 0 is not used. After
/// the last level, `i - N` is the leaf.
struct Tree<T, const N: usize> {
    thresholds: [T; N],
    columns: [u8; N],
}

/// What the leaves of a run give.
enum Leaves<T, const N: usize> {
    /// One number each, which is added to the tree's target.
    Sums(Vec<(u32, [T; N])>),
    Weights(Vec<[Leaf; N]>),
}

/// Trees of depth `log2(N)`.
struct Perfect<T, const N: usize> {
    trees: Vec<Tree<T, N>>,
    leaves: Leaves<T, N>,
}

/// Rows where a mask is set take the second.
fn select(mask: &[u32; LANES], no: &[u32; LANES], yes: &[u32; LANES]) -> [u32; LANES] {
    std::array::from_fn(|lane| (no[lane] & !mask[lane]) | (yes[lane] & mask[lane]))
}

impl<T: Number, const N: usize> Tree<T, N> {
    /// All bits for the rows whose value is not at most the threshold of a node.
    fn beyond(&self, node: usize, columns: &[Column<T>; COLUMNS]) -> [u32; LANES] {
        let (values, threshold) = (&columns[usize::from(self.columns[node])], self.thresholds[node]);
        std::array::from_fn(|lane| if values[lane] <= threshold { 0 } else { u32::MAX })
    }

    /// The leaf of every row.
    fn leaves(&self, columns: &[Column<T>; COLUMNS]) -> [usize; LANES] {
        let (mut places, start) = if N >> DENSE == 0 {
            ([1; LANES], 0)
        } else {
            let beyond = |node| self.beyond(node, columns);
            let first = beyond(1);
            let second = select(&first, &beyond(2), &beyond(3));
            let left = select(&second, &beyond(4), &beyond(5));
            let right = select(&second, &beyond(6), &beyond(7));
            let third = select(&first, &left, &right);
            let place = |lane| 8 + (first[lane] & 4) + (second[lane] & 2) + (third[lane] & 1);
            (std::array::from_fn(place), DENSE)
        };
        for _ in start..N.trailing_zeros() {
            for (lane, place) in places.iter_mut().enumerate() {
                // The mask tells the compiler what holds anyway: the place is below N.
                let node = *place as usize & (N - 1);
                let value = columns[usize::from(self.columns[node])][lane];
                *place = 2 * *place + (u32::from(value <= self.thresholds[node]) ^ 1);
            }
        }
        places.map(|place| place as usize & (N - 1))
    }

    /// The leaves of one row in several trees.
    fn leaves_of<const M: usize>(trees: &[Self; M], row: &[T; COLUMNS]) -> [usize; M] {
        let mut places = [1; M];
        for _ in 0..N.trailing_zeros() {
            for (place, tree) in places.iter_mut().zip(trees) {
                let node = *place & (N - 1);
                let holds = row[usize::from(tree.columns[node])] <= tree.thresholds[node];
                *place = 2 * *place + (usize::from(holds) ^ 1);
            }
        }
        places.map(|place| place & (N - 1))
    }
}

impl<T: Number, const N: usize> Leaves<T, N> {
    fn give(&self, tree: usize, leaf: usize, scores: &mut Scores<T>, lane: usize, weights: &Weights<T>) {
        match self {
            Self::Sums(trees) => {
                let (target, values) = &trees[tree];
                scores.values[*target as usize][lane] += values[leaf];
                scores.given[*target as usize][lane] = true;
            }
            Self::Weights(trees) => weights.give(trees[tree][leaf], scores, lane),
        }
    }
}

impl<T: Number, const N: usize> Run<T> for Perfect<T, N> {
    fn rows(&self, groups: &mut [Group<T>], weights: &Weights<T>) {
        for (index, tree) in self.trees.iter().enumerate() {
            for Group { columns, scores } in &mut *groups {
                let Some(columns) = columns.first_chunk() else { continue };
                let leaves = tree.leaves(columns);
                if let Leaves::Sums(trees) = &self.leaves {
                    let (target, values) = &trees[index];
                    for (score, leaf) in scores.values[*target as usize].iter_mut().zip(leaves) {
                        *score += values[leaf];
                    }
                    scores.given[*target as usize] = [true; LANES];
                } else {
                    for (lane, leaf) in leaves.into_iter().enumerate() {
                        self.leaves.give(index, leaf, scores, lane, weights);
                    }
                }
            }
        }
    }

    fn row(&self, columns: &[T], scores: &mut Scores<T>, lane: usize, weights: &Weights<T>) {
        let Some(columns) = columns.first_chunk() else { return };
        let (chunks, rest) = self.trees.as_chunks::<LANES>();
        let mut tree = 0;
        let mut give = |leaf| {
            self.leaves.give(tree, leaf, scores, lane, weights);
            tree += 1;
        };
        for trees in chunks {
            Tree::leaves_of(trees, columns).into_iter().for_each(&mut give);
        }
        for tree in rest {
            Tree::leaves_of(std::array::from_ref(tree), columns).into_iter().for_each(&mut give);
        }
    }
}

/// A branch in a section: its column there in place of the feature.
pub(super) type Placed<'a, T> = &'a dyn Fn(u32, Ordered<T>) -> u8;

/// Pads trees of at most this depth, which is at most [`DEEPEST`] and whose branches are all order tests. With `sums`, every leaf has one weight, the leaves of a tree have one
/// target, and weights are added up.
pub(super) fn run<T: Number>(
    depth: usize,
    trees: &[Vec<TreeNode<T>>],
    column: Placed<'_, T>,
    weights: &Weights<T>,
    sums: bool,
) -> Box<dyn Run<T>> {
    match depth {
        0 => Perfect::<T, 1>::boxed(trees, column, weights, sums),
        1 => Perfect::<T, 2>::boxed(trees, column, weights, sums),
        2 => Perfect::<T, 4>::boxed(trees, column, weights, sums),
        3 => Perfect::<T, 8>::boxed(trees, column, weights, sums),
        4 => Perfect::<T, 16>::boxed(trees, column, weights, sums),
        5 => Perfect::<T, 32>::boxed(trees, column, weights, sums),
        6 => Perfect::<T, 64>::boxed(trees, column, weights, sums),
        7 => Perfect::<T, 128>::boxed(trees, column, weights, sums),
        _ => Perfect::<T, { 1 << DEEPEST }>::boxed(trees, column, weights, sums),
    }
}

impl<T: Number, const N: usize> Perfect<T, N> {
    fn boxed(trees: &[Vec<TreeNode<T>>], column: Placed<'_, T>, weights: &Weights<T>, sums: bool) -> Box<dyn Run<T>> {
        let (trees, leaves): (Vec<_>, Vec<_>) = trees.iter().map(|tree| Self::pad(tree, column)).unzip();
        let leaves = if sums {
            let one = |leaf: &Leaf| weights.of(*leaf).first().copied();
            let target = |leaves: &[Leaf; N]| leaves.iter().find_map(one).map_or(0, |weight| weight.target);
            let values = |leaves: &[Leaf; N]| leaves.map(|leaf| one(&leaf).map_or(T::ZERO, |weight| weight.value));
            Leaves::Sums(leaves.iter().map(|leaves| (target(leaves), values(leaves))).collect())
        } else {
            Leaves::Weights(leaves)
        };
        Box::new(Self { trees, leaves })
    }

    fn pad(nodes: &[TreeNode<T>], column: Placed<'_, T>) -> (Tree<T, N>, [Leaf; N]) {
        let mut tree = Tree { thresholds: [T::ZERO; N], columns: [0; N] };
        let mut leaves = [Leaf::default(); N];
        // A node of the tree and its place in the heap.
        let mut waiting = vec![(0, 1_usize)];
        while let Some((index, place)) = waiting.pop() {
            match nodes[index] {
                TreeNode::Leaf(leaf) => {
                    // Whatever the padding below a leaf tests, it ends in that leaf.
                    let below = N >> place.ilog2();
                    let first = place * below - N;
                    leaves[first..][..below].fill(leaf);
                }
                TreeNode::Branch(branch) => {
                    let Some(ordered) = branch.ordered() else { continue };
                    tree.thresholds[place] = ordered.threshold;
                    tree.columns[place] = column(branch.feature, ordered);
                    let (yes, no) = (index + 1, branch.other as usize);
                    let (holds, not) = if ordered.swapped { (no, yes) } else { (yes, no) };
                    waiting.extend([(holds, 2 * place), (not, 2 * place + 1)]);
                }
            }
        }
        (tree, leaves)
    }
}
