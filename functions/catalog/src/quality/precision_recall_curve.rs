//! The precision–recall curve.

use super::common::{count, pairs, ranked_by_score, record, text, totals};
use super::curve::{ARGS, Point, Thinning, points};
use crate::function::{Example, Tolerance, Type, Value, define};

/// The struct that it returns.
const RECORD: Type = Type::Record(&[
    ("threshold", Type::Float64List),
    ("precision", Type::Float64List),
    ("recall", Type::Float64List),
    ("n", Type::Int64),
    ("note", Type::Text),
]);

define! {
    /// `precision_recall_curve(label, score)`.
    pub struct PrecisionRecallCurve {
        name: "precision_recall_curve",
        kind: Aggregate,
        section: Quality,
        args: ARGS,
        returns: RECORD,
        short: "Precision–recall curve: precision and recall at each threshold",
        long: include_str!("curves.md"),
        examples: vec![Example {
            rows: pairs(&[(false, 0.1), (false, 0.4), (true, 0.35), (true, 0.8)]),
            returns: Value::Record(vec![
                ("threshold", [f64::INFINITY, 0.8, 0.4, 0.35, 0.1].into()),
                ("precision", [1.0, 1.0, 0.5, 0.666_666_666_666_666_6, 0.5].into()),
                ("recall", [0.0, 0.5, 0.5, 1.0, 1.0].into()),
                ("n", 4_i64.into()),
                ("note", Value::Null),
            ]),
        }],
        tolerance: Tolerance::Absolute(1e-12),
        compute: |call| {
            let thinning = Thinning::option(call)?;
            let (ties, mut notes) = ranked_by_score(call)?;
            let (positives, negatives) = totals(&ties);
            if positives == 0 {
                notes.add("recall has nothing to be of: no row is labelled true");
                let fields = [Value::Null, Value::Null, Value::Null, count(negatives), text(notes.text())];
                return Ok(record(RECORD, &fields));
            }
            // Points of one recall lie on a vertical line, of which the ends are enough.
            let is_corner =
                |before: Point, point: Point, after: Point| point.hits != before.hits || after.hits != point.hits;
            let points = thinning.apply(points(&ties), is_corner, &mut notes);
            let list = |start: f64, f: &dyn Fn(&Point) -> f64| {
                Value::Float64List([start].into_iter().chain(points.iter().map(f)).collect())
            };
            let fields = [
                list(f64::INFINITY, &|point| point.threshold),
                list(1.0, &|point| point.hits as f64 / (point.hits + point.false_alarms) as f64),
                list(0.0, &|point| point.hits as f64 / positives as f64),
                count(positives + negatives),
                text(notes.text()),
            ];
            Ok(record(RECORD, &fields))
        },
    }
}
