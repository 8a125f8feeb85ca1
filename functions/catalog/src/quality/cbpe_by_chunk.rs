//! Performance without labels chunk by chunk, each judged by the other chunks alone.

use std::collections::BTreeMap;

use super::calibrate_isotonic::interpolate;
use super::calibrate_platt::sigmoid;
use super::common::{CONFIDENCE, LeftOut, Level, NO_PROBABILITY, NO_ROWS, Tie, record, rows, text, ties};
use super::confusion::{ClassRef, Classes};
use super::expected::{Estimate, Expected, Performance};
use super::isotonic_calibration::isotonic;
use super::platt_calibration::platt;
use super::roc_auc::area;
use crate::drift::Notes;
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Section, Tolerance, Type, Value};
use crate::sum::ExactMoments;

/// The struct that it returns.
const RECORD: Type = Type::Record(&[
    ("chunk", Type::TextList),
    ("n", Type::Float64List),
    ("n_labelled", Type::Float64List),
    ("estimated", Type::Float64List),
    ("realized", Type::Float64List),
    ("low", Type::Float64List),
    ("high", Type::Float64List),
    ("note", Type::Text),
]);

/// `cbpe_by_chunk(label, score, prediction, chunk)`.
pub struct CbpeByChunk;

impl Function for CbpeByChunk {
    fn name(&self) -> &'static str {
        "cbpe_by_chunk"
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn section(&self) -> Section {
        Section::Quality
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            Arg::new("label", Type::Boolean, "what came true; NULL where it is not yet known"),
            Arg::new("score", Type::Float64, "how likely the model held it to be"),
            Arg::new("prediction", Type::Boolean, "what was predicted"),
            Arg::new("chunk", Type::Float64OrText, "the chunk that the row belongs to, such as its month"),
            Arg::option(
                "measure",
                Type::Text,
                "'roc_auc'",
                "what is estimated: 'roc_auc', 'accuracy', 'precision', 'recall' or 'f1'",
            ),
            Arg::option(
                "calibration",
                Type::Text,
                "'isotonic'",
                "what makes scores probabilities: 'isotonic', 'platt', or 'none' where they are calibrated",
            ),
            CONFIDENCE,
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        RECORD
    }

    fn short(&self) -> &'static str {
        "Performance estimated without labels for each chunk, calibrated and judged by the other chunks alone"
    }

    fn long(&self) -> &'static str {
        include_str!("cbpe_by_chunk.md")
    }

    fn examples(&self) -> Vec<Example> {
        let chunk = |name: &'static str, labels: [Option<bool>; 4]| {
            [0.9, 0.6, 0.4, 0.1].into_iter().zip(labels).map(move |(score, label): (f64, _)| {
                let label = label.map_or(Value::Null, Value::Boolean);
                vec![label, score.into(), (score > 0.5).into(), name.into(), "accuracy".into()]
            })
        };
        let (yes, no) = (Some(true), Some(false));
        let rows = chunk("2024-01", [yes, yes, no, no])
            .chain(chunk("2024-02", [yes, no, no, no]))
            .chain(chunk("2024-03", [yes, yes, yes, yes]))
            .chain(chunk("2024-04", [None; 4]));
        vec![Example {
            rows: rows.collect(),
            returns: Value::Record(vec![
                ("chunk", ["2024-01", "2024-02", "2024-03", "2024-04"].into()),
                ("n", [4.0; 4].into()),
                ("n_labelled", [4.0, 4.0, 4.0, 0.0].into()),
                ("estimated", [0.625, 0.75, 0.875, 0.75].into()),
                ("realized", [1.0, 0.75, 0.5, f64::NAN].into()),
                ("low", [0.0; 4].into()),
                ("high", [1.0; 4].into()),
                ("note", Value::Null),
            ]),
        }]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-8)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let names = Performance::ALL.map(Performance::key);
        let [accuracy, precision, recall, f1, roc_auc] = names;
        let measure = call.choice(4, "measure", [roc_auc, accuracy, precision, recall, f1])?;
        let performance = Performance::ALL.into_iter().find(|of| of.key() == measure).unwrap_or(Performance::RocAuc);
        let calibration = match call.choice(5, "calibration", ["isotonic", "platt", "none"])? {
            "platt" => Calibration::Platt,
            "none" => Calibration::None,
            _ => Calibration::Isotonic,
        };
        let level = Level::option(call, 6)?;
        let (chunks, mut notes) = chunks(call, calibration)?;
        Ok(estimate(&chunks, performance, calibration, level, &mut notes))
    }
}

/// What makes scores probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Calibration {
    Isotonic,
    Platt,
    None,
}

