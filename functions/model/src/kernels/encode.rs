//! `OneHotEncoder`, `LabelEncoder`, `CategoryMapper` and `ArrayFeatureExtractor`.

use std::collections::BTreeMap;

use super::{Built, Context, Fact, affordable, float32, input, kernel};
use crate::plan::Dim;
use crate::tensor::{Array, DataType, Tensor, map_each};

/// How many characters of a value are worth showing in a message.
const SHOWN: usize = 60;

/// One indicator per category, as a further dimension. An unknown category has none set, or is refused.
pub(super) fn one_hot_encoder(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?;
    let strings = context.node.texts("cats_strings")?;
    let ints = context.node.ints("cats_int64s").to_vec();
    let unknown_allowed = context.node.int("zeros", 1) != 0;
    let count = if fact.data_type == DataType::String { strings.len() } else { ints.len() };
    if count == 0 {
        return Err(format!("it has no categories of type {}; export the model again", fact.data_type));
    }
    if fact.data_type == DataType::Bool {
        return Err("it encodes text and numbers, not bool".to_owned());
    }
    // The first of equal categories wins, as in ONNX Runtime.
    let mut by_text = BTreeMap::new();
    strings.into_iter().enumerate().for_each(|(index, text)| {
        by_text.entry(text).or_insert(index);
    });
    let mut by_int = BTreeMap::new();
    ints.into_iter().enumerate().for_each(|(index, int)| {
        by_int.entry(int).or_insert(index);
    });
    let shape = fact.shape.clone().map(|mut shape| {
        shape.push(Dim::Fixed(count));
        shape
    });
    Ok(kernel(Fact::new(DataType::Float32, shape), move |inputs| {
        let tensor = input(inputs, 0)?;
        let mut out = vec![0.0; affordable([tensor.len(), count])?];
        let mut set = |row: usize, place: Option<usize>, value: &dyn Fn() -> String| {
            match place {
                Some(place) => {
                    if let Some(cell) = out.get_mut(row * count + place) {
                        *cell = 1.0;
                    }
                }
                None if unknown_allowed => {}
                None => {
                    let value: String = value().chars().take(SHOWN).collect();
                    return Err(format!(
                        "row {row} has the category `{value}`, which the model was not trained on; train it with \
                         handle_unknown='ignore' or replace the value"
                    ));
                }
            }
            Ok(())
        };
        match tensor {
            Tensor::String(array) => {
                for (row, text) in array.data().iter().enumerate() {
                    set(row, by_text.get(text).copied(), &|| text.clone())?;
                }
            }
            Tensor::Int64(array) => {
                for (row, int) in array.data().iter().enumerate() {
                    set(row, by_int.get(int).copied(), &|| int.to_string())?;
                }
            }
            Tensor::Int32(array) => {
                for (row, int) in array.data().iter().enumerate() {
                    set(row, by_int.get(&i64::from(*int)).copied(), &|| int.to_string())?;
                }
            }
            Tensor::Float32(array) => {
                for (row, value) in array.data().iter().enumerate() {
                    let place = if value.is_nan() { None } else { by_int.get(&(*value as i64)).copied() };
                    set(row, place, &|| value.to_string())?;
                }
            }
            Tensor::Float64(array) => {
                for (row, value) in array.data().iter().enumerate() {
                    let place = if value.is_nan() { None } else { by_int.get(&(*value as i64)).copied() };
                    set(row, place, &|| value.to_string())?;
                }
            }
            Tensor::Bool(_) => return Err("it encodes text and numbers, not bool".to_owned()),
        }
        let mut shape = tensor.shape().to_vec();
        shape.push(count);
        float32(shape, out)
    }))
}

/// Values that can be keys: floats by their bits, with one zero and one NaN.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Int(i64),
    Bits(u64),
    Text(String),
}

fn bits(value: f64) -> Key {
    Key::Bits(if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() })
}

