//! The distribution of texts: exact counts of the categories with the smallest hashes, and of all others together.
//!
//! Which categories are kept depends on the texts alone: one that was let go has a hash above all that are kept from then
//! on, so it never comes back, and the count of one that is kept misses nothing.

use super::Error;
use super::bytes::{Reader, put};
use super::distinct::{Distinct, REGISTERS, STANDARD_ERROR};
use crate::hash::fingerprint64;

/// How many categories are kept.
pub(super) const KEPT: usize = 256;

/// How many bytes of a category's text are kept to show.
const SHOWN: usize = 64;

const FREE: u16 = u16::MAX;

const BAD: Error = Error::Bytes("its categories contradict each other");

/// A category with its count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Category {
    pub(super) hash: u64,
    /// The text, or its start where it is longer than 64 bytes.
    pub(super) text: Box<str>,
    pub(super) is_cut: bool,
    pub(super) count: u64,
}

impl Category {
    /// Of two texts with the same hash, the first in order is shown.
    fn take_first_text(&mut self, text: &str, is_cut: bool) {
        if (text, is_cut) < (&*self.text, self.is_cut) {
            self.text = text.into();
            self.is_cut = is_cut;
        }
    }
}

/// What is kept of a text, and whether that is not all.
fn shown(text: &str) -> (&str, bool) {
    let end = text.floor_char_boundary(SHOWN);
    (text.get(..end).unwrap_or_default(), end < text.len())
}

#[derive(Debug, Clone)]
pub(super) struct Categories {
    /// How many texts are empty.
    pub(super) empty: u64,
    kept: Vec<Category>,
    /// The places of categories by hash, with open addressing; a power of two, at most half of them in use.
    places: Vec<u16>,
    /// The greatest hash kept, once there are others.
    last: u64,
    /// How many texts are of other categories.
    others: u64,
    /// Present exactly when there are others.
    distinct: Option<Distinct>,
}

impl Categories {
    pub(super) fn new() -> Self {
        Self { empty: 0, kept: Vec::new(), places: vec![FREE; 8], last: u64::MAX, others: 0, distinct: None }
    }

    pub(super) fn add(&mut self, text: &str) {
        let hash = fingerprint64(text.as_bytes());
        self.empty += u64::from(text.is_empty());
        if let Some(distinct) = &mut self.distinct {
            distinct.add(hash);
        }
        if hash > self.last {
            self.others += 1;
            return;
        }
        let (text, is_cut) = shown(text);
        if let Some(category) = self.find(hash) {
            category.count += 1;
            category.take_first_text(text, is_cut);
        } else {
            self.insert(Category { hash, text: text.into(), is_cut, count: 1 });
        }
    }

    fn find(&mut self, hash: u64) -> Option<&mut Category> {
        let mask = self.places.len() - 1;
        let mut place = hash as usize & mask;
        loop {
            let index = *self.places.get(place)?;
            if index == FREE {
                return None;
            }
            if self.kept.get(usize::from(index))?.hash == hash {
                return self.kept.get_mut(usize::from(index));
            }
            place = (place + 1) & mask;
        }
    }

    /// Keeps a category that is not there, and lets the last go where there are too many.
    fn insert(&mut self, category: Category) {
        self.kept.push(category);
        if self.kept.len() > KEPT {
            if self.distinct.is_none() {
                let mut distinct = Distinct::new();
                self.kept.iter().for_each(|category| distinct.add(category.hash));
                self.distinct = Some(distinct);
            }
            let hashes = self.kept.iter().enumerate();
            if let Some((index, _)) = hashes.max_by_key(|(_, category)| category.hash) {
                self.others += self.kept.swap_remove(index).count;
            }
            self.last = self.kept.iter().map(|category| category.hash).max().unwrap_or(u64::MAX);
            self.index();
        } else if 2 * self.kept.len() > self.places.len() {
            self.places.resize(2 * self.places.len(), FREE);
            self.index();
        } else {
            self.place(self.kept.len() - 1);
        }
    }

    fn index(&mut self) {
        self.places.fill(FREE);
        for index in 0..self.kept.len() {
            self.place(index);
        }
    }

