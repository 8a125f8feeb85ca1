use super::{cos_turns, sin_turns};
use crate::function::{Arg, Call, Column, Error, Example, Function, Tolerance, Type};

const ARGS: &[Arg] = &[
    Arg::new("x", Type::Float64, "the value"),
    Arg::new("period", Type::Float64, "the length of the cycle, above 0 and finite"),
];

/// `cyclical_sin(x, period)`.
pub struct CyclicalSin;

/// `cyclical_cos(x, period)`.
pub struct CyclicalCos;

impl Function for CyclicalSin {
    fn name(&self) -> &'static str {
        "cyclical_sin"
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Sine of the place of a value in its cycle"
    }

    fn long(&self) -> &'static str {
        include_str!("cyclical.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![
            Example::scalar([6.0.into(), 24.0.into()], 1.0),
            Example::scalar([12.0.into(), 24.0.into()], 0.0),
            Example::scalar([(-6.0).into(), 24.0.into()], -1.0),
        ]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        call.map_floats(|[x, period]| turns(x, period).map(sin_turns))
    }
}

impl Function for CyclicalCos {
    fn name(&self) -> &'static str {
        "cyclical_cos"
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Cosine of the place of a value in its cycle"
    }

    fn long(&self) -> &'static str {
        include_str!("cyclical.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![
            Example::scalar([6.0.into(), 24.0.into()], 0.0),
            Example::scalar([12.0.into(), 24.0.into()], -1.0),
            Example::scalar([24.0.into(), 24.0.into()], 1.0),
        ]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        call.map_floats(|[x, period]| turns(x, period).map(cos_turns))
    }
}

fn turns(x: f64, period: f64) -> Result<f64, String> {
    if period > 0.0 && period.is_finite() {
        Ok(libm::fmod(x, period) / period)
    } else {
        Err(format!("`period` is {period}, but it has to be above 0 and finite"))
    }
}
