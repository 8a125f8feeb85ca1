//! The maximum mean discrepancy with a permutation test.

use super::samples::{Finding, Samples, SplitMix64, infinities, steps};
use super::{IS_BASE, Notes, OUTCOME, Outcome, VALUE};
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Tolerance, Type, Value};

/// Of a larger sample this many values are drawn: time and memory grow with the square.
const MOST: usize = 1_000;

/// `mmd_test(value, is_base)`.
pub struct MmdTest;

impl Function for MmdTest {
    fn name(&self) -> &'static str {
        "mmd_test"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["maximum_mean_discrepancy_test"]
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            VALUE,
            IS_BASE,
            Arg::option("permutations", Type::Int64, "199", "how many permutations the p-value is from, 1 to 10000"),
            Arg::option("seed", Type::Int64, "0", "which permutations are made, and which values are drawn"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        OUTCOME
    }

    fn short(&self) -> &'static str {
        "Maximum mean discrepancy with a permutation test: do two samples come from one distribution?"
    }

    fn long(&self) -> &'static str {
        include_str!("mmd.md")
    }

    fn examples(&self) -> Vec<Example> {
        let outcome = Outcome {
            statistic: Some(1.080_639_686_167_981_7),
            effect_size: Some(1.039_538_208_132_814),
            p_value: Some(0.03),
            n_base: 4,
            n_study: 4,
            note: None,
        };
        vec![Example::two_samples(&[1.0, 2.0, 3.0, 4.0], &[6.0, 7.0, 8.0, 9.0], outcome.into_value())]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let permutations = match call.option(2) {
            None => 199,
            Some(Value::Int64(permutations)) if (1..=10_000).contains(&permutations) => permutations,
            Some(other) => {
                return Err(call.refuse(format!("`permutations` is {other}, but it has to be from 1 to 10000")));
            }
        };
        let seed = match call.option(3) {
            Some(Value::Int64(seed)) => seed,
            _ => 0,
        };
        let mut random = SplitMix64::new(seed.cast_unsigned());
        let samples = Samples::new(call)?.thinned(MOST, &mut random);
        Ok(samples.compare(2, |base, study, notes| test(base, study, permutations, &mut random, notes)).into_column())
    }
}

fn test(
    base: &[f64],
    study: &[f64],
    permutations: i64,
    random: &mut SplitMix64,
    notes: &mut Notes,
) -> Result<Finding, String> {
    // Differences of sums of up to a million kernels are rounded by less.
    const ROUNDING: f64 = 1e-12;
    let infinite = infinities(base, study);
    if infinite > 0 {
        return Err(format!("{infinite} infinite values have no distance from others: there is no result"));
    }
    if steps(base, study).nth(1).is_none() {
        return Err("all values are equal, so there is nothing to test".to_owned());
    }
    // The smaller sample decides a permutation; between samples of one size, the base.
    let smaller_is_base = base.len() <= study.len();
    let mut pooled: Vec<(f64, bool)> = base.iter().map(|x| (*x, smaller_is_base)).collect();
    pooled.extend(study.iter().map(|x| (*x, !smaller_is_base)));
    pooled.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let values: Vec<f64> = pooled.iter().map(|(x, _)| *x).collect();
    let members: Vec<usize> = (0..).zip(&pooled).filter(|(_, (_, member))| *member).map(|(at, _)| at).collect();

    let bandwidth = bandwidth(&values, notes)?;
    let kernels = Kernels::new(&values, bandwidth);
    let observed = kernels.discrepancy(&members);
    let mut order: Vec<usize> = (0..values.len()).collect();
    let mut as_large = 0_u32;
    for _ in 0..permutations {
        for at in 0..members.len() {
            let left = (order.len() - at) as u64;
            order.swap(at, at + random.below(left) as usize);
        }
        // In the order of the values, so that equal values give equal sums.
        let mut drawn: Vec<usize> = order.iter().copied().take(members.len()).collect();
        drawn.sort_unstable();
        as_large += u32::from(kernels.discrepancy(&drawn) >= observed - ROUNDING);
    }
    Ok(Finding {
        statistic: observed,
        effect_size: Some(observed.max(0.0).sqrt()),
        p_value: Some(f64::from(as_large + 1) / (permutations + 1) as f64),
    })
}

