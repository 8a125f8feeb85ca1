//! Inner edges of bins: a bin holds what is above its lower and not above its upper edge.

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
