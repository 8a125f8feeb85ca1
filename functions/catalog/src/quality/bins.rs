//! Probabilities in bins, and how far they are from the frequencies observed.

use std::f64::consts::FRAC_2_PI;

use super::common::{CONFIDENCE, LABEL, Level, NO_ROWS, PROBABILITY, count, float, record, text, wilson};
use crate::bytes::{Reader, Writer};
use crate::drift::Notes;
use crate::drift::cells::quantile_edges;
use crate::function::{Arg, BadState, Column, Step, Type, Value};
use crate::sum::ExactSum;

const BINS: Arg = Arg::option("bins", Type::Int64, "10", "how many bins, 1 to 1000");
const STRATEGY: Arg = Arg::option(
    "strategy",
    Type::Text,
    "'uniform'",
    "'uniform': bins of equal width, or 'quantile': of equally many rows",
);

/// The arguments of every function of bins.
pub(super) const ARGS: &[Arg] = &[LABEL, PROBABILITY, BINS, STRATEGY, CONFIDENCE];

/// The struct that `expected_calibration_error` returns.
pub(super) const ERROR: Type = Type::Record(&[
    ("value", Type::Float64),
    ("low", Type::Float64),
    ("high", Type::Float64),
    ("by_chance", Type::Float64),
    ("maximum", Type::Float64),
    ("n", Type::Int64),
    ("note", Type::Text),
]);

/// The struct that `reliability_table` returns.
pub(super) const TABLE: Type = Type::Record(&[
    ("low", Type::Float64List),
    ("high", Type::Float64List),
    ("n", Type::Float64List),
    ("mean_probability", Type::Float64List),
    ("observed", Type::Float64List),
    ("observed_low", Type::Float64List),
    ("observed_high", Type::Float64List),
    ("note", Type::Text),
]);

/// What is made of the bins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Summary {
    Error,
    Table,
}

/// One bin.
#[derive(Debug, Clone, Default)]
struct Bin {
    positives: u64,
    probabilities: ExactSum,
    /// Of the number of positives, were the probabilities right.
    variances: ExactSum,
}

impl Bin {
    fn n(&self) -> u64 {
        self.probabilities.count()
    }

    fn mean(&self) -> f64 {
        self.probabilities.avg().unwrap_or(0.0)
    }

    fn observed(&self) -> f64 {
        self.positives as f64 / self.n() as f64
    }

    fn gap(&self) -> f64 {
        (self.mean() - self.observed()).abs()
    }

    /// The variance of the number of positives. Where the probabilities are right it is the sum of their own variances;
    /// otherwise at most that of as many rows with one probability, taken with half a row of each label more (Jeffreys),
    /// since a bin of few rows may have but one of them.
    fn variance(&self) -> f64 {
        let n = self.n() as f64;
        let share = (self.positives as f64 + 0.5) / (n + 1.0);
        self.variances.sum().max(n * share * (1.0 - share))
    }
}

/// Bins closed above, and the edges around them.
#[derive(Debug, Clone)]
pub(super) struct Bins {
    edges: Vec<f64>,
    bins: Vec<Bin>,
}

impl Bins {
    fn new(edges: Vec<f64>) -> Self {
        let bins = vec![Bin::default(); edges.len().saturating_sub(1)];
        Self { edges, bins }
    }

    /// So many empty bins of equal width.
    pub(super) fn uniform(bins: i64) -> Self {
        Self::new((0..=bins).map(|i| i as f64 / bins as f64).collect())
    }

    /// Bins between quantiles of the rows (probability, label), with these rows.
    pub(super) fn quantiles(rows: &[(f64, bool)], bins: i64) -> Self {
        let mut sorted: Vec<f64> = rows.iter().map(|(p, _)| *p).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let mut edges = quantile_edges(sorted.len() as u64, |place| sorted.get(place as usize).copied(), bins);
        if let (Some(first), Some(last)) = (sorted.first(), sorted.last()) {
            edges.insert(0, *first);
            edges.push(*last);
        }
        let mut bins = Self::new(edges);
        for (p, label) in rows {
            bins.step(*p, *label, Step::Add);
        }
        bins
    }

    /// A row comes or goes.
    pub(super) fn step(&mut self, p: f64, label: bool, step: Step) {
        let inner = self.edges.get(1..self.edges.len().saturating_sub(1)).unwrap_or_default();
        if let Some(bin) = self.bins.get_mut(inner.partition_point(|edge| *edge < p)) {
            step.count_by(&mut bin.positives, label.into());
            step.sum(&mut bin.probabilities, p);
            step.sum(&mut bin.variances, p * (1.0 - p));
        }
    }

