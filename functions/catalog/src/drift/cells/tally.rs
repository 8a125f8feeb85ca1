//! What is known of the rows before the end: counts where the cells are known too, and numbers where they depend on the base.

use std::collections::BTreeMap;

use super::edges::{open_below, quantile_edges};
use super::{Cell, Placing, Table};
use crate::bytes::put_varint;
use crate::drift::Notes;
use crate::function::{BadState, Call, Error};

/// More categories than this are refused: their counts would fill the memory without telling the samples apart.
const MOST_CATEGORIES: usize = 1_000_000;

/// More rows than this are refused in a merge: up to it all counts are exact as floats, and their products fit `i128`.
const MOST_ROWS: u64 = 1 << 53;

/// What the values are; the first one that is not NULL decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
}

/// The values that are neither NULL nor NaN.
#[derive(Debug)]
enum Held {
    Nothing,
    /// Counts by category, of which the key bytes are `bytes` long together. A number is its [`key`].
    Categories {
        counts: BTreeMap<Box<[u8]>, Cell>,
        bytes: usize,
    },
    /// The sum of the counts of too many categories.
    TooMany(Cell),
    /// Counts between edges.
    Bins(Vec<Cell>),
    Numbers {
        base: Vec<f64>,
        study: Vec<f64>,
    },
}

#[derive(Debug)]
pub(super) struct Tally {
    placing: Placing,
    kind: Option<Kind>,
    rows: u64,
    /// Rows whose `is_base` is NULL.
    unassigned: u64,
    nulls: Cell,
    nans: Cell,
    held: Held,
}

impl Tally {
    pub(super) fn new(placing: Placing) -> Self {
        let (nulls, nans) = (Cell::default(), Cell::default());
        Self { placing, kind: None, rows: 0, unassigned: 0, nulls, nans, held: Held::Nothing }
    }

    pub(super) fn placing(&self) -> &Placing {
        &self.placing
    }

    fn most(&self) -> usize {
        if self.placing == Placing::TwoValues { 2 } else { MOST_CATEGORIES }
    }

    /// How many categories can be counted, where there are more.
    pub(super) fn too_many(&self) -> Option<usize> {
        matches!(self.held, Held::TooMany(_)).then(|| self.most())
    }

    pub(super) fn update(&mut self, call: &Call<'_>) -> Result<(), Error> {
        let is_base = call.booleans(1)?;
        let texts = call.texts(0).ok();
        let numbers = if texts.is_none() { Some(call.floats(0)?) } else { None };
        for row in 0..call.rows() {
            self.rows += 1;
            if !call.is_given(1, row) {
                self.unassigned += 1;
                continue;
            }
            let is_base = is_base.get(row);
            if !call.is_given(0, row) {
                self.nulls.add(is_base);
            } else if let Some(text) = texts.as_ref().and_then(|texts| texts.at(row)) {
                self.decide(Kind::Text).map_err(|reason| call.refuse(reason))?;
                self.count(text.as_bytes(), is_base);
            } else if let Some(numbers) = &numbers {
                self.decide(Kind::Number).map_err(|reason| call.refuse(reason))?;
                self.add_number(numbers.get(row), is_base);
            }
        }
        Ok(())
    }

