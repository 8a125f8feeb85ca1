//! Two empirical distribution functions between their bounds: what may be the largest and the total distance.

use super::buckets::Bucket;
use super::key;

/// The counts of values up to a point: at least and at most.
#[derive(Debug, Clone, Copy, Default)]
struct UpTo {
    least: u64,
    most: u64,
}

/// Counts up to the points where they change.
#[derive(Debug)]
struct Sweep<'a> {
    lows: &'a [Bucket],
    highs: &'a [Bucket],
    up_to: UpTo,
}

impl<'a> Sweep<'a> {
    fn new(buckets: &'a [Bucket]) -> Self {
        Self { lows: buckets, highs: buckets, up_to: UpTo::default() }
    }

    /// The next point where a count changes.
    fn next(&self) -> Option<i64> {
        let low = self.lows.first().map(|bucket| bucket.low);
        let high = self.highs.first().map(|bucket| bucket.high);
        low.into_iter().chain(high).min()
    }

    fn advance(&mut self, to: i64) -> UpTo {
        while let Some((bucket, rest)) = self.lows.split_first().filter(|(bucket, _)| bucket.low <= to) {
            self.up_to.most += bucket.count;
            self.lows = rest;
        }
        while let Some((bucket, rest)) = self.highs.split_first().filter(|(bucket, _)| bucket.high <= to) {
            self.up_to.least += bucket.count;
            self.highs = rest;
        }
        self.up_to
    }
}

/// How far two distribution functions are apart from a point to the next, times both counts: at least and at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) from: i64,
    pub(super) least: u128,
    pub(super) most: u128,
}

/// The steps of the distance between the distribution functions of `m` and `n` values in buckets.
pub(super) fn steps(base: &[Bucket], study: &[Bucket]) -> Vec<Step> {
    let size = |buckets: &[Bucket]| u128::from(buckets.iter().map(|bucket| bucket.count).sum::<u64>());
    let (m, n) = (size(base), size(study));
    let (mut f, mut g) = (Sweep::new(base), Sweep::new(study));
    let mut steps = Vec::with_capacity(2 * (base.len() + study.len()));
    while let Some(from) = f.next().into_iter().chain(g.next()).min() {
        let (f, g) = (f.advance(from), g.advance(from));
        let [f_least, f_most] = [f.least, f.most].map(|count| u128::from(count) * n);
        let [g_least, g_most] = [g.least, g.most].map(|count| u128::from(count) * m);
        steps.push(Step {
            from,
            least: f_least.saturating_sub(g_most).max(g_least.saturating_sub(f_most)),
            most: f_most.saturating_sub(g_least).max(g_most.saturating_sub(f_least)),
        });
    }
    steps
}

/// The area between the distribution functions, the Wasserstein distance of order one: at least and at most.
pub(super) fn area(steps: &[Step], m: u64, n: u64) -> (f64, f64) {
    let scale = m as f64 * n as f64;
    let (mut least, mut most) = (0.0, 0.0);
    for (step, next) in steps.iter().zip(steps.iter().skip(1)) {
        let width = key::value(next.from) - key::value(step.from);
        least += step.least as f64 / scale * width;
        most += step.most as f64 / scale * width;
    }
    (least, most)
}
