//! Operators that move values and leave them as they are, for every element type: what surrounds the numeric part of a
//! pipeline, and what can be done with text. Also the reductions, and casts.

use super::elementwise::{broadcast, joined, positions};
use super::encode::product;
use super::scores::softmax;
use super::{Built, Context, Fact, affordable, float32, input, kernel};
use crate::onnx::data_type;
use crate::plan::Dim;
use crate::tensor::{Array, DataType, Tensor, map_each};

/// What [`build`] knows.
pub(super) const OPERATORS: &[&str] = &[
    "ArgMax",
    "ArgMin",
    "Cast",
    "Concat",
    "ConstantOfShape",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "ReduceL1",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Reshape",
    "Shape",
    "Softmax",
    "Squeeze",
    "Unsqueeze",
];

pub(super) fn build(context: &Context<'_>) -> Built {
    match context.node.operator() {
        "ArgMax" => arg(context, |candidate, best| candidate > best),
        "ArgMin" => arg(context, |candidate, best| candidate < best),
        "Cast" => cast(context),
        "Concat" => concat(context),
        "ConstantOfShape" => constant_of_shape(context),
        "Expand" => expand(context),
        "Flatten" => flatten(context),
        "Gather" => gather(context),
        "Identity" => identity(context),
        "Reshape" => reshape(context),
        "Shape" => shape(context),
        "Softmax" => soft_max(context),
        "Squeeze" => squeeze(context),
        "Unsqueeze" => unsqueeze(context),
        operator if operator.starts_with("Reduce") => reduce(context),
        other => Err(format!("there is no kernel for {other}")),
    }
}

/// A position that may count from the end.
fn resolve(axis: i64, rank: usize) -> Result<usize, String> {
    let from_end = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(from_end)
        .ok()
        .filter(|axis| *axis < rank)
        .ok_or_else(|| format!("axis {axis} is not within its input's {rank} dimensions"))
}

pub(super) fn identity(context: &Context<'_>) -> Built {
    Ok(kernel(context.fact(0)?.clone(), |inputs| Ok(input(inputs, 0)?.clone())))
}

#[allow(clippy::needless_pass_by_value, reason = "taken by `map_err`")]
fn error(error: crate::Error) -> String {
    error.to_string()
}

fn concat(context: &Context<'_>) -> Built {
    let axis = context.node.optional_int("axis").ok_or("it has no axis; export the model again")?;
    let count = context.node.inputs().len();
    let first = context.fact(0)?.clone();
    let mut shape = first.shape.clone();
    for index in 1..count {
        let fact = context.fact(index)?;
        if fact.data_type != first.data_type {
            return Err(format!("it joins {} and {}", first.data_type, fact.data_type));
        }
        shape = match (shape, &fact.shape) {
            (Some(left), Some(right)) if left.len() == right.len() => {
                let axis = resolve(axis, left.len())?;
                Some(
                    left.iter()
                        .zip(right)
                        .enumerate()
                        .map(|(place, (left, right))| match (left, right) {
                            (Dim::Fixed(a), Dim::Fixed(b)) if place == axis => Dim::Fixed(a + b),
                            _ if place == axis => Dim::Unknown,
                            (Dim::Unknown, other) | (other, _) => *other,
                        })
                        .collect(),
                )
            }
            (Some(left), Some(right)) => {
                return Err(format!("it joins {} and {} dimensions", left.len(), right.len()));
            }
            _ => None,
        };
    }
    Ok(kernel(Fact::new(first.data_type, shape), move |inputs| {
        let first = input(inputs, 0)?;
        let rank = first.shape().len();
        let axis = resolve(axis, rank)?;
        let mut shape = first.shape().to_vec();
        for index in 1..inputs.len() {
            let other = input(inputs, index)?.shape();
            let fits = other.len() == rank
                && other.iter().zip(&shape).enumerate().all(|(place, (a, b))| place == axis || a == b);
            if !fits {
                return Err(format!("it joins shapes {:?} and {other:?}", first.shape()));
            }
            shape[axis] += other[axis];
        }
        affordable(shape.iter().copied())?;
        let outer: usize = shape[..axis].iter().product();
        let inner: usize = shape[axis + 1..].iter().product();
        macro_rules! join {
            ($variant:ident) => {{
                let mut parts = Vec::with_capacity(inputs.len());
                for index in 0..inputs.len() {
                    let Tensor::$variant(array) = input(inputs, index)? else {
                        return Err("it joins different element types".to_owned());
                    };
                    parts.push((array.data(), array.shape()[axis] * inner));
                }
                let mut data = Vec::with_capacity(shape.iter().product());
                for place in 0..outer {
                    for (part, length) in &parts {
                        data.extend_from_slice(&part[place * length..(place + 1) * length]);
                    }
                }
                Array::new(shape, data).map(Tensor::$variant).map_err(error)
            }};
        }
        match first {
            Tensor::Float32(_) => join!(Float32),
            Tensor::Float64(_) => join!(Float64),
            Tensor::Int32(_) => join!(Int32),
            Tensor::Int64(_) => join!(Int64),
            Tensor::Bool(_) => join!(Bool),
            Tensor::String(_) => join!(String),
        }
    }))
}

