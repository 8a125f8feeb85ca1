//! Precision of the first places.

use super::common::ranked_by_score;
use super::ranking::{RELEVANT, SCORE, hits, places};
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Section, Tolerance, Type, Values};

/// `precision_at_k(relevant, score)`.
pub struct PrecisionAtK;

impl Function for PrecisionAtK {
    fn name(&self) -> &'static str {
        "precision_at_k"
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn section(&self) -> Section {
        Section::Quality
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] =
            &[RELEVANT, SCORE, Arg::option("k", Type::Int64, "10", "how many of the first places count")];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Precision at k: the share of relevant items among the first k of a ranked list"
    }

    fn long(&self) -> &'static str {
        include_str!("ranking.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example {
            rows: [(true, 0.9), (false, 0.8), (true, 0.8), (false, 0.1)]
                .map(|(relevant, score)| vec![relevant.into(), score.into(), 2_i64.into()])
                .into(),
            returns: 0.75.into(),
        }]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let k = places(call)?.unwrap_or(10);
        let (ties, _) = ranked_by_score(call)?;
        let value = hits(&ties, k) / k as f64;
        Ok(Column::with_validity(Values::Float64(vec![value].into()), vec![!ties.is_empty()]))
    }
}
