//! Every layout gives the bits that one node at a time gives.

use proptest::prelude::*;

use super::classify::Decision;
use super::ensemble::{Aggregate, Branch, Ensemble, Leaf, Test, TreeNode, Weight};
use super::forest::{Forest, Kind, Score, kind};
use super::number::Number;
use super::{Regression, Transform};

/// A small generator, so that an ensemble is one number to proptest.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % most
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    /// Numbers that meet each other often, with those at which comparisons go wrong.
    fn number<T: Number>(&mut self) -> T {
        const HARD: [f64; 8] =
            [-0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e-45, f32::MAX as f64, f32::MIN as f64];
        T::from_f64(if self.one_in(4) { HARD[self.below(HARD.len())] } else { self.below(9) as f64 / 2.0 - 2.0 })
    }
}

/// What an ensemble is made of.
struct Kinds {
    tests: usize,
    depth: usize,
    width: usize,
    missing: bool,
    /// Leaves with one weight each, of one target a tree.
    sums: bool,
}

fn ensemble<T: Number>(random: &mut Random, kinds: &Kinds) -> Ensemble<T> {
    let targets = 1 + random.below(4);
    let aggregates = [Aggregate::Sum, Aggregate::Average, Aggregate::Min, Aggregate::Max];
    let transforms =
        [Transform::None, Transform::Logistic, Transform::Softmax, Transform::SoftmaxZero, Transform::Probit];
    let mut made = Ensemble {
        trees: Vec::new(),
        weights: Vec::new(),
        sets: Vec::new(),
        targets,
        base: (0..if random.one_in(2) { targets } else { 0 }).map(|_| T::from_f64(0.25)).collect(),
        aggregate: if kinds.sums { aggregates[random.below(2)] } else { aggregates[random.below(4)] },
        transform: transforms[random.below(5)],
    };
    for _ in 0..=random.below(20) {
        let (depth, target) = (random.below(kinds.depth + 1), random.below(targets));
        let chain = random.one_in(4);
        let mut nodes = Vec::new();
        grow(random, kinds, &mut made, &mut nodes, depth, if kinds.sums { Some(target) } else { None }, chain);
        made.trees.push(nodes);
    }
    made
}

fn grow<T: Number>(
    random: &mut Random,
    kinds: &Kinds,
    made: &mut Ensemble<T>,
    nodes: &mut Vec<TreeNode<T>>,
    depth: usize,
    target: Option<usize>,
    chain: bool,
) {
    if depth == 0 || random.one_in(8) {
        let (first, count) = (made.weights.len() as u32, if target.is_some() { 1 } else { random.below(4) as u32 });
        for _ in 0..count {
            let target = target.unwrap_or_else(|| random.below(made.targets)) as u32;
            made.weights.push(Weight { target, value: T::from_f64(random.below(1000) as f64 / 333.0 - 1.5) });
        }
        nodes.push(TreeNode::Leaf(Leaf { first, count }));
        return;
    }
    let test = match random.below(kinds.tests) {
        0 => Test::LessOrEqual,
        1 => Test::Less,
        2 => Test::GreaterOrEqual,
        3 => Test::Greater,
        4 => Test::Equal,
        5 => Test::NotEqual,
        _ => {
            let mut set: Vec<T> = (0..random.below(4)).map(|_| random.number()).filter(|x: &T| !x.missing()).collect();
            set.sort_by(|one, other| one.partial_cmp(other).unwrap());
            made.sets.push(set);
            Test::Member(made.sets.len() as u32 - 1)
        }
    };
    let here = nodes.len();
    let branch = Branch {
        feature: random.below(kinds.width) as u32,
        test,
        threshold: random.number(),
        missing_goes_on: kinds.missing && random.one_in(2),
        other: 0,
    };
    nodes.push(TreeNode::Branch(branch));
    // In a chain one of the sides is a leaf.
    let (yes, no) =
        if chain { if random.one_in(2) { (depth - 1, 0) } else { (0, depth - 1) } } else { (depth - 1, depth - 1) };
    grow(random, kinds, made, nodes, yes, target, chain);
    let other = nodes.len() as u32;
    nodes[here] = TreeNode::Branch(Branch { other, ..branch });
    grow(random, kinds, made, nodes, no, target, chain);
}

/// The raw scores of a row, one node at a time, as the specification has it.
fn oracle<T: Number>(ensemble: &Ensemble<T>, row: &[T]) -> Vec<Score<T>> {
    let mut scores = vec![Score { value: T::ZERO, given: false }; ensemble.targets];
    for nodes in &ensemble.trees {
        let mut place = 0;
        while let TreeNode::Branch(branch) = nodes[place] {
            let (x, t) = (row[branch.feature as usize], branch.threshold);
            let holds = match branch.test {
                Test::LessOrEqual => x <= t,
                Test::Less => x < t,
                Test::GreaterOrEqual => x >= t,
                Test::Greater => x > t,
                Test::Equal => x == t,
                Test::NotEqual => x != t,
                Test::Member(set) => ensemble.sets[set as usize].contains(&x),
            };
            place = if holds || (x.missing() && branch.missing_goes_on) { place + 1 } else { branch.other as usize };
        }
        let TreeNode::Leaf(leaf) = nodes[place] else { unreachable!() };
        for weight in &ensemble.weights[leaf.first as usize..(leaf.first + leaf.count) as usize] {
            let score = &mut scores[weight.target as usize];
            score.value = match ensemble.aggregate {
                Aggregate::Sum | Aggregate::Average => {
                    score.value += weight.value;
                    score.value
                }
                Aggregate::Min if score.given && score.value < weight.value => score.value,
                Aggregate::Max if score.given && score.value > weight.value => score.value,
                Aggregate::Min | Aggregate::Max => weight.value,
            };
            score.given = true;
        }
    }
    scores
}

