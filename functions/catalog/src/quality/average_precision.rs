//! The area under the precision–recall curve.

use super::common::{CONFIDENCE, LABEL, Level, MEASURE, Measure, NO_ROWS, SCORE, pairs, ranked_by_score, totals};
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Section, Tolerance, Type, Value};

/// `average_precision(label, score)`.
pub struct AveragePrecision;

impl Function for AveragePrecision {
    fn name(&self) -> &'static str {
        "average_precision"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["average_precision_score"]
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn section(&self) -> Section {
        Section::Quality
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[LABEL, SCORE, CONFIDENCE];
        ARGS
    }

    fn returns(&self) -> Type {
        MEASURE
    }

    fn short(&self) -> &'static str {
        "Average precision: the precision over all thresholds, weighted by the recall each adds, with its interval"
    }

    fn long(&self) -> &'static str {
        include_str!("average_precision.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example {
            rows: pairs(&[(false, 0.1), (false, 0.4), (true, 0.35), (true, 0.8)]),
            returns: Value::Record(vec![
                ("value", 0.833_333_333_333_333_3.into()),
                ("low", 0.108_193_076_297_581_21.into()),
                ("high", 0.995_170_677_679_322_3.into()),
                ("n", 4_i64.into()),
                ("note", Value::Null),
            ]),
        }]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let level = Level::option(call, 2)?;
        let (ties, mut notes) = ranked_by_score(call)?;
        let (positives, negatives) = totals(&ties);
        let n = positives + negatives;
        if positives == 0 {
            notes.add(if n == 0 { NO_ROWS } else { "no row is labelled true" });
            return Ok(Measure::new(None, None, n, &notes).into_column());
        }
        let (mut hits, mut taken, mut sum) = (0, 0, 0.0);
        for tie in &ties {
            hits += tie.positives;
            taken += tie.n();
            sum += tie.positives as f64 * (hits as f64 / taken as f64);
        }
        let value = sum / positives as f64;
        // Normal on the logit scale, so that it stays between 0 and 1.
        let interval = if value < 1.0 {
            let logit = libm::log(value / (1.0 - value));
            let half = level.z() / (positives as f64 * value * (1.0 - value)).sqrt();
            let back = |logit: f64| 1.0 / (1.0 + libm::exp(-logit));
            Some((back(logit - half), back(logit + half)))
        } else {
            notes.add("there is no interval: the order is perfect");
            None
        };
        Ok(Measure::new(Some(value), interval, n, &notes).into_column())
    }
}