impl Calibration {
    fn is_usable(self, score: f64) -> bool {
        match self {
            Self::Isotonic => !score.is_nan(),
            Self::Platt => score.is_finite(),
            Self::None => (0.0..=1.0).contains(&score),
        }
    }

    fn unusable(self) -> &'static str {
        match self {
            Self::Isotonic => "with NaN",
            Self::Platt => "whose score is NaN or infinite",
            Self::None => NO_PROBABILITY,
        }
    }

    /// Fits labelled rows; `None` where there is no row to fit.
    fn fit(self, ties: &[Tie]) -> Option<Calibrator> {
        match self {
            Self::None => Some(Calibrator::None),
            _ if ties.is_empty() => None,
            Self::Isotonic => {
                let (x, y) = isotonic(ties);
                Some(Calibrator::Isotonic { x, y })
            }
            Self::Platt => {
                let (slope, intercept) = platt(ties);
                Some(Calibrator::Platt { slope, intercept })
            }
        }
    }
}

/// A fitted calibration.
#[derive(Debug)]
enum Calibrator {
    Isotonic { x: Vec<f64>, y: Vec<f64> },
    Platt { slope: f64, intercept: f64 },
    None,
}

impl Calibrator {
    fn probability(&self, score: f64) -> f64 {
        match self {
            Self::Isotonic { x, y } => interpolate(score, x, y),
            Self::Platt { slope, intercept } => sigmoid(slope * score + intercept),
            Self::None => score,
        }
    }
}

#[derive(Debug)]
struct Row {
    score: f64,
    prediction: bool,
    label: Option<bool>,
}

#[derive(Debug)]
struct Chunk {
    name: String,
    rows: Vec<Row>,
}

impl Chunk {
    fn labelled(&self) -> impl Iterator<Item = (&Row, bool)> {
        self.rows.iter().filter_map(|row| row.label.map(|label| (row, label)))
    }

    /// The measure of the labelled rows; `None` where it has nothing to be of.
    fn realized(&self, performance: Performance, level: Level) -> Option<f64> {
        if performance == Performance::RocAuc {
            let mut scored: Vec<(f64, bool)> = self.labelled().map(|(row, label)| (row.score, label)).collect();
            scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
            return area(&ties(scored), level, Notes::default()).value;
        }
        let count = |is_counted: fn(bool, bool) -> bool| {
            self.labelled().filter(|(row, label)| is_counted(*label, row.prediction)).count() as f64
        };
        let hits = count(|label, prediction| label && prediction);
        let errors = count(|label, prediction| label != prediction);
        let (part, whole) = match performance {
            Performance::Precision => (hits, count(|_, prediction| prediction)),
            Performance::Recall => (hits, count(|label, _| label)),
            Performance::F1 => (2.0 * hits, 2.0 * hits + errors),
            _ => {
                let n = count(|_, _| true);
                (n - errors, n)
            }
        };
        (whole > 0.0).then(|| part / whole)
    }
}

/// The chunks in the order of their names.
fn chunks(call: &Call<'_>, calibration: Calibration) -> Result<(Vec<Chunk>, Notes), Error> {
    /// One calibration a chunk is fitted.
    const MOST: usize = 1_000;
    let (label, score, prediction) = (call.booleans(0)?, call.floats(1)?, call.booleans(2)?);
    let names = Classes::of(call, 3)?;
    let (mut left_out, mut notes) = (LeftOut::default(), Notes::default());
    let mut chunks: BTreeMap<ClassRef<'_>, Vec<Row>> = BTreeMap::new();
    for row in 0..call.rows() {
        // One zero.
        let x = score.get(row) + 0.0;
        if !(1..4).all(|index| call.is_given(index, row)) {
            left_out.nulls += 1;
        } else if let Some(name) = names.at(row).filter(|_| calibration.is_usable(x)) {
            let label = call.is_given(0, row).then(|| label.get(row));
            chunks.entry(name).or_default().push(Row { score: x, prediction: prediction.get(row), label });
            if chunks.len() > MOST {
                return Err(call.refuse(format!(
                    "`chunk` has more than {MOST} values; make the chunks longer, such as a day, a week or a month"
                )));
            }
        } else {
            left_out.unusable += 1;
        }
    }
    left_out.note(&mut notes, calibration.unusable());
    let chunks = chunks.into_iter().map(|(name, rows)| Chunk { name: name.into_class().name(), rows });
    Ok((chunks.collect(), notes))
}

