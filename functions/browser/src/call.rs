//! Calls of catalog functions with JavaScript's values.

use skewless_catalog::{Arg, Column, Function, Kind, Type, Value, find, function, json};

use crate::{Cell, Error};

/// Evaluates a function by name or alias. Bytes are text in base64.
///
/// A scalar function takes one value per argument. An aggregate takes an array per column, all of one length, and single
/// values for its options; a detector takes the same and gives an array. A timestamp is a `Date`, text in UTC, or a number of microseconds since 1970.
pub fn evaluate(name: &str, args: &[Cell]) -> Result<Cell, Error> {
    let function = find(name)?;
    let specification = function.args();
    let arg = |index: usize| {
        let message = || skewless_catalog::Error::Arity {
            function: function.name(),
            signature: function::signature(function),
            got: args.len(),
        };
        specification.get(index).ok_or_else(message)
    };
    let value = match function.kind() {
        Kind::Scalar => {
            let values: Vec<Value> = args
                .iter()
                .enumerate()
                .map(|(index, cell)| convert(function, arg(index)?, cell))
                .collect::<Result<_, Error>>()?;
            function::call(function, &values)?
        }
        kind @ (Kind::Aggregate | Kind::Window) => {
            let columns: Vec<Vec<Value>> = args
                .iter()
                .enumerate()
                .map(|(index, cell)| {
                    let arg = arg(index)?;
                    match cell {
                        Cell::List(cells) if arg.default.is_none() => {
                            cells.iter().map(|cell| convert(function, arg, cell)).collect()
                        }
                        other => Ok(vec![convert(function, arg, other)?]),
                    }
                })
                .collect::<Result<_, Error>>()?;
            let count = columns.iter().map(Vec::len).max().unwrap_or_default();
            let columns: Vec<Column<'_>> = specification
                .iter()
                .zip(&columns)
                .map(|(arg, values)| {
                    let values: Vec<&Value> = values.iter().collect();
                    Column::from_values(arg.data_type, &values).map_err(|got| refuse(function, arg, got))
                })
                .collect::<Result<_, _>>()?;
            let result = skewless_catalog::evaluate(function, &columns, count)?;
            if kind == Kind::Window {
                return Ok(Cell::List((0..result.len()).map(|row| from_value(result.value(row))).collect()));
            }
            result.value(0)
        }
    };
    Ok(from_value(value))
}

fn refuse(function: &dyn Function, arg: &Arg, got: String) -> Error {
    Error::Function(skewless_catalog::Error::Type {
        function: function.name(),
        argument: arg.name,
        expected: arg.data_type,
        got,
    })
}

/// A value of the type that the argument takes.
fn convert(function: &dyn Function, arg: &Arg, cell: &Cell) -> Result<Value, Error> {
    let value = match (arg.data_type, cell) {
        (_, Cell::Null) => Some(Value::Null),
        (Type::Text | Type::Float64OrText | Type::Int64OrText, Cell::Text(text)) => Some(Value::Text(text.clone())),
        (Type::Int64 | Type::Int64OrText, cell) => cell.to_integer().map(Value::Int64),
        (Type::Boolean, Cell::Boolean(value)) => Some(Value::Boolean(*value)),
        (Type::Float64 | Type::Float64OrText, cell) => cell.to_float().map(Value::Float64),
        (Type::Timestamp, Cell::Date(millis)) => {
            let micros = Cell::Number(millis * 1e3).to_integer();
            micros.map(Value::Timestamp)
        }
        (Type::Timestamp, Cell::Text(text)) => {
            let value = Value::timestamp(text.trim_end_matches('Z'));
            (value != Value::Null).then_some(value)
        }
        (Type::Timestamp, cell) => cell.to_integer().map(Value::Timestamp),
        (Type::Bytes, Cell::Text(text)) => json::from_base64(text).map(Value::Bytes),
        (Type::Float64List, Cell::List(cells)) => {
            cells.iter().map(Cell::to_float).collect::<Option<_>>().map(Value::Float64List)
        }
        (Type::TextList, Cell::List(cells)) => {
            let text = |cell: &Cell| if let Cell::Text(text) = cell { Some(text.clone()) } else { None };
            cells.iter().map(text).collect::<Option<_>>().map(Value::TextList)
        }
        _ => None,
    };
    value.ok_or_else(|| {
        let got = match cell {
            Cell::Number(value) => format!("the number {value}"),
            Cell::Text(text) => format!("the text {text:?}"),
            other => other.kind().to_owned(),
        };
        refuse(function, arg, got)
    })
}

fn from_value(value: Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Float64(value) => Cell::Number(value),
        Value::Int64(value) | Value::Timestamp(value) => Cell::from_integer(value),
        Value::Boolean(value) => Cell::Boolean(value),
        Value::Text(text) => Cell::Text(text),
        Value::Bytes(bytes) => Cell::Text(json::base64(&bytes)),
        Value::Float64List(values) => Cell::List(values.into_iter().map(Cell::Number).collect()),
        Value::TextList(values) => Cell::List(values.into_iter().map(Cell::Text).collect()),
        Value::Record(fields) => {
            Cell::Record(fields.into_iter().map(|(name, value)| (name, from_value(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    #[test]
    fn every_example_of_every_function_comes_out_here_too() {
        for function in skewless_catalog::FUNCTIONS {
            for example in function.examples() {
                let arity = example.rows.first().map_or(0, Vec::len);
                let args: Vec<Cell> = match function.kind() {
                    Kind::Scalar => example.rows.iter().flatten().cloned().map(from_value).collect(),
                    Kind::Aggregate | Kind::Window => (0..arity)
                        .map(|i| {
                            let column = example.rows.iter().filter_map(|row| row.get(i)).cloned().map(from_value);
                            let is_option = function.args().get(i).is_some_and(|arg| arg.default.is_some());
                            let mut column = column.collect::<Vec<_>>();
                            if is_option { column.swap_remove(0) } else { Cell::List(column) }
                        })
                        .collect(),
                };
                let mut got = evaluate(function.name(), &args).unwrap_or_else(|error| panic!("{error}"));
                if let (Kind::Window, Cell::List(rows)) = (function.kind(), &mut got) {
                    got = rows.pop().expect("a row");
                }
                // NaN is not equal to itself; its text is.
                assert_eq!(format!("{got:?}"), format!("{:?}", from_value(example.returns)), "{}", function.name());
            }
        }
    }

    #[test]
    fn a_wrong_call_names_the_function_the_argument_and_what_came() {
        let message = |name: &str, args: &[Cell]| evaluate(name, args).expect_err("refused").to_string();
        assert!(message("log1pp", &[]).contains("did you mean `log1p`"), "{}", message("log1pp", &[]));
        let wrong = message("log1p", &[text("12")]);
        assert!(wrong.contains("log1p") && wrong.contains("DOUBLE") && wrong.contains("\"12\""), "{wrong}");
        assert!(message("log1p", &[]).contains("log1p("));
        assert!(message("log1p", &[Cell::Null, Cell::Null]).contains("2 arguments"));
    }

    #[test]
    fn a_timestamp_may_be_a_date_text_or_microseconds() {
        let noon = 1_357_041_600_000_000_i64;
        let forms = [Cell::Number(noon as f64), Cell::Date(noon as f64 / 1e3), text("2013-01-01T12:00:00Z")];
        let results: Vec<Cell> =
            forms.iter().map(|form| evaluate("hour_sin", std::slice::from_ref(form)).expect("a sine")).collect();
        assert!(matches!(results[0], Cell::Number(_)));
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{results:?}");
    }
}