/// Integers of an input or of an attribute: where axes and shapes moved from one to the other between versions.
fn integers(tensor: &Tensor) -> Result<Vec<i64>, String> {
    match tensor {
        Tensor::Int64(array) => Ok(array.data().to_vec()),
        Tensor::Int32(array) => Ok(array.data().iter().map(|value| i64::from(*value)).collect()),
        other => Err(format!("it takes 64-bit integers there, not {}", other.data_type())),
    }
}

/// The target of a reshape: 0 copies a dimension, -1 takes what is left.
fn target(shape: &[usize], wanted: &[i64], zero_is_zero: bool) -> Result<Vec<usize>, String> {
    let size: usize = shape.iter().product();
    let mut made = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (place, wanted) in wanted.iter().enumerate() {
        made.push(match *wanted {
            -1 if open.is_none() => {
                open = Some(place);
                1
            }
            0 if !zero_is_zero => {
                *shape.get(place).ok_or_else(|| format!("it copies dimension {place} of {}", shape.len()))?
            }
            other => usize::try_from(other).map_err(|_| format!("it asks for a dimension of {other}"))?,
        });
    }
    if let Some(place) = open {
        let rest = made.iter().try_fold(1usize, |rest, dimension| rest.checked_mul(*dimension));
        made[place] = match rest {
            Some(0) => 0,
            Some(rest) if size.is_multiple_of(rest) => size / rest,
            _ => return Err(format!("shape {shape:?} does not become {wanted:?}")),
        };
    }
    Ok(made)
}

fn reshape(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?;
    let zero_is_zero = context.node.int("allowzero", 0) != 0;
    let fixed = match (context.constant(1), context.node.optional_ints("shape")) {
        (Some(tensor), _) => Some(integers(tensor)?),
        (None, Some(shape)) if !context.given(1) => Some(shape.to_vec()),
        _ => None,
    };
    let shape = fixed.as_ref().map(|wanted| {
        let from = fact.shape.as_deref();
        let copied = |place: usize| from.and_then(|from| from.get(place)).copied().unwrap_or(Dim::Unknown);
        let mut made: Vec<Dim> = wanted
            .iter()
            .enumerate()
            .map(|(place, wanted)| match wanted {
                -1 => Dim::Unknown,
                0 if !zero_is_zero => copied(place),
                fixed => usize::try_from(*fixed).map_or(Dim::Unknown, Dim::Fixed),
            })
            .collect();
        // What -1 stands for follows where the batch is left over, or everything is fixed.
        if let (Some(from), Some(open)) = (from, wanted.iter().position(|wanted| *wanted == -1)) {
            let rest: Vec<Dim> =
                made.iter().enumerate().filter(|(place, _)| *place != open).map(|(_, dim)| *dim).collect();
            made[open] = left_over(from, &rest);
        }
        made
    });
    Ok(kernel(Fact::new(fact.data_type, shape), move |inputs| {
        let tensor = input(inputs, 0)?;
        let wanted = match &fixed {
            Some(wanted) => wanted.clone(),
            None => integers(input(inputs, 1)?)?,
        };
        tensor.clone().reshape(target(tensor.shape(), &wanted, zero_is_zero)?).map_err(error)
    }))
}

