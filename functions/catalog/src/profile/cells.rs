//! Cells that two profiles both count exactly, so that a statistic over them has no error of a sketch.

use std::collections::BTreeMap;

use super::Profile;
use super::buckets::Bucket;
use super::categories::Categories;
use super::distance::Cell;
use super::numeric::Numeric;

/// How many cells numbers are put in, about: the edges are near the deciles of the base.
const BINS: i64 = 10;

/// The rows of two profiles by cell, those in which either has any; NaN is a cell, and NULL.
pub(super) fn cells(base: &Profile, study: &Profile, notes: &mut Vec<String>) -> Vec<Cell> {
    let mut cells = match (base.texts(), study.texts()) {
        (None, None) => {
            let none = Numeric::new();
            of_numbers(base.numbers().unwrap_or(&none), study.numbers().unwrap_or(&none))
        }
        (base, study) => {
            let none = Categories::new();
            of_texts(base.unwrap_or(&none), study.unwrap_or(&none), notes)
        }
    };
    cells.push((base.nulls(), study.nulls()));
    cells.retain(|cell| *cell != (0, 0));
    cells
}

fn of_numbers(base: &Numeric, study: &Numeric) -> Vec<Cell> {
    let (a, b) = (base.ranked(), study.ranked());
    let mut cells = if base.is_exact() && study.is_exact() {
        let edges = exact_edges(&a);
        count(&a, &b, edges.len(), |bucket| edges.partition_point(|edge| *edge < bucket.ends().0))
    } else {
        let edges = common_edges(&a, base.shift().max(study.shift()));
        count(&a, &b, edges.len(), |bucket| edges.partition_point(|edge| *edge < bucket.low))
    };
    cells.push((base.specials.nan, study.specials.nan));
    cells
}

fn count(base: &[Bucket], study: &[Bucket], edges: usize, place: impl Fn(&Bucket) -> usize) -> Vec<Cell> {
    let mut cells = vec![(0, 0); edges + 1];
    for bucket in base {
        if let Some(cell) = cells.get_mut(place(bucket)) {
            cell.0 += bucket.count;
        }
    }
    for bucket in study {
        if let Some(cell) = cells.get_mut(place(bucket)) {
            cell.1 += bucket.count;
        }
    }
    cells
}

/// The deciles of single values with counts, linearly interpolated, as `psi` takes them; equal ones merged.
fn exact_edges(values: &[Bucket]) -> Vec<f64> {
    let ends: Vec<u64> = values
        .iter()
        .scan(0, |end, bucket| {
            *end += bucket.count;
            Some(*end)
        })
        .collect();
    let value = |rank: u64| values.get(ends.partition_point(|end| *end <= rank)).map(|bucket| bucket.ends().0);
    let Some(last) = ends.last().and_then(|len| len.checked_sub(1)) else { return Vec::new() };
    let mut edges: Vec<f64> = (1..BINS)
        .filter_map(|i| {
            let place = last as f64 * (i as f64 / BINS as f64);
            let (below, share) = (place.floor() as u64, place - place.floor());
            let low = value(below)?;
            let high = value(below + 1).unwrap_or(low);
            let step = high - low;
            Some(match share < 0.5 {
                true if step.is_finite() => low + step * share,
                false if step.is_finite() => high - step * (1.0 - share),
                true => low,
                false => high,
            })
        })
        .collect();
    edges.dedup();
    edges
}

/// Of the ends of stretches of 2^shift keys, those whose ranks are nearest to deciles: the last keys of the cells.
fn common_edges(base: &[Bucket], shift: u32) -> Vec<i64> {
    let mut ends: Vec<(i64, u64)> = Vec::new();
    let mut total = 0;
    for bucket in base {
        total += bucket.count;
        let last = bucket.low | ((1 << shift) - 1);
        match ends.last_mut() {
            Some((end, below)) if *end == last => *below = total,
            _ => ends.push((last, total)),
        }
    }
    // The last end has nothing of the base beyond it.
    ends.pop();
    let mut edges: Vec<i64> = (1..BINS)
        .filter_map(|i| {
            let target = total as f64 * (i as f64 / BINS as f64);
            let after = ends.partition_point(|(_, below)| (*below as f64) < target);
            let near = ends.get(after.saturating_sub(1)..ends.len().min(after + 1))?;
            let far = |below: u64| (below as f64 - target).abs();
            near.iter().min_by(|a, b| far(a.1).total_cmp(&far(b.1))).map(|(end, _)| *end)
        })
        .collect();
    edges.dedup();
    edges
}

/// A cell for each category that both profiles would have kept, by text, and one for all others.
fn of_texts(base: &Categories, study: &Categories, notes: &mut Vec<String>) -> Vec<Cell> {
    // A category with a hash up to this that a profile does not hold was never seen by it.
    let known_to = base.known_to().min(study.known_to());
    let mut cells: BTreeMap<(&str, u64), Cell> = BTreeMap::new();
    let mut others = (base.others(), study.others());
    for category in base.kept() {
        if category.hash <= known_to {
            cells.entry((&category.text, category.hash)).or_default().0 += category.count;
        } else {
            others.0 += category.count;
        }
    }
    for category in study.kept() {
        if category.hash <= known_to {
            cells.entry((&category.text, category.hash)).or_default().1 += category.count;
        } else {
            others.1 += category.count;
        }
    }
    let mut cells: Vec<Cell> = cells.into_values().collect();
    if others != (0, 0) {
        notes.push(format!(
            "{} categories are compared one by one, and the other {} base and {} study values as one",
            cells.len(),
            others.0,
            others.1
        ));
        cells.push(others);
    }
    cells
}
