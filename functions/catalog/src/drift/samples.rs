//! Two samples of numbers in order, and the steps of their distribution functions: what rank tests and distances are
//! computed from. Sorted values make every result independent of the order of the rows.

use std::iter;

use super::rank::RankStatistic;
use super::{Notes, Outcome, Split};
use crate::function::{Call, Error};
use crate::sum::ExactSum;

/// The values of a call `(value, is_base, …)` that have a rank, in order; `-0.0` stands as `0.0`.
#[derive(Debug)]
pub(super) struct Samples {
    base: Vec<f64>,
    study: Vec<f64>,
    notes: Notes,
}

/// What is found in two samples that can be compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Finding {
    pub(super) statistic: f64,
    pub(super) effect_size: Option<f64>,
    pub(super) p_value: Option<f64>,
}

impl Samples {
    pub(super) fn new(call: &Call<'_>) -> Result<Self, Error> {
        let value = call.floats(0)?;
        let Split { base, study, base_nulls, study_nulls, mut notes } = Split::new(call, |row| Some(value.get(row)))?;
        let mut in_order = |values: Vec<f64>, nulls: usize, sample: &str| {
            let before = values.len();
            // Adding zero makes the negative zero positive: they are one value, and one run of bits.
            let mut ranked: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).map(|x| x + 0.0).collect();
            notes.left_out((nulls as u64, (before - ranked.len()) as u64), sample, "rank");
            ranked.sort_unstable_by(f64::total_cmp);
            ranked
        };
        let base = in_order(base, base_nulls, "base");
        let study = in_order(study, study_nulls, "study");
        Ok(Self { base, study, notes })
    }

    /// At most `most` values of each sample, drawn without replacement. Which ranks are drawn depends on the generator
    /// alone; a sample that is not larger is kept.
    pub(super) fn thinned(mut self, most: usize, random: &mut SplitMix64) -> Self {
        for (values, sample) in [(&mut self.base, "base"), (&mut self.study, "study")] {
            let size = values.len();
            if size <= most {
                continue;
            }
            let (mut left, mut wanted) = (size as u64, most as u64);
            values.retain(|_| {
                let take = random.below(left) < wanted;
                left -= 1;
                wanted -= u64::from(take);
                take
            });
            self.notes.add(format!("{most} of the {size} values of the {sample} sample were drawn"));
        }
        self
    }

    /// The outcome of a statistic that is told the distinct values in order.
    pub(super) fn rank<S: RankStatistic>(self, of_sizes: impl FnOnce((u64, u64)) -> S) -> Outcome {
        let mut statistic = of_sizes((self.base.len() as u64, self.study.len() as u64));
        self.compare(statistic.least(), |base, study, notes| {
            for step in steps(base, study) {
                statistic.add(&step);
            }
            statistic.finish(notes)
        })
    }

    /// The outcome of a comparison that needs `least` values in each sample, or why it cannot be made.
    pub(super) fn compare(
        self,
        least: u64,
        find: impl FnOnce(&[f64], &[f64], &mut Notes) -> Result<Finding, String>,
    ) -> Outcome {
        let Self { base, study, mut notes } = self;
        let sizes = (base.len() as u64, study.len() as u64);
        let finding = match lack(sizes, least) {
            None => find(&base, &study, &mut notes),
            Some(reason) => Err(reason),
        };
        Outcome::of(finding, sizes, notes)
    }
}

/// Why samples of these sizes cannot be compared, if they cannot.
pub(super) fn lack((base, study): (u64, u64), least: u64) -> Option<String> {
    let (size, sample) = [(base, "base"), (study, "study")].into_iter().find(|(size, _)| *size < least)?;
    Some(too_few(size, least, sample))
}

/// Why a sample of this size cannot be compared.
pub(super) fn too_few(size: u64, least: u64, sample: &str) -> String {
    match size {
        0 => format!("there is no value in the {sample} sample to test"),
        1 => format!("there is only 1 value in the {sample} sample to test, where {least} are needed"),
        size => format!("there are only {size} values in the {sample} sample to test, where {least} are needed"),
    }
}

/// Says of a distance what infinite values do to it.
pub(super) fn remark_infinities(infinite: u64, notes: &mut Notes) {
    if infinite > 0 {
        notes.add(format!(
            "{infinite} infinite values: the distance is infinite unless both samples have the same share of each"
        ));
    }
}