fn keys(tensor: &Tensor) -> Result<Vec<Key>, String> {
    Ok(match tensor {
        Tensor::String(array) => array.data().iter().cloned().map(Key::Text).collect(),
        Tensor::Int64(array) => array.data().iter().copied().map(Key::Int).collect(),
        Tensor::Int32(array) => array.data().iter().map(|value| Key::Int(i64::from(*value))).collect(),
        Tensor::Float32(array) => array.data().iter().map(|value| bits(f64::from(*value))).collect(),
        Tensor::Float64(array) => array.data().iter().copied().map(bits).collect(),
        Tensor::Bool(_) => return Err("it maps text and numbers, not bool".to_owned()),
    })
}

/// Maps values by a table of keys, with a default. Before version 4 of `ai.onnx.ml`, NaN is no key.
fn mapping(context: &Context<'_>, fact: &Fact, table: &Tensor, values: Tensor, default: Tensor) -> Built {
    let kind = |data_type| match data_type {
        DataType::String => 0,
        DataType::Int32 | DataType::Int64 => 1,
        _ => 2,
    };
    if kind(fact.data_type) != kind(table.data_type()) || fact.data_type == DataType::Bool {
        return Err(format!("its input is {} and its keys are {}", fact.data_type, table.data_type()));
    }
    if table.len() != values.len() || default.len() != 1 {
        return Err(format!("it has {} keys, {} values and {} defaults", table.len(), values.len(), default.len()));
    }
    // Of equal keys the first counts, as in ONNX Runtime.
    let mut places = BTreeMap::new();
    let nan = Key::Bits(f64::NAN.to_bits());
    let nan_counts = context.ml_opset >= 4;
    keys(table)?.into_iter().enumerate().filter(|(_, key)| nan_counts || *key != nan).for_each(|(place, key)| {
        places.entry(key).or_insert(place);
    });
    let out = Fact::new(values.data_type(), fact.shape.clone());
    macro_rules! map {
        ($variant:ident, $values:expr, $default:expr) => {{
            let default = $default.into_data().into_iter().next().unwrap_or_default();
            Ok(kernel(out, move |inputs| {
                let tensor = input(inputs, 0)?;
                let mapped = keys(tensor)?
                    .iter()
                    .map(|key| {
                        let value = places.get(key).and_then(|place| $values.data().get(*place));
                        value.unwrap_or(&default).clone()
                    })
                    .collect();
                Array::new(tensor.shape().to_vec(), mapped).map(Tensor::$variant).map_err(|error| error.to_string())
            }))
        }};
    }
    match (values, default) {
        (Tensor::String(values), Tensor::String(default)) => map!(String, values, default),
        (Tensor::Int64(values), Tensor::Int64(default)) => map!(Int64, values, default),
        (Tensor::Float32(values), Tensor::Float32(default)) => map!(Float32, values, default),
        (Tensor::Float64(values), Tensor::Float64(default)) => map!(Float64, values, default),
        (values, default) => {
            Err(format!("its values are {} and its default is {}", values.data_type(), default.data_type()))
        }
    }
}

/// Versions 1 (`classes_strings`), 2 (`keys_*`, `values_*`) and 4 (tensors).
pub(super) fn label_encoder(context: &Context<'_>) -> Built {
    let node = context.node;
    let fact = context.fact(0)?;
    let default_string = Tensor::String(Array::vector(vec![node.text("default_string", "_Unused")?]));
    let default_int = Tensor::Int64(Array::vector(vec![node.int("default_int64", -1)]));
    let default_float = Tensor::Float32(Array::vector(vec![node.float("default_float", -0.0)]));
    let classes = node.texts("classes_strings")?;
    if !classes.is_empty() {
        let indices = Tensor::Int64(Array::vector((0..classes.len() as i64).collect()));
        let classes = Tensor::String(Array::vector(classes));
        return if fact.data_type == DataType::String {
            mapping(context, fact, &classes, indices, default_int)
        } else {
            mapping(context, fact, &indices, classes, default_string)
        };
    }
    let lists = |strings: &str, ints: &str, floats: &str, tensor: &str| -> Result<Tensor, String> {
        if let Some(tensor) = node.tensor(tensor)? {
            return Ok(tensor);
        }
        let texts = node.texts(strings)?;
        Ok(if !texts.is_empty() {
            Tensor::String(Array::vector(texts))
        } else if !node.ints(ints).is_empty() {
            Tensor::Int64(Array::vector(node.ints(ints).to_vec()))
        } else {
            Tensor::Float32(Array::vector(node.floats(floats).to_vec()))
        })
    };
    let table = lists("keys_strings", "keys_int64s", "keys_floats", "keys_tensor")?;
    let values = lists("values_strings", "values_int64s", "values_floats", "values_tensor")?;
    let default = match (node.tensor("default_tensor")?, values.data_type()) {
        (Some(default), _) => default,
        (None, DataType::String) => default_string,
        (None, DataType::Int64) => default_int,
        (None, DataType::Float64) => Tensor::Float64(Array::vector(vec![-0.0])),
        (None, _) => default_float,
    };
    mapping(context, fact, &table, values, default)
}