/// The dimension that is left of a shape when others are taken out of it.
fn left_over(shape: &[Dim], taken: &[Dim]) -> Dim {
    let batches = |shape: &[Dim]| shape.iter().filter(|dim| **dim == Dim::Batch).count();
    let fixed = |shape: &[Dim]| {
        shape.iter().try_fold(1usize, |size, dim| match dim {
            Dim::Fixed(fixed) => size.checked_mul(*fixed),
            Dim::Batch => Some(size),
            Dim::Unknown => None,
        })
    };
    match (fixed(shape), fixed(taken), batches(shape).checked_sub(batches(taken))) {
        (Some(all), Some(rest), Some(1)) if all == rest => Dim::Batch,
        (Some(all), Some(rest), Some(0)) if rest > 0 && all.is_multiple_of(rest) => Dim::Fixed(all / rest),
        _ => Dim::Unknown,
    }
}

/// The dimensions that an input of integers asks for, as far as they are known.
fn asked(context: &Context<'_>, input: usize) -> Result<Option<Vec<Dim>>, String> {
    if let Some(tensor) = context.constant(input) {
        let known = |wanted: i64| usize::try_from(wanted).map_or(Dim::Unknown, Dim::Fixed);
        return Ok(Some(integers(tensor)?.into_iter().map(known).collect()));
    }
    let rank = match context.fact(input)?.shape.as_deref() {
        Some([Dim::Fixed(rank)]) if *rank <= 16 => Some(*rank),
        _ => None,
    };
    Ok(rank.map(|rank| vec![Dim::Unknown; rank]))
}

/// A shape given as a tensor.
fn given_shape(tensor: &Tensor) -> Result<Vec<usize>, String> {
    let wanted = integers(tensor)?;
    wanted
        .iter()
        .map(|wanted| usize::try_from(*wanted))
        .collect::<Result<_, _>>()
        .map_err(|_| format!("it asks for the shape {wanted:?}"))
}

/// Values by their positions.
fn at<T: Clone>(data: &[T], places: impl Iterator<Item = usize>) -> Vec<T> {
    places.filter_map(|place| data.get(place).cloned()).collect()
}

fn constant_of_shape(context: &Context<'_>) -> Built {
    let value = match context.node.tensor("value")? {
        Some(value) if value.len() == 1 => value,
        Some(value) => return Err(format!("its value has {} elements and it takes one", value.len())),
        None => Tensor::Float32(Array::vector(vec![0.0])),
    };
    Ok(kernel(Fact::new(value.data_type(), asked(context, 0)?), move |inputs| {
        let shape = given_shape(input(inputs, 0)?)?;
        let size = affordable(shape.iter().copied())?;
        Ok(map_each!(&value, array => {
            Array::new(shape, at(array.data(), std::iter::repeat_n(0, size))).map_err(error)?
        }))
    }))
}

fn expand(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?;
    let shape = joined(fact.shape.as_ref(), asked(context, 1)?.as_ref());
    Ok(kernel(Fact::new(fact.data_type, shape), |inputs| {
        let tensor = input(inputs, 0)?;
        let shape = broadcast(tensor.shape(), &given_shape(input(inputs, 1)?)?)?;
        let places = positions(tensor.shape(), &shape);
        Ok(map_each!(tensor, array => {
            Array::new(shape, at(array.data(), places.iter().copied())).map_err(error)?
        }))
    }))
}

