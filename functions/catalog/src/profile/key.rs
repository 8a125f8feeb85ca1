//! Finite floats as integers in the same order, of which the top bits are sign, exponent and leading mantissa.

/// The least magnitude that is not finite.
pub(super) const INFINITY: i64 = 0x7ff0_0000_0000_0000;

/// The integer of a float; both zeros are 0. Beyond ±[`INFINITY`] lie NaNs.
pub(super) fn key(x: f64) -> i64 {
    let bits = x.to_bits().cast_signed();
    let sign = bits >> 63;
    ((bits & i64::MAX) ^ sign) - sign
}

/// The float of an integer that is at most infinite.
pub(crate) fn value(key: i64) -> f64 {
    let magnitude = f64::from_bits(key.unsigned_abs());
    if key < 0 { -magnitude } else { magnitude }
}

/// The finaliser of `SplitMix64` (Steele, Lea and Flood 2014) as hash of a key: part of the format.
pub(super) fn hash(key: i64) -> u64 {
    let mut z = key.cast_unsigned().wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
