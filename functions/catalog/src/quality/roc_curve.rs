//! The ROC curve.

use super::common::{count, pairs, ranked_by_score, record, text, totals};
use super::curve::{ARGS, Point, Thinning, points};
use crate::function::{Example, Tolerance, Type, Value, define};

/// The struct that it returns.
const RECORD: Type = Type::Record(&[
    ("threshold", Type::Float64List),
    ("fpr", Type::Float64List),
    ("tpr", Type::Float64List),
    ("n", Type::Int64),
    ("note", Type::Text),
]);

define! {
    /// `roc_curve(label, score)`.
    pub struct RocCurve {
        name: "roc_curve",
        kind: Aggregate,
        section: Quality,
        args: ARGS,
        returns: RECORD,
        short: "ROC curve: false and true positive rate at each threshold",
        long: include_str!("curves.md"),
        examples: vec![Example {
            rows: pairs(&[(false, 0.1), (false, 0.4), (true, 0.35), (true, 0.8)]),
            returns: Value::Record(vec![
                ("threshold", [f64::INFINITY, 0.8, 0.4, 0.35, 0.1].into()),
                ("fpr", [0.0, 0.0, 0.5, 0.5, 1.0].into()),
                ("tpr", [0.0, 0.5, 0.5, 1.0, 1.0].into()),
                ("n", 4_i64.into()),
                ("note", Value::Null),
            ]),
        }],
        tolerance: Tolerance::Absolute(1e-12),
        compute: |call| {
            let thinning = Thinning::option(call)?;
            let (ties, mut notes) = ranked_by_score(call)?;
            let (positives, negatives) = totals(&ties);
            if positives == 0 || negatives == 0 {
                notes.add("a rate has nothing to be of: the curve needs rows of both labels");
                let fields = [Value::Null, Value::Null, Value::Null, count(positives + negatives), text(notes.text())];
                return Ok(record(RECORD, &fields));
            }
            // A corner is where either count changes its step.
            let is_corner = |before: Point, point: Point, after: Point| {
                after.hits - point.hits != point.hits - before.hits
                    || after.false_alarms - point.false_alarms != point.false_alarms - before.false_alarms
            };
            let start = Point { threshold: f64::INFINITY, hits: 0, false_alarms: 0 };
            let points: Vec<Point> =
                [start].into_iter().chain(thinning.apply(points(&ties), is_corner, &mut notes)).collect();
            let list = |f: &dyn Fn(&Point) -> f64| Value::Float64List(points.iter().map(f).collect());
            let fields = [
                list(&|point| point.threshold),
                list(&|point| point.false_alarms as f64 / negatives as f64),
                list(&|point| point.hits as f64 / positives as f64),
                count(positives + negatives),
                text(notes.text()),
            ];
            Ok(record(RECORD, &fields))
        },
    }
}
