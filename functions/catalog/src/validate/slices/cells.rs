//! The cells that a column is divided into: its values, or ranges of its numbers.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::Options;
use super::number::readable;
use crate::profile::Profile;
use crate::validate::column::few_numbers;

/// The code of a value that is in no cell, because too few rows have it.
pub const NO_CELL: u32 = u32::MAX;

/// How the values of a column are written in a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Literal {
    /// A text in single quotes, or a number.
    Plain,
    /// `true` and `false`, profiled as texts.
    Boolean,
}

/// Rows of a column that belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Cell {
    Null,
    Nan,
    Text(String),
    /// A number by its bits, since JSON has no infinities.
    Number(u64),
    /// From the first number on, below the second; `None` has no end.
    Range(Option<f64>, Option<f64>),
}

/// A column and its cells; the code of a cell is its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Division {
    /// The column, as a condition writes it.
    name: String,
    literal: Literal,
    cells: Vec<Cell>,
    /// How many values have too few rows to be a slice.
    rare: u64,
    /// Why the column is not searched.
    problem: Option<String>,
}

impl Division {
    /// A column that is not searched, and why.
    #[must_use]
    pub fn unsearched(name: &str, problem: &str) -> Self {
        Self {
            name: name.to_owned(),
            literal: Literal::Plain,
            cells: Vec::new(),
            rare: 0,
            problem: Some(problem.to_owned()),
        }
    }

    /// The cells of a column with this profile: one for each value of texts, booleans and numbers of few different values,
    /// ranges of about equal numbers of rows for other numbers, and one each for NULL and NaN, as far as they have enough
    /// rows.
    #[must_use]
    pub fn of(name: &str, literal: Literal, profile: &Profile, options: &Options) -> Self {
        let (mut cells, mut rare, mut values) = (Vec::new(), 0, 0);
        let mut add = |cell: Cell, rows: u64| {
            values += u64::from(rows > 0);
            if rows >= options.min_rows.max(1) {
                cells.push(cell);
            } else if rows > 0 {
                rare += 1;
            }
        };
        if profile.is_of_texts() {
            if profile.other_categories() > 0 {
                let different = profile.distinct().estimate;
                let problem = format!("about {different:.0} different texts are too many; group them");
                return Self::unsearched(name, &problem);
            }
            for category in profile.categories() {
                if category.is_cut {
                    return Self::unsearched(name, "texts of more than 64 bytes are no categories; shorten them");
                }
                add(Cell::Text(category.text.to_owned()), category.count);
            }
        } else if let Some(numbers) = few_numbers(profile) {
            for (number, count) in numbers {
                add(Cell::Number(number.to_bits()), count);
            }
        } else {
            // Ranges have about equal numbers of rows; how many is not known before they are counted.
            for range in ranges(profile, options.bins) {
                add(range, profile.rows());
            }
        }
        add(Cell::Nan, profile.nans());
        add(Cell::Null, profile.nulls());
        if values < 2 {
            return Self::unsearched(name, "(nearly) all rows have one value");
        }
        Self { name: name.to_owned(), literal, cells, rare, problem: None }
    }

    /// The column's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many values have too few rows to be a slice.
    #[must_use]
    pub fn rare(&self) -> u64 {
        self.rare
    }

    /// Why the column is not searched, if it is not.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// The cell of a code as a condition in SQL.
    pub(super) fn condition(&self, code: u32) -> String {
        let name = &self.name;
        let has_nan = self.cells.contains(&Cell::Nan) || self.rare > 0;
        match self.cells.get(code as usize) {
            None => format!("{name} in no cell"),
            Some(Cell::Null) => format!("{name} IS NULL"),
            Some(Cell::Nan) => format!("isnan({name})"),
            Some(Cell::Text(text)) if self.literal == Literal::Boolean => format!("{name} = {text}"),
            Some(Cell::Text(text)) => format!("{name} = '{}'", text.replace('\'', "''")),
            Some(Cell::Number(bits)) => match f64::from_bits(*bits) {
                number if number.is_infinite() => format!("{name} = '{number}'"),
                number => format!("{name} = {number}"),
            },
            Some(Cell::Range(None, None)) => format!("{name} IS NOT NULL"),
            Some(Cell::Range(None, Some(high))) => format!("{name} < {high}"),
            Some(Cell::Range(Some(low), Some(high))) => format!("{name} >= {low} AND {name} < {high}"),
            // NaN is above all numbers.
            Some(Cell::Range(Some(low), None)) if has_nan => format!("{name} >= {low} AND NOT isnan({name})"),
            Some(Cell::Range(Some(low), None)) => format!("{name} >= {low}"),
        }
    }