fn flatten(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?;
    let axis = context.node.int("axis", 1);
    let split = move |rank: usize| if axis == rank as i64 { Ok(rank) } else { resolve(axis, rank) };
    let shape = match &fact.shape {
        Some(shape) => {
            let at = split(shape.len())?;
            Some(vec![product(&shape[..at]), product(&shape[at..])])
        }
        None => None,
    };
    Ok(kernel(Fact::new(fact.data_type, shape), move |inputs| {
        let tensor = input(inputs, 0)?;
        let shape = tensor.shape();
        let at = split(shape.len())?;
        let made = vec![shape[..at].iter().product(), shape[at..].iter().product()];
        tensor.clone().reshape(made).map_err(error)
    }))
}

/// Axes from an attribute or, in later versions, from a constant input.
fn axes(context: &Context<'_>) -> Result<Option<Vec<i64>>, String> {
    if let Some(axes) = context.node.optional_ints("axes") {
        return Ok(Some(axes.to_vec()));
    }
    match context.constant(1) {
        Some(tensor) => Ok(Some(integers(tensor)?)),
        None if context.given(1) => {
            Err("its axes are computed, which is not run; export it with constant axes".to_owned())
        }
        None => Ok(None),
    }
}

fn squeeze(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?;
    let axes = axes(context)?;
    let keep = move |rank: usize, one: &dyn Fn(usize) -> bool| -> Result<Vec<usize>, String> {
        let dropped = match &axes {
            Some(axes) => axes.iter().map(|axis| resolve(*axis, rank)).collect::<Result<Vec<_>, _>>()?,
            None => (0..rank).filter(|place| one(*place)).collect(),
        };
        Ok((0..rank).filter(|place| !dropped.contains(place)).collect())
    };
    let shape = match &fact.shape {
        Some(shape) => {
            let kept = keep(shape.len(), &|place| shape.get(place) == Some(&Dim::Fixed(1)))?;
            Some(kept.into_iter().filter_map(|place| shape.get(place).copied()).collect())
        }
        None => None,
    };
    Ok(kernel(Fact::new(fact.data_type, shape), move |inputs| {
        let tensor = input(inputs, 0)?;
        let shape = tensor.shape();
        let kept = keep(shape.len(), &|place| shape.get(place) == Some(&1))?;
        let made = kept.into_iter().filter_map(|place| shape.get(place).copied()).collect();
        tensor.clone().reshape(made).map_err(error)
    }))
}

fn unsqueeze(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?;
    let axes = axes(context)?.ok_or("it has no axes; export the model again")?;
    if axes.len() > 16 {
        return Err(format!("it adds {} dimensions", axes.len()));
    }
    let places = move |rank: usize| -> Result<Vec<usize>, String> {
        let mut places = axes.iter().map(|axis| resolve(*axis, rank + axes.len())).collect::<Result<Vec<_>, _>>()?;
        places.sort_unstable();
        Ok(places)
    };
    let shape = match &fact.shape {
        Some(shape) => {
            let mut made = shape.clone();
            for place in places(shape.len())? {
                made.insert(place.min(made.len()), Dim::Fixed(1));
            }
            Some(made)
        }
        None => None,
    };
    Ok(kernel(Fact::new(fact.data_type, shape), move |inputs| {
        let tensor = input(inputs, 0)?;
        let mut made = tensor.shape().to_vec();
        for place in places(made.len())? {
            made.insert(place.min(made.len()), 1);
        }
        tensor.clone().reshape(made).map_err(error)
    }))
}

fn shape(context: &Context<'_>) -> Built {
    if context.node.optional_int("start").is_some() || context.node.optional_int("end").is_some() {
        return Err("it takes part of a shape, which is not run".to_owned());
    }
    let rank = context.fact(0)?.shape.as_ref().map(|shape| vec![Dim::Fixed(shape.len())]);
    Ok(kernel(Fact::new(DataType::Int64, rank), |inputs| {
        let shape = input(inputs, 0)?.shape().iter().map(|dimension| *dimension as i64).collect();
        Ok(Tensor::Int64(Array::vector(shape)))
    }))
}

