//! The population stability index.

use std::collections::BTreeMap;

use super::{IS_BASE, Notes, OUTCOME, Outcome, Split};
use crate::distribution::chi_square_sf;
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Tolerance, Type, Value, Values};
use crate::suggest::did_you_mean;

const ARGS: &[Arg] = &[
    Arg::new("value", Type::Float64OrText, "the value: a number, or a category"),
    IS_BASE,
    Arg::option("smoothing", Type::Text, "'jeffreys'", "'jeffreys' or 'none': what to do where one side has no value"),
    Arg::option("bins", Type::Int64, "10", "how many bins numbers are put in, 2 to 1000"),
];

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
        include_str!("psi.md")
    }

    fn examples(&self) -> Vec<Example> {
        let outcome = Outcome {
            statistic: Some(0.0),
            effect_size: Some(0.0),
            p_value: Some(1.0),
            n_base: 3,
            n_study: 3,
            note: None,
        };
        vec![Example::two_samples(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0], outcome.into_value())]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        Ok(psi(call)?.into_column())
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
        include_str!("psi.md")
    }

    fn examples(&self) -> Vec<Example> {
        let row = |category: &str, is_base: bool| vec![category.into(), is_base.into()];
        // Base 3/4 and 1/4, study 1/4 and 3/4: 2 · 1/2 · ln 3.
        let shift = Example {
            rows: [
                ("a", true),
                ("a", true),
                ("a", true),
                ("b", true),
                ("a", false),
                ("b", false),
                ("b", false),
                ("b", false),
            ]
            .map(|(category, is_base)| row(category, is_base))
            .into(),
            returns: 1.098_612_288_668_109_6.into(),
        };
        vec![Example::two_samples(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0], 0.0.into()), shift]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let index = psi(call)?.statistic;
        Ok(Column::with_validity(Values::Float64(vec![index.unwrap_or(0.0)].into()), vec![index.is_some()]))
    }
}

/// What happens where a cell has values on one side only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Smoothing {
    /// Half a value is added to every cell.
    Jeffreys,
    /// The index is infinite.
    None,
}

/// Counts of one cell: base, study.
type Cell = (u64, u64);

fn psi(call: &Call<'_>) -> Result<Outcome, Error> {
    let bins = match call.option(3) {
        None => 10,
        Some(Value::Int64(bins)) if (2..=1_000).contains(&bins) => bins,
        Some(bins) => return Err(call.refuse(format!("`bins` is {bins}, but it has to be from 2 to 1000"))),
    };
    let smoothing = match call.option(2) {
        None => Smoothing::Jeffreys,
        Some(Value::Text(name)) => match name.to_lowercase().as_str() {
            "jeffreys" => Smoothing::Jeffreys,
            "none" => Smoothing::None,
            other => {
                let hint = did_you_mean(other, ["jeffreys", "none"]);
                return Err(
                    call.refuse(format!("`smoothing` is '{name}', but it has to be 'jeffreys' or 'none'{hint}"))
                );
            }
        },
        Some(other) => {
            return Err(call.refuse(format!("`smoothing` is {other}, but it has to be 'jeffreys' or 'none'")));
        }
    };
    if let Ok(value) = call.texts(0) {
        let split = Split::new(call, |row| value.at(row).map(AsRef::<str>::as_ref))?;
        let mut cells: BTreeMap<&str, Cell> = BTreeMap::new();
        for category in &split.base {
            cells.entry(category).or_default().0 += 1;
        }
        for category in &split.study {
            cells.entry(category).or_default().1 += 1;
        }
        let cells: Vec<Cell> = cells.into_values().collect();
        let (n_base, n_study) = (split.base.len(), split.study.len());
        Ok(index(cells, (split.base_nulls, split.study_nulls), (n_base, n_study), smoothing, split.notes))
    } else {
        let value = call.floats(0)?;
        let split = Split::new(call, |row| Some(value.get(row)))?;
        let mut ranked: Vec<f64> = split.base.iter().copied().filter(|value| !value.is_nan()).collect();
        ranked.sort_unstable_by(f64::total_cmp);
        let edges = quantile_edges(&ranked, bins);
        // One cell more than there are edges, and one for NaN.
        let mut cells: Vec<Cell> = vec![(0, 0); edges.len() + 2];
        let place = |value: f64| if value.is_nan() { edges.len() + 1 } else { edges.partition_point(|e| *e < value) };
        for value in &split.base {
            if let Some(cell) = cells.get_mut(place(*value)) {
                cell.0 += 1;
            }
        }
        for value in &split.study {
            if let Some(cell) = cells.get_mut(place(*value)) {
                cell.1 += 1;
            }
        }
        let (n_base, n_study) = (split.base.len(), split.study.len());
        Ok(index(cells, (split.base_nulls, split.study_nulls), (n_base, n_study), smoothing, split.notes))
    }
}

