//! The two-sided cumulative sum chart.

use super::{DRIFT, Detector, VALUE, Verdict, float_option, run};
use crate::bytes::{Reader, Writer};
use crate::function::{Arg, BadState, Call, Column, Error, Example, Function, Kind, Tolerance, Type, Value};

/// `cusum(value)`.
pub struct Cusum;

impl Function for Cusum {
    fn name(&self) -> &'static str {
        "cusum"
    }

    fn kind(&self) -> Kind {
        Kind::Window
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            VALUE,
            Arg::option("mean", Type::Float64, "0.0", "the mean of the reference"),
            Arg::option("std", Type::Float64, "1.0", "the standard deviation of the reference, above 0"),
            Arg::option("k", Type::Float64, "0.5", "the slack, in standard deviations: half the shift to detect"),
            Arg::option("h", Type::Float64, "5.0", "the decision limit, in standard deviations"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        DRIFT
    }

    fn short(&self) -> &'static str {
        "CUSUM: has the mean of a stream moved from its reference?"
    }

    fn long(&self) -> &'static str {
        include_str!("cusum.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example {
            rows: vec![vec![0.5.into()], vec![Value::Null], vec![1.5.into()]],
            returns: Value::Record(vec![("drift", false.into()), ("statistic", 1.0.into())]),
        }]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Relative(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let is_positive = |x: f64| x > 0.0 && x.is_finite();
        let is_slack = |x: f64| x >= 0.0 && x.is_finite();
        let options = CusumOptions {
            mean: float_option(call, 1, ("mean", 0.0), f64::is_finite, "a number")?,
            std: float_option(call, 2, ("std", 1.0), is_positive, "above 0")?,
            k: float_option(call, 3, ("k", 0.5), is_slack, "at least 0")?,
            h: float_option(call, 4, ("h", 5.0), is_positive, "above 0")?,
        };
        run(call, CusumDetector::new(options), DRIFT)
    }
}

/// The options of a [`CusumDetector`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CusumOptions {
    /// The mean of the reference.
    pub mean: f64,
    /// The standard deviation of the reference.
    pub std: f64,
    /// The slack, in standard deviations.
    pub k: f64,
    /// The decision limit, in standard deviations.
    pub h: f64,
}

impl Default for CusumOptions {
    fn default() -> Self {
        Self { mean: 0.0, std: 1.0, k: 0.5, h: 5.0 }
    }
}

/// The sums of the distances from the reference, upwards and downwards.
#[derive(Debug, Clone, PartialEq)]
pub struct CusumDetector {
    options: CusumOptions,
    high: f64,
    low: f64,
    drift: bool,
}

impl CusumDetector {
    /// A detector that has read nothing.
    #[must_use]
    pub fn new(options: CusumOptions) -> Self {
        Self { options, high: 0.0, low: 0.0, drift: false }
    }
}

impl Default for CusumDetector {
    fn default() -> Self {
        Self::new(CusumOptions::default())
    }
}

impl Detector for CusumDetector {
    fn advance(&mut self, value: f64) -> Verdict {
        if self.drift {
            (self.high, self.low) = (0.0, 0.0);
        }
        let z = (value - self.options.mean) / self.options.std;
        self.high = (self.high + z - self.options.k).max(0.0);
        self.low = (self.low - z - self.options.k).max(0.0);
        let statistic = self.high.max(self.low);
        self.drift = statistic > self.options.h;
        Verdict { drift: self.drift, warning: false, statistic: Some(statistic) }
    }

    fn to_bytes(&self) -> Vec<u8> {
        Writer::default()
            .f64(self.options.mean)
            .f64(self.options.std)
            .f64(self.options.k)
            .f64(self.options.h)
            .f64(self.high)
            .f64(self.low)
            .bool(self.drift)
            .finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, BadState> {
        let mut bytes = Reader(bytes);
        let detector = Self {
            options: CusumOptions { mean: bytes.f64()?, std: bytes.f64()?, k: bytes.f64()?, h: bytes.f64()? },
            high: bytes.f64()?,
            low: bytes.f64()?,
            drift: bytes.bool()?,
        };
        bytes.end()?;
        Ok(detector)
    }
}
