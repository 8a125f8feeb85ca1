//! Adaptive windowing.

use std::collections::VecDeque;

use super::{DRIFT, Detector, VALUE, Verdict, count_option, float_option, run};
use crate::bytes::{Reader, Writer};
use crate::function::{Arg, BadState, Call, Column, Error, Example, Function, Kind, Tolerance, Type, Value};

/// `adwin(value)`.
pub struct Adwin;

impl Function for Adwin {
    fn name(&self) -> &'static str {
        "adwin"
    }

    fn kind(&self) -> Kind {
        Kind::Window
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            VALUE,
            Arg::option("delta", Type::Float64, "0.002", "the risk of a false alarm at a test, between 0 and 1"),
            Arg::option("clock", Type::Int64, "32", "how many values lie between tests"),
            Arg::option(
                "max_buckets",
                Type::Int64,
                "5",
                "how many buckets of a size are kept: the resolution of the cuts",
            ),
            Arg::option("min_window_length", Type::Int64, "5", "how many values each side of a cut has at least"),
            Arg::option("grace_period", Type::Int64, "10", "how many values come before the first test"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        DRIFT
    }

    fn short(&self) -> &'static str {
        "ADWIN: has the mean of a stream changed? A window that grows while it has not"
    }

    fn long(&self) -> &'static str {
        include_str!("adwin.md")
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
        let options = AdwinOptions {
            delta: float_option(call, 1, ("delta", 0.002), |x| x > 0.0 && x < 1.0, "between 0 and 1")?,
            clock: count_option(call, 2, ("clock", 32), 1)?,
            max_buckets: count_option(call, 3, ("max_buckets", 5), 1)?,
            min_window_length: count_option(call, 4, ("min_window_length", 5), 1)?,
            grace_period: count_option(call, 5, ("grace_period", 10), 0)?,
        };
        run(call, AdwinDetector::new(options), DRIFT)
    }
}

/// The options of an [`AdwinDetector`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdwinOptions {
    /// The risk of a false alarm at a test.
    pub delta: f64,
    /// How many values lie between tests.
    pub clock: u64,
    /// How many buckets of a size are kept.
    pub max_buckets: u64,
    /// How many values each side of a cut has at least.
    pub min_window_length: u64,
    /// How many values come before the first test.
    pub grace_period: u64,
}

impl Default for AdwinOptions {
    fn default() -> Self {
        Self { delta: 0.002, clock: 32, max_buckets: 5, min_window_length: 5, grace_period: 10 }
    }
}

/// A window over the latest values as buckets of 1, 2, 4, … values, the oldest in the largest.
#[derive(Debug, Clone, PartialEq)]
pub struct AdwinDetector {
    options: AdwinOptions,
    /// Buckets of 2^i values at place i, the oldest first.
    rows: Vec<VecDeque<Bucket>>,
    total: f64,
    /// The sum of the squared distances from the mean.
    variance: f64,
    width: u64,
    ticks: u64,
    drift: bool,
}

/// The sum of a bucket's values, and of their squared distances from their mean.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    total: f64,
    variance: f64,
}

impl AdwinDetector {
    /// A detector that has read nothing. Counts are taken as at least 1, but for the grace period.
    #[must_use]
    pub fn new(options: AdwinOptions) -> Self {
        let AdwinOptions { clock, max_buckets, min_window_length, .. } = options;
        let options = AdwinOptions {
            clock: clock.max(1),
            max_buckets: max_buckets.max(1),
            min_window_length: min_window_length.max(1),
            ..options
        };
        Self { options, rows: Vec::new(), total: 0.0, variance: 0.0, width: 0, ticks: 0, drift: false }
    }
}

impl Default for AdwinDetector {
    fn default() -> Self {
        Self::new(AdwinOptions::default())
    }
}

/// The size of the buckets in a row.
fn size(row: usize) -> u64 {
    1_u64.checked_shl(row as u32).unwrap_or(u64::MAX)
}