fn estimate(
    chunks: &[Chunk],
    performance: Performance,
    calibration: Calibration,
    level: Level,
    notes: &mut Notes,
) -> Column<'static> {
    let mut labelled: Vec<(f64, bool, usize)> = Vec::new();
    for (at, chunk) in chunks.iter().enumerate() {
        labelled.extend(chunk.labelled().map(|(row, label)| (row.score, label, at)));
    }
    labelled.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let fit = |without: usize| {
        let others = labelled.iter().filter(|(.., at)| *at != without);
        calibration.fit(&ties(others.map(|(score, label, _)| (*score, *label))))
    };
    // What all chunks without a label are calibrated by.
    let whole = fit(chunks.len());
    let estimated: Vec<Option<Estimate>> = chunks
        .iter()
        .enumerate()
        .map(|(at, chunk)| {
            let own;
            let calibrator = if chunk.labelled().next().is_none() {
                &whole
            } else {
                own = fit(at);
                &own
            };
            let mut expected = Expected::default();
            for row in &chunk.rows {
                expected.add(calibrator.as_ref()?.probability(row.score), row.prediction);
            }
            expected.estimate(performance)
        })
        .collect();
    let realized: Vec<Option<f64>> = chunks.iter().map(|chunk| chunk.realized(performance, level)).collect();
    let bands = bands(&realized, &estimated, level);
    remark(chunks, performance, &estimated, bands.iter().any(Option::is_none), notes);

    let list = |values: &mut dyn Iterator<Item = Option<f64>>| {
        Value::Float64List(values.map(|value| value.unwrap_or(f64::NAN)).collect())
    };
    let fields = [
        Value::TextList(chunks.iter().map(|chunk| chunk.name.clone()).collect()),
        list(&mut chunks.iter().map(|chunk| Some(chunk.rows.len() as f64))),
        list(&mut chunks.iter().map(|chunk| Some(chunk.labelled().count() as f64))),
        list(&mut estimated.iter().map(|estimate| estimate.map(|estimate| estimate.value))),
        list(&mut realized.iter().copied()),
        list(&mut bands.iter().map(|band| band.map(|band| band.0))),
        list(&mut bands.iter().map(|band| band.map(|band| band.1))),
        text(notes.text()),
    ];
    record(RECORD, &fields)
}

/// For each chunk the interval that the next value of a sample like the others' lies in; `None` where they are fewer than two.
/// Few chunks can agree by chance, so no chunk is held to scatter less than its own sampling error.
fn bands(realized: &[Option<f64>], estimated: &[Option<Estimate>], level: Level) -> Vec<Option<(f64, f64)>> {
    let mut all = ExactMoments::new();
    for value in realized.iter().flatten() {
        all.add(*value);
    }
    let band = |(own, estimate): (&Option<f64>, &Option<Estimate>)| {
        let mut others = all.clone();
        if let Some(own) = own {
            others.subtract(*own);
        }
        let n = others.values().count() as f64;
        let (mean, deviation) = others.values().avg().zip(others.stddev())?;
        let deviation = deviation.max(estimate.map_or(0.0, |estimate| estimate.error));
        let half = level.t(n - 1.0) * deviation * (1.0 + 1.0 / n).sqrt();
        Some(((mean - half).clamp(0.0, 1.0), (mean + half).clamp(0.0, 1.0)))
    };
    realized.iter().zip(estimated).map(band).collect()
}

fn remark(
    chunks: &[Chunk],
    performance: Performance,
    estimated: &[Option<Estimate>],
    lacks_band: bool,
    notes: &mut Notes,
) {
    if chunks.is_empty() {
        notes.add(NO_ROWS);
        return;
    }
    let sizes: Vec<usize> = chunks.iter().map(|chunk| chunk.labelled().count()).collect();
    let in_part = chunks.iter().zip(&sizes).filter(|(chunk, size)| (1..chunk.rows.len()).contains(*size)).count();
    if in_part > 0 {
        let verb = if in_part == 1 { "1 chunk is".to_owned() } else { format!("{in_part} chunks are") };
        notes.add(format!("{verb} labelled in part: realized is of the labelled rows"));
    }
    let labelled = || sizes.iter().copied().filter(|size| *size > 0);
    if let (Some(least), Some(most)) = (labelled().min(), labelled().max())
        && most > 2 * least
    {
        let least = rows(least as u64);
        notes
            .add(format!("the labelled chunks have from {least} to {most}, but the band takes them for equally large"));
    }
    let missing = estimated.iter().filter(|estimate| estimate.is_none()).count();
    if missing > 0 {
        let name = performance.name();
        let chunks = if missing == 1 { "1 chunk".to_owned() } else { format!("{missing} chunks") };
        notes.add(if labelled().next().is_none() {
            "there is no labelled row to calibrate by".to_owned()
        } else {
            format!("{name} of {chunks} has nothing to be of, or no labelled row elsewhere to calibrate by")
        });
    }
    if lacks_band {
        notes.add("a band needs two labelled chunks besides the one that it is for");
    }
}
