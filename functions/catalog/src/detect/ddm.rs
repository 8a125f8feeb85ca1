//! The drift detection method.

use super::{DRIFT_AND_WARNING, Detector, ERROR, Verdict, count_option, float_option, run};
use crate::bytes::{Reader, Writer};
use crate::function::{Arg, BadState, Example, Tolerance, Type, Value, define};

define! {
    /// `ddm(error)`.
    pub struct Ddm {
        name: "ddm",
        kind: Window,
        args: &[
            ERROR,
            Arg::option("warm_start", Type::Int64, "30", "how many values come before the first verdict"),
            Arg::option(
                "warning_threshold",
                Type::Float64,
                "2.0",
                "how many deviations above the least rate are a warning",
            ),
            Arg::option("drift_threshold", Type::Float64, "3.0", "how many are a drift"),
        ],
        returns: DRIFT_AND_WARNING,
        short: "DDM: has the error rate of a model risen?",
        long: include_str!("ddm.md"),
        examples: vec![Example {
            rows: vec![vec![true.into()], vec![false.into()]],
            returns: Value::Record(vec![("drift", false.into()), ("warning", false.into()), ("statistic", 0.5.into())]),
        }],
        tolerance: Tolerance::Relative(1e-9),
        compute: |call| {
            let options = DdmOptions {
                warm_start: count_option(call, 1, ("warm_start", 30), 0)?,
                warning_threshold: float_option(call, 2, ("warning_threshold", 2.0), f64::is_finite, "a number")?,
                drift_threshold: float_option(call, 3, ("drift_threshold", 3.0), f64::is_finite, "a number")?,
            };
            run(call, DdmDetector::new(options), DRIFT_AND_WARNING)
        },
    }
}

/// The options of a [`DdmDetector`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DdmOptions {
    /// How many values come before the first verdict.
    pub warm_start: u64,
    /// How many deviations above the least rate are a warning.
    pub warning_threshold: f64,
    /// How many are a drift.
    pub drift_threshold: f64,
}

impl Default for DdmOptions {
    fn default() -> Self {
        Self { warm_start: 30, warning_threshold: 2.0, drift_threshold: 3.0 }
    }
}

/// The error rate so far, and where it was least.
#[derive(Debug, Clone, PartialEq)]
pub struct DdmDetector {
    options: DdmOptions,
    n: u64,
    rate: f64,
    least_rate: f64,
    least_deviation: f64,
    drift: bool,
    warning: bool,
}

impl DdmDetector {
    /// A detector that has read nothing.
    #[must_use]
    pub fn new(options: DdmOptions) -> Self {
        Self { options, n: 0, rate: 0.0, least_rate: f64::INFINITY, least_deviation: 0.0, drift: false, warning: false }
    }
}

impl Default for DdmDetector {
    fn default() -> Self {
        Self::new(DdmOptions::default())
    }
}

impl Detector for DdmDetector {
    /// Any value but 0 is an error.
    fn advance(&mut self, value: f64) -> Verdict {
        if self.drift {
            *self = Self::new(self.options);
        }
        let error = if value == 0.0 { 0.0 } else { 1.0 };
        self.n += 1;
        self.rate += (1.0 / self.n as f64) * (error - self.rate);
        let deviation = (self.rate * (1.0 - self.rate) / self.n as f64).max(0.0).sqrt();
        if self.n > self.options.warm_start {
            let level = self.rate + deviation;
            if level <= self.least_rate + self.least_deviation {
                (self.least_rate, self.least_deviation) = (self.rate, deviation);
            }
            self.drift = level > self.least_rate + self.options.drift_threshold * self.least_deviation;
            let is_raised = level > self.least_rate + self.options.warning_threshold * self.least_deviation;
            self.warning = is_raised && !self.drift;
        }
        Verdict { drift: self.drift, warning: self.warning, statistic: Some(self.rate) }
    }

    fn to_bytes(&self) -> Vec<u8> {
        Writer::default()
            .u64(self.options.warm_start)
            .f64(self.options.warning_threshold)
            .f64(self.options.drift_threshold)
            .u64(self.n)
            .f64(self.rate)
            .f64(self.least_rate)
            .f64(self.least_deviation)
            .bool(self.drift)
            .bool(self.warning)
            .finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, BadState> {
        let mut bytes = Reader(bytes);
        let detector = Self {
            options: DdmOptions {
                warm_start: bytes.u64()?,
                warning_threshold: bytes.f64()?,
                drift_threshold: bytes.f64()?,
            },
            n: bytes.u64()?,
            rate: bytes.f64()?,
            least_rate: bytes.f64()?,
            least_deviation: bytes.f64()?,
            drift: bytes.bool()?,
            warning: bytes.bool()?,
        };
        bytes.end()?;
        Ok(detector)
    }
}
