//! What is to be expected of predictions whose probabilities are right: the confusion matrix, and the measures of it.

use crate::sum::ExactSum;

/// A measure of a classifier of two classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Performance {
    Accuracy,
    Precision,
    Recall,
    F1,
    RocAuc,
}

impl Performance {
    pub(super) const ALL: [Self; 5] = [Self::Accuracy, Self::Precision, Self::Recall, Self::F1, Self::RocAuc];

    /// Its name in notes.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Precision => "precision",
            Self::Recall => "recall",
            Self::F1 => "F1",
            Self::RocAuc => "ROC AUC",
        }
    }

    /// Its name as an option.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::F1 => "f1",
            Self::RocAuc => "roc_auc",
            other => other.name(),
        }
    }
}

/// An expected measure and its standard error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Estimate {
    pub(super) value: f64,
    pub(super) error: f64,
}

impl Estimate {
    /// The share of `successes` in `n`.
    fn share(successes: f64, n: f64) -> Option<Self> {
        let value = successes / n;
        (n > 0.0).then(|| Self { value, error: (value * (1.0 - value) / n).max(0.0).sqrt() })
    }
}

/// The confusion matrix to be expected, and the probabilities that it is made of.
#[derive(Debug, Default)]
pub(super) struct Expected {
    probabilities: Vec<f64>,
    predicted: u64,
    hits: ExactSum,
    misses: ExactSum,
}

impl Expected {
    /// Adds a row by the probability, from 0 to 1, that its label is true.
    pub(super) fn add(&mut self, probability: f64, is_positive: bool) {
        // One zero.
        let p = probability + 0.0;
        self.probabilities.push(p);
        self.predicted += u64::from(is_positive);
        if is_positive { &mut self.hits } else { &mut self.misses }.add(p);
    }

    /// How many rows there are.
    pub(super) fn n(&self) -> u64 {
        self.probabilities.len() as u64
    }

    /// All measures, in their order.
    pub(super) fn estimates(&self) -> [Option<Estimate>; 5] {
        Performance::ALL.map(|performance| self.estimate(performance))
    }

    /// A measure; `None` where it has nothing to be of.
    pub(super) fn estimate(&self, performance: Performance) -> Option<Estimate> {
        let (n, predicted) = (self.n() as f64, self.predicted as f64);
        let (hits, misses) = (self.hits.sum(), self.misses.sum());
        let false_alarms = predicted - hits;
        match performance {
            Performance::Accuracy => Estimate::share(hits + (n - predicted - misses), n),
            Performance::Precision => Estimate::share(hits, predicted),
            Performance::Recall => Estimate::share(hits, hits + misses),
            Performance::F1 => {
                // F1 is the share of hits among hits, false alarms and misses, times a factor.
                let union = hits + false_alarms + misses;
                let factor = union / (hits + 0.5 * (false_alarms + misses));
                let scaled = |e: Estimate| Estimate { value: e.value * factor, error: e.error * factor };
                Estimate::share(hits, union).map(scaled)
            }
            Performance::RocAuc => area(self.probabilities.clone()),
        }
    }
}

/// The expected area under the ROC curve of rows ordered by their probability.
fn area(mut probabilities: Vec<f64>) -> Option<Estimate> {
    probabilities.sort_unstable_by(f64::total_cmp);
    let ties: Vec<(f64, f64)> = probabilities
        .chunk_by(|a, b| a.to_bits() == b.to_bits())
        .filter_map(|tie| Some((*tie.first()?, tie.len() as f64)))
        .collect();
    let positives: f64 = ties.iter().map(|(p, n)| p * n).sum();
    let negatives: f64 = ties.iter().map(|(p, n)| (1.0 - p) * n).sum();
    if positives <= 0.0 || negatives <= 0.0 {
        return None;
    }
    // For a positive in each tie the share of negatives below it, and for a negative that of positives above it.
    let (mut below, mut above) = (0.0, positives);
    let places: Vec<[f64; 4]> = ties
        .iter()
        .map(|(p, n)| {
            let (here, there) = (p * n, (1.0 - p) * n);
            above -= here;
            let place = [here, (below + there / 2.0) / negatives, there, (above + here / 2.0) / positives];
            below += there;
            place
        })
        .collect();
    let value = places.iter().map(|[weight, share, ..]| weight * share).sum::<f64>() / positives;
    // The spread over the rarer label.
    let is_rarer = positives <= negatives;
    let total = positives.min(negatives);
    let spread = |[a, b, c, d]: &[f64; 4]| {
        let (weight, share) = if is_rarer { (a, b) } else { (c, d) };
        weight * (share - value) * (share - value)
    };
    let variance = places.iter().map(spread).sum::<f64>() / total;
    Some(Estimate { value, error: (variance / total).sqrt() })
}
