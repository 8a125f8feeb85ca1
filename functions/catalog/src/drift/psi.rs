//! The population stability index.

use super::cells::{self, BINNING, BINS, EDGES, ONE_CELL, Placing, Table, VALUE};
use super::smoothing::{SMOOTHING, Smoothing};
use super::{IS_BASE, OUTCOME, Outcome, SHIFT, counts};
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, State, Tolerance, Type, compute_by_state};

const ARGS: &[Arg] = &[VALUE, IS_BASE, SMOOTHING, BINS, BINNING, EDGES];

/// `psi(value, is_base)`: the index with its test.
pub struct Psi;

/// `psi_value(value, is_base)`: the index alone.
pub struct PsiValue;

impl Function for Psi {
    fn name(&self) -> &'static str {
        "psi"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["population_stability_index"]
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn returns(&self) -> Type {
        OUTCOME
    }

    fn short(&self) -> &'static str {
        "Population stability index with its p-value: how far has a distribution moved?"
    }

    fn long(&self) -> &'static str {
        concat!(include_str!("psi.md"), "\n", include_str!("cells.md"))
    }

    fn examples(&self) -> Vec<Example> {
        let outcome = Outcome {
            statistic: Some(0.0),
            effect_size: Some(0.0),
            p_value: Some(1.0),
            n_base: 3,
            n_study: 3,
            note: Some(
                "at these sizes chance alone gives a PSI of 1.333 on average, so the thresholds 0.1 and 0.25 say nothing: go \
                 by the p-value"
                    .to_owned(),
            ),
        };
        vec![Example::two_samples(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0], outcome.into_value())]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        compute_by_state(self, call)
    }

    fn state(&self, options: &Call<'_>) -> Result<Option<Box<dyn State>>, Error> {
        let (placing, smoothing) = (Placing::of(options, 3)?, Smoothing::of(options, 2)?);
        Ok(Some(cells::state(&Self, placing, move |table| psi(table, smoothing))))
    }
}

impl Function for PsiValue {
    fn name(&self) -> &'static str {
        "psi_value"
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Population stability index: how far has a distribution moved?"
    }

    fn long(&self) -> &'static str {
        concat!(include_str!("psi.md"), "\n", include_str!("cells.md"))
    }

    fn examples(&self) -> Vec<Example> {
        // Base 3/4 and 1/4, study 1/4 and 3/4: 2 · 1/2 · ln 3.
        let shift = counts(SHIFT, 1.098_612_288_668_109_6.into());
        vec![Example::two_samples(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0], 0.0.into()), shift]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        compute_by_state(self, call)
    }

    fn state(&self, options: &Call<'_>) -> Result<Option<Box<dyn State>>, Error> {
        let (placing, smoothing) = (Placing::of(options, 3)?, Smoothing::of(options, 2)?);
        Ok(Some(cells::state(&Self, placing, move |table| psi(table, smoothing))))
    }
}

pub(crate) fn psi(mut table: Table, smoothing: Smoothing) -> Outcome {
    let shares = smoothing.shares(&mut table, "PSI", |cell| cell.base == 0 || cell.study == 0);
    let psi: f64 = shares
        .into_iter()
        .map(|(p, q)| if p == 0.0 || q == 0.0 { f64::INFINITY } else { (q - p) * libm::log(q / p) })
        .sum();
    let p_value = if table.cells.len() > 1 {
        note_thresholds(&mut table);
        Some(table.p_value(psi / unit(&table)))
    } else {
        table.notes.add(ONE_CELL);
        None
    };
    table.outcome(psi, psi, p_value)
}

/// What chi-square is multiplied with to be PSI without drift: PSI's mean for each degree of freedom.
fn unit(table: &Table) -> f64 {
    1.0 / table.sum.base as f64 + 1.0 / table.sum.study as f64
}

/// Says which of the usual thresholds chance alone exceeds in more than one of twenty samples of these sizes.
fn note_thresholds(table: &mut Table) {
    let unit = unit(table);
    let is_within_chance = |threshold: f64| table.p_value(threshold / unit) > 0.05;
    let thresholds = match (is_within_chance(0.1), is_within_chance(0.25)) {
        (_, true) => "the thresholds 0.1 and 0.25 say",
        (true, false) => "the threshold 0.1 says",
        (false, false) => return,
    };
    let mean = (table.cells.len() as f64 - 1.0) * unit;
    table.notes.add(format!(
        "at these sizes chance alone gives a PSI of {mean:.3} on average, so {thresholds} nothing: go by the p-value"
    ));
}