    /// The result.
    pub(super) fn result(&self, summary: Summary, level: Level, notes: Notes) -> Column<'static> {
        match summary {
            Summary::Error => self.error(level, notes),
            Summary::Table => self.table(level, notes),
        }
    }

    /// The bins with rows, and their edges.
    fn filled(&self) -> impl Iterator<Item = (f64, f64, &Bin)> {
        let edges = self.edges.iter().zip(self.edges.iter().skip(1));
        edges.zip(&self.bins).filter(|(_, bin)| bin.n() > 0).map(|((low, high), bin)| (*low, *high, bin))
    }

    fn error(&self, level: Level, mut notes: Notes) -> Column<'static> {
        let n: u64 = self.bins.iter().map(Bin::n).sum();
        if n == 0 {
            notes.add(NO_ROWS);
            let [value, low, high, by_chance, maximum] = [const { Value::Null }; 5];
            return record(ERROR, &[value, low, high, by_chance, maximum, count(0), text(notes.text())]);
        }
        let size = n as f64;
        let (mut error, mut by_chance, mut maximum) = (0.0, 0.0, 0.0_f64);
        for (_, _, bin) in self.filled() {
            error += bin.n() as f64 * bin.gap();
            // The mean distance of a normal variable from its mean is its standard deviation times √(2/π).
            by_chance += (FRAC_2_PI * bin.variances.sum()).sqrt();
            maximum = maximum.max(bin.gap());
        }
        let value = error / size;
        let (low, high) = self.interval(value, size, level.z());
        let [value, low, high, by_chance, maximum] =
            [value, low, high, by_chance / size, maximum].map(|x| float(Some(x)));
        record(ERROR, &[value, low, high, by_chance, maximum, count(n), text(notes.text())])
    }

    /// The interval of the error. Each bin's gap is `|d + e|` where it would be `|d|` without the chance error e, and
    /// `-e·sgn(d) ≤ |d| - |d + e|` as well as `|d + e| - |d| ≤ |e|`. So the error is too small by at most a normal variable, and
    /// too large by at most a sum of half-normal ones, whatever the gaps are.
    fn interval(&self, value: f64, size: f64, z: f64) -> (f64, f64) {
        // Standard deviation and skewness of a half-normal variable, and its mean, by that of the normal one.
        let (mean, spread) = (FRAC_2_PI.sqrt(), (1.0 - FRAC_2_PI).sqrt());
        let skewness = mean * (2.0 * FRAC_2_PI - 1.0) / (spread * spread * spread);
        let (mut sum, mut squares, mut cubes, mut gaps) = (0.0, 0.0, 0.0, 0.0);
        for (_, _, bin) in self.filled() {
            let deviation = bin.variance().sqrt() / size;
            sum += deviation;
            squares += deviation * deviation;
            cubes += deviation * deviation * deviation;
            gaps += bin.n() as f64 / size * bin.gap() * bin.gap();
        }
        // How many rows a bin has is chance too.
        let of_sizes = (gaps - value * value).max(0.0) / size;
        let high = value + z * (squares + of_sizes).sqrt();
        // The quantile of the sum by its first three moments (Cornish and Fisher).
        let variance = spread * spread * squares + of_sizes;
        let lopsided = skewness * spread * spread * spread * cubes / (variance * variance.sqrt());
        let reach = mean * sum + variance.sqrt() * (z + lopsided * (z * z - 1.0) / 6.0);
        ((value - reach).max(0.0), high.min(1.0))
    }

    fn table(&self, level: Level, mut notes: Notes) -> Column<'static> {
        let z = level.z();
        let list = |f: &dyn Fn(f64, f64, &Bin) -> f64| {
            Value::Float64List(self.filled().map(|(low, high, bin)| f(low, high, bin)).collect())
        };
        let interval = |bin: &Bin| wilson(bin.positives as f64, bin.n() as f64, z);
        if self.filled().next().is_none() {
            notes.add(NO_ROWS);
        }
        let fields = [
            list(&|low, _, _| low),
            list(&|_, high, _| high),
            list(&|_, _, bin| bin.n() as f64),
            list(&|_, _, bin| bin.mean()),
            list(&|_, _, bin| bin.observed()),
            list(&|_, _, bin| interval(bin).0),
            list(&|_, _, bin| interval(bin).1),
            text(notes.text()),
        ];
        record(TABLE, &fields)
    }

    pub(super) fn merge(&mut self, bytes: &mut Reader<'_>) -> Result<(), BadState> {
        for bin in &mut self.bins {
            bin.positives += bytes.u64()?;
            bin.probabilities.merge(&ExactSum::from_bytes(bytes.bytes()?)?);
            bin.variances.merge(&ExactSum::from_bytes(bytes.bytes()?)?);
        }
        Ok(())
    }

    pub(super) fn write(&self, out: &mut Writer) {
        for bin in &self.bins {
            out.u64(bin.positives).bytes(&bin.probabilities.to_bytes()).bytes(&bin.variances.to_bytes());
        }
    }

    pub(super) fn heap_size(&self) -> usize {
        let sums = |bin: &Bin| bin.probabilities.heap_size() + bin.variances.heap_size();
        self.bins.iter().map(|bin| size_of::<Bin>() + sums(bin)).sum::<usize>() + size_of_val(&*self.edges)
    }
}
