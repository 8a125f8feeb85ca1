use super::{cos_turns, sin_turns};
use crate::function::{Arg, Call, Column, Error, Example, Function, Tolerance, Type, Value};
use crate::time;

const ARGS: &[Arg] = &[Arg::new("ts", Type::Timestamp, "the instant, read in UTC")];

/// `day_sin(ts)`.
pub struct DaySin;

/// `day_cos(ts)`.
pub struct DayCos;

impl Function for DaySin {
    fn name(&self) -> &'static str {
        "day_sin"
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Sine of the day of the month (the 1st is 0, of the days in that month)"
    }

    fn long(&self) -> &'static str {
        include_str!("day.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example::scalar([Value::timestamp("2013-02-08T00:00:00")], 1.0)]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let ts = call.timestamps(0)?;
        call.map(|row| Ok(sin_turns(turns(ts.get(row))))).map(Column::from)
    }
}

impl Function for DayCos {
    fn name(&self) -> &'static str {
        "day_cos"
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Cosine of the day of the month (the 1st is 0, of the days in that month)"
    }

    fn long(&self) -> &'static str {
        include_str!("day.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example::scalar([Value::timestamp("2013-02-15T00:00:00")], -1.0)]
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
    let date = time::date(micros);
    f64::from(date.day - 1) / f64::from(time::days_in_month(date.year, date.month))
}
