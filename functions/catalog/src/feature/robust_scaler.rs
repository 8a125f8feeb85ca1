use crate::function::{Arg, Call, Column, Error, Example, Function, Tolerance, Type};

/// `robust_scaler(x, median, iqr)`.
pub struct RobustScaler;

impl Function for RobustScaler {
    fn name(&self) -> &'static str {
        "robust_scaler"
    }

    fn args(&self) -> &'static [Arg] {
        const ARGS: &[Arg] = &[
            Arg::new("x", Type::Float64, "the value"),
            Arg::new("median", Type::Float64, "median of the training data"),
            Arg::new("iqr", Type::Float64, "75th less 25th percentile of the training data, at least 0"),
        ];
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Distance from the median in interquartile ranges"
    }

    fn long(&self) -> &'static str {
        include_str!("robust_scaler.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![
            Example::scalar([7.0.into(), 5.0.into(), 4.0.into()], 0.5),
            Example::scalar([7.0.into(), 5.0.into(), 0.0.into()], 2.0),
        ]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Exact
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        call.map_floats(|[x, median, iqr]| {
            if iqr < 0.0 {
                return Err(format!("`iqr` is {iqr}, but an interquartile range is at least 0"));
            }
            Ok((x - median) / if iqr == 0.0 { 1.0 } else { iqr })
        })
    }
}
