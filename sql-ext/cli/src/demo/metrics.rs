//! How good the scores are: the ROC curve and the calibration of a probability.

/// Scores with their labels, of flights whose label is known.
pub(super) struct Labelled {
    /// (probability, late), by falling probability.
    rows: Vec<(f64, bool)>,
}

impl Labelled {
    pub(super) fn new(rows: impl IntoIterator<Item = (f64, bool)>) -> Self {
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_by(|a, b| b.0.total_cmp(&a.0));
        Self { rows }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Points (false positive rate, true positive rate), one per distinct score, from (0, 0) to (1, 1).
    pub(super) fn roc(&self) -> Vec<(f64, f64)> {
        let late = self.rows.iter().filter(|row| row.1).count().max(1) as f64;
        let on_time = self.rows.iter().filter(|row| !row.1).count().max(1) as f64;
        let (mut points, mut hits, mut alarms) = (vec![(0.0, 0.0)], 0.0, 0.0);
        for (i, (score, is_late)) in self.rows.iter().enumerate() {
            if *is_late {
                hits += 1.0;
            } else {
                alarms += 1.0;
            }
            if self.rows.get(i + 1).is_none_or(|next| next.0.total_cmp(score).is_ne()) {
                points.push((alarms / on_time, hits / late));
            }
        }
        points
    }

    /// The area under the ROC curve, by the trapezoidal rule: ties count half.
    pub(super) fn roc_auc(&self) -> f64 {
        self.roc().windows(2).map(|pair| (pair[1].0 - pair[0].0) * (pair[0].1 + pair[1].1) / 2.0).sum()
    }

    /// The mean of the squared difference between probability and outcome.
    pub(super) fn brier(&self) -> f64 {
        self.rows.iter().map(|(p, late)| (p - f64::from(u8::from(*late))).powi(2)).sum::<f64>()
            / self.rows.len().max(1) as f64
    }

    /// Points (mean probability, share that was late, flights) of `bins` groups of equal size, by rising probability.
    pub(super) fn calibration(&self, bins: usize) -> Vec<(f64, f64, usize)> {
        let size = self.rows.len().div_ceil(bins).max(1);
        let mut points: Vec<_> = self
            .rows
            .chunks(size)
            .map(|group| {
                let n = group.len() as f64;
                let mean = group.iter().map(|row| row.0).sum::<f64>() / n;
                (mean, group.iter().filter(|row| row.1).count() as f64 / n, group.len())
            })
            .collect();
        points.reverse();
        points
    }
}

#[cfg(test)]
mod tests {
    use super::Labelled;

    #[test]
    fn a_perfect_order_has_area_one_and_ties_count_half() {
        let area = |rows: &[(f64, bool)]| Labelled::new(rows.iter().copied()).roc_auc();
        assert!((area(&[(0.9, true), (0.8, true), (0.1, false)]) - 1.0).abs() < 1e-12);
        assert!((area(&[(0.5, true), (0.5, false)]) - 0.5).abs() < 1e-12);
        assert!(area(&[(0.1, true), (0.9, false)]).abs() < 1e-12);
    }

    #[test]
    fn calibration_groups_hold_every_flight() {
        let points = Labelled::new((0..25).map(|i| (f64::from(i) / 25.0, i % 2 == 0))).calibration(10);
        assert_eq!(points.iter().map(|point| point.2).sum::<usize>(), 25);
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
