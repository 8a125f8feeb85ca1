//! A probability from a score by interpolation.

use std::cell::Cell;

use super::common::SCORE;
use crate::function::{Arg, Call, Column, Error, Example, Function, Section, Tolerance, Type};

/// `calibrate_isotonic(score, x, y)`.
pub struct CalibrateIsotonic;

impl Function for CalibrateIsotonic {
    fn name(&self) -> &'static str {
        "calibrate_isotonic"
    }

    fn section(&self) -> Section {
        Section::Quality
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            SCORE,
            Arg::new("x", Type::Float64List, "the scores of the corners, ascending"),
            Arg::new("y", Type::Float64List, "their probabilities"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "The probability of a score, by the corners that `isotonic_calibration` found"
    }

    fn long(&self) -> &'static str {
        include_str!("calibrators.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![
            Example::scalar([0.25.into(), [0.0, 0.5].into(), [0.5, 1.0].into()], 0.75),
            Example::scalar([9.0.into(), [0.0, 0.5].into(), [0.5, 1.0].into()], 1.0),
        ]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-14)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let (score, x, y) = (call.floats(0)?, call.float_lists(1)?, call.float_lists(2)?);
        let are_constant = x.constant().is_some() && y.constant().is_some();
        let is_checked = Cell::new(false);
        let values = call.map(|row| {
            let (Some(x), Some(y)) = (x.at(row), y.at(row)) else { return Ok(0.0) };
            if !(are_constant && is_checked.replace(true)) {
                check(x, y)?;
            }
            Ok(interpolate(score.get(row), x, y))
        })?;
        Ok(Column::from(values))
    }
}

fn check(x: &[f64], y: &[f64]) -> Result<(), String> {
    if x.is_empty() || x.len() != y.len() {
        return Err(format!(
            "`x` has {} values and `y` {}, but both need the same number, and at least one",
            x.len(),
            y.len()
        ));
    }
    if x.windows(2).all(|pair| matches!(pair, [a, b] if a < b)) && !x.iter().any(|x| x.is_nan()) {
        Ok(())
    } else {
        Err("each value of `x` has to be above the one before it".to_owned())
    }
}

/// On the line between the corners around a score, and level beyond the ends.
pub(super) fn interpolate(score: f64, x: &[f64], y: &[f64]) -> f64 {
    if score.is_nan() {
        return f64::NAN;
    }
    let above = x.partition_point(|x| *x <= score);
    let corner = |i: usize| Some((*x.get(i)?, *y.get(i)?));
    match (above.checked_sub(1).and_then(corner), corner(above)) {
        (Some((left, low)), Some((right, high))) if left < score => {
            let share = (score - left) / (right - left);
            // Between infinitely distant corners there is no line.
            if share.is_nan() { low } else { low + (high - low) * share }
        }
        (Some((_, y)), _) | (None, Some((_, y))) => y,
        (None, None) => f64::NAN,
    }
}
