//! Rank statistics of values that come in order: each is told every distinct value once, with how many values of both samples
//! are below and at it, and holds none of them. [`Samples`](super::samples::Samples) feeds them from memory, [`RankPass`] from
//! rows that were sorted elsewhere.

use std::cmp::Ordering;
use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use super::anderson_darling::AndersonDarling;
use super::cramer_von_mises::CramerVonMises;
use super::energy::Energy;
use super::ks::Ks;
use super::kuiper::Kuiper;
use super::mann_whitney::MannWhitney;
use super::samples::{Finding, Step, lack};
use super::wasserstein::Wasserstein;
use super::{Notes, Outcome};
use crate::profile::Profile;

/// A statistic over the distinct values of two samples in order, made for samples of known sizes.
pub(super) trait RankStatistic: Send + Sync + Debug {
    /// How many values each sample has to have.
    fn least(&self) -> u64 {
        1
    }

    /// Adds the next distinct value.
    fn add(&mut self, step: &Step);

    /// The result once all values were added, or why there is none.
    fn finish(&self, notes: &mut Notes) -> Result<Finding, String>;
}

/// A test or distance of two samples that reads their values in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RankTest {
    /// `ks_test`
    Ks,
    /// `mann_whitney_test`
    MannWhitney,
    /// `cramer_von_mises_test`
    CramerVonMises,
    /// `anderson_darling_test`
    AndersonDarling,
    /// `kuiper_test`
    Kuiper,
    /// `wasserstein_distance`
    Wasserstein,
    /// `energy_distance`
    Energy,
}

impl RankTest {
    /// All of them, by the names of metrics.
    pub const ALL: [(&'static str, Self); 7] = [
        ("ks", Self::Ks),
        ("mann_whitney", Self::MannWhitney),
        ("cramer_von_mises", Self::CramerVonMises),
        ("anderson_darling", Self::AndersonDarling),
        ("kuiper", Self::Kuiper),
        ("wasserstein", Self::Wasserstein),
        ("energy", Self::Energy),
    ];

    /// The test of a metric.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(own, _)| *own == name).map(|(_, test)| *test)
    }

    fn statistic(self, sizes: (u64, u64)) -> Box<dyn RankStatistic> {
        match self {
            Self::Ks => Box::new(Ks::new(sizes)),
            Self::MannWhitney => Box::new(MannWhitney::new(sizes)),
            Self::CramerVonMises => Box::new(CramerVonMises::new(sizes)),
            Self::AndersonDarling => Box::new(AndersonDarling::new(sizes)),
            Self::Kuiper => Box::new(Kuiper::new(sizes)),
            Self::Wasserstein => Box::new(Wasserstein::new(sizes, false)),
            Self::Energy => Box::new(Energy::new(sizes)),
        }
    }
}

/// What is known of a sample before its values come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Given {
    /// Values that have a rank.
    pub values: u64,
    /// NULLs, which have none.
    pub nulls: u64,
    /// NaNs, which have none.
    pub nans: u64,
}

impl Given {
    /// What a profile counts.
    #[must_use]
    pub fn of(profile: &Profile) -> Self {
        let (nulls, nans) = (profile.nulls(), profile.nans());
        Self { values: profile.rows().saturating_sub(nulls + nans), nulls, nans }
    }
}

/// Values that are not those that were to come.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum RankPassError {
    /// A value is below the one before it, or NaN.
    #[error("the values are not in order: {value} comes after {before}")]
    Order {
        /// The value.
        value: f64,
        /// The one before.
        before: f64,
    },
    /// There are other values than the profile counts.
    #[error(
        "the {sample} sample had {expected} values when it was profiled and {found} when it was sorted; compare tables that do \
         not change meanwhile, and queries that give the same rows whenever they run"
    )]
    Changed {
        /// Base or study.
        sample: &'static str,
        /// How many values were to come.
        expected: u64,
        /// How many came.
        found: u64,
    },
}

/// Rank tests of two samples whose values come in order, once. The state does not grow with the values, and every outcome has
/// the same bits as the function's over the rows in any order.
#[derive(Debug)]
pub struct RankPass {
    base: Given,
    study: Given,
    /// The value that came last, and what came of it.
    run: Option<Step>,
    statistics: Vec<(RankTest, Box<dyn RankStatistic>)>,
}

impl RankPass {
    /// These tests of samples of these sizes.
    #[must_use]
    pub fn new(tests: &[RankTest], base: Given, study: Given) -> Self {
        let sizes = (base.values, study.values);
        let statistics = tests.iter().map(|test| (*test, test.statistic(sizes))).collect();
        Self { base, study, run: None, statistics }
    }

    /// Adds a value that is so often in the base and in the study sample, and is no less than the one before.
    ///
    /// # Errors
    ///
    /// The value is NaN or less than the one before.
    pub fn add(&mut self, value: f64, base: u64, study: u64) -> Result<(), RankPassError> {
        // Adding zero makes the negative zero positive: they are one value.
        let value = value + 0.0;
        let before = self.run.map_or(f64::NEG_INFINITY, |run| run.at);
        let run = match (self.run.as_mut(), value.partial_cmp(&before)) {
            (_, None | Some(Ordering::Less)) => return Err(RankPassError::Order { value, before }),
            (Some(run), Some(Ordering::Equal)) => run,
            (run, _) => {
                let (mut base_below, mut study_below) = (0, 0);
                if let Some(run) = run {
                    (base_below, study_below) = (run.base_up_to(), run.study_up_to());
                    for (_, statistic) in &mut self.statistics {
                        statistic.add(run);
                    }
                }
                self.run.insert(Step { at: value, base_below, base_tied: 0, study_below, study_tied: 0 })
            }
        };
        run.base_tied += base;
        run.study_tied += study;
        Ok(())
    }

    /// The outcome of every test, once all values were added.
    ///
    /// # Errors
    ///
    /// There were more or fewer values than the samples have.
    pub fn finish(mut self) -> Result<Vec<(RankTest, Outcome)>, RankPassError> {
        let found = self.run.map_or((0, 0), |run| (run.base_up_to(), run.study_up_to()));
        for (sample, expected, found) in [("base", self.base.values, found.0), ("study", self.study.values, found.1)] {
            if expected != found {
                return Err(RankPassError::Changed { sample, expected, found });
            }
        }
        let sizes = (self.base.values, self.study.values);
        let mut outcomes = Vec::with_capacity(self.statistics.len());
        for (test, statistic) in &mut self.statistics {
            if let Some(run) = &self.run {
                statistic.add(run);
            }
            let mut notes = Notes::default();
            notes.left_out((self.base.nulls, self.base.nans), "base", "rank");
            notes.left_out((self.study.nulls, self.study.nans), "study", "rank");
            let finding = match lack(sizes, statistic.least()) {
                None => statistic.finish(&mut notes),
                Some(reason) => Err(reason),
            };
            outcomes.push((*test, Outcome::of(finding, sizes, notes)));
        }
        Ok(outcomes)
    }
}

#[cfg(test)]
mod tests;
