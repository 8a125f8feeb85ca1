//! Isotonic regression of labels on scores.

use super::common::{LABEL, NO_ROWS, SCORE, Tie, count, pairs, ranked_by_score, record, text, totals};
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Section, Tolerance, Type, Value};

/// The struct that it returns.
const RECORD: Type =
    Type::Record(&[("x", Type::Float64List), ("y", Type::Float64List), ("n", Type::Int64), ("note", Type::Text)]);

/// `isotonic_calibration(label, probability)`.
pub struct IsotonicCalibration;

impl Function for IsotonicCalibration {
    fn name(&self) -> &'static str {
        "isotonic_calibration"
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn section(&self) -> Section {
        Section::Quality
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[LABEL, SCORE];
        ARGS
    }

    fn returns(&self) -> Type {
        RECORD
    }

    fn short(&self) -> &'static str {
        "The rising step function that fits labels best, by its corners: for `calibrate_isotonic`"
    }

    fn long(&self) -> &'static str {
        include_str!("calibrators.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example {
            rows: pairs(&[(false, 0.1), (true, 0.2), (false, 0.3), (true, 0.4), (true, 0.5)]),
            returns: Value::Record(vec![
                ("x", [0.1, 0.2, 0.3, 0.4, 0.5].into()),
                ("y", [0.0, 0.5, 0.5, 1.0, 1.0].into()),
                ("n", 5_i64.into()),
                ("note", Value::Null),
            ]),
        }]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let (ties, mut notes) = ranked_by_score(call)?;
        let (positives, negatives) = totals(&ties);
        if ties.is_empty() {
            notes.add(NO_ROWS);
        }
        let (x, y) = isotonic(&ties);
        let fields = [Value::Float64List(x), Value::Float64List(y), count(positives + negatives), text(notes.text())];
        Ok(record(RECORD, &fields))
    }
}

/// The scores of the corners, ascending, and their probabilities.
pub(super) fn isotonic(ties: &[Tie]) -> (Vec<f64>, Vec<f64>) {
    corners(&blocks(ties)).into_iter().unzip()
}

/// Neighbouring scores that share one frequency.
#[derive(Debug, Clone, Copy)]
struct Block {
    first: f64,
    last: f64,
    positives: u64,
    n: u64,
}

/// Pools neighbours until the frequencies rise; compared as fractions, so no rounding decides.
fn blocks(ties: &[Tie]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for tie in ties.iter().rev() {
        let mut block = Block { first: tie.score, last: tie.score, positives: tie.positives, n: tie.n() };
        while let Some(below) = blocks.pop_if(|below| {
            u128::from(below.positives) * u128::from(block.n) >= u128::from(block.positives) * u128::from(below.n)
        }) {
            block.first = below.first;
            block.positives += below.positives;
            block.n += below.n;
        }
        blocks.push(block);
    }
    blocks
}

fn corners(blocks: &[Block]) -> Vec<(f64, f64)> {
    let ends = |block: &Block| {
        let y = block.positives as f64 / block.n as f64;
        let is_wide = block.first < block.last;
        [Some((block.first, y)), is_wide.then_some((block.last, y))]
    };
    blocks.iter().flat_map(ends).flatten().collect()
}
