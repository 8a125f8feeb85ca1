//! The Kullback–Leibler divergence of the study sample from the base.

use super::cells::{self, BINNING, BINS, EDGES, Placing, Table, VALUE};
use super::smoothing::{SMOOTHING, Smoothing};
use super::{IS_BASE, OUTCOME, Outcome, SHIFT, counts, shift};
use crate::distribution::deviance;
use crate::function::{Arg, Tolerance, Type, define};

const ARGS: &[Arg] = &[VALUE, IS_BASE, SMOOTHING, BINS, BINNING, EDGES];

define! {
    /// `kl_divergence(value, is_base)`: the divergence with its test.
    pub struct KlDivergence {
        name: "kl_divergence",
        aliases: &["relative_entropy"],
        kind: Aggregate,
        args: ARGS,
        returns: OUTCOME,
        short: "Kullback–Leibler divergence of the study sample from the base over cells, with the p-value of chi-square",
        long: concat!(include_str!("kl_divergence.md"), "\n", include_str!("cells.md")),
        examples: vec![shift(0.549_306_144_334_054_8, 0.549_306_144_334_054_8, 0.157_299_207_050_284_77)],
        tolerance: Tolerance::Absolute(1e-9),
        state: |options| {
            let (placing, smoothing) = (Placing::of(options, 3)?, Smoothing::of(options, 2)?);
            Ok(Some(cells::state(&Self, placing, move |table| kullback_leibler(table, smoothing))))
        },
    }
}

define! {
    /// `kl_divergence_value(value, is_base)`: the divergence alone.
    pub struct KlDivergenceValue {
        name: "kl_divergence_value",
        kind: Aggregate,
        args: ARGS,
        returns: Type::Float64,
        short: "Kullback–Leibler divergence of the study sample from the base over cells",
        long: concat!(include_str!("kl_divergence.md"), "\n", include_str!("cells.md")),
        examples: vec![counts(SHIFT, 0.549_306_144_334_054_8.into())],
        tolerance: Tolerance::Absolute(1e-9),
        state: |options| {
            let (placing, smoothing) = (Placing::of(options, 3)?, Smoothing::of(options, 2)?);
            Ok(Some(cells::state(&Self, placing, move |table| kullback_leibler(table, smoothing))))
        },
    }
}

fn kullback_leibler(mut table: Table, smoothing: Smoothing) -> Outcome {
    let shares = smoothing.shares(&mut table, "KL", |cell| cell.base == 0);
    // Both have the sum one, so that their difference can be added to every term: none is negative.
    let divergence: f64 = shares
        .into_iter()
        .map(|(base, study)| if study == 0.0 { base } else { deviance(study, base - study, base) })
        .sum();
    table.distance(divergence)
}
