//! Exact sums of floats: the same bytes for any order, partitioning, merge or retraction of the same values.
//!
//! [`ExactSum`] serves `sum` and `avg`, [`ExactMoments`] also `var` and `stddev`. Both hold every bit of what was added in
//! a fixed-point number (a superaccumulator after Neal, arXiv 1505.05571) and round once, when asked, half to even.

mod limbs;

use limbs::{Limbs, Magnitude};

pub use crate::function::BadState;

/// How many NaN, +∞ and -∞ were added: they decide the result, and a retraction takes them back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Specials {
    nan: u64,
    positive: u64,
    negative: u64,
}

impl Specials {
    /// The counter of a value that is not finite.
    fn of(&mut self, value: f64) -> &mut u64 {
        if value.is_nan() {
            &mut self.nan
        } else if value > 0.0 {
            &mut self.positive
        } else {
            &mut self.negative
        }
    }

    /// What the sum is because of them, if it is.
    fn sum(self) -> Option<f64> {
        match (self.nan, self.positive, self.negative) {
            (0, 0, 0) => None,
            (0, _, 0) => Some(f64::INFINITY),
            (0, 0, _) => Some(f64::NEG_INFINITY),
            _ => Some(f64::NAN),
        }
    }

    fn merge(&mut self, other: Self) {
        self.nan += other.nan;
        self.positive += other.positive;
        self.negative += other.negative;
    }

    fn unmerge(&mut self, other: Self) {
        self.nan = self.nan.saturating_sub(other.nan);
        self.positive = self.positive.saturating_sub(other.positive);
        self.negative = self.negative.saturating_sub(other.negative);
    }

    fn write(self, out: &mut Vec<u8>) {
        for count in [self.nan, self.positive, self.negative] {
            out.extend_from_slice(&count.to_le_bytes());
        }
    }

    fn read(bytes: &mut &[u8]) -> Result<Self, BadState> {
        Ok(Self { nan: read_u64(bytes)?, positive: read_u64(bytes)?, negative: read_u64(bytes)? })
    }
}

pub(crate) fn read_u64(bytes: &mut &[u8]) -> Result<u64, BadState> {
    let (head, rest) = bytes.split_first_chunk::<8>().ok_or(BadState)?;
    *bytes = rest;
    Ok(u64::from_le_bytes(*head))
}

/// The exact sum of any number of `f64`, and how many they were.
///
/// A NaN, or +∞ together with -∞, makes the result NaN; one kind of infinity makes it that infinity. A zero sum is `+0.0`
/// whatever the signs of the zeros added, and a finite sum beyond the range of `f64` is an infinity.
#[derive(Debug, Clone, Default)]
pub struct ExactSum {
    count: u64,
    specials: Specials,
    total: Limbs,
}

impl ExactSum {
    /// A sum of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one value.
    pub fn add(&mut self, value: f64) {
        self.count += 1;
        if value.is_finite() {
            self.total.add(value);
        } else {
            *self.specials.of(value) += 1;
        }
    }

    /// Takes back one value that was added before.
    pub fn subtract(&mut self, value: f64) {
        self.count = self.count.saturating_sub(1);
        if value.is_finite() {
            self.total.add(-value);
        } else {
            let count = self.specials.of(value);
            *count = count.saturating_sub(1);
        }
    }

    /// Adds all that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.specials.merge(other.specials);
        self.total.merge(&other.total);
    }

    /// Takes back all that `other` holds, which must have been added before.
    pub fn unmerge(&mut self, other: &Self) {
        self.count = self.count.saturating_sub(other.count);
        self.specials.unmerge(other.specials);
        self.total.unmerge(&other.total);
    }

    /// How many values were added.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum, rounded once; `0.0` for no values.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.specials.sum().unwrap_or_else(|| self.over(1))
    }

    /// The arithmetic mean: the exact sum over the count, rounded once; `None` for no values.
    #[must_use]
    pub fn avg(&self) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        Some(self.specials.sum().unwrap_or_else(|| self.over(self.count)))
    }

    /// The sum of the finite values over a divisor, rounded once.
    fn over(&self, divisor: u64) -> f64 {
        self.short(divisor).unwrap_or_else(|| self.long(divisor))
    }

    /// [`over`](Self::over) for sums of few digits.
    fn short(&self, divisor: u64) -> Option<f64> {
        let (mantissa, shift) = self.total.short()?;
        let ratio = limbs::short_ratio(mantissa.unsigned_abs(), shift + limbs::VALUE.unit, divisor)?;
        Some(signed(mantissa < 0, ratio))
    }

    /// [`over`](Self::over) for any sum.
    fn long(&self, divisor: u64) -> f64 {
        let (negative, magnitude) = self.total.normalized();
        signed(negative, magnitude.divide(&[divisor]).round())
    }

    /// The state as bytes: equal for equal multisets of values, however they were added and merged.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.extend_from_slice(&self.count.to_le_bytes());
        self.specials.write(&mut out);
        self.total.write(&mut out);
        out
    }

    /// The state that [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(mut bytes: &[u8]) -> Result<Self, BadState> {
        let bytes = &mut bytes;
        let state = Self {
            count: read_u64(bytes)?,
            specials: Specials::read(bytes)?,
            total: Limbs::read(bytes, limbs::VALUE)?,
        };
        if bytes.is_empty() { Ok(state) } else { Err(BadState) }
    }

    /// Bytes held on the heap.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        self.total.heap_size()
    }
}

