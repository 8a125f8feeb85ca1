//! An ensemble in the layouts that its trees run fastest in, and its raw scores.
//!
//! Trees keep their order. Each takes the first layout that it fits: [`perfect`] up to a depth of 8, [`Descent`] where
//! all tests are order tests, [`Walk`] otherwise. Consecutive trees of one layout are a run, and runs that test at most 256
//! columns together are a section, whose columns are taken out of a block of rows once.
//!
//! Measured for 100 trees of depth 6 over 16 features, one thread, on an EPYC under SSE2, in thousands of rows a second of
//! processor time, the kernels alone: nodes in preorder row by row 240; with the first three levels as vectors 1,750, which
//! is what is here; four levels as vectors 1,570. From short runs: padded trees by indices of eight rows about 1,000;
//! thresholds as ranks of 16 bits about 700; `QuickScorer` 220, over eight rows at once 210. The whole engine makes about
//! half of what its kernel does alone.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::deep::{Descent, Walk};
use super::ensemble::{Aggregate, Ensemble, Ordered, TreeNode};
use super::number::Number;
use super::perfect::{self, COLUMNS, DEEPEST};
use super::run::{Group, LANES, Run, Scores, Weights};

/// Groups of rows that go through one tree before the next tree is taken up.
const GROUPS: usize = 8;
/// How many levels a tree is padded beyond its own depth to share a run with the trees before it.
const PADDING: usize = 2;

/// How many times its own nodes a tree may take up when it is padded.
const MOST_PADDING: usize = 16;

/// A feature of the rows, as some tests see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Source {
    feature: u32,
    /// A missing value is negative infinity, for tests that hold for it; else it is NaN, at which no test holds.
    missing_least: bool,
}

/// Runs and the columns that they test.
struct Section<T> {
    sources: Vec<Source>,
    runs: Vec<Box<dyn Run<T>>>,
}

/// One target's score of one row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Score<T> {
    pub(super) value: T,
    /// Whether a leaf gave it anything.
    pub(super) given: bool,
}

/// An ensemble that is ready to score.
pub(super) struct Forest<T> {
    sections: Vec<Section<T>>,
    weights: Weights<T>,
    targets: usize,
    features: usize,
}

impl<T: Number> Forest<T> {
    pub(super) fn new(ensemble: &Ensemble<T>) -> Self {
        let weights = Weights { list: ensemble.weights.clone(), aggregate: ensemble.aggregate };
        let sections = Layout::new(ensemble, &weights).finish();
        Self { sections, weights, targets: ensemble.targets, features: ensemble.features() }
    }

    /// Raw scores of every row, handed over one row at a time.
    pub(super) fn each_row(
        &self,
        data: &[T],
        width: usize,
        mut finish: impl FnMut(&mut [Score<T>]),
    ) -> Result<(), String> {
        if self.features > width {
            return Err(format!("it tests feature {} and its input has {width}", self.features - 1));
        }
        let width = width.max(1);
        let rows = data.len() / width;
        let columns = self.sections.iter().map(|section| section.sources.len()).fold(COLUMNS, usize::max);
        let group = |columns| Group { columns: vec![[T::ZERO; LANES]; columns], scores: Scores::new(self.targets) };
        let mut groups: Vec<Group<T>> = (0..(rows / LANES).min(GROUPS)).map(|_| group(columns)).collect();
        // Rows of the last group, which is not full, go alone; it has scores only.
        let mut rest = Scores::new(self.targets);
        let mut row = vec![T::ZERO; columns];
        let mut scores = vec![Score { value: T::ZERO, given: false }; self.targets];
        for block in data.chunks(GROUPS * LANES * width) {
            let full = block.chunks_exact(LANES * width);
            let groups = &mut groups[..full.len()];
            for group in &mut *groups {
                group.scores.clear();
            }
            rest.clear();
            for section in &self.sections {
                for (rows, group) in full.clone().zip(&mut *groups) {
                    section.take_rows(rows, width, &mut group.columns);
                }
                for run in &section.runs {
                    run.rows(groups, &self.weights);
                }
                for (lane, found) in full.remainder().chunks_exact(width).enumerate() {
                    section.take_row(found, &mut row);
                    for run in &section.runs {
                        run.row(&row, &mut rest, lane, &self.weights);
                    }
                }
            }
            for place in 0..block.len() / width {
                let found = groups.get(place / LANES).map_or(&rest, |group| &group.scores);
                let lanes = found.values.iter().zip(&found.given);
                for (score, (values, given)) in scores.iter_mut().zip(lanes) {
                    *score = Score { value: values[place % LANES], given: given[place % LANES] };
                }
                finish(&mut scores);
            }
        }
        Ok(())
    }
}

impl Source {
    fn read<T: Number>(self, row: &[T]) -> T {
        let value = row[self.feature as usize];
        if self.missing_least && value.missing() { T::NEG_INFINITY } else { value }
    }
}

impl<T: Number> Section<T> {
    fn take_rows(&self, rows: &[T], width: usize, columns: &mut [[T; LANES]]) {
        for (source, column) in self.sources.iter().zip(columns) {
            for (value, row) in column.iter_mut().zip(rows.chunks_exact(width)) {
                *value = source.read(row);
            }
        }
    }

    fn take_row(&self, row: &[T], columns: &mut [T]) {
        for (source, column) in self.sources.iter().zip(columns) {
            *column = source.read(row);
        }
    }
}

