//! A profile as readable JSON.

use serde_json::{Map, Value as Json, json};

use super::{Profile, Values};
use crate::function::Value;

/// The quantiles that are shown.
const SHOWN: [f64; 9] = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99];

impl Profile {
    /// The profile for people and pages: what it counts and what follows. Infinities are texts, as in [`crate::json`].
    #[must_use]
    pub fn to_json(&self) -> Json {
        let float = |x: f64| crate::json::to_json(&Value::Float64(x));
        let or_null = |x: Option<f64>| x.map_or(Json::Null, float);
        let distinct = self.distinct();
        let mut fields = Map::new();
        let mut add = |name: &str, value: Json| fields.insert(name.to_owned(), value);
        add("kind", self.kind_name().into());
        add("rows", self.rows.into());
        add("nulls", self.nulls.into());
        match &self.values {
            Values::Undecided => {}
            Values::Numbers(numeric) => {
                let (negative, positive) = self.infinities();
                let (range, moments) = (numeric.range(), numeric.moments());
                add("nans", self.nans().into());
                add("negative_infinities", negative.into());
                add("positive_infinities", positive.into());
                add("zeros", self.zeros().into());
                add("min", or_null(range.map(|(min, _)| min)));
                add("max", or_null(range.map(|(_, max)| max)));
                add("mean", or_null(moments.values().avg()));
                add("stddev", or_null(moments.stddev()));
                let quantiles = SHOWN.into_iter().filter_map(|q| {
                    let bounds = self.quantile(q)?;
                    Some(json!({
                        "q": q, "value": float(bounds.value), "low": float(bounds.low), "high": float(bounds.high),
                    }))
                });
                add("quantiles", quantiles.collect());
            }
            Values::Texts(_) => {
                add("empty", self.zeros().into());
                let categories = self
                    .categories()
                    .into_iter()
                    .map(|category| json!({"text": category.text, "cut": category.is_cut, "count": category.count}));
                add("categories", categories.collect());
                add("other_categories", self.other_categories().into());
            }
        }
        add("distinct", float(distinct.estimate));
        add("distinct_standard_error", float(distinct.standard_error));
        add("exact", self.is_exact().into());
        Json::Object(fields)
    }
}