/// How many of the values of two samples are infinite.
pub(super) fn infinities(base: &[f64], study: &[f64]) -> usize {
    [base, study].into_iter().flatten().filter(|value| value.is_infinite()).count()
}

/// A value of the pooled samples, and how many values of each are below it and at it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) at: f64,
    pub(super) base_below: u64,
    pub(super) base_tied: u64,
    pub(super) study_below: u64,
    pub(super) study_tied: u64,
}

impl Step {
    /// How many values of the base are at most this one.
    pub(super) fn base_up_to(&self) -> u64 {
        self.base_below + self.base_tied
    }

    /// How many values of the study sample are at most this one.
    pub(super) fn study_up_to(&self) -> u64 {
        self.study_below + self.study_tied
    }

    /// How many values of both samples are below this one.
    pub(super) fn below(&self) -> u64 {
        self.base_below + self.study_below
    }

    /// How many values of both samples are this one.
    pub(super) fn tied(&self) -> u64 {
        self.base_tied + self.study_tied
    }

    /// Base less study distribution function to the right of the value, times the product of the sizes (base, study).
    pub(super) fn difference(&self, (m, n): (u64, u64)) -> i128 {
        i128::from(self.base_up_to()) * i128::from(n) - i128::from(self.study_up_to()) * i128::from(m)
    }

    /// The distance between the distribution functions to the right of the value.
    pub(super) fn distance(&self, sizes: (u64, u64)) -> f64 {
        self.difference(sizes).unsigned_abs() as f64 / (sizes.0 as f64 * sizes.1 as f64)
    }

    /// Base less study distribution function at the value, where each counts its values there by half, times twice the
    /// product of the sizes (base, study).
    pub(super) fn middle_difference(&self, (m, n): (u64, u64)) -> i128 {
        i128::from(2 * self.base_below + self.base_tied) * i128::from(n)
            - i128::from(2 * self.study_below + self.study_tied) * i128::from(m)
    }
}

/// The distinct values of two sorted samples, in order.
pub(super) fn steps<'a>(base: &'a [f64], study: &'a [f64]) -> impl Iterator<Item = Step> + 'a {
    let (mut i, mut j) = (0_usize, 0_usize);
    iter::from_fn(move || {
        let at = match (base.get(i), study.get(j)) {
            (Some(x), Some(y)) => x.min(*y),
            (Some(x), None) => *x,
            (None, Some(y)) => *y,
            (None, None) => return None,
        };
        let tied = |values: &[f64], from: usize| values.iter().skip(from).take_while(|value| **value <= at).count();
        let (base_tied, study_tied) = (tied(base, i), tied(study, j));
        let step = Step {
            at,
            base_below: i as u64,
            base_tied: base_tied as u64,
            study_below: j as u64,
            study_tied: study_tied as u64,
        };
        i += base_tied;
        j += study_tied;
        Some(step)
    })
}

/// The integral over the real line of a weight that depends on the distribution functions of two samples, given as the step
/// before `x`. The sum is exact; it is infinite where the weight is not zero all the way to an infinite value.
#[derive(Debug, Default)]
pub(super) struct Integral {
    sum: ExactSum,
    before: Option<Step>,
}

impl Integral {
    /// Adds the stretch from the step before to this one.
    pub(super) fn add(&mut self, step: &Step, weight: impl Fn(&Step) -> f64) {
        let Some(before) = self.before.replace(*step) else { return };
        let weight = weight(&before);
        let gap = step.at - before.at;
        if weight == 0.0 {
            // Nothing, however wide the gap is.
        } else if gap.is_finite() {
            self.sum.add(weight * gap);
        } else {
            // Only the width of the gap may be beyond the range of floats, not its weighted half.
            let half = weight * (step.at / 2.0 - before.at / 2.0);
            self.sum.add(half);
            self.sum.add(half);
        }
    }

    pub(super) fn value(&self) -> f64 {
        self.sum.sum()
    }
}

/// Steele, Lea and Flood's generator, for draws that every surface makes alike.
#[derive(Debug, Clone)]
pub(super) struct SplitMix64(u64);

impl SplitMix64 {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An integer below `bound`: the high half of a product, even to within `bound` in 2^64.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests;
