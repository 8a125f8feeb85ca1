//! The points of ROC and precision–recall curves.

use super::common::{LABEL, SCORE, Tie};
use crate::drift::Notes;
use crate::function::{Arg, Call, Error, Type, Value};

/// The arguments of both curves.
pub(super) const ARGS: &[Arg] = &[
    LABEL,
    SCORE,
    Arg::option(
        "drop_intermediate",
        Type::Boolean,
        "true",
        "whether points that a line through the others shows are left out",
    ),
    Arg::option("max_points", Type::Int64, "10000", "how many points there are at most, from 2"),
];

/// A point of a curve: the rows whose score is at least `threshold`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) threshold: f64,
    pub(super) hits: u64,
    pub(super) false_alarms: u64,
}

/// One point for each score, from the highest.
pub(super) fn points(ties: &[Tie]) -> Vec<Point> {
    let mut point = Point { threshold: f64::INFINITY, hits: 0, false_alarms: 0 };
    let next = |tie: &Tie| {
        point = Point {
            threshold: tie.score,
            hits: point.hits + tie.positives,
            false_alarms: point.false_alarms + tie.negatives,
        };
        point
    };
    ties.iter().map(next).collect()
}

/// Which points are worth drawing: the options of both curves.
#[derive(Debug)]
pub(super) struct Thinning {
    drop_intermediate: bool,
    max_points: usize,
}

impl Thinning {
    pub(super) fn option(call: &Call<'_>) -> Result<Self, Error> {
        let max_points = match call.option(3) {
            None => 10_000,
            Some(Value::Int64(most)) if most >= 2 => most as usize,
            Some(most) => return Err(call.refuse(format!("`max_points` is {most}, but it has to be at least 2"))),
        };
        Ok(Self { drop_intermediate: !matches!(call.option(2), Some(Value::Boolean(false))), max_points })
    }

    /// The first point, the last, and those between that `is_corner` holds for, beside their neighbours.
    pub(super) fn apply(
        &self,
        points: Vec<Point>,
        is_corner: impl Fn(Point, Point, Point) -> bool,
        notes: &mut Notes,
    ) -> Vec<Point> {
        let points = if self.drop_intermediate {
            let corners = points.windows(3).filter_map(|three| match three {
                [before, point, after] if is_corner(*before, *point, *after) => Some(*point),
                _ => None,
            });
            let ends = (points.first(), points.get(1..).and_then(<[Point]>::last));
            ends.0.copied().into_iter().chain(corners).chain(ends.1.copied()).collect()
        } else {
            points
        };
        let most = self.max_points;
        if points.len() <= most {
            return points;
        }
        notes.add(format!("{most} of {} points, evenly taken: see `max_points`", points.len()));
        let last = points.len() as u128 - 1;
        let place = |i: usize| (i as u128 * last / (most as u128 - 1)) as usize;
        (0..most).filter_map(|i| points.get(place(i)).copied()).collect()
    }
}
