//! The population stability index.

use super::cells::{self, BINNING, BINS, EDGES, ONE_CELL, Placing, Table, VALUE};
use super::smoothing::{SMOOTHING, Smoothing};
use super::{IS_BASE, OUTCOME, Outcome, SHIFT, counts};
use crate::function::{Arg, Example, Tolerance, Type, define};

const ARGS: &[Arg] = &[VALUE, IS_BASE, SMOOTHING, BINS, BINNING, EDGES];

define! {
    /// `psi(value, is_base)`: the index with its test.
    pub struct Psi {
        name: "psi",
        aliases: &["population_stability_index"],
        kind: Aggregate,
        args: ARGS,
        returns: OUTCOME,
        short: "Population stability index with its p-value: how far has a distribution moved?",
        long: concat!(include_str!("psi.md"), "\n", include_str!("cells.md")),
        examples: {
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
        },
        tolerance: Tolerance::Absolute(1e-9),
        state: |options| {
            let (placing, smoothing) = (Placing::of(options, 3)?, Smoothing::of(options, 2)?);
            Ok(Some(cells::state(&Self, placing, move |table| psi(table, smoothing))))
        },
    }
}

define! {
    /// `psi_value(value, is_base)`: the index alone.
    pub struct PsiValue {
        name: "psi_value",
        kind: Aggregate,
        args: ARGS,
        returns: Type::Float64,
        short: "Population stability index: how far has a distribution moved?",
        long: concat!(include_str!("psi.md"), "\n", include_str!("cells.md")),
        examples: {
            // Base 3/4 and 1/4, study 1/4 and 3/4: 2 · 1/2 · ln 3.
            let shift = counts(SHIFT, 1.098_612_288_668_109_6.into());
            vec![Example::two_samples(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0], 0.0.into()), shift]
        },
        tolerance: Tolerance::Absolute(1e-9),
        state: |options| {
            let (placing, smoothing) = (Placing::of(options, 3)?, Smoothing::of(options, 2)?);
            Ok(Some(cells::state(&Self, placing, move |table| psi(table, smoothing))))
        },
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
