//! The histogram of keys: how many lie in each stretch of 2^shift keys, and which key, where they are all the same.
//!
//! The shift is the least at which no more than [`LIMIT`] stretches are in use, and at most [`COARSEST`]. Stretches of a
//! shift lie in those of the next, and more values never use fewer stretches, so the shift depends on the values alone and
//! not on how they came in.

use super::Error;
use super::bytes::{Reader, put, put_signed};
use super::key::{self, INFINITY};

/// Up to this many stretches the histogram becomes no coarser: so many different values are held exactly.
pub(super) const LIMIT: usize = 2_048;

/// The coarsest shift: 7 of 52 bits of the mantissa are left, so a stretch is at most 2^-7 of its values wide.
pub(super) const COARSEST: u32 = 45;

/// In place of the one key of a stretch that holds several.
const SEVERAL: i64 = i64::MIN;

const BAD: Error = Error::Bytes("the buckets of its values contradict each other");

/// A stretch in use, in a table with open addressing; one of no count is free.
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// The keys over 2^shift.
    stretch: i64,
    count: u64,
    /// The key of all that it holds, or [`SEVERAL`].
    only: i64,
}

impl Slot {
    fn bucket(&self, shift: u32) -> Bucket {
        if self.only == SEVERAL {
            let low = self.stretch << shift;
            Bucket { low, high: low + ((1_i64 << shift) - 1), count: self.count }
        } else {
            Bucket { low: self.only, high: self.only, count: self.count }
        }
    }
}

const FREE: Slot = Slot { stretch: 0, count: 0, only: 0 };

/// So many values between two keys, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) low: i64,
    pub(super) high: i64,
    pub(super) count: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Buckets {
    shift: u32,
    used: usize,
    /// A power of two of slots, at most three quarters of them in use.
    slots: Vec<Slot>,
}

impl Buckets {
    pub(super) fn new() -> Self {
        Self { shift: 0, used: 0, slots: vec![FREE; 8] }
    }

    pub(super) fn shift(&self) -> u32 {
        self.shift
    }

