//! The losses of all slices, gathered in one pass: the same bytes for any order and merge of the rows.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use super::{MOST_COLUMNS, NO_CELL};
use crate::bytes::{Reader, Writer};
use crate::function::BadState;
use crate::sum::{ExactMoments, ExactSum};

/// How many slices a search holds at most.
pub const MOST_SLICES: usize = 200_000;

/// There are more slices than a search holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "there are more than {MOST_SLICES} slices to search; name fewer columns in `by`, or take a smaller `max_columns`, fewer \
     `bins` or a larger `min_rows`"
)]
pub struct TooMany;

/// The cells that a slice is the conjunction of: columns and codes in 16 bits each, the first column the highest, no more
/// than [`MOST_COLUMNS`] of them; zero is none, so the numbers of columns begin at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(u128);

impl Key {
    fn of(cells: impl Iterator<Item = (usize, u32)>) -> Self {
        Self(cells.fold(0, |key, (column, code)| key << 32 | (column as u128 + 1) << 16 | u128::from(code)))
    }

    /// The columns and codes, in the order of the columns.
    pub(super) fn cells(self) -> Vec<(usize, u32)> {
        let parts = (0..MOST_COLUMNS).rev().map(|place| (self.0 >> (32 * place)) as u32);
        parts.filter_map(|part| Some((((part >> 16) as usize).checked_sub(1)?, part & 0xffff))).collect()
    }

    /// The wider slices, each of some of the cells.
    pub(super) fn parents(self) -> Vec<Self> {
        let cells = self.cells();
        let all = 1_usize << cells.len();
        (1..all.saturating_sub(1))
            .map(|chosen| {
                let is_chosen = |(place, _): &(usize, &(usize, u32))| chosen >> place & 1 == 1;
                Self::of(cells.iter().enumerate().filter(is_chosen).map(|(_, cell)| *cell))
            })
            .collect()
    }
}

