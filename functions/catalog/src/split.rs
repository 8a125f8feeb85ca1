//! Splits by hash: which of train, validation and test a key is in, from the key and a seed alone.

mod by_key;

pub use by_key::Split;

use crate::hash;

/// The names of the splits, in the order of their fractions.
pub const NAMES: [&str; 3] = ["train", "validation", "test"];

/// How far the sum of the fractions may be from 1.
const SUM_TOLERANCE: f64 = 1e-9;

/// Where a key lies from 0 (inclusive) to 1 (exclusive): the upper 53 bits of the fingerprint of `seed/key`.
///
/// Every split of the product by hash is read off this place, so that they agree.
#[must_use]
pub fn place(seed: &str, key: &str) -> f64 {
    let mut text = String::with_capacity(seed.len() + key.len() + 1);
    text.push_str(seed);
    text.push('/');
    text.push_str(key);
    (hash::fingerprint64(text.as_bytes()) >> 11) as f64 / (1_u64 << 53) as f64
}

/// What share of the keys is in each split, as the places at which validation and test begin.
///
/// Train begins at place 0 and validation where train ends, so a larger share for train takes keys into train and
/// moves none out of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fractions {
    validation: f64,
    test: f64,
}

impl Fractions {
    /// From the shares of train, validation and test; refused where one is not from 0 to 1 or the sum is not 1.
    pub fn new(shares: [f64; 3]) -> Result<Self, String> {
        for (name, share) in NAMES.iter().zip(shares) {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("the fraction `{name}` is {share:?}, but has to be from 0 to 1"));
            }
        }
        let [train, validation, test] = shares;
        let sum = train + validation + test;
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            return Err(format!(
                "the fractions {train:?}, {validation:?} and {test:?} have the sum {sum:?}, but every key is in one \
                 split, so it has to be 1"
            ));
        }
        // What rounding leaves between the sum and 1 belongs to the last split that has a share.
        Ok(match (validation > 0.0, test > 0.0) {
            (_, true) => Self { validation: train, test: train + validation },
            (true, false) => Self { validation: train, test: 1.0 },
            (false, false) => Self { validation: 1.0, test: 1.0 },
        })
    }

    /// The split of a place.
    #[must_use]
    pub fn name_of(&self, place: f64) -> &'static str {
        let [train, validation, test] = NAMES;
        if place < self.validation {
            train
        } else if place < self.test {
            validation
        } else {
            test
        }
    }

    /// The places at which validation and test begin.
    #[must_use]
    pub fn bounds(&self) -> (f64, f64) {
        (self.validation, self.test)
    }
}

#[cfg(test)]
mod tests;
