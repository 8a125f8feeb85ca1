//! Distances between two samples, over their counts by cell. No cell is empty on both sides.

use crate::distribution::chi_square_sf;

/// The counts of one cell: base, study.
pub(super) type Cell = (u64, u64);

/// The counts of both samples.
pub(super) fn totals(cells: &[Cell]) -> (u64, u64) {
    cells.iter().fold((0, 0), |(base, study), cell| (base + cell.0, study + cell.1))
}

/// The shares of the samples by cell.
fn shares(cells: &[Cell]) -> impl Iterator<Item = (f64, f64)> {
    let (base, study) = totals(cells);
    cells.iter().map(move |cell| (cell.0 as f64 / base as f64, cell.1 as f64 / study as f64))
}

/// Pearson's statistic of homogeneity, without a correction for continuity; its degrees of freedom are the cells less one.
pub(super) fn chi_square(cells: &[Cell]) -> f64 {
    let (base, study) = totals(cells);
    let unit = base as f64 * study as f64;
    cells
        .iter()
        .map(|cell| {
            let difference =
                (u128::from(cell.0) * u128::from(study)).abs_diff(u128::from(cell.1) * u128::from(base)) as f64;
            difference / (cell.0 + cell.1) as f64 * (difference / unit)
        })
        .sum()
}

/// The tail of chi-square with one degree of freedom less than there are cells.
pub(super) fn p_value(cells: &[Cell], statistic: f64) -> f64 {
    chi_square_sf(statistic, cells.len() as f64 - 1.0)
}

/// The population stability index; where a cell has values on one side only, half a value is added to every count, and
/// the second result says in how many.
pub(super) fn psi(cells: &[Cell]) -> (f64, usize) {
    let one_sided = cells.iter().filter(|cell| cell.0 == 0 || cell.1 == 0).count();
    let added = if one_sided > 0 { 0.5 } else { 0.0 };
    let (base, study) = totals(cells);
    let more = added * cells.len() as f64;
    let index = cells
        .iter()
        .map(|cell| {
            let (p, q) =
                ((cell.0 as f64 + added) / (base as f64 + more), (cell.1 as f64 + added) / (study as f64 + more));
            (q - p) * libm::log(q / p)
        })
        .sum();
    (index, one_sided)
}

/// In how many cells a sample is expected to have fewer than five values.
pub(super) fn small_cells(cells: &[Cell]) -> usize {
    let (base, study) = totals(cells);
    let (smaller, all) = (u128::from(base.min(study)), u128::from(base + study));
    cells.iter().filter(|cell| u128::from(cell.0 + cell.1) * smaller < 5 * all).count()
}

/// The Jensen–Shannon distance: the root of the divergence in bits, from 0 to 1.
pub(super) fn jensen_shannon(cells: &[Cell]) -> f64 {
    let part = |p: f64, middle: f64| if p > 0.0 { p * libm::log2(p / middle) } else { 0.0 };
    let divergence: f64 = shares(cells).map(|(p, q)| part(p, f64::midpoint(p, q)) + part(q, f64::midpoint(p, q))).sum();
    (divergence / 2.0).clamp(0.0, 1.0).sqrt()
}

/// The Hellinger distance, from 0 to 1.
pub(super) fn hellinger(cells: &[Cell]) -> f64 {
    let sum: f64 = shares(cells).map(|(p, q)| (p.sqrt() - q.sqrt()) * (p.sqrt() - q.sqrt())).sum();
    (sum / 2.0).clamp(0.0, 1.0).sqrt()
}

/// The total variation distance, from 0 to 1: the share of one sample that would have to change its cell.
pub(super) fn total_variation(cells: &[Cell]) -> f64 {
    (shares(cells).map(|(p, q)| (p - q).abs()).sum::<f64>() / 2.0).clamp(0.0, 1.0)
}
