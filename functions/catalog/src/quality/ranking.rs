//! Measures of one ranked list: a group is a query, and a tie of scores stands for all its orders alike.

use super::common::Tie;
use crate::function::{Arg, Call, Error, Type, Value};

pub(super) const RELEVANT: Arg = Arg::new("relevant", Type::Boolean, "whether the item is what was looked for");
pub(super) const SCORE: Arg = Arg::new("score", Type::Float64, "what the list is ordered by, the highest first");

/// The option `k` at index 2: how many places count.
pub(super) fn places(call: &Call<'_>) -> Result<Option<u64>, Error> {
    match call.option(2) {
        None => Ok(None),
        Some(Value::Int64(k)) if k > 0 => Ok(Some(k as u64)),
        Some(k) => Err(call.refuse(format!("`k` is {k}, but it has to be at least 1"))),
    }
}

/// How many relevant items are in the first `k` places, in the mean over the orders of ties.
pub(super) fn hits(ties: &[Tie], k: u64) -> f64 {
    let (mut left, mut hits) = (k, 0.0);
    for tie in ties {
        let taken = left.min(tie.n());
        hits += tie.positives as f64 * (taken as f64 / tie.n() as f64);
        left -= taken;
    }
    hits
}

/// The mean over the orders of ties of one over the place of the first relevant item among the first `k`; 0 where none is.
pub(super) fn reciprocal_rank(ties: &[Tie], k: u64) -> f64 {
    let mut before = 0;
    for tie in ties {
        if tie.positives > 0 {
            // The probability that none of the places so far in the tie holds a relevant item, and the sum so far.
            let (mut none, mut sum) = (1.0, 0.0);
            for place in 0..=tie.negatives.min(k.saturating_sub(before + 1)) {
                if before + place >= k {
                    break;
                }
                let first = tie.positives as f64 / (tie.n() - place) as f64;
                sum += none * first / (before + place + 1) as f64;
                none *= 1.0 - first;
            }
            return sum;
        }
        before += tie.n();
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_stand_for_all_their_orders() {
        let tie = |positives, negatives| Tie { score: 0.0, positives, negatives };
        // One relevant item in either of two places: (1 + 1/2) / 2.
        assert!((reciprocal_rank(&[tie(1, 1)], 10) - 0.75).abs() < 1e-15);
        assert!((reciprocal_rank(&[tie(0, 2), tie(1, 1)], 3) - 1.0 / 6.0).abs() < 1e-15);
        assert!(reciprocal_rank(&[tie(0, 2), tie(1, 1)], 2).abs() < 1e-15);
        assert!((hits(&[tie(1, 1), tie(2, 2)], 4) - 2.0).abs() < 1e-15);
    }
}
