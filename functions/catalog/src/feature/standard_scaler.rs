use crate::function::{Arg, Call, Column, Error, Example, Function, Tolerance, Type};

/// `standard_scaler(x, mean, std)`.
pub struct StandardScaler;

impl Function for StandardScaler {
    fn name(&self) -> &'static str {
        "standard_scaler"
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            Arg::new("x", Type::Float64, "the value"),
            Arg::new("mean", Type::Float64, "mean of the training data"),
            Arg::new("std", Type::Float64, "standard deviation of the training data, at least 0"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Distance from the mean in standard deviations"
    }

    fn long(&self) -> &'static str {
        include_str!("standard_scaler.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![
            Example::scalar([13.0.into(), 10.0.into(), 2.0.into()], 1.5),
            Example::scalar([13.0.into(), 10.0.into(), 0.0.into()], 3.0),
        ]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Exact
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        call.map_floats(|[x, mean, std]| {
            if std < 0.0 {
                return Err(format!("`std` is {std}, but a standard deviation is at least 0"));
            }
            Ok((x - mean) / if std == 0.0 { 1.0 } else { std })
        })
    }
}
