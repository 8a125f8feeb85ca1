//! Corrections for how many tests there were.

use super::{Correction, Finding, Options};

/// Fills in `p_adjusted`, `threshold` and `is_drift` of all findings of one validation; the tests without a p-value do not
/// count.
pub fn decide(findings: &mut [&mut Finding], options: &Options) {
    let mut order: Vec<(f64, usize)> =
        findings.iter().enumerate().filter_map(|(at, finding)| Some((finding.p_value?, at))).collect();
    // The greatest first; equal ones get the same adjusted value in any order.
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let tests = order.len() as f64;
    let mut least = 1.0_f64;
    for (place, (p, at)) in order.iter().enumerate() {
        let adjusted = match options.correction {
            Correction::None => *p,
            Correction::Bonferroni => (p * tests).min(1.0),
            Correction::BenjaminiHochberg => {
                least = least.min(p * tests / (tests - place as f64));
                least
            }
        };
        let Some(finding) = findings.get_mut(*at) else { continue };
        finding.p_adjusted = Some(adjusted);
        finding.threshold = Some(options.alpha);
        let is_large = finding.effect_size.is_none_or(|effect| effect.abs() >= options.min_effect);
        finding.is_drift = Some(adjusted <= options.alpha && is_large);
    }
}
