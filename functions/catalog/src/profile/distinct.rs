//! `HyperLogLog`: how many different values there are, from the hashes of them all.

use super::Error;
use super::bytes::{Reader, put};

const PRECISION: u32 = 12;
/// Also the bytes that they take.
pub(super) const REGISTERS: usize = 1 << PRECISION;
/// The largest rank: all bits behind the register's are zero.
const MOST: u8 = (64 - PRECISION + 1) as u8;
/// With more registers than this in use, all are written, in six bits each.
const SPARSE: usize = 1_024;

/// The standard error of an estimate, relative to it: `1.04 / sqrt(4096)`.
pub(super) const STANDARD_ERROR: f64 = 0.016_25;

/// Of each of 4096 parts of the hashes, the largest number of leading zeros, and one.
#[derive(Debug, Clone)]
pub(super) struct Distinct {
    registers: Box<[u8; REGISTERS]>,
}

impl Distinct {
    pub(super) fn new() -> Self {
        Self { registers: Box::new([0; REGISTERS]) }
    }

    pub(super) fn add(&mut self, hash: u64) {
        let rank = ((hash << PRECISION) | (1 << (PRECISION - 1))).leading_zeros() as u8 + 1;
        if let Some(register) = self.registers.get_mut((hash >> (64 - PRECISION)) as usize) {
            *register = (*register).max(rank);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (ours, theirs) in self.registers.iter_mut().zip(other.registers.iter()) {
            *ours = (*ours).max(*theirs);
        }
    }

    /// Ertl's estimator (arXiv 1702.01284, algorithm 6), which needs no correction of small or large numbers.
    pub(super) fn estimate(&self) -> f64 {
        let mut with_rank = [0_u32; MOST as usize + 1];
        for register in self.registers.iter() {
            if let Some(count) = with_rank.get_mut(usize::from(*register)) {
                *count += 1;
            }
        }
        let m = REGISTERS as f64;
        let [none, ranks @ .., full] = with_rank.map(f64::from);
        let mut z = m * tau(1.0 - full / m);
        for count in ranks.iter().rev() {
            z = 0.5 * (z + count);
        }
        z += m * sigma(none / m);
        // 1 / (2 ln 2)
        0.721_347_520_444_481_7 * m * m / z
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let used = self.registers.iter().filter(|register| **register > 0).count();
        put(out, used as u64);
        if used <= SPARSE {
            let mut next = 0;
            for (index, register) in self.registers.iter().enumerate().filter(|(_, register)| **register > 0) {
                put(out, (index - next) as u64);
                out.push(*register);
                next = index + 1;
            }
        } else {
            for [a, b, c, d] in self.registers.as_chunks::<4>().0 {
                out.extend([a | (b << 6), (b >> 2) | (c << 4), (c >> 4) | (d << 2)]);
            }
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        const BAD: Error = Error::Bytes("the registers of its distinct values are none");
        let mut distinct = Self::new();
        let used = usize::try_from(reader.number()?).unwrap_or(usize::MAX);
        if used == 0 || used > REGISTERS {
            return Err(BAD);
        }
        if used <= SPARSE {
            let mut next = 0;
            for _ in 0..used {
                let index = next + usize::try_from(reader.number()?).unwrap_or(REGISTERS).min(REGISTERS);
                *distinct.registers.get_mut(index).ok_or(BAD)? = reader.byte()?;
                next = index + 1;
            }
        } else {
            for (packed, registers) in
                reader.take(REGISTERS / 4 * 3)?.as_chunks::<3>().0.iter().zip(distinct.registers.as_chunks_mut::<4>().0)
            {
                let [a, b, c] = *packed;
                *registers = [a & 63, ((a >> 6) | (b << 2)) & 63, ((b >> 4) | (c << 4)) & 63, c >> 2];
            }
        }
        if distinct.registers.iter().any(|register| *register > MOST) { Err(BAD) } else { Ok(distinct) }
    }
}

/// `x + Σ x^(2^k) 2^(k - 1)`: what empty registers add.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z <= before {
            return z;
        }
    }
}

/// `(1 - x - Σ (1 - x^(2^-k))² 2^-k) / 3`: what full registers add.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z >= before {
            return z / 3.0;
        }
    }
}