impl AdwinDetector {
    fn insert(&mut self, value: f64) {
        if self.rows.is_empty() {
            self.rows.push(VecDeque::new());
        }
        if self.width > 0 {
            let before = self.width as f64;
            let distance = value - self.total / before;
            self.variance += before * distance * distance / (before + 1.0);
        }
        self.width += 1;
        self.total += value;
        let mut bucket = Bucket { total: value, variance: 0.0 };
        // A row that overflows hands its two oldest buckets to the next as one.
        for (i, row) in self.rows.iter_mut().enumerate() {
            row.push_back(bucket);
            if row.len() as u64 <= self.options.max_buckets {
                return;
            }
            let (Some(a), Some(b)) = (row.pop_front(), row.pop_front()) else { return };
            let n = size(i) as f64;
            let distance = a.total / n - b.total / n;
            let between = n * n * distance * distance / (n + n);
            bucket = Bucket { total: a.total + b.total, variance: a.variance + b.variance + between };
        }
        self.rows.push(VecDeque::from([bucket]));
    }

    /// Whether two parts of the window have different means; each time, the oldest bucket is dropped.
    fn detect(&mut self) -> bool {
        let mut is_change = false;
        while self.has_cut() {
            is_change = true;
            self.drop_oldest();
        }
        is_change
    }

    fn has_cut(&self) -> bool {
        let (mut old, mut old_total, mut new, mut new_total) = (0, 0.0, self.width, self.total);
        for (i, row) in self.rows.iter().enumerate().rev() {
            for bucket in row {
                old += size(i);
                new -= size(i).min(new);
                old_total += bucket.total;
                new_total -= bucket.total;
                if new < self.options.min_window_length {
                    return false;
                }
                let distance = old_total / old as f64 - new_total / new as f64;
                if old >= self.options.min_window_length && distance.abs() > self.bound(old, new) {
                    return true;
                }
            }
        }
        false
    }

    /// How far apart the means of two parts of these sizes may be.
    fn bound(&self, old: u64, new: u64) -> f64 {
        let width = self.width as f64;
        let risk = libm::log(2.0 * libm::log(width) / self.options.delta);
        let share = |n: u64| 1.0 / (n - self.options.min_window_length + 1) as f64;
        let sizes = share(old) + share(new);
        (2.0 * sizes * (self.variance / width) * risk).sqrt() + 2.0 / 3.0 * risk * sizes
    }

    fn drop_oldest(&mut self) {
        let Some(last) = self.rows.len().checked_sub(1) else { return };
        let Some(bucket) = self.rows.last_mut().and_then(VecDeque::pop_front) else { return };
        let n = size(last);
        self.width -= n.min(self.width);
        self.total -= bucket.total;
        let (n, rest) = (n as f64, self.width as f64);
        let distance = bucket.total / n - self.total / rest;
        self.variance -= bucket.variance + n * rest * distance * distance / (n + rest);
        while self.rows.last().is_some_and(VecDeque::is_empty) {
            self.rows.pop();
        }
    }
}

impl Detector for AdwinDetector {
    fn advance(&mut self, value: f64) -> Verdict {
        if self.drift {
            *self = Self::new(self.options);
        }
        self.insert(value);
        self.ticks += 1;
        let is_time = self.ticks.is_multiple_of(self.options.clock) && self.width > self.options.grace_period;
        self.drift = is_time && self.detect();
        Verdict { drift: self.drift, warning: false, statistic: Some(self.total / self.width as f64) }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.f64(self.options.delta)
            .u64(self.options.clock)
            .u64(self.options.max_buckets)
            .u64(self.options.min_window_length)
            .u64(self.options.grace_period);
        out.f64(self.total).f64(self.variance).u64(self.width).u64(self.ticks).bool(self.drift);
        out.u64(self.rows.len() as u64);
        for row in &self.rows {
            out.u64(row.len() as u64);
            for bucket in row {
                out.f64(bucket.total).f64(bucket.variance);
            }
        }
        out.finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, BadState> {
        let mut bytes = Reader(bytes);
        let mut detector = Self {
            options: AdwinOptions {
                delta: bytes.f64()?,
                clock: bytes.u64()?,
                max_buckets: bytes.u64()?,
                min_window_length: bytes.u64()?,
                grace_period: bytes.u64()?,
            },
            total: bytes.f64()?,
            variance: bytes.f64()?,
            width: bytes.u64()?,
            ticks: bytes.u64()?,
            drift: bytes.bool()?,
            rows: Vec::new(),
        };
        for _ in 0..bytes.u64()? {
            let mut row = VecDeque::new();
            for _ in 0..bytes.u64()? {
                row.push_back(Bucket { total: bytes.f64()?, variance: bytes.f64()? });
            }
            detector.rows.push(row);
        }
        bytes.end()?;
        if detector.options.clock == 0 || detector.options.min_window_length == 0 {
            Err(BadState)
        } else {
            Ok(detector)
        }
    }
}
