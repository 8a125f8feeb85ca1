//! How probable a Wasserstein distance is when two samples come from one distribution.
//!
//! Both samples are moved to the places of the pooled profile, one for each of its buckets. A function of the pooled values
//! that is applied to all of them leaves samples of one distribution exchangeable, so the test of the moved values is a test
//! of the distributions, whatever the buckets hide.

use super::Profile;
use super::buckets::Bucket;
use super::numeric::Numeric;

/// Draws of the distance under the null hypothesis.
const DRAWS: u32 = 999;

/// Up to this many values they are permuted; above, their distribution function is drawn from its limit, a bridge.
const PERMUTED: u64 = 10_000;

/// Two distances nearer than this, relatively, are the same but for rounding.
const SAME: f64 = 1e-9;

/// Where values lie, how many of the pooled and of the base sample, and how far the next place is.
#[derive(Debug, Clone, Copy)]
struct Place {
    pooled: u64,
    base: u64,
    width: f64,
}

/// The distance of the moved values, and the share of draws that are as large, this one with them.
pub(super) fn area_p_value(pooled: &Profile, base: &Numeric, study: &Numeric) -> (f64, f64) {
    let size = |buckets: &[Bucket]| buckets.iter().map(|bucket| bucket.count).sum::<u64>();
    let (base, n) = (base.finite(), size(&study.finite()));
    let m = size(&base);
    let buckets = pooled.numbers().map(Numeric::finite).unwrap_or_default();
    let middle = |bucket: &Bucket| {
        let (low, high) = bucket.ends();
        f64::midpoint(low, high)
    };
    let next = buckets.iter().skip(1).map(Some).chain([None]);
    let mut rest = base.iter().peekable();
    let places: Vec<Place> = buckets
        .iter()
        .zip(next)
        .map(|(bucket, next)| {
            let mut base = 0;
            while let Some(inside) = rest.next_if(|inside| inside.low <= bucket.high) {
                base += inside.count;
            }
            Place { pooled: bucket.count, base, width: next.map_or(0.0, |next| middle(next) - middle(bucket)) }
        })
        .collect();
    let distance = area(&places, m, n, places.iter().map(|place| place.base));
    let mut random = SplitMix64(0);
    let as_large = if m + n <= PERMUTED {
        let mut labels: Vec<usize> =
            places.iter().enumerate().flat_map(|(i, place)| std::iter::repeat_n(i, place.pooled as usize)).collect();
        (0..DRAWS).filter(|_| permuted(&mut labels, &places, m, n, &mut random) >= distance * (1.0 - SAME)).count()
    } else {
        (0..DRAWS).filter(|_| bridge(&places, m, n, &mut random) >= distance).count()
    };
    (distance, (as_large + 1) as f64 / f64::from(DRAWS + 1))
}

/// The area between the distribution functions of `m` values with counts at places and of the others.
fn area(places: &[Place], m: u64, n: u64, counts: impl Iterator<Item = u64>) -> f64 {
    let (mut base, mut pooled, mut area) = (0_u64, 0_u64, 0.0);
    for (place, count) in places.iter().zip(counts) {
        base += count;
        pooled += place.pooled;
        area += (base as f64 / m as f64 - (pooled - base) as f64 / n as f64).abs() * place.width;
    }
    area
}

/// The area for a random choice of the base among all values.
fn permuted(labels: &mut [usize], places: &[Place], m: u64, n: u64, random: &mut SplitMix64) -> f64 {
    let mut counts = vec![0_u64; places.len()];
    let all = labels.len();
    for i in 0..(m as usize).min(all) {
        labels.swap(i, i + random.below((all - i) as u64) as usize);
        if let Some(count) = labels.get(i).and_then(|label| counts.get_mut(*label)) {
            *count += 1;
        }
    }
    area(places, m, n, counts.into_iter())
}

/// The area under the absolute value of a Brownian bridge over the pooled distribution function, scaled as the difference
/// of two empirical ones is.
fn bridge(places: &[Place], m: u64, n: u64, random: &mut SplitMix64) -> f64 {
    let total = (m + n) as f64;
    let mut walk = Vec::with_capacity(places.len());
    let mut at = 0.0;
    for place in places {
        at += (place.pooled as f64 / total).sqrt() * random.normal();
        walk.push(at);
    }
    let (mut below, mut sum) = (0_u64, 0.0);
    for (place, at_place) in places.iter().zip(walk) {
        below += place.pooled;
        sum += (at_place - below as f64 / total * at).abs() * place.width;
    }
    sum * (1.0 / m as f64 + 1.0 / n as f64).sqrt()
}

/// A generator with a fixed seed: the same profiles give the same p-value everywhere.
#[derive(Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, to within 2^-32 equally often each, for an `n` below 2^32.
    fn below(&mut self, n: u64) -> u64 {
        ((self.next() >> 32) * n) >> 32
    }

    /// A standard normal number, by Box and Muller.
    fn normal(&mut self) -> f64 {
        let uniform = |bits: u64| ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        let radius = (-2.0 * libm::log(uniform(self.next()))).sqrt();
        radius * libm::cos(2.0 * std::f64::consts::PI * uniform(self.next()))
    }
}
