//! Tensors of the protocol: JSON in, columns of the model's signature; tensors of the model, JSON out.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde::ser::{SerializeSeq as _, SerializeStruct as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};
use skewless_model::{DataType, InputColumn, InputSpec, OutputSpec, Signature, Tensor, Width};

use crate::Problem;

/// An input tensor of a request.
#[derive(Debug, Deserialize)]
pub(crate) struct InputTensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<u64>,
    pub(crate) datatype: String,
    #[serde(default)]
    pub(crate) parameters: Map<String, Value>,
    #[serde(default)]
    pub(crate) data: Option<Data>,
}

/// Values of a tensor, flat, and the lengths of the lists that they came in.
#[derive(Debug)]
pub(crate) struct Data {
    values: Vec<Scalar>,
    lengths: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq)]
enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 40;
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Uint(value) => value.fmt(f),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(value) if value.chars().nth(LONGEST).is_none() => write!(f, "{value:?}"),
            Self::Text(value) => write!(f, "{:?}…", value.chars().take(LONGEST).collect::<String>()),
        }
    }
}

/// Collects nested lists of one shape.
#[derive(Default)]
struct Collector {
    values: Vec<Scalar>,
    lengths: Vec<Option<usize>>,
    /// How deep the values are; every value must be as deep.
    leaves: Option<usize>,
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut collector = Collector::default();
        Element { collector: &mut collector, depth: 0 }.deserialize(deserializer)?;
        if collector.leaves == Some(0) {
            return Err(D::Error::custom("`data` must be a list"));
        }
        Ok(Self { values: collector.values, lengths: collector.lengths.into_iter().flatten().collect() })
    }
}

struct Element<'a> {
    collector: &'a mut Collector,
    depth: usize,
}

