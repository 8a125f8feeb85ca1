//! How probable it is that a slice of this many rows, drawn by lot from all, has so large a mean loss: a bound that holds
//! for any number of rows and any distribution.
//!
//! A slice that has nothing to do with the loss is a sample without replacement from the losses of all rows. By Hoeffding
//! (1963, theorem 4) a convex function of its sum has no larger mean than with replacement, so Chernoff's bound
//! `exp(-n sup (t m - ln M(t)))` holds, `M` being the moment generating function of all losses. It holds for the other rows,
//! too, whose mean is then too small; the less of both bounds is taken. Losses of two values have the hypergeometric
//! distribution, which is exact.

use crate::distribution::Hypergeometric;

/// The distribution of all losses.
#[derive(Debug)]
pub(super) struct Pool {
    n: u64,
    mean: f64,
    /// Losses less their mean, in standard deviations, with their shares.
    points: Vec<(f64, f64)>,
    deviation: f64,
    /// The two losses, if there are but two, and how many rows have the larger.
    pair: Option<(f64, f64, u64)>,
}

impl Pool {
    /// `None` where all losses are equal.
    pub(super) fn new(points: &[(f64, f64)], n: u64, mean: f64, deviation: f64) -> Option<Self> {
        let pair = match *points {
            [(low, _), (high, share)] if low < high => Some((low, high, libm::round(share * n as f64) as u64)),
            [(high, share), (low, _)] if low < high => Some((low, high, libm::round(share * n as f64) as u64)),
            _ => None,
        };
        (deviation > 0.0 && deviation.is_finite()).then(|| Self {
            n,
            mean,
            points: points.iter().map(|(loss, share)| ((loss - mean) / deviation, *share)).collect(),
            deviation,
            pair,
        })
    }

    /// The bound for a slice of `n` rows with this mean, the other rows having `rest`.
    pub(super) fn p_value(&self, n: u64, mean: f64, rest: f64) -> f64 {
        if mean <= self.mean {
            return 1.0;
        }
        if let Some((low, high, larger)) = self.pair {
            let hits = libm::round((mean - low) / (high - low) * n as f64) as u64;
            return Hypergeometric::upper(larger, self.n - larger, n, hits);
        }
        let exponent = (n as f64 * self.rate(mean)).max((self.n - n) as f64 * self.rate(rest));
        libm::exp(-exponent)
    }

    /// Cramér's rate: the supremum over t of `t x - ln M(t)`.
    fn rate(&self, mean: f64) -> f64 {
        let standardized = (mean - self.mean) / self.deviation;
        let sign = standardized.signum();
        let most = self.points.iter().map(|(z, _)| sign * z).fold(0.0, f64::max);
        let x = standardized.abs().min(most);
        // Every t gives a bound; the best is where the tilted mean is x, found by Newton's method between brackets.
        let (mut low, mut high, mut t) = (0.0_f64, f64::INFINITY, x);
        let mut best = 0.0_f64;
        for _ in 0..64 {
            let (mut total, mut first, mut second) = (0.0, 0.0, 0.0);
            for (z, share) in &self.points {
                let z = sign * z;
                let weight = share * libm::exp(t * (z - most));
                total += weight;
                first += weight * z;
                second += weight * z * z;
            }
            let tilted = first / total;
            // M is total · exp(t most).
            best = best.max(t * (x - most) - libm::log(total));
            if tilted < x {
                low = t;
            } else {
                high = t;
            }
            let variance = second / total - tilted * tilted;
            let step = t + (x - tilted) / variance;
            let next = if step > low && step < high {
                step
            } else if high.is_finite() {
                f64::midpoint(low, high)
            } else {
                2.0 * low.max(1e-3)
            };
            if (next - t).abs() <= 1e-12 * t || next > 1e9 {
                break;
            }
            t = next;
        }
        best
    }
}