fn gather(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?;
    let axis = context.node.int("axis", 0);
    let indices = context.fact(1)?;
    if !matches!(indices.data_type, DataType::Int64 | DataType::Int32) {
        return Err(format!("its indices are {}", indices.data_type));
    }
    let shape = match (&fact.shape, &indices.shape) {
        (Some(shape), Some(indices)) => {
            let axis = resolve(axis, shape.len())?;
            Some(shape[..axis].iter().chain(indices).chain(&shape[axis + 1..]).copied().collect())
        }
        _ => None,
    };
    Ok(kernel(Fact::new(fact.data_type, shape), move |inputs| {
        let tensor = input(inputs, 0)?;
        let indices = input(inputs, 1)?;
        let from = tensor.shape();
        let axis = resolve(axis, from.len())?;
        let length = from[axis];
        let places = integers(indices)?
            .into_iter()
            .map(|index| resolve(index, length).map_err(|_| format!("it picks place {index} of {length}")))
            .collect::<Result<Vec<_>, _>>()?;
        let outer: usize = from[..axis].iter().product();
        let inner: usize = from[axis + 1..].iter().product();
        affordable([outer, places.len(), inner])?;
        let shape: Vec<usize> = from[..axis].iter().chain(indices.shape()).chain(&from[axis + 1..]).copied().collect();
        Ok(map_each!(tensor, array => {
            let mut data = Vec::with_capacity(outer * places.len() * inner);
            for block in 0..outer {
                for place in &places {
                    let start = (block * length + place) * inner;
                    data.extend_from_slice(&array.data()[start..start + inner]);
                }
            }
            Array::new(shape, data).map_err(error)?
        }))
    }))
}

fn cast(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?;
    let to = context.node.int("to", 0);
    let to = i32::try_from(to).ok().and_then(data_type).ok_or_else(|| {
        format!("it casts to element type {to}, which is not read; cast to float, double, int32, int64, bool or string")
    })?;
    if to == DataType::String && fact.data_type.is_float() {
        return Err(
            "it casts floats to text, whose digits differ from engine to engine; cast them before the model".to_owned()
        );
    }
    Ok(kernel(Fact::new(to, fact.shape.clone()), move |inputs| cast_tensor(input(inputs, 0)?, to)))
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| {
        let shown: String = text.chars().take(60).collect();
        format!("`{shown}` is not a number")
    })
}

fn cast_tensor(tensor: &Tensor, to: DataType) -> Result<Tensor, String> {
    if tensor.data_type() == to {
        return Ok(tensor.clone());
    }
    let shape = tensor.shape().to_vec();
    macro_rules! numbers {
        ($variant:ident, $type:ty) => {{
            let data: Vec<$type> = match tensor {
                Tensor::Float32(array) => array.data().iter().map(|value| *value as $type).collect(),
                Tensor::Float64(array) => array.data().iter().map(|value| *value as $type).collect(),
                Tensor::Int32(array) => array.data().iter().map(|value| *value as $type).collect(),
                Tensor::Int64(array) => array.data().iter().map(|value| *value as $type).collect(),
                Tensor::Bool(array) => array.data().iter().map(|value| u8::from(*value) as $type).collect(),
                Tensor::String(array) => array.data().iter().map(|text| parse(text)).collect::<Result<_, _>>()?,
            };
            Array::new(shape, data).map(Tensor::$variant)
        }};
    }
    let made = match to {
        DataType::Float32 => numbers!(Float32, f32),
        DataType::Float64 => numbers!(Float64, f64),
        DataType::Int32 => numbers!(Int32, i32),
        DataType::Int64 => numbers!(Int64, i64),
        DataType::Bool => {
            let data = match tensor {
                Tensor::Float32(array) => array.data().iter().map(|value| *value != 0.0).collect(),
                Tensor::Float64(array) => array.data().iter().map(|value| *value != 0.0).collect(),
                Tensor::Int32(array) => array.data().iter().map(|value| *value != 0).collect(),
                Tensor::Int64(array) => array.data().iter().map(|value| *value != 0).collect(),
                _ => return Err("it casts text to bool, which is not run".to_owned()),
            };
            Array::new(shape, data).map(Tensor::Bool)
        }
        DataType::String => {
            let data = match tensor {
                Tensor::Int32(array) => array.data().iter().map(ToString::to_string).collect(),
                Tensor::Int64(array) => array.data().iter().map(ToString::to_string).collect(),
                Tensor::Bool(array) => array.data().iter().map(|value| u8::from(*value).to_string()).collect(),
                _ => return Err("it casts floats to text, which is not run".to_owned()),
            };
            Array::new(shape, data).map(Tensor::String)
        }
    };
    made.map_err(error)
}