    /// What gives the codes of values.
    #[must_use]
    pub fn coder(&self) -> Coder<'_> {
        let mut coder =
            Coder { null: NO_CELL, nan: NO_CELL, texts: HashMap::new(), numbers: Vec::new(), cuts: Vec::new() };
        for (cell, code) in self.cells.iter().zip(0..) {
            match cell {
                Cell::Null => coder.null = code,
                Cell::Nan => coder.nan = code,
                Cell::Text(text) => drop(coder.texts.insert(text, code)),
                Cell::Number(bits) => coder.numbers.push((f64::from_bits(*bits), code)),
                Cell::Range(low, _) => coder.cuts.push((low.unwrap_or(f64::NEG_INFINITY), code)),
            }
        }
        coder
    }
}

/// The codes of the values of a column.
#[derive(Debug)]
pub struct Coder<'a> {
    null: u32,
    nan: u32,
    texts: HashMap<&'a str, u32>,
    numbers: Vec<(f64, u32)>,
    /// Where ranges begin, in order.
    cuts: Vec<(f64, u32)>,
}

impl Coder<'_> {
    /// The code of a text.
    #[must_use]
    pub fn text(&self, text: Option<&str>) -> u32 {
        text.map_or(self.null, |text| self.texts.get(text).copied().unwrap_or(NO_CELL))
    }

    /// The code of a number.
    #[must_use]
    #[allow(clippy::float_cmp, reason = "a cell is of one number")]
    pub fn number(&self, number: Option<f64>) -> u32 {
        let Some(number) = number else { return self.null };
        if number.is_nan() {
            return self.nan;
        }
        if self.cuts.is_empty() {
            return self.numbers.iter().find(|(own, _)| *own == number).map_or(NO_CELL, |(_, code)| *code);
        }
        let after = self.cuts.partition_point(|(low, _)| *low <= number);
        after.checked_sub(1).and_then(|at| self.cuts.get(at)).map_or(NO_CELL, |(_, code)| *code)
    }
}

/// Ranges of about equal numbers of rows, that end where people would cut.
fn ranges(profile: &Profile, bins: usize) -> Vec<Cell> {
    let Some((least, greatest)) = profile.range() else { return Vec::new() };
    let quantile =
        |q: f64| profile.quantile(q).map(|bounds| bounds.value).filter(|cut| *cut > least && cut.is_finite());
    let mut cuts: Vec<f64> = (1..bins).filter_map(|bin| quantile(bin as f64 / bins as f64)).collect();
    cuts.dedup();
    if cuts.is_empty() {
        // Most rows have the least number: they are one cell, and the others another, from the next number on.
        let (mut without, mut with) = (0.0_f64, 1.0_f64);
        for _ in 0..50 {
            let middle = f64::midpoint(without, with);
            if quantile(middle).is_some() { with = middle } else { without = middle }
        }
        cuts.extend(quantile(with));
    }
    let ends: Vec<f64> = std::iter::once(least).chain(cuts.iter().copied()).chain([greatest]).collect();
    let mut shown: Vec<f64> = Vec::new();
    for window in ends.windows(3) {
        let [before, cut, after] = *window else { continue };
        let gap = if after > cut { (cut - before).min(after - cut) } else { cut - before };
        let before = shown.last().copied().unwrap_or(least);
        let near = readable(cut, gap);
        shown.push(if near > before { near } else { cut });
    }
    let lows = std::iter::once(None).chain(shown.iter().copied().map(Some));
    let highs = shown.iter().copied().map(Some).chain([None]);
    lows.zip(highs).map(|(low, high)| Cell::Range(low, high)).collect()
}
