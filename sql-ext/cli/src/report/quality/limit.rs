//! Limits of measures: `--min roc_auc=0.7`.

use std::str::FromStr;

use serde::Serialize;
use skewless_catalog::suggest::did_you_mean;

use super::Args;
use super::measure::Measure;
use super::task::Task;
use crate::Failure;

/// A limit as it is written.
#[derive(Debug, Clone)]
pub(super) struct Limit {
    measure: String,
    limit: f64,
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("a limit is a measure and a number, such as roc_auc=0.7, not {text}");
        let (measure, number) = text.split_once('=').ok_or_else(wrong)?;
        let limit = number.trim().parse().ok().filter(|limit: &f64| limit.is_finite()).ok_or_else(wrong)?;
        Ok(Self { measure: measure.trim().to_lowercase(), limit })
    }
}

/// A limit and whether it holds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Checked {
    pub(super) measure: String,
    pub(super) at_least: Option<f64>,
    pub(super) at_most: Option<f64>,
    pub(super) value: Option<f64>,
    /// False, too, where there is no value.
    pub(super) holds: bool,
}

impl Checked {
    /// Compares the limit with the measure of all rows.
    pub(super) fn check(&mut self, measures: &[Measure]) {
        self.value = measures.iter().find(|measure| measure.name == self.measure).and_then(|measure| measure.value);
        self.holds = self.value.is_some_and(|value| {
            self.at_least.is_none_or(|limit| value >= limit) && self.at_most.is_none_or(|limit| value <= limit)
        });
    }

    pub(super) fn text(&self) -> String {
        match (self.at_least, self.at_most) {
            (Some(limit), _) => format!("{} at least {limit}", self.measure),
            (_, limit) => format!("{} at most {}", self.measure, limit.unwrap_or_default()),
        }
    }
}

/// The limits of a call; a measure that is not computed is refused.
pub(super) fn all(args: &Args, task: &Task) -> Result<Vec<Checked>, Failure> {
    let names: Vec<&str> = task.measures().iter().map(|(name, _)| *name).collect();
    let checked = |limit: &Limit, is_least: bool| {
        if !names.contains(&limit.measure.as_str()) {
            let hint = did_you_mean(&limit.measure, names.iter().copied());
            return Err(Failure::Usage(format!(
                "there is no measure {} of these predictions{hint}; there are {}",
                limit.measure,
                names.join(", ")
            )));
        }
        let (at_least, at_most) = if is_least { (Some(limit.limit), None) } else { (None, Some(limit.limit)) };
        Ok(Checked { measure: limit.measure.clone(), at_least, at_most, value: None, holds: false })
    };
    let least = args.min.iter().map(|limit| checked(limit, true));
    least.chain(args.max.iter().map(|limit| checked(limit, false))).collect()
}
