use crate::function::{Arg, Call, Column, Error, Example, Function, Tolerance, Type};

/// `min_max_scaler(x, min, max)`.
pub struct MinMaxScaler;

impl Function for MinMaxScaler {
    fn name(&self) -> &'static str {
        "min_max_scaler"
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            Arg::new("x", Type::Float64, "the value"),
            Arg::new("min", Type::Float64, "smallest value of the training data"),
            Arg::new("max", Type::Float64, "largest value of the training data"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Place between the smallest and the largest value: 0 to 1"
    }

    fn long(&self) -> &'static str {
        include_str!("min_max_scaler.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![
            Example::scalar([15.0.into(), 10.0.into(), 20.0.into()], 0.5),
            Example::scalar([25.0.into(), 10.0.into(), 20.0.into()], 1.5),
        ]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        call.map_floats(|[x, min, max]| {
            if min > max {
                return Err(format!("`min` is {min} and `max` is {max}, but `min` is at most `max`"));
            }
            let range = max - min;
            Ok((x - min) / if range == 0.0 { 1.0 } else { range })
        })
    }
}
