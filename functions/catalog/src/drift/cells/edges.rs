//! Inner edges of bins: a bin holds what is above its lower and not above its upper edge.

use super::{Cell, Placing};

/// The edges between `bins` bins of about as many of `count` ranked values, of which `value` tells the one at a place:
/// quantiles, linearly interpolated as numpy does, equal ones merged.
pub(crate) fn quantile_edges(count: u64, value: impl Fn(u64) -> Option<f64>, bins: i64) -> Vec<f64> {
    let Some(last) = count.checked_sub(1) else { return Vec::new() };
    let mut edges: Vec<f64> = (1..bins)
        .filter_map(|i| {
            let place = last as f64 * (i as f64 / bins as f64);
            let (below, share) = (place.floor() as u64, place - place.floor());
            let low = value(below)?;
            let high = value(below + 1).unwrap_or(low);
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

/// Where the first bin would hold the `least` value alone, often all of it, what lies below is another bin.
pub(crate) fn open_below(edges: &mut Vec<f64>, least: f64) {
    if edges.first().is_some_and(|edge| *edge <= least) && least.is_finite() {
        edges.insert(0, least.next_down());
    }
}

/// The bin of a number: it lies above the edges that are smaller.
pub(super) fn place(edges: &[f64], number: f64) -> usize {
    edges.partition_point(|edge| *edge < number)
}

/// The counts of numbers between edges that the base gives.
pub(super) fn binned(placing: &Placing, base: &[f64], study: &[f64]) -> Vec<Cell> {
    let least = base.iter().copied().fold(f64::INFINITY, f64::min);
    let mut edges = match placing {
        Placing::EqualWidth(bins) => equal_widths(base, *bins),
        Placing::Quantiles(bins) => quantiles(base, *bins),
        Placing::Edges(_) | Placing::TwoValues => Vec::new(),
    };
    open_below(&mut edges, least);
    let mut cells = vec![Cell::default(); edges.len() + 1];
    for (sample, is_base) in [(base, true), (study, false)] {
        for number in sample {
            if let Some(cell) = cells.get_mut(place(&edges, *number)) {
                cell.add(is_base);
            }
        }
    }
    cells
}

/// The quantiles of the base.
fn quantiles(base: &[f64], bins: i64) -> Vec<f64> {
    let mut sorted = base.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    quantile_edges(sorted.len() as u64, |place| sorted.get(place as usize).copied(), bins)
}

/// The inner edges: equal parts of the range of the finite values of the base, as numpy's `linspace` cuts it.
fn equal_widths(base: &[f64], bins: i64) -> Vec<f64> {
    let finite = || base.iter().copied().filter(|number| number.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    if low > high {
        return Vec::new();
    }
    let parts = bins as f64;
    let step = (high - low) / parts;
    let edge = |i: f64| {
        // A range wider than the largest float has no step.
        if step.is_finite() { low + i * step } else { low * (1.0 - i / parts) + high * (i / parts) }
    };
    let mut edges: Vec<f64> = (1..bins).map(|i| edge(i as f64)).collect();
    edges.dedup();
    edges
}
