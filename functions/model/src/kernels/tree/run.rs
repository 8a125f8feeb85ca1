//! Runs of consecutive trees of one layout, and the scores that they add to. Rows go through a tree side by side, so that
//! the processor has the loads of all of them under way at once; a row that is left over takes several trees side by side.

use super::ensemble::{Aggregate, Leaf, Weight};
use super::number::Number;

/// Rows, or trees, that are walked side by side. Eight fill two 128-bit vectors of 32-bit floats, which every x86-64 and
/// wasm's `simd128` have, and their positions stay in registers.
pub(super) const LANES: usize = 8;

/// One feature of the rows of a group.
pub(super) type Column<T> = [T; LANES];

/// Rows side by side and their scores.
pub(super) struct Group<T> {
    pub(super) columns: Vec<Column<T>>,
    pub(super) scores: Scores<T>,
}

/// Scores of a group's rows, target by target, while their trees are taken.
pub(super) struct Scores<T> {
    pub(super) values: Vec<[T; LANES]>,
    /// Whether a leaf gave the target anything.
    pub(super) given: Vec<[bool; LANES]>,
}

impl<T: Number> Scores<T> {
    pub(super) fn new(targets: usize) -> Self {
        Self { values: vec![[T::ZERO; LANES]; targets], given: vec![[false; LANES]; targets] }
    }

    pub(super) fn clear(&mut self) {
        self.values.fill([T::ZERO; LANES]);
        self.given.fill([false; LANES]);
    }
}

/// The weights of all leaves, and how they are put together.
pub(super) struct Weights<T> {
    pub(super) list: Vec<Weight<T>>,
    pub(super) aggregate: Aggregate,
}

impl<T: Number> Weights<T> {
    pub(super) fn of(&self, leaf: Leaf) -> &[Weight<T>] {
        &self.list[leaf.first as usize..][..leaf.count as usize]
    }

    /// Adds what a leaf gives to the row in a lane.
    pub(super) fn give(&self, leaf: Leaf, scores: &mut Scores<T>, lane: usize) {
        for weight in self.of(leaf) {
            let target = weight.target as usize;
            let (value, given) = (&mut scores.values[target][lane], &mut scores.given[target][lane]);
            match self.aggregate {
                Aggregate::Sum | Aggregate::Average => *value += weight.value,
                Aggregate::Min if *given && *value <= weight.value => {}
                Aggregate::Max if *given && *value >= weight.value => {}
                Aggregate::Min | Aggregate::Max => *value = weight.value,
            }
            *given = true;
        }
    }
}

/// Consecutive trees of one layout. Every row takes them in their order, whatever the batch, so that its sums are the same
/// to the bit.
pub(super) trait Run<T>: Send + Sync {
    /// Takes every tree for every row of the groups.
    fn rows(&self, groups: &mut [Group<T>], weights: &Weights<T>);

    /// Takes every tree for one row, given by column, whose scores are in a lane.
    fn row(&self, columns: &[T], scores: &mut Scores<T>, lane: usize, weights: &Weights<T>);
}
