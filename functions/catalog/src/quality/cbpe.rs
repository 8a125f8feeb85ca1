//! Confidence-based performance estimation.

use super::common::{LeftOut, NO_PROBABILITY, NO_ROWS, count, float, pairs, record, text};
use crate::drift::Notes;
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Section, Tolerance, Type, Value};
use crate::sum::ExactSum;

/// The struct that it returns.
const RECORD: Type = Type::Record(&[
    ("accuracy", Type::Float64),
    ("accuracy_low", Type::Float64),
    ("accuracy_high", Type::Float64),
    ("precision", Type::Float64),
    ("precision_low", Type::Float64),
    ("precision_high", Type::Float64),
    ("recall", Type::Float64),
    ("recall_low", Type::Float64),
    ("recall_high", Type::Float64),
    ("f1", Type::Float64),
    ("f1_low", Type::Float64),
    ("f1_high", Type::Float64),
    ("roc_auc", Type::Float64),
    ("roc_auc_low", Type::Float64),
    ("roc_auc_high", Type::Float64),
    ("n", Type::Int64),
    ("note", Type::Text),
]);

/// `cbpe(probability, prediction)`.
pub struct Cbpe;

impl Function for Cbpe {
    fn name(&self) -> &'static str {
        "cbpe"
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn section(&self) -> Section {
        Section::Quality
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            Arg::new("probability", Type::Float64, "the calibrated probability that the label will be true"),
            Arg::new("prediction", Type::Boolean, "what was predicted"),
            Arg::option(
                "standard_errors",
                Type::Float64,
                "3.0",
                "how many standard errors the bands reach to each side",
            ),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        RECORD
    }

    fn short(&self) -> &'static str {
        "What accuracy, precision, recall, F1 and ROC AUC are to be expected where labels are not yet known"
    }

    fn long(&self) -> &'static str {
        include_str!("cbpe.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example {
            rows: pairs(&[(0.75, true), (0.5, true), (0.25, false), (0.5, false)]),
            returns: Value::Record(vec![
                ("accuracy", 0.625.into()),
                ("accuracy_low", 0.0.into()),
                ("accuracy_high", 1.0.into()),
                ("precision", 0.625.into()),
                ("precision_low", 0.0.into()),
                ("precision_high", 1.0.into()),
                ("recall", 0.625.into()),
                ("recall_low", 0.0.into()),
                ("recall_high", 1.0.into()),
                ("f1", 0.625.into()),
                ("f1_low", 0.0.into()),
                ("f1_high", 1.0.into()),
                ("roc_auc", 0.687_5.into()),
                ("roc_auc_low", 0.182_640_799_331_140_3.into()),
                ("roc_auc_high", 1.0.into()),
                ("n", 4_i64.into()),
                ("note", Value::Null),
            ]),
        }]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let reach = match call.option(2) {
            None => 3.0,
            Some(Value::Float64(reach)) if reach > 0.0 && reach.is_finite() => reach,
            Some(other) => return Err(call.refuse(format!("`standard_errors` is {other}, but it has to be above 0"))),
        };
        let (probability, prediction) = (call.floats(0)?, call.booleans(1)?);
        let (mut left_out, mut notes) = (LeftOut::default(), Notes::default());
        let (mut probabilities, mut positives) = (Vec::new(), 0_u64);
        let (mut hits, mut misses) = (ExactSum::new(), ExactSum::new());
        for row in 0..call.rows() {
            let p = probability.get(row) + 0.0;
            if !(call.is_given(0, row) && call.is_given(1, row)) {
                left_out.nulls += 1;
            } else if (0.0..=1.0).contains(&p) {
                probabilities.push(p);
                let is_positive = prediction.get(row);
                positives += u64::from(is_positive);
                if is_positive { &mut hits } else { &mut misses }.add(p);
            } else {
                left_out.unusable += 1;
            }
        }
        left_out.note(&mut notes, NO_PROBABILITY);
        let n = probabilities.len() as u64;
        let estimates = if n == 0 {
            notes.add(NO_ROWS);
            [None; 5]
        } else {
            let counts = Expected { n: n as f64, predicted: positives as f64, hits: hits.sum(), misses: misses.sum() };
            counts.estimates(probabilities, &mut notes)
        };
        let bounds = |estimate: Option<Estimate>| {
            let side = |sign: f64| estimate.map(|e| (e.value + sign * reach * e.error).clamp(0.0, 1.0));
            [float(estimate.map(|e| e.value)), float(side(-1.0)), float(side(1.0))]
        };
        let fields: Vec<Value> = estimates.into_iter().flat_map(bounds).chain([count(n), text(notes.text())]).collect();
        Ok(record(RECORD, &fields))
    }
}