/// The median distance between two of the values; between two that differ, where most pairs are ties.
fn bandwidth(values: &[f64], notes: &mut Notes) -> Result<f64, String> {
    let mut distances: Vec<f64> = Vec::with_capacity(values.len() * values.len().saturating_sub(1) / 2);
    for (at, x) in values.iter().enumerate() {
        distances.extend(values.iter().skip(at + 1).map(|y| y - x));
    }
    let mut median = median(&mut distances);
    if median == 0.0 {
        notes.add("most pairs are ties: the bandwidth is the median distance of the others");
        distances.retain(|distance| *distance > 0.0);
        median = self::median(&mut distances);
    }
    if median.is_finite() {
        Ok(median)
    } else {
        Err("the values are too far apart for floats: there is no result".to_owned())
    }
}

/// The median, with the mean of the middle two of an even number; NaN of none.
fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    if values.is_empty() {
        return f64::NAN;
    }
    let is_even = values.len().is_multiple_of(2);
    let (below, high, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if is_even {
        let low = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        low / 2.0 + *high / 2.0
    } else {
        *high
    }
}

/// The kernels of all pairs of values, and their sums.
struct Kernels {
    /// Row by row: of each value with those after it.
    pairs: Vec<f64>,
    /// Of each value with all others.
    sums: Vec<f64>,
    /// Of all pairs.
    total: f64,
}

impl Kernels {
    fn new(values: &[f64], bandwidth: f64) -> Self {
        let mut pairs = Vec::with_capacity(values.len() * values.len().saturating_sub(1) / 2);
        let mut sums = vec![0.0; values.len()];
        for (at, x) in values.iter().enumerate() {
            let Some((sum, later)) = sums.get_mut(at..).and_then(<[f64]>::split_first_mut) else { break };
            for (y, other) in values.iter().skip(at + 1).zip(later) {
                let distance = (y - x) / bandwidth;
                let kernel = libm::exp(-0.5 * distance * distance);
                *sum += kernel;
                *other += kernel;
                pairs.push(kernel);
            }
        }
        let total = pairs.iter().sum();
        Self { pairs, sums, total }
    }

    /// The squared discrepancy between some of the values and the rest, by means over different values: without bias, and
    /// so a little below zero where nothing differs.
    fn discrepancy(&self, members: &[usize]) -> f64 {
        let size = self.sums.len();
        let (mut within, mut all) = (0.0, 0.0);
        for (nth, member) in members.iter().enumerate() {
            all += self.sums.get(*member).copied().unwrap_or_default();
            // Where the row of this value begins, less the place of the first value after it.
            let row = (member * (2 * size - member - 1) / 2).wrapping_sub(member + 1);
            for other in members.iter().skip(nth + 1) {
                within += self.pairs.get(row.wrapping_add(*other)).copied().unwrap_or_default();
            }
        }
        let between = all - 2.0 * within;
        let rest = self.total - within - between;
        let (a, b) = (members.len() as f64, (size - members.len()) as f64);
        2.0 * (within / (a * (a - 1.0)) + rest / (b * (b - 1.0)) - between / (a * b))
    }
}

#[cfg(test)]
mod tests {
    use super::{Kernels, median};

    #[test]
    fn medians_are_of_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]).to_bits(), 2.5_f64.to_bits());
        assert!(median(&mut []).is_nan());
    }

    #[test]
    fn the_sums_are_those_of_the_definition() {
        let values = [0.0_f64, 0.5, 0.7, 2.0, 3.5, 3.5, 7.0];
        let kernel = |x: f64, y: f64| (-0.5 * (x - y).powi(2) / 2.25).exp();
        let mean = |a: &[usize], b: &[usize]| {
            let pairs: Vec<f64> = a
                .iter()
                .flat_map(|i| b.iter().filter(move |j| i != *j).map(move |j| kernel(values[*i], values[*j])))
                .collect();
            pairs.iter().sum::<f64>() / pairs.len() as f64
        };
        let (members, others) = ([1, 4, 6], [0, 2, 3, 5]);
        let want = mean(&members, &members) + mean(&others, &others) - 2.0 * mean(&members, &others);
        assert!((Kernels::new(&values, 1.5).discrepancy(&members) - want).abs() < 1e-14);
    }
}
