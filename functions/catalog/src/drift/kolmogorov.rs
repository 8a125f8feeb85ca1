//! The distribution of the Kolmogorov–Smirnov statistic: exact for two samples, and for one sample of size n, which is the
//! large-sample form for two. The choice of method by n and d follows Simard and L'Ecuyer (J. Stat. Software 39:11, 2011),
//! as scipy does.

use std::f64::consts::PI;

use crate::distribution::binomial_probability;

/// The probability that two samples of `m` and `n` values from one continuous distribution are `h / lcm(m, n)` or more
/// apart: the share of lattice paths from (0, 0) to (m, n) that leave the band.
pub(super) fn two_sample_exact(m: u64, n: u64, h: u64) -> f64 {
    if h == 0 {
        return 1.0;
    }
    if m == n { equal_sizes(n, h) } else { unequal_sizes(m.max(n), m.min(n), h) }.clamp(0.0, 1.0)
}

/// Equal sizes: the reflection principle, as nested products without cancellation.
fn equal_sizes(n: u64, h: u64) -> f64 {
    let mut p = 0.0;
    for k in (0..=n / h).rev() {
        let mut share = 1.0;
        for j in 0..h {
            // No path is reflected more often than it has steps: the factor is then zero.
            share *= n.saturating_sub(k * h + j) as f64 / (n + k * h + j + 1) as f64;
        }
        p = share * (1.0 - p);
    }
    2.0 * p
}

/// Unequal sizes, `m > n`: row by row, the share of the paths to a point that have left the band. A share is the mean of
/// its neighbours', weighted by how many paths come through them, so small probabilities keep their digits.
#[allow(clippy::many_single_char_names, reason = "the names of the formulas")]
fn unequal_sizes(m: u64, n: u64, h: u64) -> f64 {
    let g = gcd(m, n);
    let (m_step, n_step) = ((m / g) as i64, (n / g) as i64);
    let (h, last) = (h as i64, n as i64);
    let mut left_band = vec![1.0_f64; n as usize + 1];
    let mut previous_low = 0_i64;
    for i in 0..=m as i64 {
        // Inside are the points with |i n/g - j m/g| < h.
        let low = ((i * n_step - h).div_euclid(m_step) + 1).max(0);
        let high = (i * n_step + h + m_step - 1).div_euclid(m_step).min(last + 1);
        for cell in left_band.iter_mut().take(low.min(last + 1) as usize).skip(previous_low as usize) {
            *cell = 1.0;
        }
        previous_low = low.min(last + 1);
        let mut left = 1.0;
        for (j, cell) in left_band.iter_mut().enumerate().take(high.max(0) as usize).skip(previous_low as usize) {
            let j = j as i64;
            *cell = match (i, j) {
                (0, 0) => 0.0,
                (0, _) => left,
                (_, 0) => *cell,
                _ => (i as f64 * *cell + j as f64 * left) / (i + j) as f64,
            };
            left = *cell;
        }
    }
    left_band.last().copied().unwrap_or(1.0)
}

/// The greatest common divisor.
pub(super) fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The probability that the two-sided statistic of one sample of `n` values is `d` or more.
pub(super) fn one_sample_sf(n: u64, d: f64) -> f64 {
    let size = n as f64;
    let t = size * d;
    if n == 0 || d.is_nan() {
        return f64::NAN;
    }
    if d >= 1.0 {
        return 0.0;
    }
    if t <= 0.5 {
        return 1.0;
    }
    let squared = t * d;
    let probability = if t <= 1.0 {
        // Ruben and Gambino: the values are one in each 1/n.
        1.0 - (1..=n.min(2_000)).map(|i| i as f64 / size * (2.0 * t - 1.0)).product::<f64>()
    } else if t >= size - 1.0 {
        2.0 * libm::pow(1.0 - d, size)
    } else if d >= 0.5 || (n <= 140 && squared > 4.0) || (n > 140 && squared >= 2.2) {
        if squared >= 370.0 { 0.0 } else { 2.0 * one_sided_sf(n, d) }
    } else if n <= 140 || (n <= 100_000 && size * libm::pow(d, 1.5) <= 1.4) {
        1.0 - durbin_cdf(n, d)
    } else {
        1.0 - pelz_good_cdf(size, d)
    };
    probability.clamp(0.0, 1.0)
}

/// The one-sided tail: Smirnov's sum, each term a binomial probability times `d / (d + v / n)`, so nothing cancels.
fn one_sided_sf(n: u64, d: f64) -> f64 {
    let size = n as f64;
    let last = (size * (1.0 - d)).floor() as u64;
    let mut sum = 0.0;
    for v in 0..=last {
        let p = d + v as f64 / size;
        let q = 1.0 - p;
        if q >= 0.0 {
            sum += binomial_probability(v, n, size * d, p, q) * d / p;
        }
    }
    sum
}

/// The exact distribution function by Durbin's matrix in the form of Marsaglia, Tsang and Wang: with `n d = k - rest`, an
/// entry of the n-th power of a matrix of size 2k - 1, times n! / n^n. For small `n d`.
fn durbin_cdf(n: u64, d: f64) -> f64 {
    let nd = n as f64 * d;
    let k = nd.ceil() as usize;
    let rest = k as f64 - nd;
    let m = 2 * k - 1;
    let mut inverse_factorial = vec![1.0; m + 1];
    for j in 1..=m {
        inverse_factorial[j] = inverse_factorial[j - 1] / j as f64;
    }
    let edge: Vec<f64> = (1..=m)
        .map(|j| {
            let mut head = 1.0 - libm::pow(rest, j as f64);
            if j == m {
                head -= libm::pow(rest, j as f64) - libm::pow((2.0 * rest - 1.0).max(0.0), j as f64);
            }
            head * inverse_factorial[j]
        })
        .collect();
    let step = Matrix::new(m, |row, column| {
        if column == 0 {
            edge[row]
        } else if row == m - 1 {
            edge[m - 1 - column]
        } else {
            (row + 1).checked_sub(column).map_or(0.0, |difference| inverse_factorial[difference])
        }
    });
    let (mut value, mut exponent) = step.power_entry(n, k - 1);
    for i in 1..=n {
        value *= i as f64 / n as f64;
        if value < Matrix::SMALL {
            value /= Matrix::SMALL;
            exponent -= Matrix::EXPONENT;
        }
    }
    libm::ldexp(value, exponent).clamp(0.0, 1.0)
}

