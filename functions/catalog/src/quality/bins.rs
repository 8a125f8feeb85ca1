//! Probabilities in bins: what calibration is read from.

use std::f64::consts::FRAC_2_PI;

use super::common::{
    LABEL, LeftOut, Level, NO_PROBABILITY, NO_ROWS, PROBABILITY, count, each_labelled, float, record, text, wilson,
};
use crate::bytes::{Reader, Writer};
use crate::drift::Notes;
use crate::drift::cells::quantile_edges;
use crate::function::{Arg, BadState, Call, Column, Error, State, Type, Value};
use crate::suggest::did_you_mean;
use crate::sum::ExactSum;

pub(super) const BINS: Arg = Arg::option("bins", Type::Int64, "10", "how many bins, 1 to 1000");
pub(super) const STRATEGY: Arg = Arg::option(
    "strategy",
    Type::Text,
    "'uniform'",
    "'uniform': bins of equal width, or 'quantile': of equally many rows",
);

/// The arguments of a function without options of its own.
pub(super) const ARGS: &[Arg] = &[LABEL, PROBABILITY, BINS, STRATEGY];

/// The struct that `expected_calibration_error` returns.
pub(super) const ERROR: Type = Type::Record(&[
    ("value", Type::Float64),
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
    Table(Level),
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
}

/// Bins closed above, and the edges around them.
#[derive(Debug, Clone)]
pub(super) struct Binned {
    edges: Vec<f64>,
    bins: Vec<Bin>,
    summary: Summary,
    left_out: LeftOut,
}

/// How many bins, and whether they are quantiles.
fn options(call: &Call<'_>) -> Result<(i64, bool), Error> {
    let bins = match call.option(2) {
        None => 10,
        Some(Value::Int64(bins)) if (1..=1_000).contains(&bins) => bins,
        Some(bins) => return Err(call.refuse(format!("`bins` is {bins}, but it has to be from 1 to 1000"))),
    };
    let by_quantile = match call.option(3) {
        None => false,
        Some(Value::Text(name)) if name.eq_ignore_ascii_case("uniform") => false,
        Some(Value::Text(name)) if name.eq_ignore_ascii_case("quantile") => true,
        Some(other) => {
            let hint = did_you_mean(other.to_string().trim_matches('\''), ["uniform", "quantile"]);
            return Err(call.refuse(format!("`strategy` is {other}, but it has to be 'uniform' or 'quantile'{hint}")));
        }
    };
    Ok((bins, by_quantile))
}

impl Binned {
    fn new(edges: Vec<f64>, summary: Summary) -> Self {
        let bins = vec![Bin::default(); edges.len().saturating_sub(1)];
        Self { edges, bins, summary, left_out: LeftOut::default() }
    }

    /// Empty bins of equal width; `None` where the bins depend on the rows.
    pub(super) fn state(call: &Call<'_>, summary: Summary) -> Result<Option<Box<dyn State>>, Error> {
        let (bins, by_quantile) = options(call)?;
        let edges = || (0..=bins).map(|i| i as f64 / bins as f64).collect();
        Ok((!by_quantile).then(|| Box::new(Self::new(edges(), summary)) as Box<dyn State>))
    }

    /// The result of all rows.
    pub(super) fn compute(call: &Call<'_>, summary: Summary) -> Result<Column<'static>, Error> {
        if let Some(mut state) = Self::state(call, summary)? {
            state.update(call)?;
            return state.finish();
        }
        let mut sorted = Vec::new();
        each_labelled(call, &mut LeftOut::default(), |_, p| {
            sorted.extend((0.0..=1.0).contains(&p).then_some(p));
            true
        })?;
        sorted.sort_unstable_by(f64::total_cmp);
        let mut edges =
            quantile_edges(sorted.len() as u64, |place| sorted.get(place as usize).copied(), options(call)?.0);
        if let (Some(first), Some(last)) = (sorted.first(), sorted.last()) {
            edges.insert(0, *first);
            edges.push(*last);
        }
        let mut binned = Self::new(edges, summary);
        binned.update(call)?;
        binned.finish()
    }

    /// The bins with rows, and their edges.
    fn filled(&self) -> impl Iterator<Item = (f64, f64, &Bin)> {
        let edges = self.edges.iter().zip(self.edges.iter().skip(1));
        edges.zip(&self.bins).filter(|(_, bin)| bin.n() > 0).map(|((low, high), bin)| (*low, *high, bin))
    }

    fn error(&self, mut notes: Notes) -> Column<'static> {
        let n: u64 = self.bins.iter().map(Bin::n).sum();
        if n == 0 {
            notes.add(NO_ROWS);
            return record(ERROR, &[Value::Null, Value::Null, Value::Null, count(0), text(notes.text())]);
        }
        let (mut error, mut by_chance, mut maximum) = (0.0, 0.0, 0.0_f64);
        for (_, _, bin) in self.filled() {
            let gap = (bin.mean() - bin.observed()).abs();
            error += bin.n() as f64 * gap;
            // The mean distance of a normal variable from its mean is its standard deviation times √(2/π).
            by_chance += (FRAC_2_PI * bin.variances.sum()).sqrt();
            maximum = maximum.max(gap);
        }
        let size = n as f64;
        let fields = [float(Some(error / size)), float(Some(by_chance / size)), float(Some(maximum))];
        let [error, by_chance, maximum] = fields;
        record(ERROR, &[error, by_chance, maximum, count(n), text(notes.text())])
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
}

impl State for Binned {
    fn update(&mut self, call: &Call<'_>) -> Result<(), Error> {
        let Self { edges, bins, left_out, .. } = self;
        let inner = edges.get(1..edges.len().saturating_sub(1)).unwrap_or_default();
        each_labelled(call, left_out, |label, p| {
            if !(0.0..=1.0).contains(&p) {
                return false;
            }
            let Some(bin) = bins.get_mut(inner.partition_point(|edge| *edge < p)) else { return false };
            bin.positives += u64::from(label);
            bin.probabilities.add(p);
            bin.variances.add(p * (1.0 - p));
            true
        })
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<(), BadState> {
        let mut bytes = Reader(bytes);
        self.left_out.merge(LeftOut::read(&mut bytes)?);
        for bin in &mut self.bins {
            bin.positives += bytes.u64()?;
            bin.probabilities.merge(&ExactSum::from_bytes(bytes.bytes()?)?);
            bin.variances.merge(&ExactSum::from_bytes(bytes.bytes()?)?);
        }
        bytes.end()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.left_out.write(&mut out);
        for bin in &self.bins {
            out.u64(bin.positives).bytes(&bin.probabilities.to_bytes()).bytes(&bin.variances.to_bytes());
        }
        out.finish()
    }

    fn finish(&self) -> Result<Column<'static>, Error> {
        let mut notes = Notes::default();
        self.left_out.note(&mut notes, NO_PROBABILITY);
        Ok(match self.summary {
            Summary::Error => self.error(notes),
            Summary::Table(level) => self.table(level, notes),
        })
    }

    fn heap_size(&self) -> usize {
        let sums = |bin: &Bin| bin.probabilities.heap_size() + bin.variances.heap_size();
        self.bins.iter().map(|bin| size_of::<Bin>() + sums(bin)).sum::<usize>() + size_of_val(&*self.edges)
    }
}