/// Keys come from the data's columns and codes, which nobody chooses so that they collide: one multiplication will do.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u128(u128::from(*byte));
        }
    }

    fn write_u128(&mut self, key: u128) {
        let mixed = (self.0 ^ key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (key >> 64) as u64;
        let mixed = (mixed ^ mixed >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 29;
    }
}

/// Losses of nearly one size.
#[derive(Debug, Clone)]
struct Size {
    least: f64,
    greatest: f64,
    sum: ExactSum,
}

/// The losses of all rows and of every slice.
#[derive(Debug, Clone)]
pub struct Losses {
    max_columns: usize,
    all: ExactMoments,
    /// How the losses are distributed, by sign, exponent and four more bits.
    sizes: BTreeMap<u16, Size>,
    slices: HashMap<Key, ExactMoments, BuildHasherDefault<KeyHasher>>,
    nulls: u64,
    unusable: u64,
}

impl Losses {
    /// No rows, to be searched for slices of up to so many columns.
    #[must_use]
    pub fn new(max_columns: usize) -> Self {
        Self {
            max_columns: max_columns.clamp(1, MOST_COLUMNS),
            all: ExactMoments::new(),
            sizes: BTreeMap::new(),
            slices: HashMap::default(),
            nulls: 0,
            unusable: 0,
        }
    }

    /// Adds a row: its loss, and the code of each column.
    pub fn add(&mut self, loss: Option<f64>, codes: &[u32]) -> Result<(), TooMany> {
        let Some(loss) = loss else {
            self.nulls += 1;
            return Ok(());
        };
        if !loss.is_finite() {
            self.unusable += 1;
            return Ok(());
        }
        let loss = loss + 0.0;
        self.all.add(loss);
        let size = self.sizes.entry((loss.to_bits() >> 48) as u16);
        let size = size.or_insert_with(|| Size { least: loss, greatest: loss, sum: ExactSum::new() });
        size.least = size.least.min(loss);
        size.greatest = size.greatest.max(loss);
        size.sum.add(loss);
        self.add_to_slices(loss, codes, 0, Key(0), 0);
        if self.slices.len() > MOST_SLICES { Err(TooMany) } else { Ok(()) }
    }

    /// Adds a loss to the slices that have the cells of `key` and others of columns from `from` on.
    fn add_to_slices(&mut self, loss: f64, codes: &[u32], from: usize, key: Key, columns: usize) {
        for (column, code) in codes.iter().enumerate().skip(from) {
            if *code == NO_CELL {
                continue;
            }
            let key = Key(key.0 << 32 | Key::of(std::iter::once((column, *code))).0);
            self.slices.entry(key).or_default().add(loss);
            if columns + 1 < self.max_columns {
                self.add_to_slices(loss, codes, column + 1, key, columns + 1);
            }
        }
    }

    /// Adds all that `other` holds.
    pub fn merge(&mut self, other: Self) -> Result<(), TooMany> {
        self.all.merge(&other.all);
        self.nulls += other.nulls;
        self.unusable += other.unusable;
        for (bits, theirs) in other.sizes {
            if let Some(ours) = self.sizes.get_mut(&bits) {
                ours.least = ours.least.min(theirs.least);
                ours.greatest = ours.greatest.max(theirs.greatest);
                ours.sum.merge(&theirs.sum);
            } else {
                self.sizes.insert(bits, theirs);
            }
        }
        for (key, theirs) in other.slices {
            self.slices.entry(key).or_default().merge(&theirs);
        }
        if self.slices.len() > MOST_SLICES { Err(TooMany) } else { Ok(()) }
    }

    /// The moments of all losses.
    pub(super) fn all(&self) -> &ExactMoments {
        &self.all
    }

    /// Rows without a loss, and rows whose loss is NaN or infinite.
    pub(super) fn left_out(&self) -> (u64, u64) {
        (self.nulls, self.unusable)
    }

    /// The moments of each slice, those of fewer columns first.
    pub(super) fn slices(&self) -> Vec<(Key, &ExactMoments)> {
        let mut slices: Vec<_> = self.slices.iter().map(|(key, moments)| (*key, moments)).collect();
        slices.sort_unstable_by_key(|(key, _)| *key);
        slices
    }

    /// The distribution of the losses as points with their shares: exact where losses of one size are equal, else the
    /// points are the ends of the size, with its mean, so that every convex function of a loss has no smaller mean.
    pub(super) fn points(&self) -> Vec<(f64, f64)> {
        let n = self.all.values().count() as f64;
        let mut points = Vec::new();
        for size in self.sizes.values() {
            let share = size.sum.count() as f64 / n;
            if size.least < size.greatest {
                let mean = size.sum.avg().unwrap_or(size.least);
                let upper = ((mean - size.least) / (size.greatest - size.least)).clamp(0.0, 1.0);
                points.push((size.least, share * (1.0 - upper)));
                points.push((size.greatest, share * upper));
            } else {
                points.push((size.least, share));
            }
        }
        points
    }

    /// The state as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u64(self.max_columns as u64).u64(self.nulls).u64(self.unusable).bytes(&self.all.to_bytes());
        out.u64(self.sizes.len() as u64);
        for (bits, size) in &self.sizes {
            out.u64((*bits).into()).f64(size.least).f64(size.greatest).bytes(&size.sum.to_bytes());
        }
        out.u64(self.slices.len() as u64);
        for (key, moments) in self.slices() {
            out.u64((key.0 >> 64) as u64).u64(key.0 as u64).bytes(&moments.to_bytes());
        }
        out.finish()
    }

    /// The state that [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadState> {
        let mut bytes = Reader(bytes);
        let mut losses = Self::new(usize::try_from(bytes.u64()?).map_err(|_| BadState)?);
        losses.nulls = bytes.u64()?;
        losses.unusable = bytes.u64()?;
        losses.all = ExactMoments::from_bytes(bytes.bytes()?)?;
        for _ in 0..bytes.u64()? {
            let bits = u16::try_from(bytes.u64()?).map_err(|_| BadState)?;
            let (least, greatest) = (bytes.f64()?, bytes.f64()?);
            losses.sizes.insert(bits, Size { least, greatest, sum: ExactSum::from_bytes(bytes.bytes()?)? });
        }
        for _ in 0..bytes.u64()? {
            let key = Key(u128::from(bytes.u64()?) << 64 | u128::from(bytes.u64()?));
            losses.slices.insert(key, ExactMoments::from_bytes(bytes.bytes()?)?);
        }
        bytes.end()?;
        Ok(losses)
    }

    /// Bytes held on the heap.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        let slices = self.slices.values().map(ExactMoments::heap_size).sum::<usize>();
        let sizes = self.sizes.values().map(|size| size.sum.heap_size() + size_of::<Size>()).sum::<usize>();
        slices + sizes + self.slices.capacity() * size_of::<(Key, ExactMoments)>()
    }
}
