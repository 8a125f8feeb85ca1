//! Platt's sigmoid for scores.

use super::calibrate_platt::sigmoid;
use super::common::{LABEL, NO_ROWS, SCORE, Tie, count, float, pairs, ranked, record, text, totals};
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Section, Tolerance, Type, Value};

/// The struct that it returns.
const RECORD: Type =
    Type::Record(&[("slope", Type::Float64), ("intercept", Type::Float64), ("n", Type::Int64), ("note", Type::Text)]);

/// `platt_calibration(label, score)`.
pub struct PlattCalibration;

impl Function for PlattCalibration {
    fn name(&self) -> &'static str {
        "platt_calibration"
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
        "The sigmoid that turns scores into probabilities (Platt): for `calibrate_platt`"
    }

    fn long(&self) -> &'static str {
        include_str!("calibrators.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example {
            rows: pairs(&[(false, -1.0), (false, 1.0), (true, -1.0), (true, 1.0)]),
            returns: Value::Record(vec![
                ("slope", 0.0.into()),
                ("intercept", 0.0.into()),
                ("n", 4_i64.into()),
                ("note", Value::Null),
            ]),
        }]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Relative(1e-8)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let (ties, mut notes) = ranked(call, f64::is_finite, "whose score is NaN or infinite")?;
        let (positives, negatives) = totals(&ties);
        let fit = if ties.is_empty() {
            notes.add(NO_ROWS);
            None
        } else {
            Some(platt(&ties))
        };
        let (slope, intercept) = (fit.map(|fit| fit.0), fit.map(|fit| fit.1));
        Ok(record(RECORD, &[float(slope), float(intercept), count(positives + negatives), text(notes.text())]))
    }
}

/// Slope and intercept of least log loss against Platt's targets, by Newton's method with halved steps.
pub(super) fn platt(ties: &[Tie]) -> (f64, f64) {
    const STEPS: u32 = 200;
    let (positives, negatives) = totals(ties);
    let (up, down) = ((positives as f64 + 1.0) / (positives as f64 + 2.0), 1.0 / (negatives as f64 + 2.0));
    // Centred and scaled scores: the Hessian is well conditioned whatever the scale.
    let (low, high) = (ties.last().map_or(0.0, |tie| tie.score), ties.first().map_or(0.0, |tie| tie.score));
    let centre = low / 2.0 + high / 2.0;
    let scale = high / 2.0 - low / 2.0;
    let points: Vec<[f64; 3]> = ties
        .iter()
        .map(|tie| {
            let weight = tie.n() as f64;
            let target = (tie.positives as f64 * up + tie.negatives as f64 * down) / weight;
            [if scale > 0.0 { (tie.score - centre) / scale } else { 0.0 }, target, weight]
        })
        .collect();
    let loss = |slope: f64, intercept: f64| -> f64 {
        let of = |[x, target, weight]: &[f64; 3]| {
            let z = slope * x + intercept;
            weight * (libm::log1p(libm::exp(-z.abs())) + z.max(0.0) - target * z)
        };
        points.iter().map(of).sum()
    };
    let (mut slope, mut intercept) = (0.0, libm::log((positives as f64 + 1.0) / (negatives as f64 + 1.0)));
    let mut least = loss(slope, intercept);
    for _ in 0..STEPS {
        let (mut g, mut h) = ([0.0; 2], [0.0; 3]);
        for [x, target, weight] in &points {
            let p = sigmoid(slope * x + intercept);
            let (residual, curvature) = (weight * (p - target), weight * p * (1.0 - p));
            g = [g[0] + residual * x, g[1] + residual];
            h = [h[0] + curvature * x * x, h[1] + curvature * x, h[2] + curvature];
        }
        let determinant = h[0] * h[2] - h[1] * h[1];
        // Of a single score only the intercept is determined.
        let step = if determinant > 0.0 {
            [(h[2] * g[0] - h[1] * g[1]) / determinant, (h[0] * g[1] - h[1] * g[0]) / determinant]
        } else {
            [0.0, g[1] / h[2]]
        };
        let halves = (0..60).map(|i| libm::ldexp(1.0, -i));
        let better = halves
            .map(|part| (slope - part * step[0], intercept - part * step[1]))
            .map(|(slope, intercept)| (slope, intercept, loss(slope, intercept)))
            .find(|(_, _, loss)| *loss < least);
        let Some(better) = better else { break };
        (slope, intercept, least) = better;
    }
    let slope = if scale > 0.0 { slope / scale } else { 0.0 };
    (slope, intercept - slope * centre)
}
