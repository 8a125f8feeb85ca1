//! The Kullback–Leibler divergence of the study sample from the base.

use super::cells::{self, BINNING, BINS, EDGES, Placing, Table, VALUE};
use super::smoothing::{SMOOTHING, Smoothing};
use super::{IS_BASE, OUTCOME, Outcome, SHIFT, counts, shift};
use crate::distribution::deviance;
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, State, Tolerance, Type, compute_by_state};

const ARGS: &[Arg] = &[VALUE, IS_BASE, SMOOTHING, BINS, BINNING, EDGES];

/// `kl_divergence(value, is_base)`: the divergence with its test.
pub struct KlDivergence;

/// `kl_divergence_value(value, is_base)`: the divergence alone.
pub struct KlDivergenceValue;

impl Function for KlDivergence {
    fn name(&self) -> &'static str {
        "kl_divergence"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["relative_entropy"]
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
        "Kullback–Leibler divergence of the study sample from the base over cells, with the p-value of chi-square"
    }

    fn long(&self) -> &'static str {
        concat!(include_str!("kl_divergence.md"), "\n", include_str!("cells.md"))
    }

    fn examples(&self) -> Vec<Example> {
        vec![shift(0.549_306_144_334_054_8, 0.549_306_144_334_054_8, 0.157_299_207_050_284_77)]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        compute_by_state(self, call)
    }

    fn state(&self, options: &Call<'_>) -> Result<Option<Box<dyn State>>, Error> {
        let (placing, smoothing) = (Placing::of(options, 3)?, Smoothing::of(options, 2)?);
        Ok(Some(cells::state(&Self, placing, move |table| kullback_leibler(table, smoothing))))
    }
}

impl Function for KlDivergenceValue {
    fn name(&self) -> &'static str {
        "kl_divergence_value"
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
        "Kullback–Leibler divergence of the study sample from the base over cells"
    }

    fn long(&self) -> &'static str {
        concat!(include_str!("kl_divergence.md"), "\n", include_str!("cells.md"))
    }

    fn examples(&self) -> Vec<Example> {
        vec![counts(SHIFT, 0.549_306_144_334_054_8.into())]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        compute_by_state(self, call)
    }

    fn state(&self, options: &Call<'_>) -> Result<Option<Box<dyn State>>, Error> {
        let (placing, smoothing) = (Placing::of(options, 3)?, Smoothing::of(options, 2)?);
        Ok(Some(cells::state(&Self, placing, move |table| kullback_leibler(table, smoothing))))
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