impl Element<'_> {
    fn leaf<E: serde::de::Error>(self, value: Scalar) -> Result<(), E> {
        if *self.collector.leaves.get_or_insert(self.depth) != self.depth {
            return Err(E::custom("`data` mixes values and lists"));
        }
        self.collector.values.push(value);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of numbers, strings, true, false and null, or of such lists")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.leaf(Scalar::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.leaf(Scalar::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.leaf(Scalar::Int(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.leaf(i64::try_from(value).map_or(Scalar::Uint(value), Scalar::Int))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.leaf(Scalar::Float(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.leaf(Scalar::Text(value.to_owned()))
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<(), E> {
        self.leaf(Scalar::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let Self { collector, depth } = self;
        if collector.leaves.is_some_and(|leaves| leaves <= depth) {
            return Err(A::Error::custom("`data` mixes values and lists"));
        }
        if collector.lengths.len() == depth {
            collector.lengths.push(None);
        }
        let mut length = 0;
        while elements.next_element_seed(Element { collector: &mut *collector, depth: depth + 1 })?.is_some() {
            length += 1;
        }
        match collector.lengths.get_mut(depth) {
            Some(Some(other)) if *other != length => {
                Err(A::Error::custom(format!("`data` has lists of {other} and of {length} elements side by side")))
            }
            Some(known) => {
                *known = Some(length);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// What the protocol calls a type of the model.
pub(crate) fn datatype(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Float32 => "FP32",
        DataType::Float64 => "FP64",
        DataType::Int32 => "INT32",
        DataType::Int64 => "INT64",
        DataType::Bool => "BOOL",
        DataType::String => "BYTES",
    }
}

/// `[-1]` for scalars, `[-1, width]` for vectors.
fn shape(width: Width) -> Value {
    match width {
        Width::Scalar => json!([-1]),
        Width::Vector(width) => json!([-1, width]),
    }
}

pub(crate) fn describe_input(input: &InputSpec) -> Value {
    let mut described = json!({
        "name": input.name, "datatype": datatype(input.data_type), "shape": shape(input.width),
    });
    let mut parameters = Map::new();
    if !input.columns.is_empty() {
        parameters.insert("columns".to_owned(), json!(input.columns));
    }
    if let Some(feature) = &input.feature {
        parameters.insert("feature".to_owned(), json!(feature));
    }
    if !parameters.is_empty()
        && let Some(described) = described.as_object_mut()
    {
        described.insert("parameters".to_owned(), Value::Object(parameters));
    }
    described
}

pub(crate) fn describe_output(output: &OutputSpec) -> Value {
    let mut described = json!({
        "name": output.name, "datatype": datatype(output.data_type), "shape": shape(output.width),
    });
    if let (Some(classes), Some(described)) = (&output.classes, described.as_object_mut()) {
        described.insert("parameters".to_owned(), json!({ "classes": classes.names() }));
    }
    described
}

/// The columns of one input tensor, named as the signature names them.
pub(crate) fn columns(tensor: InputTensor, signature: &Signature) -> Result<Vec<(String, InputColumn)>, Problem> {
    let InputTensor { name, shape, datatype, parameters, data } = tensor;
    let refuse = |reason: String| Problem::bad_request(format!("input `{name}`: {reason}"));
    if parameters.contains_key("binary_data_size") {
        return Err(refuse("binary tensors are not offered; send the values as JSON in `data`".to_owned()));
    }
    let Some(Data { values, lengths }) = data else {
        return Err(refuse("has no `data`; add the values as a list".to_owned()));
    };
    let spec = signature.inputs.iter().find(|input| input.name == name);
    let width = match spec.map(|spec| spec.width) {
        Some(Width::Vector(width)) => Some(width),
        _ => None,
    };
    let count = shape.iter().try_fold(1u64, |product, length| product.checked_mul(*length));
    let fits = match (shape.as_slice(), width) {
        ([_] | [_, 1], None) => true,
        ([_, given], Some(width)) => *given == width as u64,
        _ => false,
    };
    if !fits {
        let expected = width.map_or("[n] or [n, 1]".to_owned(), |width| format!("[n, {width}]"));
        return Err(refuse(format!("has the shape {shape:?}; it takes {expected}")));
    }
    if count != Some(values.len() as u64) {
        return Err(refuse(format!("the shape {shape:?} does not hold the {} values of `data`", values.len())));
    }
    let nested: Vec<u64> = lengths.iter().map(|length| *length as u64).collect();
    if nested.len() > 1 && nested != shape {
        return Err(refuse(format!("`data` is nested as {nested:?}, which is not its shape {shape:?}")));
    }
    match (spec, width) {
        (Some(spec), Some(width)) if width > 1 => {
            let mut columns: Vec<Vec<Scalar>> = spec.columns.iter().map(|_| Vec::new()).collect();
            for (index, value) in values.into_iter().enumerate() {
                if let Some(column) = columns.get_mut(index % width) {
                    column.push(value);
                }
            }
            let named = spec.columns.iter().zip(columns);
            named.map(|(column, values)| Ok((column.clone(), convert(&values, &datatype).map_err(refuse)?))).collect()
        }
        (Some(spec), Some(_)) => {
            let column = spec.columns.first().cloned().unwrap_or_else(|| name.clone());
            Ok(vec![(column, convert(&values, &datatype).map_err(refuse)?)])
        }
        _ => {
            let column = convert(&values, &datatype).map_err(refuse)?;
            Ok(vec![(name, column)])
        }
    }
}

/// Values of one declared type.
fn convert(values: &[Scalar], datatype: &str) -> Result<InputColumn, String> {
    match datatype {
        "FP64" => each(values, datatype, float).map(InputColumn::Float64),
        "FP32" => each(values, datatype, |value| {
            let wide = float(value)?;
            // A value that has no 32-bit counterpart must not become infinite unseen.
            let narrow = wide as f32;
            (narrow.is_finite() || !wide.is_finite()).then(|| f64::from(narrow))
        })
        .map(InputColumn::Float64),
        "BOOL" => each(values, datatype, |value| if let Scalar::Bool(value) = value { Some(*value) } else { None })
            .map(InputColumn::Bool),
        "BYTES" => {
            each(values, datatype, |value| if let Scalar::Text(value) = value { Some(value.clone()) } else { None })
                .map(InputColumn::String)
        }
        "INT64" => integers(values, datatype, i64::MIN, i64::MAX),
        "INT32" => integers(values, datatype, i32::MIN.into(), i32::MAX.into()),
        "INT16" => integers(values, datatype, i16::MIN.into(), i16::MAX.into()),
        "INT8" => integers(values, datatype, i8::MIN.into(), i8::MAX.into()),
        "UINT64" => integers(values, datatype, 0, i64::MAX),
        "UINT32" => integers(values, datatype, 0, u32::MAX.into()),
        "UINT16" => integers(values, datatype, 0, u16::MAX.into()),
        "UINT8" => integers(values, datatype, 0, u8::MAX.into()),
        _ => {
            let known = ["FP32", "FP64", "INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8"];
            let known = known.into_iter().chain(["BOOL", "BYTES"]);
            let hint = skewless_catalog::suggest::did_you_mean(datatype, known.clone());
            let all: Vec<_> = known.collect();
            Err(format!("there is no datatype {datatype:?} here{hint}; the datatypes are {}", all.join(", ")))
        }
    }
}

fn integers(values: &[Scalar], datatype: &str, least: i64, most: i64) -> Result<InputColumn, String> {
    let integer = |value: &Scalar| match value {
        Scalar::Int(value) if (least..=most).contains(value) => Some(*value),
        _ => None,
    };
    each(values, datatype, integer).map(InputColumn::Int64)
}

fn float(value: &Scalar) -> Option<f64> {
    match value {
        Scalar::Float(value) => Some(*value),
        Scalar::Int(value) => Some(*value as f64),
        Scalar::Uint(value) => Some(*value as f64),
        Scalar::Text(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        Scalar::Null | Scalar::Bool(_) => None,
    }
}

fn each<T>(
    values: &[Scalar],
    datatype: &str,
    convert: impl Fn(&Scalar) -> Option<T>,
) -> Result<Vec<Option<T>>, String> {
    let convert = |(index, value): (usize, &Scalar)| {
        if *value == Scalar::Null {
            return Ok(None);
        }
        convert(value).map(Some).ok_or_else(|| {
            let also = if datatype.starts_with("FP") { ", \"NaN\", \"Infinity\", \"-Infinity\"" } else { "" };
            format!("value {index}, {value}, is no {datatype}; send {}{also} or null", wanted(datatype))
        })
    };
    values.iter().enumerate().map(convert).collect()
}

fn wanted(datatype: &str) -> &'static str {
    match datatype {
        "BOOL" => "true, false",
        "BYTES" => "a string",
        "FP32" | "FP64" => "a number in its range",
        _ => "a whole number in its range",
    }
}

/// An output tensor of a response.
pub(crate) struct OutputTensor<'a> {
    pub(crate) spec: &'a OutputSpec,
    pub(crate) tensor: &'a Tensor,
}

impl Serialize for OutputTensor<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut output = serializer.serialize_struct("output", 5)?;
        output.serialize_field("name", &self.spec.name)?;
        output.serialize_field("datatype", datatype(self.tensor.data_type()))?;
        output.serialize_field("shape", self.tensor.shape())?;
        if let Some(classes) = &self.spec.classes {
            output.serialize_field("parameters", &json!({ "classes": classes.names() }))?;
        }
        output.serialize_field("data", &Values(self.tensor))?;
        output.end()
    }
}

struct Values<'a>(&'a Tensor);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Tensor::Float32(array) => floats(serializer, array.data().iter().map(|value| f64::from(*value))),
            Tensor::Float64(array) => floats(serializer, array.data().iter().copied()),
            Tensor::Int32(array) => array.data().serialize(serializer),
            Tensor::Int64(array) => array.data().serialize(serializer),
            Tensor::Bool(array) => array.data().serialize(serializer),
            Tensor::String(array) => array.data().serialize(serializer),
        }
    }
}

