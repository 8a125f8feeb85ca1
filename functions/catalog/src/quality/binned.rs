//! The state of what is read from bins: the bins themselves where they are known, and the rows where these decide.

use super::bins::{Bins, Summary};
use super::common::{LeftOut, Level, NO_PROBABILITY, each_labelled};
use crate::bytes::{Reader, Writer};
use crate::drift::Notes;
use crate::function::{BadState, Call, Column, Error, State, Step, Value};

#[derive(Debug)]
enum Held {
    Uniform(Bins),
    /// Probabilities and labels, and how many quantiles they are to be put between.
    Quantiles {
        rows: Vec<(f64, bool)>,
        bins: i64,
    },
}

#[derive(Debug)]
pub(super) struct Binned {
    held: Held,
    summary: Summary,
    level: Level,
    left_out: LeftOut,
}

impl Binned {
    /// An empty state with the options of [`ARGS`](super::bins::ARGS).
    pub(super) fn state(call: &Call<'_>, summary: Summary) -> Result<Option<Box<dyn State>>, Error> {
        let bins = match call.option(2) {
            None => 10,
            Some(Value::Int64(bins)) if (1..=1_000).contains(&bins) => bins,
            Some(bins) => return Err(call.refuse(format!("`bins` is {bins}, but it has to be from 1 to 1000"))),
        };
        let held = match call.choice(3, "strategy", ["uniform", "quantile"])? {
            "quantile" => Held::Quantiles { rows: Vec::new(), bins },
            _ => Held::Uniform(Bins::uniform(bins)),
        };
        let level = Level::option(call, 4)?;
        Ok(Some(Box::new(Self { held, summary, level, left_out: LeftOut::default() })))
    }

    fn step(&mut self, call: &Call<'_>, step: Step) -> Result<(), Error> {
        let Self { held, left_out, .. } = self;
        each_labelled(call, step, left_out, |label, p| {
            if !(0.0..=1.0).contains(&p) {
                return false;
            }
            // One zero.
            let p = p + 0.0;
            match held {
                Held::Uniform(bins) => bins.step(p, label, step),
                Held::Quantiles { rows, .. } => {
                    step.keep(rows, (p, label), |a, b| a.0.to_bits() == b.0.to_bits() && a.1 == b.1);
                }
            }
            true
        })
    }
}

impl State for Binned {
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
        self.left_out.merge(LeftOut::read(&mut bytes)?);
        match &mut self.held {
            Held::Uniform(bins) => bins.merge(&mut bytes)?,
            Held::Quantiles { rows, .. } => {
                for _ in 0..bytes.u64()? {
                    let row = (bytes.f64()?, bytes.bool()?);
                    if !(0.0..=1.0).contains(&row.0) {
                        return Err(BadState);
                    }
                    rows.push(row);
                }
            }
        }
        bytes.end()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.left_out.write(&mut out);
        match &self.held {
            Held::Uniform(bins) => bins.write(&mut out),
            Held::Quantiles { rows, .. } => {
                // In order, so that equal rows make equal bytes.
                let mut rows = rows.clone();
                rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                out.u64(rows.len() as u64);
                for (p, label) in rows {
                    out.f64(p).bool(label);
                }
            }
        }
        out.finish()
    }

    fn finish(&self) -> Result<Column<'static>, Error> {
        let mut notes = Notes::default();
        self.left_out.note(&mut notes, NO_PROBABILITY);
        Ok(match &self.held {
            Held::Uniform(bins) => bins.result(self.summary, self.level, notes),
            Held::Quantiles { rows, bins } => Bins::quantiles(rows, *bins).result(self.summary, self.level, notes),
        })
    }

    fn heap_size(&self) -> usize {
        match &self.held {
            Held::Uniform(bins) => bins.heap_size(),
            Held::Quantiles { rows, .. } => rows.capacity() * size_of::<(f64, bool)>(),
        }
    }
}
