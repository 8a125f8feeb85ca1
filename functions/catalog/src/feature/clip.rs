use crate::function::{Arg, Call, Column, Error, Example, Function, Tolerance, Type};

/// `clip(x, low, high)`.
pub struct Clip;

impl Function for Clip {
    fn name(&self) -> &'static str {
        "clip"
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            Arg::new("x", Type::Float64, "the value"),
            Arg::new("low", Type::Float64, "the smallest result"),
            Arg::new("high", Type::Float64, "the largest result"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "The nearest value between two bounds"
    }

    fn long(&self) -> &'static str {
        include_str!("clip.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![
            Example::scalar([120.0.into(), 0.0.into(), 100.0.into()], 100.0),
            Example::scalar([f64::NEG_INFINITY.into(), 0.0.into(), 100.0.into()], 0.0),
        ]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Exact
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        call.map_floats(|[x, low, high]| {
            if low <= high {
                Ok(x.clamp(low, high))
            } else {
                Err(format!("`low` is {low} and `high` is {high}, but `low` has to be at most `high`"))
            }
        })
    }
}
