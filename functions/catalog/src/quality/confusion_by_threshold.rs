//! Confusion counts at given thresholds.

use super::common::{LABEL, LeftOut, SCORE, count, each_labelled, record, text};
use crate::bytes::{Reader, Writer};
use crate::drift::Notes;
use crate::function::{Arg, BadState, Call, Column, Error, Example, State, Step, Tolerance, Type, Value, define};

/// The struct that it returns.
const RECORD: Type = Type::Record(&[
    ("threshold", Type::Float64List),
    ("tp", Type::Float64List),
    ("fp", Type::Float64List),
    ("tn", Type::Float64List),
    ("fn", Type::Float64List),
    ("n", Type::Int64),
    ("note", Type::Text),
]);

define! {
    /// `confusion_by_threshold(label, score)`.
    pub struct ConfusionByThreshold {
        name: "confusion_by_threshold",
        kind: Aggregate,
        section: Quality,
        args: &[
            LABEL,
            SCORE,
            Arg::option(
                "thresholds",
                Type::Float64List,
                "[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]",
                "from which score on a row is predicted true",
            ),
        ],
        returns: RECORD,
        short: "True and false positives and negatives at each of some thresholds",
        long: include_str!("confusion_by_threshold.md"),
        examples: vec![Example {
            rows: [(false, 0.1), (false, 0.4), (true, 0.35), (true, 0.8)]
                .map(|(label, score)| vec![label.into(), score.into(), [0.3, 0.5].into()])
                .into(),
            returns: Value::Record(vec![
                ("threshold", [0.3, 0.5].into()),
                ("tp", [2.0, 1.0].into()),
                ("fp", [1.0, 0.0].into()),
                ("tn", [1.0, 2.0].into()),
                ("fn", [0.0, 1.0].into()),
                ("n", 4_i64.into()),
                ("note", Value::Null),
            ]),
        }],
        tolerance: Tolerance::Exact,
        state: |options| {
            let thresholds = match options.option(2) {
                None => vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
                Some(Value::Float64List(thresholds)) if !thresholds.iter().any(|t| t.is_nan()) => thresholds,
                Some(other) => {
                    return Err(options.refuse(format!("`thresholds` is {other}, but it has to be a list of numbers")));
                }
            };
            let mut sorted = thresholds.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            let cells = vec![(0, 0); thresholds.len() + 1];
            Ok(Some(Box::new(Counts { thresholds, sorted, cells, left_out: LeftOut::default() })))
        },
    }
}

/// Counts of true and false rows between the sorted thresholds.
#[derive(Debug)]
struct Counts {
    thresholds: Vec<f64>,
    sorted: Vec<f64>,
    cells: Vec<(u64, u64)>,
    left_out: LeftOut,
}

impl Counts {
    fn step(&mut self, call: &Call<'_>, step: Step) -> Result<(), Error> {
        let Self { sorted: thresholds, cells, left_out, .. } = self;
        each_labelled(call, step, left_out, |label, score| {
            let place = thresholds.partition_point(|threshold| *threshold <= score);
            let Some(counts) = cells.get_mut(place).filter(|_| !score.is_nan()) else { return false };
            step.count(if label { &mut counts.0 } else { &mut counts.1 });
            true
        })
    }
}

impl State for Counts {
    fn update(&mut self, call: &Call<'_>) -> Result<(), Error> {
        self.step(call, Step::Add)
    }

    fn slide(&mut self) -> bool {
        true
    }

    fn retract(&mut self, call: &Call<'_>) -> Result<(), Error> {
        self.step(call, Step::Retract)
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<(), BadState> {
        let mut bytes = Reader(bytes);
        self.left_out.merge(LeftOut::read(&mut bytes)?);
        for cell in &mut self.cells {
            cell.0 += bytes.u64()?;
            cell.1 += bytes.u64()?;
        }
        bytes.end()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.left_out.write(&mut out);
        for (positives, negatives) in &self.cells {
            out.u64(*positives).u64(*negatives);
        }
        out.finish()
    }

    fn finish(&self) -> Result<Column<'static>, Error> {
        let mut notes = Notes::default();
        self.left_out.note(&mut notes, "with NaN in score");
        let sum = |cells: &[(u64, u64)]| cells.iter().fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
        let (positives, negatives) = sum(&self.cells);
        // The cells above a threshold begin behind all thresholds up to it.
        let above = |threshold: &f64| {
            let first = self.sorted.partition_point(|other| other <= threshold);
            sum(self.cells.get(first..).unwrap_or_default())
        };
        let predicted: Vec<(u64, u64)> = self.thresholds.iter().map(above).collect();
        let list =
            |f: &dyn Fn(&(u64, u64)) -> u64| Value::Float64List(predicted.iter().map(|at| f(at) as f64).collect());
        let fields = [
            Value::Float64List(self.thresholds.clone()),
            list(&|at| at.0),
            list(&|at| at.1),
            list(&|at| negatives - at.1),
            list(&|at| positives - at.0),
            count(positives + negatives),
            text(notes.text()),
        ];
        Ok(record(RECORD, &fields))
    }

    fn heap_size(&self) -> usize {
        size_of_val(&*self.thresholds) * 2 + size_of_val(&*self.cells)
    }
}