/// Bits; all NaNs are one.
fn bits<T: Into<f64>>(values: impl IntoIterator<Item = T>) -> Vec<u64> {
    let bits = |value: f64| if value.is_nan() { u64::MAX } else { value.to_bits() };
    values.into_iter().map(|value| bits(value.into())).collect()
}

fn check<T: Number + Into<f64>>(seed: u64, kinds: &Kinds, rows: usize) {
    let mut random = Random(seed | 1);
    let ensemble: Ensemble<T> = ensemble(&mut random, kinds);
    let data: Vec<T> = (0..rows * kinds.width).map(|_| random.number()).collect();
    let (forest, decision) = (Forest::new(&ensemble), Decision::new(&ensemble, random.one_in(2)).unwrap());
    let regression = Regression::new(ensemble.clone()).unwrap();
    let mut expected = data.chunks_exact(kinds.width).map(|row| oracle(&ensemble, row));
    let mut number = 0;
    forest
        .each_row(&data, kinds.width, |scores| {
            let mut expected = expected.next().expect("a row more than there are");
            let raw = |scores: &[Score<T>]| {
                (
                    bits(scores.iter().map(|score| score.value)),
                    scores.iter().map(|score| score.given).collect::<Vec<_>>(),
                )
            };
            assert_eq!(raw(scores), raw(&expected), "row {number} of {rows}");
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            regression.finish(&mut scores.to_vec(), &mut ours);
            regression.finish(&mut expected.clone(), &mut theirs);
            assert_eq!(bits(ours), bits(theirs), "outputs of row {number}");
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            assert_eq!(
                decision.decide(scores, &mut ours),
                decision.decide(&mut expected, &mut theirs),
                "class of row {number}"
            );
            assert_eq!(bits(ours), bits(theirs), "class scores of row {number}");
            number += 1;
        })
        .unwrap();
    assert_eq!(number, rows);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_layout_gives_the_bits_of_one_node_at_a_time(
        seed in any::<u64>(),
        tests in prop::sample::select(vec![1usize, 4, 4, 7]),
        depth in 0usize..12,
        width in prop::sample::select(vec![1usize, 3, 16, 700]),
        rows in prop::sample::select(vec![0usize, 1, 7, 8, 9, 63, 64, 65, 150]),
        missing: bool,
        sums: bool,
    ) {
        let kinds = Kinds { tests, depth, width, missing, sums };
        check::<f32>(seed, &kinds, rows);
        check::<f64>(seed, &kinds, rows);
    }
}

#[test]
fn a_thousand_rows_give_the_bits_of_one_node_at_a_time() {
    for seed in 1..20u64 {
        let kinds = Kinds { tests: 4, depth: 9, width: 16, missing: true, sums: seed % 2 == 0 };
        check::<f32>(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), &kinds, 1000);
    }
}

/// A chain that is deeper than any stack would stand.
#[test]
fn a_chain_of_a_hundred_thousand_nodes_is_walked() {
    let deep = 100_000u32;
    let mut nodes: Vec<TreeNode<f32>> = Vec::new();
    for step in 0..deep {
        let branch =
            Branch { feature: 0, test: Test::Less, threshold: step as f32, missing_goes_on: true, other: 2 * step + 2 };
        nodes.push(TreeNode::Branch(branch));
        nodes.push(TreeNode::Leaf(Leaf { first: step, count: 1 }));
    }
    nodes.push(TreeNode::Leaf(Leaf { first: deep, count: 1 }));
    let weights = (0..=deep).map(|step| Weight { target: 0, value: step as f32 }).collect();
    let ensemble = Ensemble {
        trees: vec![nodes],
        weights,
        sets: Vec::new(),
        targets: 1,
        base: Vec::new(),
        aggregate: Aggregate::Sum,
        transform: Transform::None,
    };
    let data = [0.5, 99_998.5, 1e9, -1.0, f32::NAN, 5.0, 6.0, 7.0, 8.0];
    let mut found = Vec::new();
    Forest::new(&ensemble).each_row(&data, 1, |scores| found.push(scores[0].value)).unwrap();
    assert_eq!(found, [1.0, 99_999.0, 100_000.0, 0.0, 0.0, 6.0, 7.0, 8.0, 9.0]);
}

#[test]
fn trees_take_the_first_layout_that_they_fit() {
    let full = |depth: u32, test, threshold: f32| {
        fn grow(nodes: &mut Vec<TreeNode<f32>>, depth: u32, branch: Branch<f32>) {
            let here = nodes.len();
            if depth == 0 {
                return nodes.push(TreeNode::Leaf(Leaf::default()));
            }
            nodes.push(TreeNode::Branch(branch));
            grow(nodes, depth - 1, branch);
            let other = nodes.len() as u32;
            nodes[here] = TreeNode::Branch(Branch { other, ..branch });
            grow(nodes, depth - 1, branch);
        }
        let mut nodes = Vec::new();
        grow(&mut nodes, depth, Branch { feature: 0, test, threshold, missing_goes_on: false, other: 0 });
        kind(&nodes)
    };
    assert_eq!(full(0, Test::Equal, 0.0), Kind::Perfect(0));
    assert_eq!(full(6, Test::Less, 0.0), Kind::Perfect(6));
    assert_eq!(full(8, Test::LessOrEqual, 0.0), Kind::Perfect(8));
    assert_eq!(full(9, Test::Less, 0.0), Kind::Descent);
    assert_eq!(full(3, Test::Equal, 0.0), Kind::Walk);
    assert_eq!(full(3, Test::LessOrEqual, f32::NAN), Kind::Walk);
}