/// Elements before, along and behind an axis.
fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

fn arg(context: &Context<'_>, better: fn(f64, f64) -> bool) -> Built {
    let fact = context.fact(0)?;
    super::numeric(fact)?;
    let axis = context.node.int("axis", 0);
    let keep = context.node.int("keepdims", 1) != 0;
    if context.node.int("select_last_index", 0) != 0 {
        return Err("it selects the last of equal values, which is not run".to_owned());
    }
    let shape = match &fact.shape {
        Some(shape) => {
            let axis = resolve(axis, shape.len())?;
            let mut made = shape.clone();
            if keep {
                made[axis] = Dim::Fixed(1);
            } else {
                made.remove(axis);
            }
            Some(made)
        }
        None => None,
    };
    Ok(kernel(Fact::new(DataType::Int64, shape), move |inputs| {
        let tensor = input(inputs, 0)?;
        let axis = resolve(axis, tensor.shape().len())?;
        let (outer, length, inner) = around(tensor.shape(), axis);
        if length == 0 {
            return Err("it looks for the largest of no values".to_owned());
        }
        let data = tensor.to_f64().ok_or("its input is text and it takes numbers")?;
        let mut places = Vec::with_capacity(outer * inner);
        for block in 0..outer {
            for column in 0..inner {
                let at = |place: usize| data[(block * length + place) * inner + column];
                let best = (1..length).fold(0, |best, place| if better(at(place), at(best)) { place } else { best });
                places.push(best as i64);
            }
        }
        let mut shape = tensor.shape().to_vec();
        if keep {
            shape[axis] = 1;
        } else {
            shape.remove(axis);
        }
        Array::new(shape, places).map(Tensor::Int64).map_err(error)
    }))
}

/// Softmax of 32-bit floats; before version 13 over all dimensions from the axis on.
fn soft_max(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?;
    if fact.data_type != DataType::Float32 {
        return Err(format!("it runs on float32, not {}", fact.data_type));
    }
    let flat = context.opset < 13;
    let axis = context.node.int("axis", if flat { 1 } else { -1 });
    Ok(kernel(fact.clone(), move |inputs| {
        let Tensor::Float32(array) = input(inputs, 0)? else {
            return Err("it runs on float32".to_owned());
        };
        let shape = array.shape();
        let axis = resolve(axis, shape.len())?;
        let (outer, length, inner) = if flat { (0, shape[axis..].iter().product(), 1) } else { around(shape, axis) };
        let mut data = array.data().to_vec();
        if inner == 1 {
            if length > 0 {
                data.chunks_exact_mut(length).for_each(softmax);
            }
        } else {
            let mut row = vec![0.0; length];
            for block in 0..outer {
                for column in 0..inner {
                    let at = |place: usize| (block * length + place) * inner + column;
                    (0..length).for_each(|place| row[place] = data[at(place)]);
                    softmax(&mut row);
                    (0..length).for_each(|place| data[at(place)] = row[place]);
                }
            }
        }
        float32(shape.to_vec(), data)
    }))
}

/// What a reduction does with the values that fall together, in row-major order.
#[derive(Clone, Copy)]
enum Fold {
    Sum,
    Mean,
    Product,
    SumSquare,
    L1,
    L2,
    Max,
    Min,
}

