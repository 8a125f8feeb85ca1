use super::{cos_turns, sin_turns};
use crate::function::{Arg, Call, Column, Error, Example, Function, Tolerance, Type, Value};
use crate::time;

const ARGS: &[Arg] = &[Arg::new("ts", Type::Timestamp, "the instant, read in UTC")];

/// `month_sin(ts)`.
pub struct MonthSin;

/// `month_cos(ts)`.
pub struct MonthCos;

impl Function for MonthSin {
    fn name(&self) -> &'static str {
        "month_sin"
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Sine of the month of the year (January is 0, of 12)"
    }

    fn long(&self) -> &'static str {
        include_str!("month.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example::scalar([Value::timestamp("2013-04-30T23:59:59")], 1.0)]
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::Absolute(1e-12)
    }

    fn compute(&self, call: &Call<'_>) -> Result<Column<'static>, Error> {
        let ts = call.timestamps(0)?;
        call.map(|row| Ok(sin_turns(turns(ts.get(row))))).map(Column::from)
    }
}

impl Function for MonthCos {
    fn name(&self) -> &'static str {
        "month_cos"
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn returns(&self) -> Type {
        Type::Float64
    }

    fn short(&self) -> &'static str {
        "Cosine of the month of the year (January is 0, of 12)"
    }

    fn long(&self) -> &'static str {
        include_str!("month.md")
    }

    fn examples(&self) -> Vec<Example> {
        vec![Example::scalar([Value::timestamp("2013-07-04T09:30:00")], -1.0)]
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
    f64::from(time::date(micros).month - 1) / 12.0
}
