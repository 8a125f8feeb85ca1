//! Values as JSON: what HTTP, the page and the parity tests exchange.
//!
//! NaN and infinities are the strings `"NaN"`, `"Infinity"` and `"-Infinity"`; a timestamp is an RFC 3339 string in UTC; an
//! integer beyond ±2⁵³ is a string of its digits, because JavaScript would round it; bytes are base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value as Json};

use crate::function::{Error, Function, Type, Value, aggregate, signature};
use crate::time;

/// The largest integer that a double, and so a JavaScript number, holds with all below it.
const SAFE: u64 = 1 << 53;

/// A value as JSON.
#[must_use]
pub fn to_json(value: &Value) -> Json {
    let float = |x: &f64| match *x {
        x if x.is_nan() => Json::from("NaN"),
        f64::INFINITY => Json::from("Infinity"),
        f64::NEG_INFINITY => Json::from("-Infinity"),
        x => Json::from(x),
    };
    match value {
        Value::Null => Json::Null,
        Value::Float64(x) => float(x),
        Value::Int64(i) if i.unsigned_abs() > SAFE => Json::from(i.to_string()),
        Value::Int64(i) => Json::from(*i),
        Value::Boolean(b) => Json::from(*b),
        Value::Text(text) => Json::from(text.as_str()),
        Value::Bytes(bytes) => Json::from(base64(bytes)),
        Value::Timestamp(micros) => Json::from(time::format(*micros) + "Z"),
        Value::Float64List(values) => values.iter().map(float).collect(),
        Value::TextList(values) => values.iter().map(String::as_str).collect(),
        Value::Record(fields) => {
            Json::Object(fields.iter().map(|(name, value)| ((*name).to_owned(), to_json(value))).collect::<Map<_, _>>())
        }
    }
}

/// Bytes as text.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// The bytes of a text; `None` where it is not base64.
#[must_use]
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// JSON as a value of a type; `None` where it is something else.
#[must_use]
pub fn from_json(json: &Json, data_type: Type) -> Option<Value> {
    let float = |json: &Json| match json {
        Json::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        other => other.as_f64(),
    };
    if json.is_null() {
        return Some(Value::Null);
    }
    match data_type {
        Type::Float64 => float(json).map(Value::Float64),
        Type::Int64 => json.as_i64().or_else(|| json.as_str()?.parse().ok()).map(Value::Int64),
        Type::Boolean => json.as_bool().map(Value::Boolean),
        Type::Text => json.as_str().map(|text| Value::Text(text.to_owned())),
        Type::Bytes => json.as_str().and_then(from_base64).map(Value::Bytes),
        Type::Timestamp => json.as_str().and_then(time::parse).map(Value::Timestamp),
        Type::Float64List => json.as_array()?.iter().map(float).collect::<Option<Vec<f64>>>().map(Value::Float64List),
        Type::TextList => json
            .as_array()?
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<Vec<String>>>()
            .map(Value::TextList),
        // A boolean is a category, as SQL writes it.
        Type::Float64OrText => float(json)
            .map(Value::Float64)
            .or_else(|| json.as_str().map(|text| Value::Text(text.to_owned())))
            .or_else(|| json.as_bool().map(|is_true| Value::Text(is_true.to_string()))),
        Type::Int64OrText => {
            json.as_i64().map(Value::Int64).or_else(|| json.as_str().map(|text| Value::Text(text.to_owned())))
        }
        Type::Record(fields) => {
            let object = json.as_object()?;
            fields
                .iter()
                .map(|(name, data_type)| Some((*name, from_json(object.get(*name)?, *data_type)?)))
                .collect::<Option<Vec<_>>>()
                .map(Value::Record)
        }
    }
}

/// Evaluates a function over rows of JSON arguments, one row for a scalar function.
pub fn call(function: &dyn Function, rows: &[Vec<Json>]) -> Result<Json, Error> {
    let rows = rows
        .iter()
        .map(|row| {
            if row.len() > function.args().len() {
                let (name, signature) = (function.name(), signature(function));
                return Err(Error::Arity { function: name, signature, got: row.len() });
            }
            let args = function.args().iter().zip(row);
            args.map(|(arg, json)| {
                from_json(json, arg.data_type).ok_or_else(|| Error::Type {
                    function: function.name(),
                    argument: arg.name,
                    expected: arg.data_type,
                    got: json.to_string(),
                })
            })
            .collect::<Result<Vec<Value>, Error>>()
        })
        .collect::<Result<Vec<_>, Error>>()?;
    aggregate(function, &rows).map(|value| to_json(&value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_survives_the_way_there_and_back() {
        let values = [
            (Value::Null, Type::Float64),
            (Value::Float64(0.1), Type::Float64),
            (Value::Float64(f64::NEG_INFINITY), Type::Float64),
            (Value::Int64(i64::MIN), Type::Int64),
            (Value::Int64(-3), Type::Int64),
            (Value::Boolean(true), Type::Boolean),
            (Value::from("NaN"), Type::Text),
            (Value::timestamp("2013-07-04T09:30:00.000001"), Type::Timestamp),
            (Value::from([1.0, f64::INFINITY]), Type::Float64List),
            (Value::from(["a", ""]), Type::TextList),
            (Value::Bytes(vec![0, 255, 16]), Type::Bytes),
            (Value::Record(vec![("n", Value::Null)]), Type::Record(&[("n", Type::Int64)])),
        ];
        for (value, data_type) in values {
            assert_eq!(from_json(&to_json(&value), data_type), Some(value));
        }
        assert!(matches!(from_json(&json!("NaN"), Type::Float64), Some(Value::Float64(x)) if x.is_nan()));
    }

    #[test]
    fn a_boolean_is_a_category() {
        let function = crate::find("total_variation_distance_value").unwrap();
        let rows = [[json!(true), json!(true)], [json!("true"), json!(false)]].map(Vec::from);
        assert_eq!(call(function, &rows), Ok(json!(0.0)));
    }

    #[test]
    fn json_of_another_type_is_refused_by_name() {
        let function = crate::find("hash_bucket").unwrap();
        let error = call(function, &[vec![json!("SEA"), json!(1.5)]]).unwrap_err().to_string();
        assert!(error.contains("argument `n` has to be BIGINT, but is 1.5"), "{error}");
        let error = call(function, &[vec![json!("SEA"), json!(1), json!(2)]]).unwrap_err().to_string();
        assert!(error.contains("hash_bucket(x VARCHAR, n BIGINT) -> BIGINT"), "{error}");
    }
}
