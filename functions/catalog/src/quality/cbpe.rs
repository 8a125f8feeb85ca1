//! Confidence-based performance estimation.

use super::common::{LeftOut, NO_PROBABILITY, NO_ROWS, count, float, pairs, record, text};
use super::expected::{Estimate, Expected, Performance};
use crate::drift::Notes;
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Section, Tolerance, Type, Value};

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
        let (mut left_out, mut notes, mut expected) = (LeftOut::default(), Notes::default(), Expected::default());
        for row in 0..call.rows() {
            let p = probability.get(row);
            if !(call.is_given(0, row) && call.is_given(1, row)) {
                left_out.nulls += 1;
            } else if (0.0..=1.0).contains(&p) {
                expected.add(p, prediction.get(row));
            } else {
                left_out.unusable += 1;
            }
        }
        left_out.note(&mut notes, NO_PROBABILITY);
        let n = expected.n();
        let estimates = if n == 0 {
            notes.add(NO_ROWS);
            [None; 5]
        } else {
            expected.estimates()
        };
        for (estimate, performance) in estimates.iter().zip(Performance::ALL).filter(|_| n > 0) {
            if estimate.is_none() {
                notes.add(format!("{} has nothing to be of", performance.name()));
            }
        }
        let bounds = |estimate: Option<Estimate>| {
            let side = |sign: f64| estimate.map(|e| (e.value + sign * reach * e.error).clamp(0.0, 1.0));
            [float(estimate.map(|e| e.value)), float(side(-1.0)), float(side(1.0))]
        };
        let fields: Vec<Value> = estimates.into_iter().flat_map(bounds).chain([count(n), text(notes.text())]).collect();
        Ok(record(RECORD, &fields))
    }
}
