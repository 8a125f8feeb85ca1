//! A tally as bytes, and the merge of such.

use super::{Held, Kind, Tally, total};
use crate::bytes::put_varint;
use crate::drift::cells::Cell;
use crate::function::BadState;

/// More rows than this are refused in a merge: up to it all counts are exact as floats, and their products fit `i128`.
const MOST_ROWS: u64 = 1 << 53;

impl Tally {
    /// The kind, whether there are too many categories, the counts of rows without a value, and the values: ordered, so
    /// that equal rows make equal bytes.
    pub(in super::super) fn to_bytes(&self) -> Vec<u8> {
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

    pub(in super::super) fn merge(&mut self, bytes: &[u8]) -> Result<(), BadState> {
        let empty = Self { slides: self.slides, ..Self::new(self.placing.clone()) };
        let other = empty.read(bytes)?;
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

    /// What bytes hold, into an empty tally.
    fn read(self, bytes: &[u8]) -> Result<Self, BadState> {
        let (&[kind, too_many], bytes) = bytes.split_first_chunk::<2>().ok_or(BadState)?;
        let bytes = &mut &*bytes;
        let mut tally = self;
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
