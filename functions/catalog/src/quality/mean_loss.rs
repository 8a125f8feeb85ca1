//! Means of a loss of each row, by exact moments: the same bits for any order and merge.

use super::common::{LeftOut, Level, Measure, NO_PROBABILITY, NO_ROWS};
use crate::bytes::{Reader, Writer};
use crate::drift::Notes;
use crate::function::{Arg, BadState, Call, Column, Error, State, Step, Type};
use crate::sum::ExactMoments;

pub(super) const LABEL: Arg = Arg::new("label", Type::Float64, "what came true");
pub(super) const PREDICTION: Arg = Arg::new("prediction", Type::Float64, "what was predicted");

/// The loss of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Loss {
    /// `-ln p` of what was true.
    Log,
    /// The squared error of a probability.
    Brier,
    Absolute,
    /// The squared error; the measure is the root of its mean.
    Squared,
    /// The absolute error over the size of the label.
    Percentage,
    /// The loss whose least mean is a quantile.
    Pinball(f64),
}

impl Loss {
    /// Whether the label is a boolean and the prediction a probability.
    fn is_of_probability(self) -> bool {
        matches!(self, Self::Log | Self::Brier)
    }

    /// The loss; `None` where it is not defined.
    fn of(self, label: f64, prediction: f64) -> Option<f64> {
        if self.is_of_probability() && !(0.0..=1.0).contains(&prediction) {
            return None;
        }
        let error = label - prediction;
        let loss = match self {
            Self::Log => {
                let p = if label > 0.5 { prediction } else { 1.0 - prediction };
                -libm::log(p.clamp(f64::EPSILON, 1.0 - f64::EPSILON))
            }
            Self::Brier | Self::Squared => error * error,
            Self::Absolute => error.abs(),
            Self::Percentage => error.abs() / label.abs(),
            Self::Pinball(quantile) => quantile * error.max(0.0) + (1.0 - quantile) * (-error).max(0.0),
        };
        let is_defined = !(error.is_nan() || loss.is_nan() || (self == Self::Percentage && label == 0.0));
        is_defined.then_some(loss)
    }

    fn unusable(self) -> &'static str {
        match self {
            Self::Log | Self::Brier => NO_PROBABILITY,
            Self::Percentage => "without a percentage (NaN, or a label of 0)",
            _ => "with NaN",
        }
    }
}

/// The moments of the losses.
#[derive(Debug, Clone)]
pub(super) struct MeanLoss {
    loss: Loss,
    level: Level,
    moments: ExactMoments,
    left_out: LeftOut,
}

impl MeanLoss {
    pub(super) fn new(loss: Loss, level: Level) -> Self {
        Self { loss, level, moments: ExactMoments::new(), left_out: LeftOut::default() }
    }

    fn step(&mut self, call: &Call<'_>, step: Step) -> Result<(), Error> {
        if self.loss.is_of_probability() {
            let label = call.booleans(0)?;
            self.step_rows(call, step, |row| f64::from(u8::from(label.get(row))))
        } else {
            let label = call.floats(0)?;
            self.step_rows(call, step, |row| label.get(row))
        }
    }

    fn step_rows(&mut self, call: &Call<'_>, step: Step, label: impl Fn(usize) -> f64) -> Result<(), Error> {
        let prediction = call.floats(1)?;
        for row in 0..call.rows() {
            if !(call.is_given(0, row) && call.is_given(1, row)) {
                step.count(&mut self.left_out.nulls);
            } else if let Some(loss) = self.loss.of(label(row), prediction.get(row)) {
                step.moments(&mut self.moments, loss);
            } else {
                step.count(&mut self.left_out.unusable);
            }
        }
        Ok(())
    }

    fn measure(&self) -> Measure {
        let mut notes = Notes::default();
        self.left_out.note(&mut notes, self.loss.unusable());
        let n = self.moments.values().count();
        let Some(mean) = self.moments.values().avg() else {
            notes.add(NO_ROWS);
            return Measure::new(None, None, n, &notes);
        };
        let is_root = self.loss == Loss::Squared;
        let value = if is_root { mean.sqrt() } else { mean };
        let interval = match self.moments.stddev() {
            None => {
                notes.add("one row has no interval");
                None
            }
            Some(_) if !mean.is_finite() => {
                notes.add("the loss of a row is infinite, so there is no interval");
                None
            }
            Some(deviation) => {
                let error = deviation / (n as f64).sqrt();
                // The derivative of the root is 1 / (2 root).
                let error = if !is_root {
                    error
                } else if value > 0.0 {
                    error / (2.0 * value)
                } else {
                    0.0
                };
                let half = self.level.z() * error;
                Some(((value - half).max(0.0), value + half))
            }
        };
        Measure::new(Some(value), interval, n, &notes)
    }
}

impl State for MeanLoss {
    fn update(&mut self, call: &Call<'_>) -> Result<(), Error> {
        self.step(call, Step::Add)
    }

    fn slide(&mut self) -> bool {
        true
    }

    fn retract(&mut self, call: &Call<'_>) -> Result<(), Error> {
        self.step(call, Step::Retract)
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<(), BadState> {
        let mut bytes = Reader(bytes);
        let left_out = LeftOut::read(&mut bytes)?;
        self.moments.merge(&ExactMoments::from_bytes(bytes.bytes()?)?);
        self.left_out.merge(left_out);
        bytes.end()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.left_out.write(&mut out);
        out.bytes(&self.moments.to_bytes()).finish()
    }

    fn finish(&self) -> Result<Column<'static>, Error> {
        Ok(self.measure().into_column())
    }

    fn heap_size(&self) -> usize {
        self.moments.heap_size()
    }
}
