//! The Page–Hinkley test.

use super::{DRIFT, Detector, VALUE, Verdict, count_option, float_option, run};
use crate::bytes::{Reader, Writer};
use crate::function::{Arg, BadState, Call, Column, Error, Example, Function, Kind, Tolerance, Type, Value};

/// `page_hinkley(value)`.
pub struct PageHinkley;

impl Function for PageHinkley {
    fn name(&self) -> &'static str {
        "page_hinkley"
    }

    fn kind(&self) -> Kind {
        Kind::Window
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            VALUE,
            Arg::option("min_instances", Type::Int64, "30", "how many values come before the first verdict"),
            Arg::option("delta", Type::Float64, "0.005", "the change in each value that is tolerated"),
            Arg::option("threshold", Type::Float64, "50.0", "how far the sum may move from its extreme"),
            Arg::option("alpha", Type::Float64, "0.9999", "how much of the sum is kept at each value, from 0 to 1"),
            Arg::option("mode", Type::Text, "'both'", "'both', or only 'up' or 'down'"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        DRIFT
    }

    fn short(&self) -> &'static str {
        "Page–Hinkley: has the mean of a stream moved up or down?"
    }

    fn long(&self) -> &'static str {
        include_str!("page_hinkley.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example {
            rows: vec![vec![0.5.into()], vec![Value::Null], vec![1.5.into()]],
            returns: Value::Record(vec![("drift", false.into()), ("statistic", 0.495_000_5.into())]),
        }]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Relative(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let mode = match call.option(5) {
            None => PageHinkleyMode::Both,
            Some(Value::Text(name)) => match name.to_lowercase().as_str() {
                "both" => PageHinkleyMode::Both,
                "up" => PageHinkleyMode::Up,
                "down" => PageHinkleyMode::Down,
                _ => return Err(call.refuse(format!("`mode` is '{name}', but it has to be 'both', 'up' or 'down'"))),
            },
            Some(other) => return Err(call.refuse(format!("`mode` is {other}, but it has to be a name"))),
        };
        let options = PageHinkleyOptions {
            min_instances: count_option(call, 1, ("min_instances", 30), 0)?,
            delta: float_option(call, 2, ("delta", 0.005), f64::is_finite, "a number")?,
            threshold: float_option(call, 3, ("threshold", 50.0), f64::is_finite, "a number")?,
            alpha: float_option(call, 4, ("alpha", 0.9999), |x| (0.0..=1.0).contains(&x), "from 0 to 1")?,
            mode,
        };
        run(call, PageHinkleyDetector::new(options), DRIFT)
    }
}

/// Which changes of the mean count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageHinkleyMode {
    /// A rise and a fall.
    Both,
    /// A rise.
    Up,
    /// A fall.
    Down,
}

/// The options of a [`PageHinkleyDetector`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PageHinkleyOptions {
    /// How many values come before the first verdict.
    pub min_instances: u64,
    /// The change in each value that is tolerated.
    pub delta: f64,
    /// How far the sum may move from its extreme.
    pub threshold: f64,
    /// How much of the sum is kept at each value.
    pub alpha: f64,
    /// Which changes count.
    pub mode: PageHinkleyMode,
}

impl Default for PageHinkleyOptions {
    fn default() -> Self {
        Self { min_instances: 30, delta: 0.005, threshold: 50.0, alpha: 0.9999, mode: PageHinkleyMode::Both }
    }
}

/// Sums of the distances from the running mean, and how far they are from their extremes.
#[derive(Debug, Clone, PartialEq)]
pub struct PageHinkleyDetector {
    options: PageHinkleyOptions,
    n: u64,
    mean: f64,
    rise: f64,
    least_rise: f64,
    fall: f64,
    most_fall: f64,
    drift: bool,
}

impl PageHinkleyDetector {
    /// A detector that has read nothing.
    #[must_use]
    pub fn new(options: PageHinkleyOptions) -> Self {
        Self {
            options,
            n: 0,
            mean: 0.0,
            rise: 0.0,
            least_rise: f64::INFINITY,
            fall: 0.0,
            // River's start, so that both give the same verdicts.
            most_fall: -1.0,
            drift: false,
        }
    }
}

impl Default for PageHinkleyDetector {
    fn default() -> Self {
        Self::new(PageHinkleyOptions::default())
    }
}

impl Detector for PageHinkleyDetector {
    fn advance(&mut self, value: f64) -> Verdict {
        if self.drift {
            *self = Self::new(self.options);
        }
        self.n += 1;
        self.mean += (1.0 / self.n as f64) * (value - self.mean);
        let distance = value - self.mean;
        self.rise = self.options.alpha * self.rise + distance - self.options.delta;
        self.fall = self.options.alpha * self.fall + distance + self.options.delta;
        self.least_rise = self.least_rise.min(self.rise);
        self.most_fall = self.most_fall.max(self.fall);
        let (up, down) = (self.rise - self.least_rise, self.most_fall - self.fall);
        let statistic = match self.options.mode {
            PageHinkleyMode::Both => up.max(down),
            PageHinkleyMode::Up => up,
            PageHinkleyMode::Down => down,
        };
        self.drift = self.n >= self.options.min_instances && statistic > self.options.threshold;
        Verdict { drift: self.drift, warning: false, statistic: Some(statistic) }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mode = match self.options.mode {
            PageHinkleyMode::Both => 0,
            PageHinkleyMode::Up => 1,
            PageHinkleyMode::Down => 2,
        };
        let mut out = Writer::default();
        out.u64(self.options.min_instances)
            .f64(self.options.delta)
            .f64(self.options.threshold)
            .f64(self.options.alpha)
            .u64(mode)
            .u64(self.n);
        out.f64(self.mean).f64(self.rise).f64(self.least_rise).f64(self.fall).f64(self.most_fall).bool(self.drift);
        out.finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, BadState> {
        let mut bytes = Reader(bytes);
        let detector = Self {
            options: PageHinkleyOptions {
                min_instances: bytes.u64()?,
                delta: bytes.f64()?,
                threshold: bytes.f64()?,
                alpha: bytes.f64()?,
                mode: match bytes.u64()? {
                    0 => PageHinkleyMode::Both,
                    1 => PageHinkleyMode::Up,
                    2 => PageHinkleyMode::Down,
                    _ => return Err(BadState),
                },
            },
            n: bytes.u64()?,
            mean: bytes.f64()?,
            rise: bytes.f64()?,
            least_rise: bytes.f64()?,
            fall: bytes.f64()?,
            most_fall: bytes.f64()?,
            drift: bytes.bool()?,
        };
        bytes.end()?;
        Ok(detector)
    }
}
