//! Normalized discounted cumulative gain.

use super::common::pairs;
use super::ranking::{SCORE, places};
use crate::function::{Arg, Call, Column, Error, Example, Function, Kind, Section, Tolerance, Type, Values};
use crate::sum::ExactSum;

/// `ndcg(relevance, score)`.
pub struct Ndcg;

impl Function for Ndcg {
    fn name(&self) -> &'static str {
        "ndcg"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["ndcg_score"]
    }

    fn kind(&self) -> Kind {
        Kind::Aggregate
    }

    fn section(&self) -> Section {
        Section::Quality
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            Arg::new("relevance", Type::Float64, "how much the item is worth, at least 0"),
            SCORE,
            Arg::option("k", Type::Int64, "NULL", "how many of the first places count; all, where it is NULL"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "NDCG: how near a ranked list is to the best order of its relevances"
    }

    fn long(&self) -> &'static str {
        include_str!("ranking.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example { rows: pairs(&[(3.0, 0.9), (0.0, 0.8), (1.0, 0.1)]), returns: 0.963_940_433_316_653_2.into() }]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let k = places(call)?.unwrap_or(u64::MAX);
        let (relevance, score) = (call.floats(0)?, call.floats(1)?);
        let mut items: Vec<(f64, f64)> = (0..call.rows())
            .filter(|row| call.is_given(0, *row) && call.is_given(1, *row))
            .map(|row| (score.get(row) + 0.0, relevance.get(row)))
            .filter(|(score, relevance)| !(score.is_nan() || relevance.is_nan()))
            .collect();
        let is_defined = !items.is_empty() && items.iter().all(|(_, relevance)| *relevance >= 0.0);
        let gained = gain(&mut items, k);
        for (score, relevance) in &mut items {
            *score = *relevance;
        }
        let most = gain(&mut items, k);
        let value = if most > 0.0 { gained / most } else { 0.0 };
        Ok(Column::with_validity(Values::Float64(vec![value].into()), vec![is_defined]))
    }
}

/// The discounted gain of `(score, relevance)` in the order of the scores; a tie shares its places evenly.
fn gain(items: &mut [(f64, f64)], k: u64) -> f64 {
    items.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let (mut place, mut gain) = (0_u64, 0.0);
    for tie in items.chunk_by(|a, b| a.0.to_bits() == b.0.to_bits()) {
        let mut relevance = ExactSum::new();
        let mut discount = 0.0;
        for (_, worth) in tie {
            relevance.add(*worth);
            if place < k {
                discount += std::f64::consts::LN_2 / libm::log(place as f64 + 2.0);
            }
            place += 1;
        }
        gain += relevance.avg().unwrap_or(0.0) * discount;
    }
    gain
}
