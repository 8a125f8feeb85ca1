//! The area under the ROC curve, with its interval.

use super::common::{CONFIDENCE, LABEL, Level, MEASURE, Measure, NO_ROWS, SCORE, Tie, pairs, ranked_by_score, totals};
use crate::drift::Notes;
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Section, Tolerance, Type, Value};

/// `roc_auc(label, score)`.
pub struct RocAuc;

impl Function for RocAuc {
    fn name(&self) -> &'static str {
        "roc_auc"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["roc_auc_score"]
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn section(&self) -> Section {
        Section::Quality
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[LABEL, SCORE, CONFIDENCE];
        ARGS
    }

    fn returns(&self) -> Type {
        MEASURE
    }

    fn short(&self) -> &'static str {
        "Area under the ROC curve: how often a true row has the higher score, with its interval"
    }

    fn long(&self) -> &'static str {
        include_str!("roc_auc.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example {
            rows: pairs(&[(false, 0.1), (false, 0.4), (true, 0.35), (true, 0.8)]),
            returns: Value::Record(vec![
                ("value", 0.75.into()),
                ("low", 0.057_048_087_825_161_13.into()),
                ("high", 1.0.into()),
                ("n", 4_i64.into()),
                ("note", Value::Null),
            ]),
        }]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let level = Level::option(call, 2)?;
        let (ties, notes) = ranked_by_score(call)?;
        Ok(area(&ties, level, notes).into_column())
    }
}

/// The area, by counts of pairs, with its variance over rows of both labels.
pub(super) fn area(ties: &[Tie], level: Level, mut notes: Notes) -> Measure {
    let (positives, negatives) = totals(ties);
    let n = positives + negatives;
    if positives == 0 || negatives == 0 {
        notes.add(if n == 0 { NO_ROWS } else { "all labels are the same, so there is no pair to order" });
        return Measure::new(None, None, n, &notes);
    }
    // Twice the pairs won: each positive against the negatives below it, each negative against the positives above it.
    let (mut above, mut below) = (0, negatives);
    let (mut of_positives, mut of_negatives) = (Moments::default(), Moments::default());
    for tie in ties {
        below -= tie.negatives;
        of_positives.add(2 * below + tie.negatives, tie.positives);
        of_negatives.add(2 * above + tie.positives, tie.negatives);
        above += tie.positives;
    }
    let (m, k) = (positives as f64, negatives as f64);
    let value = of_positives.sum as f64 / (2.0 * m * k);
    if positives < 2 || negatives < 2 {
        notes.add("there is no interval: it needs two rows of each label");
        return Measure::new(Some(value), None, n, &notes);
    }
    let variance = of_positives.variance() / (4.0 * k * k) / m + of_negatives.variance() / (4.0 * m * m) / k;
    let half = level.z() * variance.sqrt();
    Measure::new(Some(value), Some(((value - half).max(0.0), (value + half).min(1.0))), n, &notes)
}

/// The count, sum and sum of squares of whole numbers, exact for up to 2^31 rows of each label.
#[derive(Debug, Default)]
struct Moments {
    n: u128,
    sum: u128,
    squares: u128,
}

impl Moments {
    fn add(&mut self, value: u64, times: u64) {
        let (value, times) = (u128::from(value), u128::from(times));
        self.n += times;
        self.sum += value * times;
        self.squares += value * value * times;
    }

    /// The sample variance.
    fn variance(&self) -> f64 {
        let n = self.n as f64;
        self.n.saturating_mul(self.squares).saturating_sub(self.sum.saturating_mul(self.sum)) as f64 / n / (n - 1.0)
    }
}