    /// Enters a category into the places.
    fn place(&mut self, index: usize) {
        let mask = self.places.len() - 1;
        let Some(category) = self.kept.get(index) else { return };
        let mut place = category.hash as usize & mask;
        while let Some(entry) = self.places.get_mut(place) {
            if *entry == FREE {
                *entry = index as u16;
                return;
            }
            place = (place + 1) & mask;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.empty += other.empty;
        let were_exact = self.is_exact() && other.is_exact();
        match (&mut self.distinct, &other.distinct) {
            (Some(ours), Some(theirs)) => ours.merge(theirs),
            (Some(ours), None) => other.kept.iter().for_each(|category| ours.add(category.hash)),
            (None, Some(theirs)) => {
                let mut distinct = theirs.clone();
                self.kept.iter().for_each(|category| distinct.add(category.hash));
                self.distinct = Some(distinct);
            }
            (None, None) => {}
        }
        self.others += other.others;
        // What the other let go, this one has to let go too.
        self.last = self.last.min(other.last);
        let last = self.last;
        let gone: u64 = self.kept.extract_if(.., |category| category.hash > last).map(|category| category.count).sum();
        self.others += gone;
        self.index();
        for theirs in &other.kept {
            if theirs.hash > self.last {
                self.others += theirs.count;
            } else if let Some(ours) = self.find(theirs.hash) {
                ours.count += theirs.count;
                ours.take_first_text(&theirs.text, theirs.is_cut);
            } else {
                self.insert(theirs.clone());
            }
        }
        if were_exact && let Some(distinct) = &mut self.distinct {
            other.kept.iter().for_each(|category| distinct.add(category.hash));
        }
    }

    /// Whether every category is kept.
    pub(super) fn is_exact(&self) -> bool {
        self.others == 0
    }

    /// The greatest hash up to which every category is kept.
    pub(super) fn known_to(&self) -> u64 {
        self.last
    }

    /// How many texts are of categories that are not kept.
    pub(super) fn others(&self) -> u64 {
        self.others
    }

    /// The kept categories, in no order.
    pub(super) fn kept(&self) -> &[Category] {
        &self.kept
    }

    /// How many categories there are, with the standard error of the number.
    pub(super) fn distinct(&self) -> (f64, f64) {
        match &self.distinct {
            None => (self.kept.len() as f64, 0.0),
            Some(distinct) => (distinct.estimate(), distinct.estimate() * STANDARD_ERROR),
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut kept: Vec<&Category> = self.kept.iter().collect();
        kept.sort_unstable_by_key(|category| category.hash);
        put(out, kept.len() as u64);
        put(out, self.others);
        for category in kept {
            put(out, 2 * category.text.len() as u64 + u64::from(category.is_cut));
            out.extend(category.text.as_bytes());
            if category.is_cut {
                out.extend(category.hash.to_le_bytes());
            }
            put(out, category.count);
        }
    }

    pub(super) fn write_distinct(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        self.distinct.as_ref()?.write(&mut out);
        Some(out)
    }

    /// The categories of sections that were there; `total` is how many texts there are.
    pub(super) fn read(
        empty: u64,
        reader: Option<Reader<'_>>,
        distinct: Option<Reader<'_>>,
        total: u64,
    ) -> Result<Self, Error> {
        let mut categories = Self { empty, ..Self::new() };
        let mut reader = reader.ok_or(BAD)?;
        let kept = reader.length()?;
        let others = reader.number()?;
        if kept == 0 || kept > KEPT || (others > 0 && kept < KEPT) || (others > 0) != distinct.is_some() {
            return Err(BAD);
        }
        let mut sum = others;
        let mut before = None;
        for _ in 0..kept {
            let length = reader.number()?;
            let (length, is_cut) = (usize::try_from(length / 2).unwrap_or(usize::MAX), length % 2 == 1);
            // A cut text lacks at most three bytes of a character.
            if length > SHOWN || (is_cut && length + 3 < SHOWN) {
                return Err(BAD);
            }
            let text = std::str::from_utf8(reader.take(length)?).map_err(|_| BAD)?;
            let hash = if is_cut { u64::from_le_bytes(reader.array()?) } else { fingerprint64(text.as_bytes()) };
            let count = reader.number()?;
            sum = sum.checked_add(count).ok_or(BAD)?;
            if count == 0 || before.is_some_and(|before| hash <= before) {
                return Err(BAD);
            }
            before = Some(hash);
            categories.insert(Category { hash, text: text.into(), is_cut, count });
        }
        reader.end()?;
        categories.others = others;
        if others > 0 {
            categories.last = before.ok_or(BAD)?;
        }
        if let Some(mut reader) = distinct {
            categories.distinct = Some(Distinct::read(&mut reader)?);
            reader.end()?;
        }
        let empties_fit = match categories.find(fingerprint64(b"")) {
            Some(category) => empty == category.count,
            None => empty <= others,
        };
        if sum == total && empties_fit { Ok(categories) } else { Err(BAD) }
    }

    pub(super) fn heap_size(&self) -> usize {
        let texts: usize = self.kept.iter().map(|category| category.text.len()).sum();
        self.kept.capacity() * size_of::<Category>()
            + 2 * self.places.capacity()
            + texts
            + self.distinct.as_ref().map_or(0, |_| REGISTERS)
    }
}
