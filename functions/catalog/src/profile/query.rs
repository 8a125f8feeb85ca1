//! What a profile tells: counts, quantiles and ranks with their bounds, categories.

use super::buckets::Bucket;
use super::numeric::Numeric;
use super::{Profile, Values, categories, key};
use crate::sum::ExactMoments;

/// A number that is known to lie between two others; all three are equal where it is known exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// It is no less than this.
    pub low: f64,
    /// The estimate.
    pub value: f64,
    /// It is no more than this.
    pub high: f64,
}

/// How many different values there are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distinct {
    /// The number, estimated by `HyperLogLog` unless every value is held.
    pub estimate: f64,
    /// Its standard error; 0 where the number is exact.
    pub standard_error: f64,
}

/// A category and how often it occurs, exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Category<'a> {
    /// Its text, or the start of it.
    pub text: &'a str,
    /// Whether the text goes on beyond the 64 bytes that are kept.
    pub is_cut: bool,
    /// How many rows have it.
    pub count: u64,
}

impl Profile {
    pub(super) fn numbers(&self) -> Option<&Numeric> {
        if let Values::Numbers(numeric) = &self.values { Some(numeric) } else { None }
    }

    pub(super) fn texts(&self) -> Option<&categories::Categories> {
        if let Values::Texts(categories) = &self.values { Some(categories) } else { None }
    }

    /// Whether it is of numbers; with only NULLs it is of neither.
    #[must_use]
    pub fn is_of_numbers(&self) -> bool {
        self.numbers().is_some()
    }

    /// Whether it is of texts.
    #[must_use]
    pub fn is_of_texts(&self) -> bool {
        self.texts().is_some()
    }

    /// How many rows there are, with NULL.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How many rows are NULL.
    #[must_use]
    pub fn nulls(&self) -> u64 {
        self.nulls
    }

    /// How many rows are NaN.
    #[must_use]
    pub fn nans(&self) -> u64 {
        self.numbers().map_or(0, |numeric| numeric.specials.nan)
    }

    /// How many rows are -∞ and +∞.
    #[must_use]
    pub fn infinities(&self) -> (u64, u64) {
        self.numbers()
            .map_or((0, 0), |numeric| (numeric.specials.negative_infinity, numeric.specials.positive_infinity))
    }

    /// How many rows are zero, or an empty text.
    #[must_use]
    pub fn zeros(&self) -> u64 {
        match &self.values {
            Values::Undecided => 0,
            Values::Numbers(numeric) => numeric.specials.zero,
            Values::Texts(categories) => categories.empty,
        }
    }

    /// Whether it holds the distribution itself, and not a sketch of it.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        match &self.values {
            Values::Undecided => true,
            Values::Numbers(numeric) => numeric.is_exact(),
            Values::Texts(categories) => categories.is_exact(),
        }
    }

    /// Every number with its count, as keys in the order of the numbers; `None` for texts, and where they are not all held.
    pub(crate) fn exact_numbers(&self) -> Option<Vec<(i64, u64)>> {
        match &self.values {
            Values::Undecided => Some(Vec::new()),
            Values::Numbers(numeric) if numeric.is_exact() => {
                Some(numeric.ranked().iter().map(|bucket| (bucket.low, bucket.count)).collect())
            }
            _ => None,
        }
    }

    /// Every number but NaN with its count, in order; `None` for texts, and where they are not all held.
    pub(crate) fn exact_values(&self) -> Option<Vec<(f64, u64)>> {
        let numbers = self.exact_numbers()?;
        Some(numbers.into_iter().map(|(key, count)| (key::value(key), count)).collect())
    }

    /// The least and the greatest finite number.
    #[must_use]
    pub fn range(&self) -> Option<(f64, f64)> {
        self.numbers()?.range()
    }

    /// The exact moments of the finite numbers.
    #[must_use]
    pub fn moments(&self) -> Option<ExactMoments> {
        self.numbers().map(Numeric::moments)
    }

    /// How many different values there are. NaN is one; NULL is none.
    #[must_use]
    pub fn distinct(&self) -> Distinct {
        let (estimate, standard_error) = match &self.values {
            Values::Undecided => (0.0, 0.0),
            Values::Numbers(numeric) => numeric.distinct(),
            Values::Texts(categories) => categories.distinct(),
        };
        Distinct { estimate, standard_error }
    }

    /// The categories that are counted one by one, the most frequent first, equal ones by text.
    #[must_use]
    pub fn categories(&self) -> Vec<Category<'_>> {
        let mut kept: Vec<_> = self.texts().map(|categories| categories.kept().iter().collect()).unwrap_or_default();
        kept.sort_unstable_by(|a: &&categories::Category, b| {
            b.count.cmp(&a.count).then_with(|| (&a.text, a.hash).cmp(&(&b.text, b.hash)))
        });
        kept.into_iter().map(|c| Category { text: &c.text, is_cut: c.is_cut, count: c.count }).collect()
    }

    /// How many rows have a category that is not counted by itself.
    #[must_use]
    pub fn other_categories(&self) -> u64 {
        self.texts().map_or(0, categories::Categories::others)
    }

    /// The least number that is no less than a share `q` of the numbers; infinite ones count, NaN does not. `None` for
    /// texts, for no numbers, and for a `q` outside 0 to 1.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Bounds> {
        quantile(&self.numbers()?.ranked(), q)
    }

    /// The share of the numbers that are no greater than `x`; infinite ones count, NaN does not. `None` for texts, for no
    /// numbers, and for NaN.
    #[must_use]
    pub fn rank(&self, x: f64) -> Option<Bounds> {
        let buckets = self.numbers()?.ranked();
        let total: u64 = buckets.iter().map(|bucket| bucket.count).sum();
        if total == 0 || x.is_nan() {
            return None;
        }
        let at = key::key(x);
        let (mut low, mut high, mut value) = (0, 0, 0.0);
        for bucket in buckets.iter().take_while(|bucket| bucket.low <= at) {
            high += bucket.count;
            if bucket.high <= at {
                low += bucket.count;
                value += bucket.count as f64;
            } else {
                let (from, to) = bucket.ends();
                value += bucket.count as f64 * ((x - from) / (to - from)).clamp(0.0, 1.0);
            }
        }
        let share = |count: f64| count / total as f64;
        Some(Bounds { low: share(low as f64), value: share(value), high: share(high as f64) })
    }
}

/// The quantile of buckets in order.
pub(super) fn quantile(buckets: &[Bucket], q: f64) -> Option<Bounds> {
    let total: u64 = buckets.iter().map(|bucket| bucket.count).sum();
    if total == 0 || !(0.0..=1.0).contains(&q) {
        return None;
    }
    let rank = ((q * total as f64).ceil() as u64).clamp(1, total);
    let mut below = 0;
    for bucket in buckets {
        if below + bucket.count >= rank {
            let (low, high) = bucket.ends();
            // The middle of the place of this rank among those of the bucket, were its values spread evenly.
            let share = ((rank - below) as f64 - 0.5) / bucket.count as f64;
            let value =
                if bucket.low == bucket.high { low } else { (low * (1.0 - share) + high * share).clamp(low, high) };
            return Some(Bounds { low, value, high });
        }
        below += bucket.count;
    }
    None
}
