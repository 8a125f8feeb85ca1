//! The share of the labels' variance that predictions explain.

use super::common::{CONFIDENCE, LeftOut, Level, MEASURE, Measure, NO_ROWS, pairs};
use super::mean_loss::{LABEL, PREDICTION};
use crate::drift::Notes;
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Section, Tolerance, Type, Value};
use crate::sum::{ExactMoments, ExactSum};

/// `r_squared(label, prediction)`.
pub struct RSquared;

impl Function for RSquared {
    fn name(&self) -> &'static str {
        "r_squared"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["r2_score"]
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn section(&self) -> Section {
        Section::Quality
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[LABEL, PREDICTION, CONFIDENCE];
        ARGS
    }

    fn returns(&self) -> Type {
        MEASURE
    }

    fn short(&self) -> &'static str {
        "R²: the share of the labels' variance that the predictions explain, with its interval"
    }

    fn long(&self) -> &'static str {
        include_str!("regression.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example {
            rows: pairs(&[(3.0, 2.5), (-0.5, 0.0), (2.0, 2.0), (8.0, 9.0)]),
            returns: Value::Record(vec![
                ("value", 0.960_720_130_932_896_9.into()),
                ("low", 0.941_521_105_517_514_3.into()),
                ("high", 0.979_919_156_348_279_4.into()),
                ("n", 4_i64.into()),
                ("note", Value::Null),
            ]),
        }]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-10)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let level = Level::option(call, 2)?;
        let (label, prediction) = (call.floats(0)?, call.floats(1)?);
        let (mut left_out, mut notes, mut pairs) = (LeftOut::default(), Notes::default(), Vec::new());
        for row in 0..call.rows() {
            if !(call.is_given(0, row) && call.is_given(1, row)) {
                left_out.nulls += 1;
            } else if label.get(row).is_finite() && prediction.get(row).is_finite() {
                pairs.push((label.get(row), prediction.get(row)));
            } else {
                left_out.unusable += 1;
            }
        }
        left_out.note(&mut notes, "with NaN or an infinity");
        Ok(r_squared(&pairs, level, notes).into_column())
    }
}

fn r_squared(pairs: &[(f64, f64)], level: Level, mut notes: Notes) -> Measure {
    let n = pairs.len() as u64;
    let (mut labels, mut errors) = (ExactMoments::new(), ExactSum::new());
    for (label, prediction) in pairs {
        labels.add(*label);
        errors.add((label - prediction) * (label - prediction));
    }
    let (Some(mean), Some(variance), Some(error)) = (labels.values().avg(), labels.var_pop(), errors.avg()) else {
        notes.add(NO_ROWS);
        return Measure::new(None, None, n, &notes);
    };
    if variance <= 0.0 {
        notes.add("the labels do not vary, so there is nothing to explain");
        return Measure::new(None, None, n, &notes);
    }
    // What each row adds to 1 - error / variance, to the first order: the delta method.
    let mut influence = ExactMoments::new();
    for (label, prediction) in pairs {
        let (e, d) = (label - prediction, label - mean);
        influence.add((error / variance * d * d - e * e) / variance);
    }
    let value = 1.0 - error / variance;
    let half = influence.stddev_pop().map(|deviation| level.z() * deviation / (n as f64).sqrt());
    let interval = half.filter(|half| half.is_finite()).map(|half| (value - half, (value + half).min(1.0)));
    Measure::new(Some(value), interval, n, &notes)
}
