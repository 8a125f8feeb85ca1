//! Corrections for how many tests there were.

use super::{Correction, Finding, Options};

/// Fills in `p_adjusted`, `threshold` and `is_drift` of all findings of one validation; the tests without a p-value do not
/// count.
pub fn decide(findings: &mut [&mut Finding], options: &Options) {
    let p_values: Vec<f64> = findings.iter().filter_map(|finding| finding.p_value).collect();
    let tested = findings.iter_mut().filter(|finding| finding.p_value.is_some());
    for (finding, adjusted) in tested.zip(adjust(&p_values, options.correction)) {
        finding.p_adjusted = Some(adjusted);
        finding.threshold = Some(options.alpha);
        let is_large = finding.effect_size.is_none_or(|effect| effect.abs() >= options.min_effect);
        finding.is_drift = Some(adjusted <= options.alpha && is_large);
    }
}

/// The p-values of all tests, each corrected for how many there are.
pub(super) fn adjust(p_values: &[f64], correction: Correction) -> Vec<f64> {
    let tests = p_values.len();
    let mut order: Vec<usize> = (0..tests).collect();
    let p_value = |test: usize| p_values.get(test).copied().unwrap_or(1.0);
    order.sort_by(|a, b| p_value(*a).total_cmp(&p_value(*b)));
    let mut adjusted = vec![1.0; tests];
    let mut set = |test: usize, p: f64| {
        if let Some(place) = adjusted.get_mut(test) {
            *place = p;
        }
    };
    // Equal p-values get one adjusted value in whatever order they come.
    match correction {
        Correction::None => return p_values.to_vec(),
        Correction::Bonferroni => return p_values.iter().map(|p| (p * tests as f64).min(1.0)).collect(),
        Correction::Holm => {
            let mut greatest = 0.0_f64;
            for (place, test) in order.into_iter().enumerate() {
                greatest = greatest.max(p_value(test) * (tests - place) as f64).min(1.0);
                set(test, greatest);
            }
        }
        Correction::BenjaminiHochberg | Correction::BenjaminiYekutieli => {
            let is_any_dependence = correction == Correction::BenjaminiYekutieli;
            let factor = if is_any_dependence { (1..=tests).map(|i| 1.0 / i as f64).sum() } else { 1.0 };
            let mut least = 1.0_f64;
            for (place, test) in order.into_iter().enumerate().rev() {
                least = least.min(p_value(test) * tests as f64 * factor / (place + 1) as f64);
                set(test, least);
            }
        }
    }
    adjusted
}
