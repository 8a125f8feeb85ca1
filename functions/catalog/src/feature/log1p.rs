use crate::function::{Arg, Call, Column, Error, Example, Function, Tolerance, Type};

/// `log1p(x)`.
pub struct Log1p;

impl Function for Log1p {
    fn name(&self) -> &'static str {
        "log1p"
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[Arg::new("x", Type::Float64, "the value, above -1")];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Natural logarithm of 1 + x, accurate near 0"
    }

    fn long(&self) -> &'static str {
        include_str!("log1p.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![
            Example::scalar([0.0.into()], 0.0),
            Example::scalar([1e-20.into()], 1e-20),
            Example::scalar([1.0.into()], std::f64::consts::LN_2),
        ]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Relative(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        call.map_floats(|[x]| Ok(libm::log1p(x)))
    }
}