/// The inner edges: quantiles of the sorted base, linearly interpolated as numpy does, equal ones merged.
pub(crate) fn quantile_edges(sorted: &[f64], bins: i64) -> Vec<f64> {
    let Some(last) = sorted.len().checked_sub(1) else { return Vec::new() };
    let mut edges: Vec<f64> = (1..bins)
        .filter_map(|i| {
            let place = last as f64 * (i as f64 / bins as f64);
            let (below, share) = (place.floor() as usize, place - place.floor());
            let low = *sorted.get(below)?;
            let high = *sorted.get(below + 1).unwrap_or(&low);
            let step = high - low;
            Some(if step.is_finite() {
                if share < 0.5 { low + step * share } else { high - step * (1.0 - share) }
            } else if share < 0.5 {
                low
            } else {
                high
            })
        })
        .collect();
    edges.dedup();
    edges
}

fn index(
    mut cells: Vec<Cell>,
    nulls: (usize, usize),
    values: (usize, usize),
    smoothing: Smoothing,
    mut notes: Notes,
) -> Outcome {
    cells.push((nulls.0 as u64, nulls.1 as u64));
    cells.retain(|cell| *cell != (0, 0));
    let (n_base, n_study) = (values.0 + nulls.0, values.1 + nulls.1);
    if n_base == 0 || n_study == 0 {
        notes.add(format!("there is no row in the {} sample to compare", if n_base == 0 { "base" } else { "study" }));
        return Outcome::untestable(n_base, n_study, &notes);
    }
    let one_sided = cells.iter().filter(|(base, study)| *base == 0 || *study == 0).count();
    let mut added = 0.0;
    if one_sided > 0 {
        let cell_word = if one_sided == 1 { "1 cell has" } else { &format!("{one_sided} cells have") };
        match smoothing {
            Smoothing::Jeffreys => {
                added = 0.5;
                notes.add(format!("{cell_word} values on one side only: 0.5 added to every count (Jeffreys)"));
            }
            Smoothing::None => {
                notes.add(format!("{cell_word} values on one side only: without smoothing PSI is infinite"));
            }
        }
    }
    let k = cells.len() as f64;
    let (total_base, total_study) = (n_base as f64 + added * k, n_study as f64 + added * k);
    let psi: f64 = cells
        .iter()
        .map(|(base, study)| {
            let (p, q) = ((*base as f64 + added) / total_base, (*study as f64 + added) / total_study);
            if p == 0.0 || q == 0.0 { f64::INFINITY } else { (q - p) * libm::log(q / p) }
        })
        .sum();
    let p_value = if cells.len() > 1 {
        Some(chi_square_sf(psi / (1.0 / n_base as f64 + 1.0 / n_study as f64), k - 1.0))
    } else {
        notes.add("all values fall into one cell, so there is nothing to test");
        None
    };
    Outcome {
        statistic: Some(psi),
        effect_size: Some(psi),
        p_value,
        n_base: n_base as u64,
        n_study: n_study as u64,
        note: notes.text(),
    }
}
