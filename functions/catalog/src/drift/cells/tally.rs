//! What is known of the rows before the end: counts where the cells are known too, and numbers where they depend on the base.

mod bytes;

use std::collections::BTreeMap;

use super::edges::{binned, place};
use super::{Cell, Placing, Table};
use crate::drift::Notes;
use crate::function::{Call, Error, Step};

/// More categories than this are refused: their counts would fill the memory without telling the samples apart.
const MOST_CATEGORIES: usize = 1_000_000;

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
    /// Whether rows may go again: then more than two categories are told apart where two are wanted.
    slides: bool,
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
        Self { placing, slides: false, kind: None, rows: 0, unassigned: 0, nulls, nans, held: Held::Nothing }
    }

    pub(super) fn placing(&self) -> &Placing {
        &self.placing
    }

    /// Makes an empty tally fit for rows that go again.
    pub(super) fn slide(&mut self) {
        self.slides = true;
    }

    fn most(&self) -> usize {
        if self.placing == Placing::TwoValues && !self.slides { 2 } else { MOST_CATEGORIES }
    }

    /// How many categories can be counted, where there are more.
    pub(super) fn too_many(&self) -> Option<usize> {
        matches!(self.held, Held::TooMany(_)).then(|| self.most())
    }

    pub(super) fn step(&mut self, call: &Call<'_>, step: Step) -> Result<(), Error> {
        let is_base = call.booleans(1)?;
        let texts = call.texts(0).ok();
        let numbers = if texts.is_none() { Some(call.floats(0)?) } else { None };
        for row in 0..call.rows() {
            step.count(&mut self.rows);
            if !call.is_given(1, row) {
                step.count(&mut self.unassigned);
                continue;
            }
            let is_base = is_base.get(row);
            if !call.is_given(0, row) {
                self.nulls.step(is_base, step);
            } else if let Some(text) = texts.as_ref().and_then(|texts| texts.at(row)) {
                self.decide(Kind::Text).map_err(|reason| call.refuse(reason))?;
                self.count(text.as_bytes(), is_base, step);
            } else if let Some(numbers) = &numbers {
                self.decide(Kind::Number).map_err(|reason| call.refuse(reason))?;
                self.step_number(numbers.get(row), is_base, step);
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

    fn count(&mut self, category: &[u8], is_base: bool, step: Step) {
        match &mut self.held {
            Held::Categories { counts, bytes } => match (counts.get_mut(category), step) {
                (Some(cell), _) => {
                    cell.step(is_base, step);
                    if *cell == Cell::default() {
                        counts.remove(category);
                        *bytes -= category.len();
                    }
                }
                (None, Step::Add) => {
                    let mut cell = Cell::default();
                    cell.add(is_base);
                    self.insert(category, cell);
                }
                (None, Step::Retract) => {}
            },
            Held::TooMany(sum) => sum.step(is_base, step),
            _ => {}
        }
    }

    fn step_number(&mut self, number: f64, is_base: bool, step: Step) {
        if number.is_nan() {
            self.nans.step(is_base, step);
            return;
        }
        match (&mut self.held, &self.placing) {
            (Held::Bins(bins), Placing::Edges(edges)) => {
                if let Some(bin) = bins.get_mut(place(edges, number)) {
                    bin.step(is_base, step);
                }
            }
            (Held::Numbers { base, study }, _) => {
                let sample = if is_base { base } else { study };
                step.keep(sample, number, |a, b| a.to_bits() == b.to_bits());
            }
            _ => self.count(&key(number), is_base, step),
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
        let mut is_more = self.too_many().is_some();
        let mut cells = match &self.held {
            Held::Nothing => Vec::new(),
            Held::Categories { counts, .. } if self.placing == Placing::TwoValues && counts.len() > 2 => {
                is_more = true;
                vec![total(counts.values())]
            }
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
        Table::new(cells, is_more, notes)
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
