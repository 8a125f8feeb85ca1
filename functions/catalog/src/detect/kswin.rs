//! Kolmogorov–Smirnov windowing.

use std::collections::VecDeque;

use super::{DRIFT, Detector, VALUE, Verdict, count_option, float_option, run};
use crate::bytes::{Reader, Writer};
use crate::drift::ks;
use crate::function::{Arg, BadState, Call, Column, Error, Example, Function, Kind, Tolerance, Type, Value};

/// `kswin(value)`.
pub struct Kswin;

impl Function for Kswin {
    fn name(&self) -> &'static str {
        "kswin"
    }

    fn kind(&self) -> Kind {
        Kind::Window
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            VALUE,
            Arg::option("alpha", Type::Float64, "0.005", "the level of each test, from 0 to 1"),
            Arg::option("window_size", Type::Int64, "100", "how many values are remembered"),
            Arg::option("stat_size", Type::Int64, "30", "how many of them are the latest, at most half"),
            Arg::option("seed", Type::Int64, "0", "which samples are drawn"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        DRIFT
    }

    fn short(&self) -> &'static str {
        "KSWIN: has the distribution of a stream changed? The latest values against a sample of those before"
    }

    fn long(&self) -> &'static str {
        include_str!("kswin.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example {
            rows: vec![vec![0.5.into()], vec![Value::Null], vec![1.5.into()]],
            returns: Value::Record(vec![("drift", false.into()), ("statistic", Value::Null)]),
        }]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Relative(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let window_size = count_option(call, 2, ("window_size", 100), 2)?;
        let options = KswinOptions {
            alpha: float_option(call, 1, ("alpha", 0.005), |x| (0.0..=1.0).contains(&x), "from 0 to 1")?,
            window_size,
            stat_size: count_option(call, 3, ("stat_size", 30), 1)?,
            seed: match call.option(4) {
                Some(Value::Int64(seed)) => seed as u64,
                _ => 0,
            },
        };
        if options.stat_size > window_size / 2 {
            let reason =
                format!("`stat_size` is {}, but it has to be at most half of `window_size`", options.stat_size);
            return Err(call.refuse(reason));
        }
        run(call, KswinDetector::new(options), DRIFT)
    }
}

/// The options of a [`KswinDetector`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KswinOptions {
    /// The level of each test.
    pub alpha: f64,
    /// How many values are remembered.
    pub window_size: u64,
    /// How many of them are the latest; at most half take part.
    pub stat_size: u64,
    /// Which samples are drawn.
    pub seed: u64,
}

impl Default for KswinOptions {
    fn default() -> Self {
        Self { alpha: 0.005, window_size: 100, stat_size: 30, seed: 0 }
    }
}

/// The latest values.
#[derive(Debug, Clone, PartialEq)]
pub struct KswinDetector {
    options: KswinOptions,
    window: VecDeque<f64>,
    /// How many random numbers were drawn since the start.
    draws: u64,
    drift: bool,
}

impl KswinDetector {
    /// A detector that has read nothing.
    #[must_use]
    pub fn new(options: KswinOptions) -> Self {
        let stat_size = options.stat_size.min(options.window_size / 2);
        let options = KswinOptions { stat_size, ..options };
        Self { options, window: VecDeque::new(), draws: 0, drift: false }
    }
}

impl Default for KswinDetector {
    fn default() -> Self {
        Self::new(KswinOptions::default())
    }
}

impl KswinDetector {
    /// A number below `bound`, by `SplitMix64`.
    fn draw(&mut self, bound: u64) -> u64 {
        self.draws += 1;
        let mut z = self.options.seed.wrapping_add(self.draws.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((u128::from(z) * u128::from(bound)) >> 64) as u64
    }

    /// As many values from before the latest as there are latest, without repetition.
    fn sample(&mut self) -> Vec<f64> {
        let before = self.options.window_size - self.options.stat_size;
        let mut values: Vec<f64> = self.window.iter().copied().take(before as usize).collect();
        for i in 0..self.options.stat_size {
            let other = i + self.draw(before - i);
            values.swap(i as usize, other as usize);
        }
        values.truncate(self.options.stat_size as usize);
        values
    }
}

impl Detector for KswinDetector {
    fn advance(&mut self, value: f64) -> Verdict {
        if self.drift {
            *self = Self::new(self.options);
        }
        self.window.push_back(value);
        if (self.window.len() as u64) < self.options.window_size {
            return Verdict::default();
        }
        if self.window.len() as u64 > self.options.window_size {
            self.window.pop_front();
        }
        let skipped = (self.options.window_size - self.options.stat_size) as usize;
        let (mut before, mut latest) = (self.sample(), self.window.iter().copied().skip(skipped).collect::<Vec<_>>());
        for sample in [&mut before, &mut latest] {
            // -0.0 equals 0.0.
            for value in sample.iter_mut() {
                *value += 0.0;
            }
            sample.sort_unstable_by(f64::total_cmp);
        }
        let (statistic, p_value) = ks::of_sorted(&before, &latest);
        // River's condition: the second part keeps large windows from alarming at small distances.
        self.drift = p_value <= self.options.alpha && statistic > 0.1;
        Verdict { drift: self.drift, warning: false, statistic: Some(statistic) }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.f64(self.options.alpha)
            .u64(self.options.window_size)
            .u64(self.options.stat_size)
            .u64(self.options.seed)
            .u64(self.draws)
            .bool(self.drift);
        out.u64(self.window.len() as u64);
        for value in &self.window {
            out.f64(*value);
        }
        out.finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, BadState> {
        let mut bytes = Reader(bytes);
        let mut detector = Self {
            options: KswinOptions {
                alpha: bytes.f64()?,
                window_size: bytes.u64()?,
                stat_size: bytes.u64()?,
                seed: bytes.u64()?,
            },
            draws: bytes.u64()?,
            drift: bytes.bool()?,
            window: VecDeque::new(),
        };
        for _ in 0..bytes.u64()? {
            detector.window.push_back(bytes.f64()?);
        }
        bytes.end()?;
        let is_valid = detector.options.stat_size <= detector.options.window_size / 2
            && detector.window.len() as u64 <= detector.options.window_size;
        if is_valid { Ok(detector) } else { Err(BadState) }
    }
}
