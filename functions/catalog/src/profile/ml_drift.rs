//! A verdict on two profiles.

use std::borrow::Cow;

use super::Profile;
use super::ml_profile::numbers;
use super::verdict::{Finding, Metric, Verdict, compare};
use crate::drift::Notes;
use crate::function::{Arg, Call, Column, Error, Example, Function, Section, Tolerance, Type, Values};

/// `ml_drift(metric, base, study)`.
pub struct MlDrift;

const FIELDS: &[(&str, Type)] = &[
    ("metric", Type::Text),
    ("statistic", Type::Float64),
    ("statistic_low", Type::Float64),
    ("statistic_high", Type::Float64),
    ("effect_size", Type::Float64),
    ("p_low", Type::Float64),
    ("p_high", Type::Float64),
    ("alpha", Type::Float64),
    ("verdict", Type::Text),
    ("n_base", Type::Int64),
    ("n_study", Type::Int64),
    ("note", Type::Text),
];

impl Function for MlDrift {
    fn name(&self) -> &'static str {
        "ml_drift"
    }

    fn section(&self) -> Section {
        Section::Profiles
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            Arg::new(
                "metric",
                Type::Text,
                "psi, ks, chi_square, js, hellinger, total_variation, wasserstein or welch_t",
            ),
            Arg::new("base", Type::Bytes, "the profile of the base sample"),
            Arg::new("study", Type::Bytes, "the profile of the study sample"),
            Arg::option("alpha", Type::Float64, "0.05", "up to which p-value there is drift, between 0 and 1"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Record(FIELDS)
    }

    fn short(&self) -> &'static str {
        "Has a distribution moved? A verdict on two profiles that counts in their sizes and what they leave open."
    }

    fn long(&self) -> &'static str {
        include_str!("ml_drift.md")
    }

    fn examples(&self) -> Vec<Example> {
        let verdict = Verdict {
            metric: Metric::Ks,
            finding: Some(Finding::exact(0.0, 0.0, 1.0)),
            alpha: 0.05,
            n: (3, 3),
            notes: Notes::default(),
        };
        vec![Example::scalar(["ks".into(), numbers(), numbers()], column(&[verdict]).value(0))]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-9)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let (metrics, bases, studies) = (call.texts(0)?, call.bytes(1)?, call.bytes(2)?);
        let alphas = call.arg(3).map(|_| call.floats(3)).transpose()?;
        // A base that all rows share is read once.
        let constant = match bases.constant() {
            Some(bytes) if (0..call.rows()).any(|row| call.is_valid(row)) => {
                Some(Profile::from_argument("base", bytes).map_err(|reason| call.refuse(reason))?)
            }
            _ => None,
        };
        let verdicts = call.map(|row| {
            let metric = Metric::of(metrics.at(row).map(AsRef::as_ref).unwrap_or_default())?;
            let alpha = alphas.map_or(0.05, |alphas| alphas.get(row));
            if !(alpha > 0.0 && alpha < 1.0) {
                return Err(format!("`alpha` is {alpha}, but it has to be between 0 and 1"));
            }
            let study = Profile::from_argument("study", studies.at(row).map(AsRef::as_ref).unwrap_or_default())?;
            if let Some(base) = &constant {
                return Ok(compare(metric, base, &study, alpha));
            }
            let base = Profile::from_argument("base", bases.at(row).map(AsRef::as_ref).unwrap_or_default())?;
            Ok(compare(metric, &base, &study, alpha))
        })?;
        Ok(column(&verdicts))
    }
}

fn column(verdicts: &[Verdict]) -> Column<'static> {
    let floats = |get: &dyn Fn(&Finding) -> Option<f64>| {
        let values = verdicts.iter().map(|verdict| verdict.finding.as_ref().and_then(get));
        let valid: Vec<bool> = values.clone().map(|value| value.is_some()).collect();
        let values: Vec<f64> = values.map(Option::unwrap_or_default).collect();
        Column::with_validity(Values::Float64(values.into()), valid)
    };
    let texts = |get: &dyn Fn(&Verdict) -> &'static str| {
        Column::new(Values::Text(verdicts.iter().map(|verdict| Cow::Borrowed(get(verdict))).collect()))
    };
    let counts = |get: &dyn Fn(&Verdict) -> u64| -> Column<'static> {
        verdicts.iter().map(|verdict| get(verdict) as i64).collect::<Vec<i64>>().into()
    };
    let notes: Vec<Option<String>> = verdicts.iter().map(|verdict| verdict.notes.text()).collect();
    let has_note: Vec<bool> = notes.iter().map(Option::is_some).collect();
    let notes: Vec<Cow<'static, str>> = notes.into_iter().map(|note| Cow::Owned(note.unwrap_or_default())).collect();
    let alphas: Vec<f64> = verdicts.iter().map(|verdict| verdict.alpha).collect();
    let columns = [
        texts(&|verdict| verdict.metric.name()),
        floats(&|finding| Some(finding.statistic)),
        floats(&|finding| Some(finding.low)),
        floats(&|finding| Some(finding.high)),
        floats(&|finding| finding.effect_size),
        floats(&|finding| finding.p.map(|(low, _)| low)),
        floats(&|finding| finding.p.map(|(_, high)| high)),
        alphas.into(),
        texts(&Verdict::text),
        counts(&|verdict| verdict.n.0),
        counts(&|verdict| verdict.n.1),
        Column::with_validity(Values::Text(notes), has_note),
    ];
    Column::new(Values::Record(FIELDS.iter().map(|(name, _)| *name).zip(columns).collect()))
}