/// Reductions of floats, summed in their own width in row-major order.
fn reduce(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?;
    if !fact.data_type.is_float() {
        return Err(format!("it runs on floats, not {}", fact.data_type));
    }
    let fold = match context.node.operator() {
        "ReduceSum" => Fold::Sum,
        "ReduceMean" => Fold::Mean,
        "ReduceProd" => Fold::Product,
        "ReduceSumSquare" => Fold::SumSquare,
        "ReduceL1" => Fold::L1,
        "ReduceL2" => Fold::L2,
        "ReduceMax" => Fold::Max,
        _ => Fold::Min,
    };
    let axes = axes(context)?;
    let keep = context.node.int("keepdims", 1) != 0;
    let untouched = context.node.int("noop_with_empty_axes", 0) != 0;
    let reduced = move |rank: usize| -> Result<Vec<bool>, String> {
        let mut reduced = vec![false; rank];
        match &axes {
            Some(axes) if !axes.is_empty() => {
                for axis in axes {
                    reduced[resolve(*axis, rank)?] = true;
                }
            }
            _ if untouched => {}
            _ => reduced.fill(true),
        }
        Ok(reduced)
    };
    let shape = match &fact.shape {
        Some(shape) => {
            let reduced = reduced(shape.len())?;
            let made = shape.iter().zip(reduced);
            Some(
                made.filter(|(_, gone)| keep || !gone)
                    .map(|(dim, gone)| if gone { Dim::Fixed(1) } else { *dim })
                    .collect(),
            )
        }
        None => None,
    };
    Ok(kernel(Fact::new(fact.data_type, shape), move |inputs| {
        let tensor = input(inputs, 0)?;
        let from = tensor.shape().to_vec();
        let reduced = reduced(from.len())?;
        let kept: Vec<usize> =
            from.iter().zip(&reduced).map(|(dimension, gone)| if *gone { 1 } else { *dimension }).collect();
        // Strides of the output, 0 along what is reduced.
        let mut strides = vec![0; from.len()];
        let mut stride = 1;
        for place in (0..from.len()).rev() {
            if !reduced[place] {
                strides[place] = stride;
                stride *= from[place];
            }
        }
        let count =
            from.iter().zip(&reduced).filter(|(_, gone)| **gone).map(|(dimension, _)| dimension).product::<usize>();
        let shape: Vec<usize> =
            kept.iter().zip(&reduced).filter(|(_, gone)| keep || !**gone).map(|(dimension, _)| *dimension).collect();
        macro_rules! fold {
            ($variant:ident, $type:ty, $sqrt:path, $array:expr) => {{
                let start: $type = match fold {
                    Fold::Product => 1.0,
                    Fold::Max => <$type>::NEG_INFINITY,
                    Fold::Min => <$type>::INFINITY,
                    _ => 0.0,
                };
                let mut out = vec![start; stride];
                let mut position = vec![0usize; from.len()];
                let mut offset = 0usize;
                for value in $array.data() {
                    let cell = &mut out[offset];
                    match fold {
                        Fold::Sum | Fold::Mean => *cell += value,
                        Fold::Product => *cell *= value,
                        Fold::SumSquare | Fold::L2 => *cell += value * value,
                        Fold::L1 => *cell += value.abs(),
                        Fold::Max if *value > *cell || value.is_nan() => *cell = *value,
                        Fold::Min if *value < *cell || value.is_nan() => *cell = *value,
                        Fold::Max | Fold::Min => {}
                    }
                    for place in (0..from.len()).rev() {
                        position[place] += 1;
                        offset += strides[place];
                        if position[place] < from[place] {
                            break;
                        }
                        offset -= strides[place] * from[place];
                        position[place] = 0;
                    }
                }
                match fold {
                    Fold::Mean => out.iter_mut().for_each(|cell| *cell /= count as $type),
                    Fold::L2 => out.iter_mut().for_each(|cell| *cell = $sqrt(*cell)),
                    _ => {}
                }
                Array::new(shape, out).map(Tensor::$variant).map_err(error)
            }};
        }
        match tensor {
            Tensor::Float32(array) => fold!(Float32, f32, libm::sqrtf, array),
            Tensor::Float64(array) => fold!(Float64, f64, libm::sqrt, array),
            other => Err(format!("it runs on floats, not {}", other.data_type())),
        }
    }))
}
