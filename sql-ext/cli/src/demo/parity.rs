//! The parity table: how far apart each pair of surfaces is, at most, in each thing that they all compute.

use std::fmt::Write as _;

use serde::Serialize;

use super::answers::{Answers, Cell, Prediction, distance};

/// A dense model's sums run in another order on another instruction set.
const MLP_CPU: f64 = 1e-6;
/// A GPU's arithmetic is its own.
const MLP_GPU: f64 = 1e-4;

/// One cell of the table.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    /// What is compared.
    pub(super) what: &'static str,
    /// The two surfaces.
    pub(super) pair: String,
    /// How many values.
    pub(super) values: usize,
    /// How many of them differ in any bit.
    pub(super) differing: usize,
    /// The largest absolute difference; absent where two values are of different kinds.
    pub(super) largest: Option<f64>,
    /// What is allowed.
    pub(super) allowed: f64,
}

impl Row {
    fn new(what: &'static str, pair: String, allowed: f64, distances: impl Iterator<Item = f64>) -> Self {
        let mut row = Self { what, pair, values: 0, differing: 0, largest: Some(0.0), allowed };
        for distance in distances {
            row.values += 1;
            row.differing += usize::from(distance != 0.0);
            row.largest = row.largest.filter(|_| distance.is_finite()).map(|largest| largest.max(distance));
        }
        row
    }

    /// Whether the two agree as far as is asked of them.
    pub(super) fn holds(&self) -> bool {
        self.values > 0 && self.largest.is_some_and(|largest| largest <= self.allowed)
    }

    /// `bit-equal`, or the largest difference.
    pub(super) fn verdict(&self) -> String {
        match self.largest {
            Some(0.0) => "bit-equal".to_owned(),
            Some(largest) => format!("{largest:.1e} (≤ {:.0e})", self.allowed),
            None => "different".to_owned(),
        }
    }
}

/// All rows.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Parity {
    pub(super) rows: Vec<Row>,
}

/// Compares every pair of surfaces in everything that both answer.
pub(super) fn compare(surfaces: &[Answers]) -> Parity {
    let mut rows = vec![];
    for (i, a) in surfaces.iter().enumerate() {
        for b in &surfaces[i + 1..] {
            let pair = format!("{} – {}", a.surface, b.surface);
            let mlp = if [a.surface, b.surface].contains(&"wonnx") { MLP_GPU } else { MLP_CPU };
            rows.extend(
                [
                    cells("features", &pair, &a.features, &b.features),
                    cells("functions and hashes", &pair, &a.functions, &b.functions),
                    predictions("trees: probability", &pair, 0.0, &a.late, &b.late, |p| f64::from(p.probability)),
                    predictions("trees: label", &pair, 0.0, &a.late, &b.late, |p| p.label as f64),
                    predictions("perceptron: probability", &pair, mlp, &a.late_mlp, &b.late_mlp, |p| {
                        f64::from(p.probability)
                    }),
                ]
                .into_iter()
                .flatten(),
            );
        }
    }
    Parity { rows }
}

fn cells(what: &'static str, pair: &str, a: &[Vec<Cell>], b: &[Vec<Cell>]) -> Option<Row> {
    let distances = a.iter().zip(b).flat_map(|(a, b)| a.iter().zip(b).map(|(a, b)| a.distance(b)));
    both(a, b).then(|| Row::new(what, pair.to_owned(), 0.0, distances))
}

fn predictions(
    what: &'static str,
    pair: &str,
    allowed: f64,
    a: &[Prediction],
    b: &[Prediction],
    value: impl Fn(&Prediction) -> f64,
) -> Option<Row> {
    let distances = a.iter().zip(b).map(|(a, b)| distance(value(a), value(b)));
    both(a, b).then(|| Row::new(what, pair.to_owned(), allowed, distances))
}

fn both<T>(a: &[T], b: &[T]) -> bool {
    !a.is_empty() && !b.is_empty()
}

impl Parity {
    /// A line for each row that does not hold.
    pub(super) fn violations(&self) -> Vec<String> {
        let line = |row: &Row| {
            let (what, pair, verdict) = (row.what, &row.pair, row.verdict());
            format!("{what}, {pair}: {verdict} in {} of {} values", row.differing, row.values)
        };
        self.rows.iter().filter(|row| !row.holds()).map(line).collect()
    }

    /// The table for a terminal.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{:<26} {:<18} {:>8}  largest difference\n", "parity", "surfaces", "values");
        for row in &self.rows {
            let mark = if row.holds() { "" } else { "   <- disagree" };
            let (what, pair, verdict) = (row.what, &row.pair, row.verdict());
            let _ = writeln!(text, "{what:<26} {pair:<18} {:>8}  {verdict}{mark}", row.values);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::answers::{Answers, Cell, Prediction};
    use super::compare;

    fn surface(surface: &'static str, cell: Cell, probability: f32) -> Answers {
        let prediction = Prediction { label: 1, probability };
        Answers {
            surface,
            features: vec![vec![cell]],
            late: vec![prediction],
            late_mlp: vec![prediction],
            ..Answers::default()
        }
    }

    #[test]
    fn equal_surfaces_hold_and_one_bit_does_not() {
        let a = surface("SQL", Cell::Number(0.1), 0.5);
        assert!(compare(&[a.clone(), surface("HTTP", Cell::Number(0.1), 0.5)]).violations().is_empty());
        let off = surface("HTTP", Cell::Number(0.1f64.next_up()), 0.5f32.next_up());
        assert_eq!(compare(&[a.clone(), off]).violations().len(), 2, "the features and the trees");
        assert_eq!(compare(&[a.clone(), surface("HTTP", Cell::Null, 0.5)]).violations().len(), 1);
    }

    #[test]
    fn a_perceptron_on_a_gpu_may_differ_more_than_one_on_a_processor() {
        let mlp = |surface, probability| Answers {
            surface,
            late_mlp: vec![Prediction { label: 0, probability }],
            ..Answers::default()
        };
        assert!(compare(&[mlp("SQL", 0.5), mlp("wonnx", 0.500_05)]).violations().is_empty());
        assert_eq!(compare(&[mlp("SQL", 0.5), mlp("HTTP", 0.500_05)]).violations().len(), 1);
    }
}
