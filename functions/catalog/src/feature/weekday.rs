use super::{cos_turns, sin_turns};
use crate::function::{Arg, Call, Column, Error, Example, Function, Tolerance, Type, Value};
use crate::time;

const ARGS: &[Arg] = &[Arg::new("ts", Type::Timestamp, "the instant, read in UTC")];

/// `weekday_sin(ts)`.
pub struct WeekdaySin;

/// `weekday_cos(ts)`.
pub struct WeekdayCos;

impl Function for WeekdaySin {
    fn name(&self) -> &'static str {
        "weekday_sin"
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Sine of the day of the week (Monday is 0, of 7)"
    }

    fn long(&self) -> &'static str {
        include_str!("weekday.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example::scalar([Value::timestamp("2013-07-01T12:00:00")], 0.0)]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let ts = call.timestamps(0)?;
        call.map(|row| Ok(sin_turns(turns(ts.get(row))))).map(Column::from)
    }
}

impl Function for WeekdayCos {
    fn name(&self) -> &'static str {
        "weekday_cos"
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Cosine of the day of the week (Monday is 0, of 7)"
    }

    fn long(&self) -> &'static str {
        include_str!("weekday.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example::scalar([Value::timestamp("2013-07-01T12:00:00")], 1.0)]
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
    f64::from(time::weekday(micros)) / 7.0
}