    fn decide(&mut self, kind: Kind) -> Result<(), &'static str> {
        match self.kind {
            Some(known) if known == kind => Ok(()),
            Some(_) => Err("`value` is a number in some rows and a text in others; CAST it to one of them"),
            None if kind == Kind::Text && matches!(self.placing, Placing::Edges(_)) => {
                Err("`edges` are edges of numbers, but `value` is a text; leave them out, or CAST it AS DOUBLE")
            }
            None => {
                self.kind = Some(kind);
                self.held = match (&self.placing, kind) {
                    (Placing::Edges(edges), _) => Held::Bins(vec![Cell::default(); edges.len() + 1]),
                    (_, Kind::Text) | (Placing::TwoValues, _) => Held::Categories { counts: BTreeMap::new(), bytes: 0 },
                    _ => Held::Numbers { base: Vec::new(), study: Vec::new() },
                };
                Ok(())
            }
        }
    }

    fn count(&mut self, category: &[u8], is_base: bool) {
        match &mut self.held {
            Held::Categories { counts, .. } => {
                if let Some(cell) = counts.get_mut(category) {
                    cell.add(is_base);
                } else {
                    let mut cell = Cell::default();
                    cell.add(is_base);
                    self.insert(category, cell);
                }
            }
            Held::TooMany(sum) => sum.add(is_base),
            _ => {}
        }
    }

    fn add_number(&mut self, number: f64, is_base: bool) {
        if number.is_nan() {
            self.nans.add(is_base);
            return;
        }
        match (&mut self.held, &self.placing) {
            (Held::Bins(bins), Placing::Edges(edges)) => {
                if let Some(bin) = bins.get_mut(place(edges, number)) {
                    bin.add(is_base);
                }
            }
            (Held::Numbers { base, study }, _) => if is_base { base } else { study }.push(number),
            _ => self.count(&key(number), is_base),
        }
    }

    /// Adds the counts of a category.
    fn insert(&mut self, category: &[u8], cell: Cell) {
        let most = self.most();
        match &mut self.held {
            Held::Categories { counts, bytes } => {
                if let Some(known) = counts.get_mut(category) {
                    known.add_all(cell);
                } else {
                    counts.insert(category.into(), cell);
                    *bytes += category.len();
                }
                if counts.len() > most {
                    self.held = Held::TooMany(total(counts.values()));
                }
            }
            Held::TooMany(sum) => sum.add_all(cell),
            _ => {}
        }
    }

    /// The counts of all cells: bins or categories in their order, NaN, NULL.
    pub(super) fn table(&self) -> Table {
        let mut notes = Notes::default();
        if self.unassigned > 0 {
            notes.add(format!("{} rows with NULL in is_base belong to no sample", self.unassigned));
        }
        let mut cells = match &self.held {
            Held::Nothing => Vec::new(),
            Held::Categories { counts, .. } => counts.values().copied().collect(),
            Held::TooMany(sum) => vec![*sum],
            Held::Bins(bins) => bins.clone(),
            Held::Numbers { base, study } => binned(&self.placing, base, study),
        };
        if self.placing == Placing::TwoValues {
            for (sample, nulls, nans) in
                [("base", self.nulls.base, self.nans.base), ("study", self.nulls.study, self.nans.study)]
            {
                if nulls + nans > 0 {
                    notes.add(format!("{nulls} NULL and {nans} NaN of the {sample} sample are left out"));
                }
            }
        } else {
            cells.extend([self.nans, self.nulls]);
        }
        Table::new(cells, self.too_many().is_some(), notes)
    }

    pub(super) fn heap_size(&self) -> usize {
        // A node of the tree is half full at least.
        const ENTRY: usize = 2 * size_of::<(Box<[u8]>, Cell)>();
        match &self.held {
            Held::Nothing | Held::TooMany(_) => 0,
            Held::Categories { counts, bytes } => counts.len() * ENTRY + bytes,
            Held::Bins(bins) => bins.capacity() * size_of::<Cell>(),
            Held::Numbers { base, study } => (base.capacity() + study.capacity()) * size_of::<f64>(),
        }
    }

    /// The kind, whether there are too many categories, the counts of rows without a value, and the values: ordered, so
    /// that equal rows make equal bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let kind = match self.kind {
            None => 0,
            Some(Kind::Text) => 1,
            Some(Kind::Number) => 2,
        };
        let mut out = vec![kind, u8::from(self.too_many().is_some())];
        put_varint(&mut out, self.unassigned);
        write_cell(&mut out, self.nulls);
        write_cell(&mut out, self.nans);
        match &self.held {
            Held::Nothing => {}
            Held::Categories { counts, .. } => {
                put_varint(&mut out, counts.len() as u64);
                for (category, cell) in counts {
                    put_varint(&mut out, category.len() as u64);
                    out.extend_from_slice(category);
                    write_cell(&mut out, *cell);
                }
            }
            Held::TooMany(sum) => write_cell(&mut out, *sum),
            Held::Bins(bins) => {
                for bin in bins {
                    write_cell(&mut out, *bin);
                }
            }
            Held::Numbers { base, study } => {
                for sample in [base, study] {
                    put_varint(&mut out, sample.len() as u64);
                    let mut sample = sample.clone();
                    sample.sort_unstable_by(f64::total_cmp);
                    for number in sample {
                        out.extend_from_slice(&number.to_le_bytes());
                    }
                }
            }
        }
        out
    }

    pub(super) fn merge(&mut self, bytes: &[u8]) -> Result<(), BadState> {
        let other = Self::read(self.placing.clone(), bytes)?;
        let rows = self.rows.checked_add(other.rows).filter(|rows| *rows <= MOST_ROWS).ok_or(BadState)?;
        if let Some(kind) = other.kind {
            self.decide(kind).map_err(|_| BadState)?;
        }
        self.rows = rows;
        self.unassigned += other.unassigned;
        self.nulls.add_all(other.nulls);
        self.nans.add_all(other.nans);
        match (&mut self.held, other.held) {
            (_, Held::Categories { counts, .. }) => {
                for (category, cell) in counts {
                    self.insert(&category, cell);
                }
            }
            (Held::Categories { counts, .. }, Held::TooMany(mut sum)) => {
                sum.add_all(total(counts.values()));
                self.held = Held::TooMany(sum);
            }
            (Held::TooMany(ours), Held::TooMany(theirs)) => ours.add_all(theirs),
            (Held::Bins(ours), Held::Bins(theirs)) => {
                for (ours, theirs) in ours.iter_mut().zip(theirs) {
                    ours.add_all(theirs);
                }
            }
            (Held::Numbers { base, study }, Held::Numbers { base: their_base, study: their_study }) => {
                base.extend(their_base);
                study.extend(their_study);
            }
            _ => {}
        }
        Ok(())
    }

    fn read(placing: Placing, bytes: &[u8]) -> Result<Self, BadState> {
        let (&[kind, too_many], bytes) = bytes.split_first_chunk::<2>().ok_or(BadState)?;
        let bytes = &mut &*bytes;
        let mut tally = Self::new(placing);
        let mut rows = 0;
        tally.unassigned = read(bytes, &mut rows)?;
        tally.nulls = read_cell(bytes, &mut rows)?;
        tally.nans = read_cell(bytes, &mut rows)?;
        match kind {
            0 => {}
            1 => tally.decide(Kind::Text).map_err(|_| BadState)?,
            2 => tally.decide(Kind::Number).map_err(|_| BadState)?,
            _ => return Err(BadState),
        }
        if too_many > 0 {
            if too_many > 1 || !matches!(tally.held, Held::Categories { .. }) {
                return Err(BadState);
            }
            tally.held = Held::TooMany(Cell::default());
        }
        match &mut tally.held {
            Held::Nothing => {}
            Held::Categories { .. } => {
                for _ in 0..read_varint(bytes)? {
                    let length = read_varint(bytes)?;
                    let category = usize::try_from(length).ok().and_then(|length| bytes.split_off(..length));
                    let cell = read_cell(bytes, &mut rows)?;
                    if cell == Cell::default() {
                        return Err(BadState);
                    }
                    tally.insert(category.ok_or(BadState)?, cell);
                }
            }
            Held::TooMany(sum) => *sum = read_cell(bytes, &mut rows)?,
            Held::Bins(bins) => {
                for bin in bins {
                    *bin = read_cell(bytes, &mut rows)?;
                }
            }
            Held::Numbers { base, study } => {
                for sample in [base, study] {
                    let length = read(bytes, &mut rows)?;
                    let length = usize::try_from(length).ok().and_then(|length| length.checked_mul(8));
                    let numbers = length.and_then(|length| bytes.split_off(..length)).ok_or(BadState)?;
                    sample.extend(numbers.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)));
                    if sample.iter().any(|number| number.is_nan()) {
                        return Err(BadState);
                    }
                }
            }
        }
        tally.rows = rows;
        if bytes.is_empty() { Ok(tally) } else { Err(BadState) }
    }
}

