//! The Jensen–Shannon distance.

use super::cells::{self, BINNING, BINS, EDGES, Placing, Table, VALUE};
use super::{IS_BASE, OUTCOME, Outcome, SHIFT, counts, shift};
use crate::distribution::deviance;
use crate::function::{Arg, Call, Error, Tolerance, Type, Value, define};

const BASE: Arg =
    Arg::option("base", Type::Float64, "2.0", "the base of the logarithm; with 2 the distance is at most 1");

const ARGS: &[Arg] = &[VALUE, IS_BASE, BASE, BINS, BINNING, EDGES];

define! {
    /// `js_distance(value, is_base)`: the distance with its test.
    pub struct JsDistance {
        name: "js_distance",
        kind: Aggregate,
        args: ARGS,
        returns: OUTCOME,
        short: "Jensen–Shannon distance between two distributions over cells, with the p-value of chi-square",
        long: concat!(include_str!("js_distance.md"), "\n", include_str!("cells.md")),
        examples: vec![shift(0.434_421_311_103_480_65, 0.434_421_311_103_480_65, 0.157_299_207_050_284_77)],
        tolerance: Tolerance::Absolute(1e-9),
        state: |options| {
            let base = base(options)?;
            Ok(Some(cells::state(&Self, Placing::of(options, 3)?, move |table| jensen_shannon(table, base))))
        },
    }
}

define! {
    /// `js_distance_value(value, is_base)`: the distance alone.
    pub struct JsDistanceValue {
        name: "js_distance_value",
        kind: Aggregate,
        args: ARGS,
        returns: Type::Float64,
        short: "Jensen–Shannon distance between two distributions over cells",
        long: concat!(include_str!("js_distance.md"), "\n", include_str!("cells.md")),
        examples: vec![counts(SHIFT, 0.434_421_311_103_480_65.into())],
        tolerance: Tolerance::Absolute(1e-9),
        state: |options| {
            let base = base(options)?;
            Ok(Some(cells::state(&Self, Placing::of(options, 3)?, move |table| jensen_shannon(table, base))))
        },
    }
}

fn base(options: &Call<'_>) -> Result<f64, Error> {
    match options.option(2) {
        None => Ok(2.0),
        Some(Value::Float64(base)) if base > 1.0 && base.is_finite() => Ok(base),
        Some(base) => Err(options.refuse(format!("`base` is {base}, but it has to be finite and above 1"))),
    }
}

pub(crate) fn jensen_shannon(table: Table, base: f64) -> Outcome {
    // Shares and their mean have the same sum, so that their difference can be added to every term: none is negative.
    let part = |share: f64, other: f64| {
        let mean = f64::midpoint(share, other);
        if share == 0.0 { mean } else { deviance(share, (other - share) / 2.0, mean) }
    };
    let twice: f64 = table.shares().map(|(base, study)| part(base, study) + part(study, base)).sum();
    let divergence = (twice / 2.0).min(std::f64::consts::LN_2);
    let distance = (divergence / libm::log(base)).sqrt();
    table.distance(distance)
}
