//! The fixed-point number under the exact sums: 32-bit digits in 64-bit cells, carried only now and then.

use super::BadState;

/// The fixed point of an accumulator: its digit 0 counts units of `2^unit`, and no state has digits from `digits` on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    pub(super) unit: i64,
    digits: usize,
}

/// Sums of values: from 2^-1074 to 2^1024, with 64 bits more for the number of values.
pub(super) const VALUE: Format = Format { unit: -1074, digits: 70 };

/// Sums of squares: from 2^-2148 to 2^2048, likewise.
pub(super) const SQUARE: Format = Format { unit: -2148, digits: 135 };

/// One digit takes this many additions of less than 2^32 before its cell could overflow.
const ADDITIONS: u32 = 1 << 30;

/// A signed number `Σ cells[i] · 2^(32 (first + i))`, in the units of its [`Format`]. Only the span of digits that was
/// touched is held: values of similar size need a handful of cells out of seventy.
#[derive(Debug, Clone, Default)]
pub(super) struct Limbs {
    first: usize,
    cells: Vec<i64>,
    additions: u32,
}

impl Limbs {
    /// Adds a finite value.
    pub(super) fn add(&mut self, value: f64) {
        let (mantissa, shift) = decompose(value);
        if mantissa != 0 {
            self.prepare();
            self.deposit(mantissa, shift, value.is_sign_negative());
        }
    }

    /// Adds (or takes back) the square of a finite value.
    pub(super) fn add_square(&mut self, value: f64, take_back: bool) {
        let (mantissa, shift) = decompose(value);
        self.add_wide(u128::from(mantissa) * u128::from(mantissa), 2 * shift, take_back);
    }

    /// Adds `magnitude · 2^shift`.
    pub(super) fn add_wide(&mut self, magnitude: u128, shift: usize, negative: bool) {
        if magnitude != 0 {
            self.prepare();
            self.deposit(magnitude as u64, shift, negative);
            self.deposit((magnitude >> 64) as u64, shift + 64, negative);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.combine(other, false);
    }

    pub(super) fn unmerge(&mut self, other: &Self) {
        self.combine(other, true);
    }

    fn combine(&mut self, other: &Self, take_back: bool) {
        let (negative, magnitude) = other.normalized();
        if magnitude.digits.is_empty() {
            return;
        }
        self.prepare();
        self.cover(magnitude.first, magnitude.first + magnitude.digits.len());
        let start = magnitude.first - self.first;
        for (cell, digit) in self.cells.iter_mut().skip(start).zip(&magnitude.digits) {
            let digit = i64::from(*digit);
            *cell += if negative == take_back { digit } else { -digit };
        }
    }

    /// Carries before a cell could overflow.
    fn prepare(&mut self) {
        self.additions += 1;
        if self.additions >= ADDITIONS {
            let (negative, magnitude) = self.normalized();
            self.first = magnitude.first;
            self.cells =
                magnitude.digits.iter().map(|d| if negative { -i64::from(*d) } else { i64::from(*d) }).collect();
            self.additions = 1;
        }
    }

    /// Adds `mantissa · 2^shift`.
    fn deposit(&mut self, mantissa: u64, shift: usize, negative: bool) {
        let (digit, bits) = (shift / 32, shift % 32);
        let there = digit >= self.first && digit + 3 <= self.first + self.cells.len();
        if !there {
            self.cover(digit, digit + 3);
        }
        let start = digit - self.first;
        if let Some([low, middle, high]) = self.cells.get_mut(start..start + 3) {
            let spread = u128::from(mantissa) << bits;
            let part = |at: u32| {
                let part = i64::from((spread >> at) as u32);
                if negative { -part } else { part }
            };
            *low += part(0);
            *middle += part(32);
            *high += part(64);
        }
    }

    /// Makes room for the digits `from..to`.
    fn cover(&mut self, from: usize, to: usize) {
        if self.cells.is_empty() {
            self.first = from;
        }
        if from < self.first {
            self.cells.splice(0..0, std::iter::repeat_n(0, self.first - from));
            self.first = from;
        }
        if to > self.first + self.cells.len() {
            self.cells.resize(to - self.first, 0);
        }
    }

    /// The number as `mantissa · 2^shift`, the mantissa odd or zero, where its digits fit: sums of values of similar size.
    pub(super) fn short(&self) -> Option<(i128, i64)> {
        let zeros = self.cells.iter().take_while(|cell| **cell == 0).count();
        let mut mantissa = 0_i128;
        for cell in self.cells.iter().skip(zeros).rev() {
            if mantissa.unsigned_abs() >> 93 != 0 {
                return None;
            }
            mantissa = (mantissa << 32) + i128::from(*cell);
        }
        if mantissa == 0 {
            return Some((0, 0));
        }
        let even = mantissa.trailing_zeros();
        Some((mantissa >> even, 32 * (self.first + zeros) as i64 + i64::from(even)))
    }

    /// Sign and digits, without zeros at either end.
    pub(super) fn normalized(&self) -> (bool, Magnitude) {
        let carried = |sign: i64| {
            let mut carry = 0_i64;
            let mut digits: Vec<u32> = Vec::with_capacity(self.cells.len() + 2);
            for cell in &self.cells {
                let value = sign * cell + carry;
                digits.push(value as u32);
                carry = value >> 32;
            }
            (digits, carry)
        };
        let (mut digits, mut carry) = carried(1);
        let negative = carry < 0;
        if negative {
            (digits, carry) = carried(-1);
        }
        // What is left over is not negative and below 2^32: a cell is below 2^63.
        digits.push(carry as u32);
        (negative, Magnitude { first: self.first, digits, unit: VALUE.unit, sticky: false }.trimmed())
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (negative, magnitude) = self.normalized();
        out.push(u8::from(negative));
        out.extend_from_slice(&(magnitude.first as u16).to_le_bytes());
        out.extend_from_slice(&(magnitude.digits.len() as u16).to_le_bytes());
        for digit in &magnitude.digits {
            out.extend_from_slice(&digit.to_le_bytes());
        }
    }

    pub(super) fn read(bytes: &mut &[u8], format: Format) -> Result<Self, BadState> {
        let (head, rest) = bytes.split_first_chunk::<5>().ok_or(BadState)?;
        let [sign, first_low, first_high, len_low, len_high] = *head;
        let first = usize::from(u16::from_le_bytes([first_low, first_high]));
        let len = usize::from(u16::from_le_bytes([len_low, len_high]));
        if sign > 1 || first + len > format.digits {
            return Err(BadState);
        }
        let (body, rest) = rest.split_at_checked(4 * len).ok_or(BadState)?;
        *bytes = rest;
        let (digits, _) = body.as_chunks::<4>();
        let cells = digits
            .iter()
            .map(|digit| {
                let digit = i64::from(u32::from_le_bytes(*digit));
                if sign == 1 { -digit } else { digit }
            })
            .collect();
        Ok(Self { first, cells, additions: 1 })
    }

    pub(super) fn heap_size(&self) -> usize {
        self.cells.capacity() * size_of::<i64>()
    }
}

/// A finite value as `mantissa · 2^(shift - 1074)`, its sign left out.
pub(super) fn decompose(value: f64) -> (u64, usize) {
    let bits = value.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as usize;
    let fraction = bits & ((1 << 52) - 1);
    if exponent == 0 { (fraction, 0) } else { (fraction | (1 << 52), exponent - 1) }
}

/// A non-negative number `Σ digits[i] · 2^(32 (first + i) + unit)`, and a bit more than that if `sticky`.
#[derive(Debug, Clone)]
pub(super) struct Magnitude {
    pub(super) first: usize,
    pub(super) digits: Vec<u32>,
    unit: i64,
    sticky: bool,
}

impl Magnitude {
    /// A whole number of units of sums.
    #[cfg(test)]
    pub(super) fn of(number: u128) -> Self {
        let digits = (0..4).map(|digit| (number >> (32 * digit)) as u32).collect();
        Self { first: 0, digits, unit: VALUE.unit, sticky: false }.trimmed()
    }