/// A square matrix of non-negative numbers with a common exponent of two.
#[derive(Clone)]
struct Matrix {
    size: usize,
    cells: Vec<f64>,
    exponent: i32,
}

impl Matrix {
    const EXPONENT: i32 = 256;
    const SMALL: f64 = f64::from_bits(((1023 - Self::EXPONENT) as u64) << 52);

    fn new(size: usize, cell: impl Fn(usize, usize) -> f64) -> Self {
        let cells = (0..size * size).map(|at| cell(at / size, at % size)).collect();
        Self { size, cells, exponent: 0 }
    }

    fn times(&self, other: &Self) -> Self {
        let mut cells = vec![0.0; self.size * self.size];
        for (row, out) in self.cells.chunks_exact(self.size).zip(cells.chunks_exact_mut(self.size)) {
            for (factor, line) in row.iter().zip(other.cells.chunks_exact(self.size)) {
                if *factor != 0.0 {
                    for (cell, x) in out.iter_mut().zip(line) {
                        *cell += factor * x;
                    }
                }
            }
        }
        let mut exponent = self.exponent + other.exponent;
        if cells.iter().any(|cell| *cell > 1.0 / Self::SMALL) {
            for cell in &mut cells {
                *cell *= Self::SMALL;
            }
            exponent += Self::EXPONENT;
        }
        Self { size: self.size, cells, exponent }
    }

    /// The entry (`at`, `at`) of the `n`-th power, with its exponent.
    fn power_entry(&self, n: u64, at: usize) -> (f64, i32) {
        let mut result = Self::new(self.size, |row, column| f64::from(u8::from(row == column)));
        let mut square = self.clone();
        let mut n = n;
        while n > 0 {
            if n % 2 == 1 {
                result = result.times(&square);
            }
            n /= 2;
            if n > 0 {
                square = square.times(&square);
            }
        }
        (result.cells.get(at * self.size + at).copied().unwrap_or(0.0), result.exponent)
    }
}

/// The distribution function for large n by Pelz and Good (J. R. Statist. Soc. B 38, 1976): Kolmogorov's limit and three
/// corrections in powers of 1/√n, written with theta functions that converge fast where d √n is small.
fn pelz_good_cdf(n: f64, d: f64) -> f64 {
    let z = n.sqrt() * d;
    let (z2, z4, z6, z8) = (z * z, libm::pow(z, 4.0), libm::pow(z, 6.0), libm::pow(z, 8.0));
    let (pi2, pi4, pi6) = (PI * PI, libm::pow(PI, 4.0), libm::pow(PI, 6.0));
    let exponent = -pi2 / 8.0 / z2;
    if exponent < -708.0 {
        return 0.0;
    }
    let terms = (16.0 * z / PI).ceil() as u32;
    let mut sums = [0.0_f64; 4];
    // Over the odd integers: q^(m²) with q = exp(-π² / 8 z²), smallest first.
    for k in (1..=terms).rev() {
        let m2 = f64::from((2 * k - 1) * (2 * k - 1));
        let (m4, m6) = (m2 * m2, m2 * m2 * m2);
        let weight = libm::exp(exponent * m2);
        let coefficients = [
            1.0,
            -z2 + pi2 / 4.0 * m2,
            6.0 * z6 + 2.0 * z4 + (2.0 * z4 - 5.0 * z2) * pi2 / 4.0 * m2 + pi4 * (1.0 - 2.0 * z2) / 16.0 * m4,
            -30.0 * z6 - 90.0 * z8
                + pi2 * (135.0 * z4 - 96.0 * z6) / 4.0 * m2
                + pi4 * (-60.0 * z2 + 212.0 * z4) / 16.0 * m4
                + pi6 * (5.0 - 30.0 * z2) / 64.0 * m6,
        ];
        sums.iter_mut().zip(coefficients).for_each(|(sum, coefficient)| *sum += coefficient * weight);
    }
    let root_two_pi = (2.0 * PI).sqrt();
    let scales = [z, 6.0 * z4, 72.0 * libm::pow(z, 7.0), 6_480.0 * libm::pow(z, 10.0)];
    sums.iter_mut().zip(scales).for_each(|(sum, scale)| *sum *= root_two_pi / scale);
    // Over all integers: q^(k²) with q = exp(-π² / 2 z²).
    let (mut second, mut third) = (0.0, 0.0);
    for k in (1..=terms).rev() {
        let k2 = f64::from(k * k);
        let weight = k2 * libm::exp(-pi2 / 2.0 / z2 * k2);
        second += weight;
        third += (3.0 * z2 - pi2 * k2) * weight;
    }
    let [limit, first, mut over_n, mut over_n_root] = sums;
    over_n -= pi2 * root_two_pi / (36.0 * z2 * z) * second;
    over_n_root += pi2 * root_two_pi / (216.0 * z6) * third;
    limit + first / n.sqrt() + over_n / n + over_n_root / (n * n.sqrt())
}
