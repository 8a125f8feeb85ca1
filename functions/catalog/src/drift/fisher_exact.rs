//! Fisher's exact test of two categories.

use super::cells::{self, Placing, Table, VALUE};
use super::{IS_BASE, OUTCOME, Outcome, counts};
use crate::distribution::Hypergeometric;
use crate::function::{Tolerance, define};

define! {
    /// `fisher_exact_test(value, is_base)`.
    pub struct FisherExactTest {
        name: "fisher_exact_test",
        kind: Aggregate,
        args: &[VALUE, IS_BASE],
        returns: OUTCOME,
        short: "Fisher's exact test: is one of two values as frequent in both samples?",
        long: include_str!("fisher_exact.md"),
        examples: {
            let outcome = Outcome {
                statistic: Some(9.0),
                effect_size: Some(9.0),
                p_value: Some(0.485_714_285_714_284_54),
                n_base: 4,
                n_study: 4,
                note: None,
            };
            vec![counts(&[("false", 3, 1), ("true", 1, 3)], outcome.into_value())]
        },
        tolerance: Tolerance::Relative(1e-9),
        state: |_options| Ok(Some(cells::state(&Self, Placing::TwoValues, fisher))),
    }
}

fn fisher(table: Table) -> Outcome {
    let (lower, upper) = match table.two_values() {
        Ok(cells) => cells,
        Err(reason) => return table.untestable(reason),
    };
    let odds_ratio = upper.study as f64 * lower.base as f64 / (upper.base as f64 * lower.study as f64);
    let upper_total = upper.base + upper.study;
    let (distribution, place) = Hypergeometric::with(table.sum.study, table.sum.base, upper_total, upper.study);
    table.outcome(odds_ratio, odds_ratio, Some(distribution.two_sided(place)))
}