    fn trimmed(mut self) -> Self {
        while self.digits.last() == Some(&0) {
            self.digits.pop();
        }
        let zeros = self.digits.iter().take_while(|digit| **digit == 0).count();
        self.digits.drain(..zeros);
        self.first = if self.digits.is_empty() { 0 } else { self.first + zeros };
        self
    }

    /// The same digits in other units.
    pub(super) fn scaled(self, unit: i64) -> Self {
        Self { unit, ..self }
    }

    /// This number times `n`.
    pub(super) fn times(&self, n: u64) -> Self {
        let mut digits = Vec::with_capacity(self.digits.len() + 2);
        let mut carry = 0_u128;
        for digit in &self.digits {
            carry += u128::from(*digit) * u128::from(n);
            digits.push(carry as u32);
            carry >>= 32;
        }
        digits.extend([carry as u32, (carry >> 32) as u32]);
        Self { first: self.first, digits, unit: self.unit, sticky: false }.trimmed()
    }

    /// This number times itself.
    pub(super) fn squared(&self) -> Self {
        let mut digits = vec![0_u32; 2 * self.digits.len()];
        for (i, a) in self.digits.iter().enumerate() {
            let mut carry = 0_u64;
            let mut cells = digits.iter_mut().skip(i);
            for (b, cell) in self.digits.iter().zip(cells.by_ref()) {
                carry += u64::from(*a) * u64::from(*b) + u64::from(*cell);
                *cell = carry as u32;
                carry >>= 32;
            }
            if let Some(cell) = cells.next() {
                *cell = carry as u32;
            }
        }
        Self { first: 2 * self.first, digits, unit: 2 * self.unit, sticky: false }.trimmed()
    }

