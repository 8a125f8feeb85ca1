//! Cells that two profiles both count exactly, so that a statistic over them has no error of a sketch.

use std::collections::BTreeMap;

use super::Profile;
use super::buckets::Bucket;
use super::categories::Categories;
use super::numeric::Numeric;
use crate::drift::Notes;
use crate::drift::cells::{Cell, Table, open_below, quantile_edges};

/// How many cells numbers are put in, about: the edges are near the deciles of the base.
const BINS: i64 = 10;

/// The rows of two profiles by cell; NaN is a cell, and NULL.
pub(crate) fn table(base: &Profile, study: &Profile) -> Table {
    let mut notes = Notes::default();
    let mut cells = match (base.texts(), study.texts()) {
        (None, None) => {
            let none = Numeric::new();
            of_numbers(base.numbers().unwrap_or(&none), study.numbers().unwrap_or(&none))
        }
        (base, study) => {
            let none = Categories::new();
            of_texts(base.unwrap_or(&none), study.unwrap_or(&none), &mut notes)
        }
    };
    cells.push(Cell { base: base.nulls(), study: study.nulls() });
    Table::new(cells, false, notes)
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
    cells.push(Cell { base: base.specials.nan, study: study.specials.nan });
    cells
}

fn count(base: &[Bucket], study: &[Bucket], edges: usize, place: impl Fn(&Bucket) -> usize) -> Vec<Cell> {
    let mut cells = vec![Cell::default(); edges + 1];
    for bucket in base {
        if let Some(cell) = cells.get_mut(place(bucket)) {
            cell.base += bucket.count;
        }
    }
    for bucket in study {
        if let Some(cell) = cells.get_mut(place(bucket)) {
            cell.study += bucket.count;
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
    let mut edges = quantile_edges(ends.last().copied().unwrap_or(0), value, BINS);
    open_below(&mut edges, value(0).unwrap_or(f64::INFINITY));
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
fn of_texts(base: &Categories, study: &Categories, notes: &mut Notes) -> Vec<Cell> {
    // A category with a hash up to this that a profile does not hold was never seen by it.
    let known_to = base.known_to().min(study.known_to());
    let mut cells: BTreeMap<(&str, u64), Cell> = BTreeMap::new();
    let mut others = Cell { base: base.others(), study: study.others() };
    for (kept, is_base) in [(base.kept(), true), (study.kept(), false)] {
        for category in kept {
            let count = category.count;
            let added = if is_base { Cell { base: count, study: 0 } } else { Cell { base: 0, study: count } };
            if category.hash <= known_to {
                cells.entry((&category.text, category.hash)).or_default().add_all(added);
            } else {
                others.add_all(added);
            }
        }
    }
    let mut cells: Vec<Cell> = cells.into_values().collect();
    if others != Cell::default() {
        notes.add(format!(
            "{} categories are compared one by one, and the other {} base and {} study values as one",
            cells.len(),
            others.base,
            others.study
        ));
        cells.push(others);
    }
    cells
}
