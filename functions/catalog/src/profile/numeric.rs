//! The distribution of numbers: a histogram, exact while small, and what else is to be known once it is not.

use super::Error;
use super::buckets::{Bucket, Buckets};
use super::bytes::Reader;
use super::distinct::{Distinct, REGISTERS, STANDARD_ERROR};
use super::key::{self, INFINITY};
use crate::sum::ExactMoments;

const BAD: Error = Error::Bytes("its range or its moments contradict its values");

/// Keys are gathered in a buffer of this size, so that each loop over them does one thing.
const GATHER: usize = 1_024;

/// The finite values of so many are gathered for their moments.
const BATCH: usize = 64 * GATHER;

/// Counts of the values that a histogram has no place for, and of zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Specials {
    pub(super) nan: u64,
    pub(super) positive_infinity: u64,
    pub(super) negative_infinity: u64,
    pub(super) zero: u64,
}

/// What follows from the values while all of them are held, and has to be kept when they are not.
#[derive(Debug, Clone)]
struct Summary {
    min: i64,
    max: i64,
    moments: ExactMoments,
    distinct: Distinct,
}

impl Summary {
    fn new() -> Self {
        Self { min: i64::MAX, max: i64::MIN, moments: ExactMoments::new(), distinct: Distinct::new() }
    }

    fn of(buckets: &Buckets) -> Self {
        let mut summary = Self::new();
        summary.add_buckets(buckets.in_any_order());
        summary
    }

    /// Adds single values with their counts.
    fn add_buckets(&mut self, values: impl Iterator<Item = Bucket>) {
        for value in values {
            self.min = self.min.min(value.low);
            self.max = self.max.max(value.low);
            self.moments.add_times(key::value(value.low), value.count);
            self.distinct.add(key::hash(value.low));
        }
    }

    /// Adds all but the moments.
    fn add_keys(&mut self, keys: &[i64]) {
        let (mut min, mut max) = (self.min, self.max);
        for key in keys {
            min = min.min(*key);
            max = max.max(*key);
            self.distinct.add(key::hash(*key));
        }
        (self.min, self.max) = (min, max);
    }

    fn merge(&mut self, other: &Self) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.moments.merge(&other.moments);
        self.distinct.merge(&other.distinct);
    }
}

#[derive(Debug, Clone)]
pub(super) struct Numeric {
    pub(super) specials: Specials,
    buckets: Buckets,
    /// Present exactly when the histogram is not exact.
    summary: Option<Box<Summary>>,
}

impl Numeric {
    pub(super) fn new() -> Self {
        Self { specials: Specials::default(), buckets: Buckets::new(), summary: None }
    }

    /// Adds the values that are not NULL, and tells how many they are.
    pub(super) fn update(&mut self, values: &[f64], valid: Option<&[bool]>) -> u64 {
        let mut keys = [0_i64; GATHER];
        let mut taken = 0;
        for (batch, values) in values.chunks(BATCH).enumerate() {
            let mut finite = Vec::with_capacity(if self.summary.is_some() { values.len() } else { 0 });
            for (chunk, values) in values.chunks(GATHER).enumerate() {
                let (len, others) = match valid {
                    None => self.gather(values.iter(), &mut keys),
                    Some(valid) => {
                        let valid = valid.iter().skip(batch * BATCH + chunk * GATHER);
                        let given = values.iter().zip(valid).filter(|(_, valid)| **valid);
                        self.gather(given.map(|(value, _)| value), &mut keys)
                    }
                };
                taken += len as u64 + others;
                self.add_keys(keys.get(..len).unwrap_or_default(), &mut finite);
            }
            if let Some(summary) = &mut self.summary {
                summary.moments.add_all(&finite);
            }
        }
        taken
    }

