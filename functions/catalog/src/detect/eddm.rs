//! The early drift detection method.

use super::{DRIFT_AND_WARNING, Detector, ERROR, Verdict, count_option, float_option, run};
use crate::bytes::{Reader, Writer};
use crate::function::{Arg, BadState, Example, Tolerance, Type, Value, define};

define! {
    /// `eddm(error)`.
    pub struct Eddm {
        name: "eddm",
        kind: Window,
        args: &[
            ERROR,
            Arg::option("warm_start", Type::Int64, "30", "how many values and errors come before the first verdict"),
            Arg::option(
                "alpha",
                Type::Float64,
                "0.95",
                "below which share of their longest the distances are a warning",
            ),
            Arg::option("beta", Type::Float64, "0.9", "below which share they are a drift, at most alpha"),
        ],
        returns: DRIFT_AND_WARNING,
        short: "EDDM: do the errors of a model come closer together?",
        long: include_str!("eddm.md"),
        examples: vec![Example {
            rows: vec![vec![true.into()], vec![false.into()]],
            returns: Value::Record(vec![
                ("drift", false.into()),
                ("warning", false.into()),
                ("statistic", Value::Null),
            ]),
        }],
        tolerance: Tolerance::Relative(1e-9),
        compute: |call| {
            let alpha = float_option(call, 2, ("alpha", 0.95), f64::is_finite, "a number")?;
            let options = EddmOptions {
                warm_start: count_option(call, 1, ("warm_start", 30), 0)?,
                alpha,
                beta: float_option(call, 3, ("beta", 0.9), |beta| beta <= alpha, "at most `alpha`")?,
            };
            run(call, EddmDetector::new(options), DRIFT_AND_WARNING)
        },
    }
}

/// The options of an [`EddmDetector`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EddmOptions {
    /// How many values and errors come before the first verdict.
    pub warm_start: u64,
    /// Below which share of their longest the distances are a warning.
    pub alpha: f64,
    /// Below which share they are a drift.
    pub beta: f64,
}

impl Default for EddmOptions {
    fn default() -> Self {
        Self { warm_start: 30, alpha: 0.95, beta: 0.9 }
    }
}

/// The distances between errors so far, and the longest they were.
#[derive(Debug, Clone, PartialEq)]
pub struct EddmDetector {
    options: EddmOptions,
    n: u64,
    errors: u64,
    last_error: u64,
    mean: f64,
    /// The sum of the squared distances from the mean.
    squares: f64,
    longest: f64,
    /// The last comparison with the longest; NaN before the first.
    level: f64,
    drift: bool,
    warning: bool,
}

impl EddmDetector {
    /// A detector that has read nothing.
    #[must_use]
    pub fn new(options: EddmOptions) -> Self {
        Self {
            options,
            n: 0,
            errors: 0,
            last_error: 0,
            mean: 0.0,
            squares: 0.0,
            longest: -1.0,
            level: f64::NAN,
            drift: false,
            warning: false,
        }
    }
}

impl Default for EddmDetector {
    fn default() -> Self {
        Self::new(EddmOptions::default())
    }
}

impl EddmDetector {
    fn error(&mut self) {
        self.errors += 1;
        let distance = self.n.saturating_sub(self.last_error) as f64;
        let before = self.mean;
        self.mean += (1.0 / self.errors as f64) * (distance - before);
        self.squares += (distance - before) * (distance - self.mean);
        self.last_error = self.n;
        if self.n <= self.options.warm_start {
            return;
        }
        let variance = if self.errors > 1 { self.squares / (self.errors - 1) as f64 } else { 0.0 };
        let length = self.mean + 2.0 * variance.sqrt();
        if length > self.longest {
            self.longest = length;
        } else if self.errors > self.options.warm_start {
            self.level = length / self.longest;
            if self.level < self.options.beta {
                self.drift = true;
            } else {
                self.warning = self.level < self.options.alpha;
            }
        }
    }
}

impl Detector for EddmDetector {
    /// Any value but 0 is an error.
    fn advance(&mut self, value: f64) -> Verdict {
        if self.drift {
            *self = Self::new(self.options);
        }
        self.n += 1;
        if value != 0.0 {
            self.error();
        }
        let statistic = (!self.level.is_nan()).then_some(self.level);
        Verdict { drift: self.drift, warning: self.warning, statistic }
    }

    fn to_bytes(&self) -> Vec<u8> {
        Writer::default()
            .u64(self.options.warm_start)
            .f64(self.options.alpha)
            .f64(self.options.beta)
            .u64(self.n)
            .u64(self.errors)
            .u64(self.last_error)
            .f64(self.mean)
            .f64(self.squares)
            .f64(self.longest)
            .f64(self.level)
            .bool(self.drift)
            .bool(self.warning)
            .finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, BadState> {
        let mut bytes = Reader(bytes);
        let detector = Self {
            options: EddmOptions { warm_start: bytes.u64()?, alpha: bytes.f64()?, beta: bytes.f64()? },
            n: bytes.u64()?,
            errors: bytes.u64()?,
            last_error: bytes.u64()?,
            mean: bytes.f64()?,
            squares: bytes.f64()?,
            longest: bytes.f64()?,
            level: bytes.f64()?,
            drift: bytes.bool()?,
            warning: bytes.bool()?,
        };
        bytes.end()?;
        Ok(detector)
    }
}
