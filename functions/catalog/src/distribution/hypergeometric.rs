//! The hypergeometric distribution: how many of the marked are among those drawn without putting back.

use super::binomial_probability;

/// Probabilities this much apart, relatively, are held to be equal: they come out of sums that lose some digits.
const TIE: f64 = 1e-10;

/// How many of `drawn` come from the first of two parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hypergeometric {
    first: u64,
    second: u64,
    drawn: u64,
}

impl Hypergeometric {
    /// The distribution, and the place in it of `k` out of the first part. Both parts hold something, something is drawn and
    /// something left, and all are at most 2⁵³.
    pub(crate) fn with(first: u64, second: u64, drawn: u64, k: u64) -> (Self, u64) {
        // Of those drawn and those left the fewer are counted: a share near one has lost the digits of its complement.
        if drawn > first + second - drawn {
            (Self { first, second, drawn: first + second - drawn }, first - k)
        } else {
            (Self { first, second, drawn }, k)
        }
    }

    /// The probability of `k`, as three binomial probabilities whose common share cancels (after Loader).
    fn probability(self, k: u64) -> f64 {
        let Self { first, second, drawn } = self;
        let all = first + second;
        let share = drawn as f64 / all as f64;
        let rest = (all - drawn) as f64 / all as f64;
        let excess = (i128::from(first) * i128::from(drawn) - i128::from(k) * i128::from(all)) as f64 / all as f64;
        binomial_probability(k, first, excess, share, rest)
            * binomial_probability(drawn - k, second, -excess, share, rest)
            / binomial_probability(drawn, all, 0.0, share, rest)
    }

    /// The probability of everything that is no more probable than `k`.
    pub(crate) fn two_sided(self, k: u64) -> f64 {
        let Self { first, second, drawn } = self;
        let (lowest, highest) = (drawn.saturating_sub(second), drawn.min(first));
        let mode =
            (u128::from(drawn + 1) * u128::from(first + 1) / u128::from(first + second + 2)).min(highest.into()) as u64;
        let mode = mode.max(lowest);
        let limit = self.probability(k) * (1.0 + TIE);
        if k == mode || self.probability(mode) <= limit {
            return 1.0;
        }
        // From the mode on, on either side, probabilities fall: the first that is small enough is found by bisection.
        let (mut near, mut far) = (mode, if k < mode { highest } else { lowest });
        let other = if self.probability(far) > limit {
            0.0
        } else {
            while near.abs_diff(far) > 1 {
                let middle = near.midpoint(far);
                if self.probability(middle) <= limit { far = middle } else { near = middle }
            }
            self.tail(far, k < mode)
        };
        (self.tail(k, k > mode) + other).min(1.0)
    }

    /// The probability that at least `k` of `drawn` come from the first of two parts; for a `k` above the mean, where the
    /// terms fall. The bounds are those of [`Self::with`].
    pub(crate) fn upper(first: u64, second: u64, drawn: u64, k: u64) -> f64 {
        let (distribution, place) = Self::with(first, second, drawn, k);
        distribution.tail(place, distribution.drawn == drawn).min(1.0)
    }

    /// The probability of `k` and what lies above it, or below it, away from the mode.
    fn tail(self, k: u64, above: bool) -> f64 {
        let Self { first, second, drawn } = self;
        let mut term = self.probability(k);
        let (mut at, mut sum) = (k, term);
        loop {
            // Zero at the end of the range.
            term *= if above {
                (first - at) as f64 * (drawn - at) as f64 / ((at + 1) as f64 * (second + at + 1 - drawn) as f64)
            } else {
                at as f64 * (second + at - drawn) as f64 / ((first - at + 1) as f64 * (drawn - at + 1) as f64)
            };
            if term > sum * (f64::EPSILON / 64.0) {
                sum += term;
                at = if above { at + 1 } else { at - 1 };
            } else {
                return sum;
            }
        }
    }
}