    /// The keys of the finite values, how many they are, and how many others were counted.
    fn gather<'a>(&mut self, values: impl Iterator<Item = &'a f64>, keys: &mut [i64; GATHER]) -> (usize, u64) {
        let (mut len, mut others, mut zeros) = (0_usize, 0, 0);
        for value in values {
            let key = key::key(*value);
            // Written in any case and kept if finite: no branch to mispredict.
            if let Some(place) = keys.get_mut(len) {
                *place = key;
            }
            len += usize::from(key.abs() < INFINITY);
            zeros += u64::from(key == 0);
            if key.abs() >= INFINITY {
                others += 1;
                match key {
                    INFINITY => self.specials.positive_infinity += 1,
                    key if key == -INFINITY => self.specials.negative_infinity += 1,
                    _ => self.specials.nan += 1,
                }
            }
        }
        self.specials.zero += zeros;
        (len, others)
    }

    /// Adds keys; of those that the summary has to count, the moments are left to the caller.
    fn add_keys(&mut self, mut keys: &[i64], finite: &mut Vec<f64>) {
        while !keys.is_empty() {
            let (done, rest) = keys.split_at(self.buckets.extend(keys));
            keys = rest;
            if let Some(summary) = &mut self.summary {
                summary.add_keys(done);
                finite.extend(done.iter().map(|key| key::value(*key)));
            }
            self.fit();
        }
    }

    /// Makes a full histogram coarser, and remembers what it then no longer tells.
    fn fit(&mut self) {
        if self.buckets.is_full() {
            if self.summary.is_none() {
                self.summary = Some(Box::new(Summary::of(&self.buckets)));
            }
            self.buckets.fit();
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        let Specials { nan, positive_infinity, negative_infinity, zero } = other.specials;
        self.specials.nan += nan;
        self.specials.positive_infinity += positive_infinity;
        self.specials.negative_infinity += negative_infinity;
        self.specials.zero += zero;
        match (&mut self.summary, &other.summary) {
            (Some(ours), Some(theirs)) => ours.merge(theirs),
            (Some(ours), None) => ours.add_buckets(other.buckets.in_any_order()),
            (None, Some(theirs)) => {
                let mut summary = theirs.clone();
                summary.add_buckets(self.buckets.in_any_order());
                self.summary = Some(summary);
            }
            (None, None) => {}
        }
        self.buckets.merge(&other.buckets);
        self.fit();
    }

    pub(super) fn is_exact(&self) -> bool {
        self.buckets.is_exact()
    }

    /// The keys over 2^this are counted exactly.
    pub(super) fn shift(&self) -> u32 {
        self.buckets.shift()
    }

    /// The finite values in order, each in the narrowest bounds known.
    pub(super) fn finite(&self) -> Vec<Bucket> {
        let mut buckets = self.buckets.in_order();
        if let Some(summary) = &self.summary {
            if let Some(first) = buckets.first_mut() {
                first.low = first.low.max(summary.min);
            }
            if let Some(last) = buckets.last_mut() {
                last.high = last.high.min(summary.max);
            }
        }
        buckets
    }

    /// The values that have a rank: all but NaN.
    pub(super) fn ranked(&self) -> Vec<Bucket> {
        let mut buckets = self.finite();
        let infinite = |key, count| (count > 0).then_some(Bucket { low: key, high: key, count });
        buckets.splice(0..0, infinite(-INFINITY, self.specials.negative_infinity));
        buckets.extend(infinite(INFINITY, self.specials.positive_infinity));
        buckets
    }

    /// The least and the greatest finite value.
    pub(super) fn range(&self) -> Option<(f64, f64)> {
        let buckets = self.finite();
        Some((key::value(buckets.first()?.low), key::value(buckets.last()?.high)))
    }

    /// The moments of the finite values.
    pub(super) fn moments(&self) -> ExactMoments {
        self.summary.as_ref().map_or_else(|| Summary::of(&self.buckets).moments, |summary| summary.moments.clone())
    }

    /// How many different values there are, with the standard error of the number; NaN and infinities are one each.
    pub(super) fn distinct(&self) -> (f64, f64) {
        let Specials { nan, positive_infinity, negative_infinity, .. } = self.specials;
        let others = [nan, positive_infinity, negative_infinity].iter().filter(|count| **count > 0).count() as f64;
        match &self.summary {
            None => (self.buckets.in_order().len() as f64 + others, 0.0),
            Some(summary) => {
                let estimate = summary.distinct.estimate();
                (estimate + others, estimate * STANDARD_ERROR)
            }
        }
    }

    pub(super) fn write_buckets(&self, out: &mut Vec<u8>) {
        self.buckets.write(out);
    }

    pub(super) fn has_no_finite(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Range and moments, and distinct values, once the histogram is not exact.
    pub(super) fn write_summary(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let summary = self.summary.as_ref()?;
        let mut moments = Vec::new();
        moments.extend(summary.min.to_le_bytes());
        moments.extend(summary.max.to_le_bytes());
        moments.extend(summary.moments.to_bytes());
        let mut distinct = Vec::new();
        summary.distinct.write(&mut distinct);
        Some((moments, distinct))
    }

    /// The numbers of sections that were there; `total` is how many values are not NULL.
    pub(super) fn read(
        specials: Specials,
        buckets: Option<Reader<'_>>,
        moments: Option<Reader<'_>>,
        distinct: Option<Reader<'_>>,
        total: u64,
    ) -> Result<Self, Error> {
        let mut numeric = Self { specials, ..Self::new() };
        let mut ordered = Vec::new();
        if let Some(mut reader) = buckets {
            (numeric.buckets, ordered) = Buckets::read(&mut reader)?;
            reader.end()?;
        }
        numeric.summary = match (moments, distinct) {
            (None, None) => None,
            (Some(mut moments), Some(mut distinct)) => {
                let min = i64::from_le_bytes(moments.array()?);
                let max = i64::from_le_bytes(moments.array()?);
                let moments = ExactMoments::from_bytes(moments.0).map_err(|_| BAD)?;
                let summary = Summary { min, max, moments, distinct: Distinct::read(&mut distinct)? };
                distinct.end()?;
                Some(Box::new(summary))
            }
            _ => return Err(BAD),
        };
        numeric.check(&ordered, total)?;
        Ok(numeric)
    }

    /// Whether the parts agree; `buckets` are its own, in order.
    fn check(&self, buckets: &[Bucket], total: u64) -> Result<(), Error> {
        let add = |sum: u64, count: u64| sum.checked_add(count).ok_or(BAD);
        let finite = buckets.iter().try_fold(0, |sum, bucket| add(sum, bucket.count))?;
        let Specials { nan, positive_infinity, negative_infinity, zero } = self.specials;
        let all = [nan, positive_infinity, negative_infinity].into_iter().try_fold(finite, add)?;
        let at_zero = buckets.iter().find(|bucket| bucket.low <= 0 && 0 <= bucket.high);
        let zeros_fit = match at_zero {
            None => zero == 0,
            Some(bucket) if bucket.low == bucket.high => zero == bucket.count,
            Some(bucket) => zero <= bucket.count,
        };
        if all != total || !zeros_fit || self.summary.is_some() == self.is_exact() {
            return Err(BAD);
        }
        let Some(summary) = &self.summary else { return Ok(()) };
        let (Some(first), Some(last)) = (buckets.first(), buckets.last()) else { return Err(BAD) };
        let is_in = |key: i64, bucket: &Bucket| bucket.low <= key && key <= bucket.high && key.abs() < INFINITY;
        if !is_in(summary.min, first) || !is_in(summary.max, last) || summary.moments.values().count() != finite {
            return Err(BAD);
        }
        // The variance of values in a range is at most a quarter of its square (Popoviciu), here with room for rounding.
        let (min, max) = (key::value(summary.min), key::value(summary.max));
        let mean = summary.moments.values().avg().ok_or(BAD)?;
        let deviation = summary.moments.stddev_pop().ok_or(BAD)?;
        let half = max / 2.0 - min / 2.0;
        let overflows = deviation.is_infinite() && half > 1e150;
        if !(min..=max).contains(&mean) || !(deviation <= half * (1.0 + 1e-9) || overflows) {
            return Err(BAD);
        }
        Ok(())
    }

    pub(super) fn heap_size(&self) -> usize {
        let summary =
            self.summary.as_ref().map_or(0, |summary| size_of::<Summary>() + summary.moments.heap_size() + REGISTERS);
        self.buckets.heap_size() + summary
    }
}
