//! The two-sample Kolmogorov–Smirnov test.

use super::{IS_BASE, Notes, OUTCOME, Outcome, Split, VALUE, kolmogorov};
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Tolerance, Type};

/// Up to this many values on each side the p-value is exact.
const EXACT_UP_TO: usize = 10_000;

/// `ks_test(value, is_base)`.
pub struct KsTest;

impl Function for KsTest {
    fn name(&self) -> &'static str {
        "ks_test"
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[VALUE, IS_BASE];
        ARGS
    }

    fn returns(&self) -> Type {
        OUTCOME
    }

    fn short(&self) -> &'static str {
        "Two-sample Kolmogorov–Smirnov test: do two samples come from one distribution?"
    }

    fn long(&self) -> &'static str {
        include_str!("ks.md")
    }

    fn examples(&self) -> Vec<Example> {
        let outcome = Outcome {
            statistic: Some(1.0),
            effect_size: Some(1.0),
            p_value: Some(0.1),
            n_base: 3,
            n_study: 3,
            note: None,
        };
        vec![Example::two_samples(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0], outcome.into_value())]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let value = call.floats(0)?;
        let split = Split::new(call, |row| Some(value.get(row)))?;
        let mut notes = split.notes;
        let mut without_rank = |values: Vec<f64>, nulls: usize, sample: &str| {
            let before = values.len();
            let ranked: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
            let nans = before - ranked.len();
            if nulls + nans > 0 {
                notes.add(format!("{nulls} NULL and {nans} NaN of the {sample} sample have no rank and are left out"));
            }
            ranked
        };
        let base = without_rank(split.base, split.base_nulls, "base");
        let study = without_rank(split.study, split.study_nulls, "study");
        Ok(test(base, study, notes).into_column())
    }
}

/// The test of two samples without NaN.
#[allow(clippy::many_single_char_names, reason = "the names of the formulas")]
pub(crate) fn test(mut base: Vec<f64>, mut study: Vec<f64>, mut notes: Notes) -> Outcome {
    let (m, n) = (base.len(), study.len());
    if m == 0 || n == 0 {
        notes.add(format!("there is no value in the {} sample to test", if m == 0 { "base" } else { "study" }));
        return Outcome::untestable(m, n, &notes);
    }
    base.sort_unstable_by(f64::total_cmp);
    study.sort_unstable_by(f64::total_cmp);
    // The distance in units of 1 / lcm(m, n) is an integer.
    let g = kolmogorov::gcd(m as u64, n as u64);
    let h = largest_difference(&base, &study) / g;
    let d = h as f64 / ((m as u64 / g) as f64 * n as f64);
    let p = if m.max(n) <= EXACT_UP_TO {
        kolmogorov::two_sample_exact(m as u64, n as u64, h)
    } else {
        let size = m as f64 * n as f64 / (m as f64 + n as f64);
        kolmogorov::one_sample_sf(size.round_ties_even() as u64, d)
    };
    Outcome {
        statistic: Some(d),
        effect_size: Some(d),
        p_value: Some(p),
        n_base: m as u64,
        n_study: n as u64,
        note: notes.text(),
    }
}

/// The largest distance between the empirical distributions of two sorted samples, times the product of their sizes.
fn largest_difference(a: &[f64], b: &[f64]) -> u64 {
    let (mut i, mut j, mut largest) = (0_usize, 0_usize, 0_u64);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        // Both distributions step at a shared value before they are compared: ties count once.
        let at = if x <= y { *x } else { *y };
        i += a.iter().skip(i).take_while(|value| **value <= at).count();
        j += b.iter().skip(j).take_while(|value| **value <= at).count();
        largest = largest.max((i as u64 * b.len() as u64).abs_diff(j as u64 * a.len() as u64));
    }
    largest
}