/// An expected measure and its standard error.
#[derive(Debug, Clone, Copy)]
struct Estimate {
    value: f64,
    error: f64,
}

impl Estimate {
    /// The share of `successes` in `n`.
    fn share(successes: f64, n: f64) -> Option<Self> {
        let value = successes / n;
        (n > 0.0).then(|| Self { value, error: (value * (1.0 - value) / n).max(0.0).sqrt() })
    }
}

/// The confusion matrix to be expected.
#[derive(Debug)]
struct Expected {
    n: f64,
    predicted: f64,
    hits: f64,
    misses: f64,
}

impl Expected {
    /// Accuracy, precision, recall, F1 and the area under the ROC curve.
    fn estimates(&self, probabilities: Vec<f64>, notes: &mut Notes) -> [Option<Estimate>; 5] {
        let Self { n, predicted, hits, misses } = *self;
        let false_alarms = predicted - hits;
        let right = hits + (n - predicted - misses);
        // F1 is the share of hits among hits, false alarms and misses, times a factor.
        let union = hits + false_alarms + misses;
        let factor = union / (hits + 0.5 * (false_alarms + misses));
        let f1 = Estimate::share(hits, union).map(|e| Estimate { value: e.value * factor, error: e.error * factor });
        let area = area(probabilities);
        let estimates = [
            ("accuracy", Estimate::share(right, n)),
            ("precision", Estimate::share(hits, predicted)),
            ("recall", Estimate::share(hits, hits + misses)),
            ("F1", f1),
            ("ROC AUC", area),
        ];
        for (name, estimate) in &estimates {
            if estimate.is_none() {
                notes.add(format!("{name} has nothing to be of"));
            }
        }
        estimates.map(|(_, estimate)| estimate)
    }
}

/// The expected area under the ROC curve of rows ordered by their probability.
fn area(mut probabilities: Vec<f64>) -> Option<Estimate> {
    probabilities.sort_unstable_by(f64::total_cmp);
    let ties: Vec<(f64, f64)> = probabilities
        .chunk_by(|a, b| a.to_bits() == b.to_bits())
        .filter_map(|tie| Some((*tie.first()?, tie.len() as f64)))
        .collect();
    let positives: f64 = ties.iter().map(|(p, n)| p * n).sum();
    let negatives: f64 = ties.iter().map(|(p, n)| (1.0 - p) * n).sum();
    if positives <= 0.0 || negatives <= 0.0 {
        return None;
    }
    // For a positive in each tie the share of negatives below it, and for a negative that of positives above it.
    let (mut below, mut above) = (0.0, positives);
    let places: Vec<[f64; 4]> = ties
        .iter()
        .map(|(p, n)| {
            let (here, there) = (p * n, (1.0 - p) * n);
            above -= here;
            let place = [here, (below + there / 2.0) / negatives, there, (above + here / 2.0) / positives];
            below += there;
            place
        })
        .collect();
    let value = places.iter().map(|[weight, share, ..]| weight * share).sum::<f64>() / positives;
    // The spread over the rarer label.
    let is_rarer = positives <= negatives;
    let total = positives.min(negatives);
    let spread = |[a, b, c, d]: &[f64; 4]| {
        let (weight, share) = if is_rarer { (a, b) } else { (c, d) };
        weight * (share - value) * (share - value)
    };
    let variance = places.iter().map(spread).sum::<f64>() / total;
    Some(Estimate { value, error: (variance / total).sqrt() })
}