fn total<'a>(cells: impl Iterator<Item = &'a Cell>) -> Cell {
    cells.fold(Cell::default(), |mut sum, cell| {
        sum.add_all(*cell);
        sum
    })
}

/// A number as a category: its bytes are ordered as the numbers are, and both zeros are one.
fn key(number: f64) -> [u8; 8] {
    let bits = (number + 0.0).to_bits();
    let sign = 1 << 63;
    (if bits & sign == 0 { bits | sign } else { !bits }).to_be_bytes()
}

/// The bin of a number: it lies above the edges that are smaller.
fn place(edges: &[f64], number: f64) -> usize {
    edges.partition_point(|edge| *edge < number)
}

/// The counts of numbers between edges that the base gives.
fn binned(placing: &Placing, base: &[f64], study: &[f64]) -> Vec<Cell> {
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

fn write_cell(out: &mut Vec<u8>, cell: Cell) {
    put_varint(out, cell.base);
    put_varint(out, cell.study);
}

fn read_varint(bytes: &mut &[u8]) -> Result<u64, BadState> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.split_off_first().ok_or(BadState)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(BadState)
}

/// A count of rows, added to those read before.
fn read(bytes: &mut &[u8], rows: &mut u64) -> Result<u64, BadState> {
    let count = read_varint(bytes)?;
    *rows = rows.checked_add(count).filter(|rows| *rows <= MOST_ROWS).ok_or(BadState)?;
    Ok(count)
}

fn read_cell(bytes: &mut &[u8], rows: &mut u64) -> Result<Cell, BadState> {
    Ok(Cell { base: read(bytes, rows)?, study: read(bytes, rows)? })
}