/// The layout of a tree. Order tests only, but for the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Perfect(usize),
    Descent,
    Walk,
}

/// Lays out trees one after the other.
struct Layout<'a, T> {
    ensemble: &'a Ensemble<T>,
    weights: &'a Weights<T>,
    sets: Arc<[Vec<T>]>,
    sums: bool,
    sections: Vec<Section<T>>,
    /// Of the section that is being filled.
    runs: Vec<Box<dyn Run<T>>>,
    columns: HashMap<Source, u32>,
    sources: Vec<Source>,
    /// The run that is being filled: its layout, and its trees.
    kind: Kind,
    trees: std::ops::Range<usize>,
}

impl<'a, T: Number> Layout<'a, T> {
    fn new(ensemble: &'a Ensemble<T>, weights: &'a Weights<T>) -> Self {
        let kind = Kind::Walk;
        let sets = ensemble.sets.clone().into();
        let sums = sums(ensemble);
        let (sections, runs, columns, sources) = (Vec::new(), Vec::new(), HashMap::new(), Vec::new());
        Self { ensemble, weights, sets, sums, sections, runs, columns, sources, kind, trees: 0..0 }
    }

    fn finish(mut self) -> Vec<Section<T>> {
        for (index, nodes) in self.ensemble.trees.iter().enumerate() {
            let kind = kind(nodes);
            let unseen = sources(nodes, kind).filter(|source| !self.columns.contains_key(source));
            let unseen: HashSet<Source> = unseen.collect();
            if self.sources.len() + unseen.len() > COLUMNS {
                self.end_section();
            }
            match (self.kind, kind) {
                (Kind::Perfect(most), Kind::Perfect(depth)) if depth <= most && most <= depth + PADDING => {}
                (one, other) if one == other => {}
                _ => {
                    self.end_run();
                    self.kind = kind;
                }
            }
            self.trees.end = index + 1;
            for source in sources(nodes, kind) {
                let next = self.sources.len() as u32;
                if let Entry::Vacant(entry) = self.columns.entry(source) {
                    entry.insert(next);
                    self.sources.push(source);
                }
            }
        }
        self.end_section();
        self.sections
    }

    fn end_run(&mut self) {
        let end = self.trees.end;
        let trees = std::mem::replace(&mut self.trees, end..end);
        if trees.is_empty() {
            return;
        }
        let trees = &self.ensemble.trees[trees];
        let column =
            |feature, missing_least| self.columns.get(&Source { feature, missing_least }).copied().unwrap_or(0);
        self.runs.push(match self.kind {
            Kind::Perfect(depth) => {
                let column = |feature, ordered: Ordered<T>| column(feature, ordered.missing_holds) as u8;
                perfect::run(depth, trees, &column, self.weights, self.sums)
            }
            Kind::Descent => {
                let mut run = Descent::new();
                for nodes in trees {
                    run.push(nodes, |feature, ordered| column(feature, ordered.missing_holds));
                }
                Box::new(run)
            }
            Kind::Walk => {
                let mut run = Walk::new(Arc::clone(&self.sets));
                for nodes in trees {
                    run.push(nodes, |feature| column(feature, false));
                }
                Box::new(run)
            }
        });
    }

    fn end_section(&mut self) {
        self.end_run();
        self.columns.clear();
        let (sources, runs) = (std::mem::take(&mut self.sources), std::mem::take(&mut self.runs));
        if !runs.is_empty() {
            self.sections.push(Section { sources, runs });
        }
    }
}

/// The layout that suits a tree.
pub(super) fn kind<T: Number>(nodes: &[TreeNode<T>]) -> Kind {
    let mut depths = vec![0; nodes.len()];
    let mut deepest = 0;
    for (index, node) in nodes.iter().enumerate() {
        let depth = depths[index];
        deepest = deepest.max(depth);
        if let TreeNode::Branch(branch) = node {
            if branch.ordered().is_none() {
                return Kind::Walk;
            }
            (depths[index + 1], depths[branch.other as usize]) = (depth + 1, depth + 1);
        }
    }
    // A chain would be mostly padding.
    let padded = deepest <= DEEPEST && 2 << deepest <= MOST_PADDING * nodes.len();
    if padded { Kind::Perfect(deepest) } else { Kind::Descent }
}

/// The columns that a tree tests in its layout.
fn sources<T: Number>(nodes: &[TreeNode<T>], kind: Kind) -> impl Iterator<Item = Source> {
    nodes.iter().filter_map(move |node| {
        let TreeNode::Branch(branch) = node else { return None };
        let ordered = branch.ordered().filter(|_| kind != Kind::Walk);
        let missing_least = ordered.is_some_and(|ordered| ordered.missing_holds);
        Some(Source { feature: branch.feature, missing_least })
    })
}

/// Whether weights are added up, every leaf has one, and the leaves of a tree have the same target.
fn sums<T: Number>(ensemble: &Ensemble<T>) -> bool {
    matches!(ensemble.aggregate, Aggregate::Sum | Aggregate::Average)
        && ensemble.trees.iter().all(|nodes| {
            let mut targets = nodes.iter().filter_map(|node| match node {
                TreeNode::Leaf(leaf) => {
                    Some(if let [weight] = ensemble.weights_of(*leaf) { Some(weight.target) } else { None })
                }
                TreeNode::Branch(_) => None,
            });
            let first = targets.next().flatten();
            first.is_some() && targets.all(|target| target == first)
        })
}