pub(super) fn category_mapper(context: &Context<'_>) -> Built {
    let node = context.node;
    let strings = Tensor::String(Array::vector(node.texts("cats_strings")?));
    let ints = Tensor::Int64(Array::vector(node.ints("cats_int64s").to_vec()));
    let fact = context.fact(0)?;
    if fact.data_type == DataType::String {
        mapping(context, fact, &strings, ints, Tensor::Int64(Array::vector(vec![node.int("default_int64", -1)])))
    } else {
        let default = Tensor::String(Array::vector(vec![node.text("default_string", "_Unused")?]));
        mapping(context, fact, &ints, strings, default)
    }
}

/// Places of every row of `width` values.
fn pick<T: Clone>(data: &[T], width: usize, places: &[usize]) -> Vec<T> {
    data.chunks_exact(width.max(1)).flat_map(|row| places.iter().filter_map(|place| row.get(*place).cloned())).collect()
}

/// Picks places of the last dimension by index.
pub(super) fn array_feature_extractor(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?.clone();
    if context.fact(1)?.data_type != DataType::Int64 {
        return Err("its second input is not a tensor of 64-bit integers".to_owned());
    }
    let count = match (context.constant(1), &context.fact(1)?.shape) {
        (Some(indices), _) => Dim::Fixed(indices.len()),
        (None, Some(shape)) => product(shape),
        (None, None) => Dim::Unknown,
    };
    let shape = fact.shape.as_ref().map(|shape| match shape.as_slice() {
        [] | [_] => vec![Dim::Fixed(1), count],
        [before @ .., _] => before.iter().copied().chain([count]).collect(),
    });
    Ok(kernel(Fact::new(fact.data_type, shape), |inputs| {
        let tensor = input(inputs, 0)?;
        let Tensor::Int64(indices) = input(inputs, 1)? else {
            return Err("its second input is not a tensor of 64-bit integers".to_owned());
        };
        let (before, last) = match tensor.shape() {
            [] => (&[] as &[usize], 1),
            [before @ .., last] => (before, *last),
        };
        let places = indices
            .data()
            .iter()
            .map(|index| usize::try_from(*index).ok().filter(|place| *place < last))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| format!("it picks a place beyond the {last} that its input has"))?;
        let mut shape = if before.is_empty() { vec![1] } else { before.to_vec() };
        shape.push(places.len());
        affordable([tensor.len().checked_div(last).unwrap_or(0), places.len()])?;
        let picked = map_each!(tensor, array => {
            Array::new(shape, pick(array.data(), last, &places)).map_err(|error| error.to_string())?
        });
        Ok(picked)
    }))
}

/// The number of elements of a shape.
pub(super) fn product(shape: &[Dim]) -> Dim {
    shape.iter().fold(Dim::Fixed(1), |product, dimension| match (product, *dimension) {
        (Dim::Fixed(a), Dim::Fixed(b)) => a.checked_mul(b).map_or(Dim::Unknown, Dim::Fixed),
        (Dim::Fixed(1), Dim::Batch) | (Dim::Batch, Dim::Fixed(1)) => Dim::Batch,
        _ => Dim::Unknown,
    })
}