    /// Whether it holds the values themselves.
    pub(super) fn is_exact(&self) -> bool {
        self.shift == 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Whether it has to become coarser.
    pub(super) fn is_full(&self) -> bool {
        self.used > LIMIT && self.shift < COARSEST
    }

    /// Counts keys up to the one that makes it full, and tells how many.
    pub(super) fn extend(&mut self, keys: &[i64]) -> usize {
        for (i, key) in keys.iter().enumerate() {
            if self.insert(Slot { stretch: key >> self.shift, count: 1, only: *key }) && self.is_full() {
                return i + 1;
            }
        }
        keys.len()
    }

    /// Counts what another holds, were it as coarse; this one may be full then.
    pub(super) fn merge(&mut self, other: &Self) {
        if self.shift < other.shift {
            self.coarsen(other.shift);
        }
        let shift = self.shift - other.shift;
        for slot in other.slots.iter().filter(|slot| slot.count > 0) {
            self.insert(Slot { stretch: slot.stretch >> shift, ..*slot });
        }
    }

    /// Adds to a stretch, and tells whether it was free.
    fn insert(&mut self, new: Slot) -> bool {
        let mask = self.slots.len() - 1;
        // Fibonacci hashing by the top bits, into which both ends of the number are mixed: whole numbers end in zeros.
        let bits = new.stretch.cast_unsigned();
        let mixed = (bits ^ (bits >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut place = (mixed >> (64 - self.slots.len().trailing_zeros())) as usize;
        // A quarter of the slots are free, so one is met.
        while let Some(slot) = self.slots.get_mut(place) {
            if slot.count == 0 {
                *slot = new;
                self.used += 1;
                if 4 * self.used > 3 * self.slots.len() {
                    self.rebuild(2 * self.slots.len(), self.shift);
                }
                return true;
            }
            if slot.stretch == new.stretch {
                slot.count += new.count;
                if slot.only != new.only {
                    slot.only = SEVERAL;
                }
                return false;
            }
            place = (place + 1) & mask;
        }
        false
    }

    /// Becomes as coarse as it has to be.
    pub(super) fn fit(&mut self) {
        if self.is_full() {
            // The stretches of two neighbours become one at the shift of the highest bit in which they differ.
            let stretches: Vec<i64> = self.sorted().iter().map(|slot| slot.stretch).collect();
            let mut joined = [0_usize; 65];
            for (a, b) in stretches.iter().zip(stretches.iter().skip(1)) {
                if let Some(joined) = joined.get_mut(64 - (a ^ b).leading_zeros() as usize) {
                    *joined += 1;
                }
            }
            let mut shift = self.shift;
            let mut used = self.used;
            for joined in joined.iter().skip(1) {
                if used <= LIMIT || shift >= COARSEST {
                    break;
                }
                used -= joined;
                shift += 1;
            }
            self.coarsen(shift);
        }
    }

    fn coarsen(&mut self, shift: u32) {
        self.rebuild(self.slots.len(), shift);
    }

    fn rebuild(&mut self, size: usize, shift: u32) {
        let slots = std::mem::replace(&mut self.slots, vec![FREE; size]);
        let by = shift - self.shift;
        self.shift = shift;
        self.used = 0;
        for slot in slots.into_iter().filter(|slot| slot.count > 0) {
            self.insert(Slot { stretch: slot.stretch >> by, ..slot });
        }
    }

    fn sorted(&self) -> Vec<Slot> {
        let mut slots: Vec<Slot> = self.slots.iter().filter(|slot| slot.count > 0).copied().collect();
        slots.sort_unstable_by_key(|slot| slot.stretch);
        slots
    }

    /// What it holds.
    pub(super) fn in_any_order(&self) -> impl Iterator<Item = Bucket> + use<'_> {
        self.slots.iter().filter(|slot| slot.count > 0).map(|slot| slot.bucket(self.shift))
    }

    /// What it holds, in order.
    pub(super) fn in_order(&self) -> Vec<Bucket> {
        self.sorted().iter().map(|slot| slot.bucket(self.shift)).collect()
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let slots = self.sorted();
        let within = |slot: &Slot| slot.only - (slot.stretch << self.shift);
        // Whole numbers and short fractions leave the low bits zero: these are written once.
        let bits = if self.shift == 0 {
            slots.iter().fold(0, |bits, slot| bits | slot.stretch)
        } else {
            slots.iter().filter(|slot| slot.only != SEVERAL).fold(0, |bits, slot| bits | within(slot))
        };
        let zeros = if bits == 0 { 0 } else { bits.trailing_zeros() };
        put(out, slots.len() as u64);
        out.extend([self.shift as u8, zeros as u8]);
        let unit = if self.shift == 0 { zeros } else { 0 };
        let mut before = None;
        for slot in &slots {
            let stretch = slot.stretch >> unit;
            match before {
                None => put_signed(out, stretch),
                Some(before) => put(out, stretch.abs_diff(before) - 1),
            }
            before = Some(stretch);
            if self.shift == 0 {
                put(out, slot.count);
            } else if slot.only == SEVERAL {
                put(out, 2 * slot.count + 1);
            } else {
                put(out, 2 * slot.count);
                put(out, within(slot).cast_unsigned() >> zeros);
            }
        }
    }

    /// What [`write`](Self::write) wrote, and all of it in order.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<(Self, Vec<Bucket>), Error> {
        // Each stretch takes a byte or more, so the table is bounded by the bytes.
        let used = reader.length()?;
        let [shift, zeros] = reader.array::<2>()?.map(u32::from);
        if used == 0 || shift > COARSEST || zeros > 63 || (used > LIMIT && shift < COARSEST) {
            return Err(BAD);
        }
        let mut buckets = Self { shift, used: 0, slots: vec![FREE; (used + used / 2).next_power_of_two().max(8)] };
        let unit = if shift == 0 { zeros } else { 0 };
        let mut before: Option<i64> = None;
        let mut several = 0;
        let mut ordered = Vec::with_capacity(used);
        for _ in 0..used {
            let stretch = match before {
                None => reader.signed()?,
                Some(before) => {
                    let step = reader.number()?.checked_add(1).ok_or(BAD)?;
                    before.checked_add_unsigned(step).ok_or(BAD)?
                }
            };
            before = Some(stretch);
            if !(-INFINITY >> (shift + unit)..=(INFINITY - 1) >> (shift + unit)).contains(&stretch) {
                return Err(BAD);
            }
            let stretch = stretch << unit;
            let count = reader.number()?;
            let slot = if shift == 0 {
                Slot { stretch, count, only: stretch }
            } else if count % 2 == 1 {
                several += 1;
                Slot { stretch, count: count / 2, only: SEVERAL }
            } else {
                let within = reader.number()?;
                if within > u64::MAX >> (64 - shift) >> zeros {
                    return Err(BAD);
                }
                Slot { stretch, count: count / 2, only: (stretch << shift) + (within << zeros).cast_signed() }
            };
            let is_finite = slot.only == SEVERAL || slot.only > -INFINITY;
            if slot.count < if slot.only == SEVERAL { 2 } else { 1 } || !is_finite {
                return Err(BAD);
            }
            ordered.push(slot.bucket(shift));
            buckets.insert(slot);
        }
        // At the next finer shift there were more stretches than the limit.
        if buckets.used != used || (shift > 0 && used + several <= LIMIT) {
            return Err(BAD);
        }
        Ok((buckets, ordered))
    }

    pub(super) fn heap_size(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }
}

impl Bucket {
    /// The two ends, as floats.
    pub(super) fn ends(&self) -> (f64, f64) {
        (key::value(self.low), key::value(self.high))
    }
}
