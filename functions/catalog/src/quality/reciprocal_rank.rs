//! One over the place of the first relevant item.

use super::common::{pairs, ranked_by_score};
use super::ranking::{RELEVANT, SCORE, places, reciprocal_rank};
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Section, Tolerance, Type, Values};

/// `reciprocal_rank(relevant, score)`.
pub struct ReciprocalRank;

impl Function for ReciprocalRank {
    fn name(&self) -> &'static str {
        "reciprocal_rank"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["mean_reciprocal_rank"]
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn section(&self) -> Section {
        Section::Quality
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            RELEVANT,
            SCORE,
            Arg::option("k", Type::Int64, "NULL", "how many of the first places count; all, where it is NULL"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Reciprocal rank of the first relevant item of a ranked list; its mean over lists is MRR"
    }

    fn long(&self) -> &'static str {
        include_str!("ranking.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example { rows: pairs(&[(false, 0.9), (true, 0.8), (true, 0.1)]), returns: 0.5.into() }]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let k = places(call)?.unwrap_or(u64::MAX);
        let (ties, _) = ranked_by_score(call)?;
        let value = reciprocal_rank(&ties, k);
        Ok(Column::with_validity(Values::Float64(vec![value].into()), vec![!ties.is_empty()]))
    }
}
