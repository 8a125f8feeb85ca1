//! A quantile of the values of a profile.

use super::Profile;
use super::ml_profile::numbers;
use crate::function::{Arg, Call, Column, Error, Example, Function, Section, Tolerance, Type, Values};

/// `ml_profile_quantile(p, q)`.
pub struct MlProfileQuantile;

impl Function for MlProfileQuantile {
    fn name(&self) -> &'static str {
        "ml_profile_quantile"
    }

    fn section(&self) -> Section {
        Section::Profiles
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            Arg::new("p", Type::Bytes, "the profile of a column of numbers"),
            Arg::new("q", Type::Float64, "the share of the values that are no greater, from 0 to 1"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "A quantile of the values of a profile."
    }

    fn long(&self) -> &'static str {
        include_str!("ml_profile_quantile.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example::scalar([numbers(), 0.5.into()], 2.0), Example::scalar([numbers(), 0.0.into()], 1.0)]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Exact
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let (profiles, shares) = (call.bytes(0)?, call.floats(1)?);
        let quantiles = call.map(|row| {
            let q = shares.get(row);
            if !(0.0..=1.0).contains(&q) {
                return Err(format!("`q` is {q}, but it has to be from 0 to 1"));
            }
            let bytes = profiles.at(row).map(AsRef::as_ref).unwrap_or_default();
            let profile = Profile::from_argument("p", bytes)?;
            if profile.texts().is_some() {
                return Err("`p` is a profile of texts, which have no quantiles; see ml_profile_json".to_owned());
            }
            Ok(profile.quantile(q).map(|bounds| bounds.value))
        })?;
        let valid: Vec<bool> = quantiles.iter().map(Option::is_some).collect();
        let values: Vec<f64> = quantiles.into_iter().map(Option::unwrap_or_default).collect();
        Ok(Column::with_validity(Values::Float64(values.into()), valid))
    }
}
