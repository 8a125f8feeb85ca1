//! The counts of two samples in the cells that either has values in, and what all measures of them share.

use crate::distribution::chi_square_sf;
use crate::drift::{Notes, Outcome};
use crate::function::Step;

/// How many values of each sample a cell has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub base: u64,
    pub study: u64,
}

impl Cell {
    pub(crate) fn add(&mut self, is_base: bool) {
        self.step(is_base, Step::Add);
    }

    /// A row of a sample comes or goes.
    pub(crate) fn step(&mut self, is_base: bool, step: Step) {
        step.count(if is_base { &mut self.base } else { &mut self.study });
    }

    pub(crate) fn add_all(&mut self, other: Self) {
        self.base += other.base;
        self.study += other.study;
    }

    pub(crate) fn total(self) -> u64 {
        self.base + self.study
    }
}

/// The cells, none of them empty, and their sums, which are at most 2⁵³.
#[derive(Debug)]
pub(crate) struct Table {
    pub cells: Vec<Cell>,
    pub sum: Cell,
    /// Whether there are more categories than the two that were asked for; their sum is then all that is known.
    pub is_more: bool,
    pub notes: Notes,
}

impl Table {
    pub(crate) fn new(mut cells: Vec<Cell>, is_more: bool, notes: Notes) -> Self {
        cells.retain(|cell| *cell != Cell::default());
        let mut sum = Cell::default();
        for cell in &cells {
            sum.add_all(*cell);
        }
        Self { cells, sum, is_more, notes }
    }

    /// Which sample has no row, if one has none.
    pub(crate) fn missing_sample(&self) -> Option<&'static str> {
        match self.sum {
            Cell { base: 0, .. } => Some("base"),
            Cell { study: 0, .. } => Some("study"),
            _ => None,
        }
    }

    /// No result, and why.
    pub(crate) fn untestable(mut self, reason: impl Into<String>) -> Outcome {
        self.notes.add(reason);
        Outcome { n_base: self.sum.base, n_study: self.sum.study, note: self.notes.text(), ..Outcome::default() }
    }

    /// No result, because all values are in one cell.
    pub(crate) fn one_cell(self) -> Outcome {
        self.untestable(ONE_CELL)
    }

    /// The counts of the lesser and of the greater value, or why a test of two values is not possible.
    pub(crate) fn two_values(&self) -> Result<(Cell, Cell), &'static str> {
        match *self.cells {
            _ if self.is_more => {
                Err("there are more than two values; test them with chi_square_test, or one against the others")
            }
            [lower, upper] => Ok((lower, upper)),
            _ => Err(ONE_CELL),
        }
    }

    pub(crate) fn outcome(self, statistic: f64, effect_size: f64, p_value: Option<f64>) -> Outcome {
        Outcome {
            statistic: Some(statistic),
            effect_size: Some(effect_size),
            p_value,
            n_base: self.sum.base,
            n_study: self.sum.study,
            note: self.notes.text(),
        }
    }

    /// The outcome of a distance: how large it is, and the p-value of the chi-square test of homogeneity.
    pub(crate) fn distance(mut self, distance: f64) -> Outcome {
        let p_value = if self.cells.len() > 1 {
            self.note_small_expected();
            Some(self.p_value(self.chi_square()))
        } else {
            self.notes.add(ONE_CELL);
            None
        };
        self.outcome(distance, distance, p_value)
    }

    /// The share of each cell in the base and in the study sample.
    pub(crate) fn shares(&self) -> impl Iterator<Item = (f64, f64)> {
        let (base, study) = (self.sum.base as f64, self.sum.study as f64);
        self.cells.iter().map(move |cell| (cell.base as f64 / base, cell.study as f64 / study))
    }

    /// The share of a cell in the study sample less that in the base, in units of 1 / [`Table::unit`], without rounding.
    pub(crate) fn difference(&self, cell: Cell) -> i128 {
        i128::from(cell.study) * i128::from(self.sum.base) - i128::from(cell.base) * i128::from(self.sum.study)
    }

    /// The product of the sizes of the samples.
    pub(crate) fn unit(&self) -> f64 {
        self.sum.base as f64 * self.sum.study as f64
    }

    /// Pearson's statistic of homogeneity, without a correction for continuity.
    pub(crate) fn chi_square(&self) -> f64 {
        let unit = self.unit();
        let square = |cell: &Cell| {
            let difference = self.difference(*cell) as f64;
            difference / cell.total() as f64 * (difference / unit)
        };
        self.cells.iter().map(square).sum()
    }

    /// Cramér's V: the root of chi-square over the number of values.
    pub(crate) fn cramers_v(&self) -> f64 {
        (self.chi_square() / self.sum.total() as f64).sqrt()
    }

    /// The tail of chi-square with one degree of freedom less than there are cells.
    pub(crate) fn p_value(&self, statistic: f64) -> f64 {
        chi_square_sf(statistic, self.cells.len() as f64 - 1.0)
    }

    /// Says in how many cells fewer than five values of a sample are expected, where the samples come from one distribution.
    pub(crate) fn note_small_expected(&mut self) {
        let (smaller, all) = (u128::from(self.sum.base.min(self.sum.study)), u128::from(self.sum.total()));
        self.note_small(|cell| u128::from(cell.total()) * smaller < 5 * all);
    }

    /// Says how many cells are small.
    pub(crate) fn note_small(&mut self, is_small: impl Fn(&Cell) -> bool) {
        let small = self.cells.iter().filter(|cell| is_small(cell)).count();
        if small > 0 {
            let all = self.cells.len();
            self.notes.add(format!("expected counts below 5 in {small} of {all} cells: the p-value is approximate"));
        }
    }
}

pub(crate) const ONE_CELL: &str = "all values fall into one cell, so there is nothing to test";