/// The exact sum and sum of squares of any number of `f64`: mean, variance and standard deviation.
///
/// The variance is the exact rational `(n Σx² - (Σx)²) / (n (n - ddof))`, rounded once, so it is never negative, and zero
/// exactly when all values are equal. Any NaN or infinity among the values makes it NaN.
#[derive(Debug, Clone, Default)]
pub struct ExactMoments {
    values: ExactSum,
    squares: Limbs,
}

impl ExactMoments {
    /// Moments of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one value.
    pub fn add(&mut self, value: f64) {
        self.values.add(value);
        if value.is_finite() {
            self.squares.add_square(value, false);
        }
    }

    /// Takes back one value that was added before.
    pub fn subtract(&mut self, value: f64) {
        self.values.subtract(value);
        if value.is_finite() {
            self.squares.add_square(value, true);
        }
    }

    /// Adds all that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        self.values.merge(&other.values);
        self.squares.merge(&other.squares);
    }

    /// Takes back all that `other` holds, which must have been added before.
    pub fn unmerge(&mut self, other: &Self) {
        self.values.unmerge(&other.values);
        self.squares.unmerge(&other.squares);
    }

    /// The sum, mean and count of the same values.
    #[must_use]
    pub fn values(&self) -> &ExactSum {
        &self.values
    }

    /// The sample variance (divisor n - 1); `None` for fewer than two values.
    #[must_use]
    pub fn var(&self) -> Option<f64> {
        self.variance(1)
    }

    /// The population variance (divisor n); `None` for no values.
    #[must_use]
    pub fn var_pop(&self) -> Option<f64> {
        self.variance(0)
    }

    /// The square root of [`var`](Self::var).
    #[must_use]
    pub fn stddev(&self) -> Option<f64> {
        self.variance(1).map(f64::sqrt)
    }

    /// The square root of [`var_pop`](Self::var_pop).
    #[must_use]
    pub fn stddev_pop(&self) -> Option<f64> {
        self.variance(0).map(f64::sqrt)
    }

    fn variance(&self, ddof: u64) -> Option<f64> {
        let n = self.values.count;
        if n <= ddof {
            return None;
        }
        if self.values.specials.sum().is_some() {
            return Some(f64::NAN);
        }
        Some(self.short(n, n - ddof).unwrap_or_else(|| self.long(n, n - ddof)))
    }

    /// The variance of finite values by sums of few digits.
    fn short(&self, n: u64, rest: u64) -> Option<f64> {
        let (squares, unit) = self.squares.short()?;
        let (total, half) = self.values.total.short()?;
        let common = if total == 0 { unit } else { unit.min(2 * half) };
        let in_common = |magnitude: u128, unit: i64| {
            let shift = u32::try_from(unit - common).ok().filter(|shift| *shift < magnitude.leading_zeros())?;
            Some(magnitude << shift)
        };
        let scaled = in_common(squares.unsigned_abs().checked_mul(n.into())?, unit)?;
        let subtrahend = match total.unsigned_abs() {
            0 => 0,
            total => in_common(total.checked_mul(total)?, 2 * half)?,
        };
        limbs::short_ratio(scaled.checked_sub(subtrahend)?, common + limbs::SQUARE.unit, n.checked_mul(rest)?)
    }

    /// The variance of any finite values.
    fn long(&self, n: u64, rest: u64) -> f64 {
        let (_, squares) = self.squares.normalized();
        let (_, total) = self.values.total.normalized();
        squares.in_units_of_squares().times(n).minus(&total.squared()).divide(&[n, rest]).round()
    }

    /// The state as bytes: equal for equal multisets of values, however they were added and merged.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.values.to_bytes();
        self.squares.write(&mut out);
        out
    }

    /// The state that [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(mut bytes: &[u8]) -> Result<Self, BadState> {
        let bytes = &mut bytes;
        let values = ExactSum {
            count: read_u64(bytes)?,
            specials: Specials::read(bytes)?,
            total: Limbs::read(bytes, limbs::VALUE)?,
        };
        let squares = Limbs::read(bytes, limbs::SQUARE)?;
        if bytes.is_empty() { Ok(Self { values, squares }) } else { Err(BadState) }
    }

    /// Bytes held on the heap.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        self.values.heap_size() + self.squares.heap_size()
    }
}

fn signed(negative: bool, magnitude: f64) -> f64 {
    if negative { -magnitude } else { magnitude }
}

impl Magnitude {
    /// A sum of squares counts units of 2^-2148, the square of the smallest `f64`.
    fn in_units_of_squares(self) -> Self {
        self.scaled(limbs::SQUARE.unit)
    }
}

#[cfg(test)]
mod tests;
