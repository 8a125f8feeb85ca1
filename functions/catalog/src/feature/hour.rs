use super::{cos_turns, sin_turns};
use crate::function::{Arg, Call, Column, Error, Example, Function, Tolerance, Type, Value};
use crate::time;

const ARGS: &[Arg] = &[Arg::new("ts", Type::Timestamp, "the instant, read in UTC")];

/// `hour_sin(ts)`.
pub struct HourSin;

/// `hour_cos(ts)`.
pub struct HourCos;

impl Function for HourSin {
    fn name(&self) -> &'static str {
        "hour_sin"
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Sine of the hour of the day (0 to 23, of 24)"
    }

    fn long(&self) -> &'static str {
        include_str!("hour.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example::scalar([Value::timestamp("2013-07-04T06:59:59")], 1.0)]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let ts = call.timestamps(0)?;
        call.map(|row| Ok(sin_turns(turns(ts.get(row))))).map(Column::from)
    }
}

impl Function for HourCos {
    fn name(&self) -> &'static str {
        "hour_cos"
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Cosine of the hour of the day (0 to 23, of 24)"
    }

    fn long(&self) -> &'static str {
        include_str!("hour.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example::scalar([Value::timestamp("2013-07-04T12:00:00")], -1.0)]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let ts = call.timestamps(0)?;
        call.map(|row| Ok(cos_turns(turns(ts.get(row))))).map(Column::from)
    }
}

fn turns(micros: i64) -> f64 {
    f64::from(time::hour(micros)) / 24.0
}