    /// This number less a smaller one in the same units.
    pub(super) fn minus(&self, other: &Self) -> Self {
        let first = if other.digits.is_empty() { self.first } else { self.first.min(other.first) };
        let digit = |of: &Self, place: usize| {
            place.checked_sub(of.first).and_then(|i| of.digits.get(i)).map_or(0, |digit| i64::from(*digit))
        };
        let mut borrow = 0_i64;
        let digits = (first..self.first + self.digits.len())
            .map(|place| {
                let difference = digit(self, place) - digit(other, place) + borrow;
                borrow = difference >> 32;
                difference as u32
            })
            .collect();
        Self { first, digits, unit: self.unit, sticky: false }.trimmed()
    }

    /// This number over the product of the divisors, none of them zero, with enough digits to round it right.
    pub(super) fn divide(&self, divisors: &[u64]) -> Self {
        // Each divisor takes up to 64 bits; the quotient keeps 64 and what is beyond is sticky. Truncating twice is
        // truncating once: floor(floor(x / a) / b) = floor(x / (a b)).
        let more = 2 * divisors.len() + 2;
        let mut digits: Vec<u32> = std::iter::repeat_n(0, more).chain(self.digits.iter().copied()).collect();
        let mut sticky = self.sticky;
        for divisor in divisors {
            let divisor = u128::from(*divisor);
            let mut remainder = 0_u128;
            for digit in digits.iter_mut().rev() {
                let value = (remainder << 32) | u128::from(*digit);
                *digit = (value / divisor) as u32;
                remainder = value % divisor;
            }
            sticky |= remainder != 0;
        }
        Self { first: self.first, digits, unit: self.unit - 32 * more as i64, sticky }.trimmed()
    }

    /// The nearest `f64`, ties to even; an infinity when it is out of range.
    pub(super) fn round(&self) -> f64 {
        let Some(top) = self.digits.last() else { return 0.0 };
        let bits = 32 * self.digits.len() as i64 - i64::from(top.leading_zeros());
        let lowest = 32 * self.first as i64 + self.unit;
        // The value is in [2^exponent, 2^(exponent + 1)); below 2^-1022 there are fewer than 53 bits to keep.
        let exponent = lowest + bits - 1;
        if exponent > 1023 {
            return f64::INFINITY;
        }
        let keep = if exponent >= -1022 { 53 } else { 53 - (-1022 - exponent) };
        if keep < 0 {
            return 0.0;
        }
        let cut = bits - keep;
        let mut kept = 0_u64;
        for bit in (cut..bits).rev() {
            kept = (kept << 1) | u64::from(self.bit(bit));
        }
        let half = self.bit(cut - 1);
        let rest = self.sticky || self.any_below(cut - 1);
        if half && (rest || kept & 1 == 1) {
            kept += 1;
        }
        // `kept` has at most 54 bits with the lowest ones zero, so the product is exact or overflows to infinity.
        kept as f64 * power_of_two(lowest + cut)
    }

    fn bit(&self, index: i64) -> bool {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.digits.get(index / 32).map(|digit| digit >> (index % 32) & 1 == 1))
            .unwrap_or(false)
    }

    fn any_below(&self, index: i64) -> bool {
        let Ok(index) = usize::try_from(index) else { return false };
        let (whole, bits) = (index / 32, index % 32);
        self.digits.iter().take(whole).any(|digit| *digit != 0)
            || self.digits.get(whole).is_some_and(|digit| digit & ((1 << bits) - 1) != 0)
    }
}

/// `magnitude · 2^exponent / divisor` rounded once; `None` where the result or a step to it is no normal number.
pub(super) fn short_ratio(magnitude: u128, exponent: i64, divisor: u64) -> Option<f64> {
    const WHOLE: u64 = 1 << f64::MANTISSA_DIGITS;
    if magnitude == 0 {
        return Some(0.0);
    }
    if magnitude < u128::from(WHOLE) && divisor < WHOLE {
        // Both are exact, so the division rounds once, and scaling a normal number by a power of two is exact.
        let quotient = magnitude as f64 / divisor as f64;
        return (-960..=960).contains(&exponent).then(|| quotient * power_of_two(exponent));
    }
    let (quotient, exponent) = if divisor == 1 {
        (magnitude, exponent)
    } else {
        // At least 64 bits of the quotient, the last of which says whether anything is left over.
        let shift = magnitude.leading_zeros();
        let shifted = magnitude << shift;
        let quotient = shifted / u128::from(divisor);
        let rest = shifted - quotient * u128::from(divisor);
        (quotient | u128::from(rest != 0), exponent - i64::from(shift))
    };
    (-1022..=890).contains(&exponent).then(|| quotient as f64 * power_of_two(exponent))
}

/// `2^exponent` for an exponent of a rounded result, which is from -1074 to 1023.
fn power_of_two(exponent: i64) -> f64 {
    if exponent >= -1022 {
        f64::from_bits(((exponent + 1023) as u64) << 52)
    } else {
        f64::from_bits(1 << (exponent + 1074).max(0))
    }
}
