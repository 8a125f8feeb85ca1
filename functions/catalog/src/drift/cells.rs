//! Cells: the categories, or the bins of numbers, whose shares in two samples are compared. The tests and distances over
//! them are each a function of one [`Table`]; rows are counted, and kept only where the cells depend on them.

mod edges;
mod table;
mod tally;

use std::fmt::{self, Debug};

pub(crate) use edges::{open_below, quantile_edges};
pub(crate) use table::{Cell, ONE_CELL, Table};
use tally::Tally;

use super::Outcome;
use crate::function::{Arg, BadState, Call, Column, Error, Function, State, Step, Type, Value, Values};

pub(super) const VALUE: Arg = Arg::new("value", Type::Float64OrText, "the value: a number, or a category");
pub(super) const BINS: Arg = Arg::option("bins", Type::Int64, "10", "how many bins numbers are put in, 2 to 1000");
pub(super) const BINNING: Arg = Arg::option(
    "binning",
    Type::Text,
    "'quantile'",
    "'quantile' or 'equal_width': bins of numbers by the base's quantiles, or equally wide over its range",
);
pub(super) const EDGES: Arg = Arg::option(
    "edges",
    Type::Float64List,
    "NULL",
    "the inner edges of the bins of numbers, ascending, in place of bins and binning",
);

/// Which cells values fall into.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Placing {
    /// Categories, and numbers between so many quantiles of the base.
    Quantiles(i64),
    /// Categories, and numbers in so many equal parts of the base's finite range.
    EqualWidth(i64),
    /// Numbers between edges.
    Edges(Vec<f64>),
    /// One of two categories or numbers: what a test of two proportions compares.
    TwoValues,
}

impl Placing {
    /// As the options `bins`, `binning` and `edges` say, of which `bins` is argument `at`.
    pub(super) fn of(call: &Call<'_>, at: usize) -> Result<Self, Error> {
        let bins = match call.option(at) {
            None => 10,
            Some(Value::Int64(bins)) if (2..=1_000).contains(&bins) => bins,
            Some(bins) => return Err(call.refuse(format!("`bins` is {bins}, but it has to be from 2 to 1000"))),
        };
        let placing = match call.choice(at + 1, "binning", ["quantile", "equal_width"])? {
            "equal_width" => Self::EqualWidth(bins),
            _ => Self::Quantiles(bins),
        };
        let Some(Value::Float64List(edges)) = call.option(at + 2) else { return Ok(placing) };
        if edges.iter().all(|edge| edge.is_finite()) && edges.is_sorted_by(|a, b| a < b) {
            Ok(Self::Edges(edges))
        } else {
            let edges = Value::Float64List(edges);
            Err(call
                .refuse(format!("`edges` is {edges}, but edges have to be finite, each larger than the one before")))
        }
    }
}

/// The arguments of a measure without options of its own.
pub(super) const ARGS: &[Arg] = &[VALUE, super::IS_BASE, BINS, BINNING, EDGES];

/// The state of a function of arguments `(value, is_base, …)` that is a measure of cells. The measure is asked only where
/// both samples have rows. A function that returns a float returns the statistic.
pub(super) fn state(
    function: &'static dyn Function,
    placing: Placing,
    measure: impl Fn(Table) -> Outcome + Send + Sync + 'static,
) -> Box<dyn State> {
    Box::new(Cells { function, tally: Tally::new(placing), measure: Box::new(measure) })
}

struct Cells {
    function: &'static dyn Function,
    tally: Tally,
    measure: Box<dyn Fn(Table) -> Outcome + Send + Sync>,
}

impl Cells {
    /// Refuses more categories than can be counted; a test of two values says so in its outcome.
    fn check(&self) -> Result<(), Error> {
        let Some(limit) = self.tally.too_many().filter(|limit| *limit > 2) else { return Ok(()) };
        let reason = format!(
            "`value` has more than {limit} categories; group the rare ones, hash them (hash_bucket), or CAST numbers in \
             texts AS DOUBLE"
        );
        Err(Error::Value { function: self.function.name(), reason })
    }
}

impl State for Cells {
    fn update(&mut self, call: &Call<'_>) -> Result<(), Error> {
        self.tally.step(call, Step::Add)?;
        self.check()
    }

    fn slide(&mut self) -> bool {
        self.tally.slide();
        true
    }

    fn retract(&mut self, call: &Call<'_>) -> Result<(), Error> {
        self.tally.step(call, Step::Retract)
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<(), BadState> {
        self.tally.merge(bytes)
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.tally.to_bytes()
    }

    fn finish(&self) -> Result<Column<'static>, Error> {
        self.check()?;
        let table = self.tally.table();
        let outcome = match table.missing_sample() {
            Some(sample) => {
                // NULL is a cell, but not one of two values.
                let row = if *self.tally.placing() == Placing::TwoValues { "value" } else { "row" };
                table.untestable(format!("there is no {row} in the {sample} sample to compare"))
            }
            None => (self.measure)(table),
        };
        Ok(if self.function.returns() == Type::Float64 {
            let statistic = outcome.statistic;
            Column::with_validity(Values::Float64(vec![statistic.unwrap_or(0.0)].into()), vec![statistic.is_some()])
        } else {
            outcome.into_column()
        })
    }

    fn heap_size(&self) -> usize {
        self.tally.heap_size() + size_of::<Tally>()
    }
}

impl Debug for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells").field("function", &self.function.name()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