fn floats<S: Serializer>(serializer: S, values: impl ExactSizeIterator<Item = f64>) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(values.len()))?;
    for value in values {
        if value.is_finite() {
            list.serialize_element(&value)?;
        } else {
            list.serialize_element(match value {
                value if value.is_nan() => "NaN",
                value if value > 0.0 => "Infinity",
                _ => "-Infinity",
            })?;
        }
    }
    list.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(name: &str, datatype: &str, shape: &str, data: &str) -> Result<InputTensor, String> {
        let text = format!(r#"{{"name":"{name}","datatype":"{datatype}","shape":{shape},"data":{data}}}"#);
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    fn signature() -> Signature {
        serde_json::from_value(json!({
            "inputs": [
                { "name": "age", "type": "float32", "width": "scalar" },
                { "name": "x", "type": "float32", "width": { "vector": 2 }, "columns": ["x0", "x1"] },
            ],
            "outputs": [],
        }))
        .unwrap()
    }

    fn read(name: &str, datatype: &str, shape: &str, data: &str) -> Result<Vec<(String, InputColumn)>, String> {
        columns(input(name, datatype, shape, data)?, &signature()).map_err(|problem| problem.detail)
    }

    fn values(datatype: &str, data: &str) -> Result<InputColumn, String> {
        let count = serde_json::from_str::<Vec<Value>>(data).unwrap().len();
        Ok(read("age", datatype, &format!("[{count}]"), data)?.remove(0).1)
    }

    #[test]
    fn numbers_keep_their_declared_type() {
        assert_eq!(values("FP64", "[1, 0.1, null]").unwrap(), InputColumn::Float64(vec![Some(1.0), Some(0.1), None]));
        assert_eq!(values("FP32", "[0.1]").unwrap(), InputColumn::Float64(vec![Some(f64::from(0.1f32))]));
        assert_eq!(
            values("INT64", "[-9223372036854775808, 9007199254740993]").unwrap(),
            InputColumn::Int64(vec![Some(i64::MIN), Some(9_007_199_254_740_993)])
        );
        assert_eq!(values("BOOL", "[true, null]").unwrap(), InputColumn::Bool(vec![Some(true), None]));
        assert_eq!(values("BYTES", "[\"é\"]").unwrap(), InputColumn::String(vec![Some("é".to_owned())]));
        let InputColumn::Float64(special) = values("FP32", "[\"NaN\", \"Infinity\", \"-Infinity\"]").unwrap() else {
            panic!("floats")
        };
        assert!(special[0].unwrap().is_nan());
        assert_eq!(special[1..], [Some(f64::INFINITY), Some(f64::NEG_INFINITY)]);
    }

    #[test]
    fn values_of_another_type_are_refused_by_position() {
        for (datatype, data, shown) in [
            ("FP64", "[1, \"abc\"]", "value 1, \"abc\", is no FP64"),
            ("FP32", "[1e300]", "1e300"),
            ("FP64", "[true]", "true"),
            ("INT64", "[1.5]", "1.5"),
            ("INT64", "[9223372036854775808]", "9223372036854775808"),
            ("INT8", "[128]", "128"),
            ("UINT8", "[-1]", "-1"),
            ("BOOL", "[1]", "true, false"),
            ("BYTES", "[1]", "a string"),
            ("FP23", "[1]", "did you mean `FP32`"),
        ] {
            let error = values(datatype, data).unwrap_err();
            assert!(error.starts_with("input `age`: ") && error.contains(shown), "{error}");
        }
    }

    #[test]
    fn vectors_are_split_into_their_columns_flat_or_nested() {
        for data in ["[1, 2, 3, 4]", "[[1, 2], [3, 4]]"] {
            let columns = read("x", "FP32", "[2, 2]", data).unwrap();
            assert_eq!(
                columns,
                [
                    ("x0".to_owned(), InputColumn::Float64(vec![Some(1.0), Some(3.0)])),
                    ("x1".to_owned(), InputColumn::Float64(vec![Some(2.0), Some(4.0)])),
                ]
            );
        }
        assert_eq!(read("x1", "FP32", "[1, 1]", "[[7]]").unwrap().len(), 1);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        for (name, shape, data, reason) in [
            ("age", "[2]", "[1]", "does not hold the 1 values"),
            ("age", "[1, 2]", "[1, 2]", "takes [n] or [n, 1]"),
            ("age", "[]", "[1]", "takes [n]"),
            ("x", "[2]", "[1, 2]", "takes [n, 2]"),
            ("x", "[1, 3]", "[1, 2, 3]", "takes [n, 2]"),
            ("x", "[2, 2]", "[[1, 2, 3, 4]]", "nested as [1, 4]"),
            ("x", "[1, 2]", "[[1], [2]]", "nested as [2, 1]"),
            ("x", "[2, 2]", "[[1, 2], [3]]", "lists of 2 and of 1"),
            ("x", "[2, 2]", "[1, [2]]", "mixes"),
            ("x", "[2, 2]", "[[1], 2]", "mixes"),
            ("age", "[1]", "3", "must be a list"),
            ("age", "[1]", "[{}]", "list of numbers"),
            ("age", "[-1]", "[1]", "invalid value"),
            ("age", "[18446744073709551615, 18446744073709551615]", "[1]", "takes [n]"),
        ] {
            let error = read(name, "FP32", shape, data).unwrap_err();
            assert!(error.contains(reason), "{shape} {data}: {error}");
        }
    }

    #[test]
    fn outputs_parse_to_the_same_bits_in_both_widths() {
        let values = [0.1f32, f32::MIN_POSITIVE, 16_777_216.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        let tensor = Tensor::float32(vec![6], values.to_vec()).unwrap();
        let text = serde_json::to_string(&Values(&tensor)).unwrap();
        assert!(text.ends_with(r#","NaN","Infinity","-Infinity"]"#), "{text}");
        let parsed: Vec<Value> = serde_json::from_str(&text).unwrap();
        for (parsed, value) in parsed.iter().zip(values).take(3) {
            assert_eq!(parsed.as_f64().unwrap().to_bits(), f64::from(value).to_bits());
        }
    }
}
