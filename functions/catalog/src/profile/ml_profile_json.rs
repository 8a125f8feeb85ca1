//! A profile as text to read.

use super::Profile;
use super::ml_profile::{numbers, texts};
use crate::function::{Arg, Call, Column, Error, Example, Function, Section, Tolerance, Type};

/// `ml_profile_json(p)`.
pub struct MlProfileJson;

impl Function for MlProfileJson {
    fn name(&self) -> &'static str {
        "ml_profile_json"
    }

    fn section(&self) -> Section {
        Section::Profiles
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[Arg::new("p", Type::Bytes, "the profile")];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Text
    }

    fn short(&self) -> &'static str {
        "What a profile holds, as JSON: counts, moments, quantiles with bounds, categories."
    }

    fn long(&self) -> &'static str {
        include_str!("ml_profile_json.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example::scalar([texts()], TEXTS), Example::scalar([numbers()], NUMBERS)]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Exact
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let profiles = call.bytes(0)?;
        let texts = call.map(|row| {
            let bytes = profiles.at(row).map(AsRef::as_ref).unwrap_or_default();
            Profile::from_argument("p", bytes).map(|profile| profile.to_json().to_string())
        })?;
        Ok(texts.into())
    }
}

const TEXTS: &str = concat!(
    r#"{"kind":"texts","rows":3,"nulls":1,"empty":0,"#,
    r#""categories":["#,
    r#"{"text":"SEA","cut":false,"count":2}],"other_categories":0,"#,
    r#""distinct":1.0,"distinct_standard_error":0.0,"exact":true}"#,
);
const NUMBERS: &str = concat!(
    r#"{"kind":"numbers","rows":3,"nulls":0,"nans":0,"negative_infinities":0,"positive_infinities":0,"zeros":0,"#,
    r#""min":1.0,"max":2.0,"mean":1.6666666666666667,"stddev":0.5773502691896257,"quantiles":["#,
    r#"{"q":0.01,"value":1.0,"low":1.0,"high":1.0},"#,
    r#"{"q":0.05,"value":1.0,"low":1.0,"high":1.0},"#,
    r#"{"q":0.1,"value":1.0,"low":1.0,"high":1.0},"#,
    r#"{"q":0.25,"value":1.0,"low":1.0,"high":1.0},"#,
    r#"{"q":0.5,"value":2.0,"low":2.0,"high":2.0},"#,
    r#"{"q":0.75,"value":2.0,"low":2.0,"high":2.0},"#,
    r#"{"q":0.9,"value":2.0,"low":2.0,"high":2.0},"#,
    r#"{"q":0.95,"value":2.0,"low":2.0,"high":2.0},"#,
    r#"{"q":0.99,"value":2.0,"low":2.0,"high":2.0}],"#,
    r#""distinct":2.0,"distinct_standard_error":0.0,"exact":true}"#,
);
