//! Operators that work value by value, with ONNX's broadcasting.

use super::scores::logistic;
use super::{Built, Context, Fact, affordable, input, kernel};
use crate::plan::Dim;
use crate::tensor::{Array, DataType, Tensor};

const UNARY: &[&str] = &[
    "Abs",
    "Ceil",
    "Exp",
    "Floor",
    "LeakyRelu",
    "Log",
    "Neg",
    "Reciprocal",
    "Relu",
    "Sigmoid",
    "Sign",
    "Sqrt",
    "Tanh",
];
const ARITHMETIC: &[&str] = &["Add", "Div", "Max", "Mean", "Min", "Mul", "Pow", "Sub", "Sum"];
const COMPARISON: &[&str] = &["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"];
const LOGIC: &[&str] = &["And", "Or", "Xor"];

/// Whether [`build`] knows an operator.
pub(super) fn supports(operator: &str) -> bool {
    [UNARY, ARITHMETIC, COMPARISON, LOGIC, &["Clip", "IsNaN", "Not", "Where"]]
        .iter()
        .any(|list| list.contains(&operator))
}

pub(super) fn build(context: &Context<'_>) -> Built {
    match context.node.operator() {
        "Clip" => clip(context),
        "IsNaN" => is_nan(context),
        "Not" => not(context),
        "Where" => select(context),
        operator if UNARY.contains(&operator) => unary(context),
        operator if ARITHMETIC.contains(&operator) => arithmetic(context),
        operator if COMPARISON.contains(&operator) => comparison(context),
        _ => logic(context),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "taken by `map_err`")]
fn error(error: crate::Error) -> String {
    error.to_string()
}

/// The shape of operands side by side, before the model runs.
pub(super) fn joined(left: Option<&Vec<Dim>>, right: Option<&Vec<Dim>>) -> Option<Vec<Dim>> {
    let (left, right) = (left?, right?);
    let rank = left.len().max(right.len());
    let at = |shape: &[Dim], place: usize| {
        (place + shape.len()).checked_sub(rank).and_then(|place| shape.get(place)).copied().unwrap_or(Dim::Fixed(1))
    };
    Some(
        (0..rank)
            .map(|place| match (at(left, place), at(right, place)) {
                (Dim::Fixed(1) | Dim::Unknown, other) | (other, _) => other,
            })
            .collect(),
    )
}

/// The shape of operands side by side.
pub(super) fn broadcast(left: &[usize], right: &[usize]) -> Result<Vec<usize>, String> {
    let rank = left.len().max(right.len());
    let at = |shape: &[usize], place: usize| {
        (place + shape.len()).checked_sub(rank).and_then(|place| shape.get(place)).copied().unwrap_or(1)
    };
    let shape: Vec<usize> = (0..rank)
        .map(|place| match (at(left, place), at(right, place)) {
            (1, other) | (other, 1) => Ok(other),
            (a, b) if a == b => Ok(a),
            _ => Err(format!("shapes {left:?} and {right:?} do not go together")),
        })
        .collect::<Result<_, String>>()?;
    affordable(shape.iter().copied())?;
    Ok(shape)
}

/// Positions of an operand's values in the order of the result.
pub(super) fn positions(shape: &[usize], result: &[usize]) -> Vec<usize> {
    let skipped = result.len() - shape.len();
    let mut strides = vec![0; result.len()];
    let mut stride = 1;
    for place in (0..shape.len()).rev() {
        if shape[place] != 1 {
            strides[skipped + place] = stride;
        }
        stride *= shape[place];
    }
    let size = result.iter().product();
    let mut positions = Vec::with_capacity(size);
    let mut position = vec![0usize; result.len()];
    let mut offset = 0usize;
    for _ in 0..size {
        positions.push(offset);
        for place in (0..result.len()).rev() {
            position[place] += 1;
            offset += strides[place];
            if position[place] < result[place] {
                break;
            }
            offset -= strides[place] * result[place];
            position[place] = 0;
        }
    }
    positions
}

/// Combines two arrays value by value. Equal shapes and single values take the short way.
fn zip<A, B, C>(
    left: &Array<A>,
    right: &Array<B>,
    combine: impl Fn(&A, &B) -> Result<C, String>,
) -> Result<Array<C>, String> {
    let shape = broadcast(left.shape(), right.shape())?;
    let (a, b) = (left.data(), right.data());
    let data = if left.shape() == right.shape() {
        a.iter().zip(b).map(|(a, b)| combine(a, b)).collect::<Result<_, _>>()?
    } else if let ([one], true) = (b, shape == left.shape()) {
        a.iter().map(|a| combine(a, one)).collect::<Result<_, _>>()?
    } else if let ([one], true) = (a, shape == right.shape()) {
        b.iter().map(|b| combine(one, b)).collect::<Result<_, _>>()?
    } else {
        let (from_left, from_right) = (positions(left.shape(), &shape), positions(right.shape(), &shape));
        from_left
            .iter()
            .zip(&from_right)
            .map(|(left, right)| combine(&a[*left], &b[*right]))
            .collect::<Result<_, _>>()?
    };
    Array::new(shape, data).map_err(error)
}

fn map<A, B>(array: &Array<A>, function: impl Fn(&A) -> B) -> Result<Array<B>, String> {
    Array::new(array.shape().to_vec(), array.data().iter().map(function).collect()).map_err(error)
}

fn only(data_type: DataType) -> String {
    format!("it does not run on {data_type}; cast it to float before the model is exported")
}

/// A function of 32-bit floats that may hold parameters.
type Single = Box<dyn Fn(f32) -> f32 + Send + Sync>;

fn unary(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?.clone();
    let alpha = context.node.float("alpha", 0.01);
    let (single, double): (Single, fn(f64) -> f64) = match context.node.operator() {
        "Abs" => (Box::new(f32::abs), f64::abs),
        "Ceil" => (Box::new(libm::ceilf), libm::ceil),
        "Exp" => (Box::new(libm::expf), libm::exp),
        "Floor" => (Box::new(libm::floorf), libm::floor),
        "Log" => (Box::new(libm::logf), libm::log),
        "Neg" => (Box::new(|value| -value), |value| -value),
        "Reciprocal" => (Box::new(|value| 1.0 / value), |value| 1.0 / value),
        "Relu" => {
            (Box::new(|value| if value < 0.0 { 0.0 } else { value }), |value| if value < 0.0 { 0.0 } else { value })
        }
        "Sigmoid" => (Box::new(logistic), |value| 1.0 / (1.0 + libm::exp(-value))),
        "Sign" => (Box::new(sign_f32), sign_f64),
        "Sqrt" => (Box::new(libm::sqrtf), libm::sqrt),
        "Tanh" => (Box::new(libm::tanhf), libm::tanh),
        // LeakyRelu.
        _ if fact.data_type == DataType::Float32 => {
            (Box::new(move |value| if value < 0.0 { alpha * value } else { value }), |value| value)
        }
        _ => return Err(only(fact.data_type)),
    };
    let of_integers: Option<fn(i64) -> i64> = match context.node.operator() {
        "Abs" => Some(i64::wrapping_abs),
        "Neg" => Some(i64::wrapping_neg),
        "Sign" => Some(i64::signum),
        _ => None,
    };
    match (fact.data_type, of_integers) {
        (DataType::Float32 | DataType::Float64, _) | (DataType::Int64, Some(_)) => {}
        (other, _) => return Err(only(other)),
    }
    Ok(kernel(fact, move |inputs| match (input(inputs, 0)?, of_integers) {
        (Tensor::Float32(array), _) => map(array, |value| single(*value)).map(Tensor::Float32),
        (Tensor::Float64(array), _) => map(array, |value| double(*value)).map(Tensor::Float64),
        (Tensor::Int64(array), Some(function)) => map(array, |value| function(*value)).map(Tensor::Int64),
        (other, _) => Err(only(other.data_type())),
    }))
}

fn sign_f32(value: f32) -> f32 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        value
    }
}

fn sign_f64(value: f64) -> f64 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        value
    }
}

/// The type and shape of operators whose operands are of one type.
fn alike(context: &Context<'_>, operands: std::ops::Range<usize>) -> Result<Fact, String> {
    let mut fact = context.fact(operands.start)?.clone();
    for index in operands.skip(1) {
        let other = context.fact(index)?;
        if other.data_type != fact.data_type {
            return Err(format!("its operands are {} and {}", fact.data_type, other.data_type));
        }
        fact.shape = joined(fact.shape.as_ref(), other.shape.as_ref());
    }
    Ok(fact)
}

/// Operations on both kinds of numbers. Integers fail where they have no result.
struct Operation {
    single: fn(f32, f32) -> f32,
    double: fn(f64, f64) -> f64,
    integer: fn(i64, i64) -> Option<i64>,
}

fn arithmetic(context: &Context<'_>) -> Built {
    let count = context.node.inputs().len();
    let fact = alike(context, 0..count)?;
    if matches!(fact.data_type, DataType::Bool | DataType::String) {
        return Err(only(fact.data_type));
    }
    let mean = context.node.operator() == "Mean";
    let operation = match context.node.operator() {
        "Add" | "Sum" | "Mean" => {
            Operation { single: |a, b| a + b, double: |a, b| a + b, integer: |a, b| Some(a.wrapping_add(b)) }
        }
        "Sub" => Operation { single: |a, b| a - b, double: |a, b| a - b, integer: |a, b| Some(a.wrapping_sub(b)) },
        "Mul" => Operation { single: |a, b| a * b, double: |a, b| a * b, integer: |a, b| Some(a.wrapping_mul(b)) },
        "Div" => Operation { single: |a, b| a / b, double: |a, b| a / b, integer: i64::checked_div },
        "Pow" => Operation {
            single: libm::powf,
            double: libm::pow,
            integer: |a, b| u32::try_from(b).ok().map(|b| a.wrapping_pow(b)),
        },
        // NaN wins over every number.
        "Max" => Operation {
            single: |a, b| if a > b || a.is_nan() { a } else { b },
            double: |a, b| if a > b || a.is_nan() { a } else { b },
            integer: |a, b| Some(a.max(b)),
        },
        _ => Operation {
            single: |a, b| if a < b || a.is_nan() { a } else { b },
            double: |a, b| if a < b || a.is_nan() { a } else { b },
            integer: |a, b| Some(a.min(b)),
        },
    };
    if mean && !fact.data_type.is_float() {
        return Err(only(fact.data_type));
    }
    Ok(kernel(fact, move |inputs| {
        let mut result = input(inputs, 0)?.clone();
        for index in 1..inputs.len() {
            result = match (&result, input(inputs, index)?) {
                (Tensor::Float32(a), Tensor::Float32(b)) => {
                    Tensor::Float32(zip(a, b, |a, b| Ok((operation.single)(*a, *b)))?)
                }
                (Tensor::Float64(a), Tensor::Float64(b)) => {
                    Tensor::Float64(zip(a, b, |a, b| Ok((operation.double)(*a, *b)))?)
                }
                (Tensor::Int64(a), Tensor::Int64(b)) => Tensor::Int64(zip(a, b, |a, b| {
                    (operation.integer)(*a, *b).ok_or_else(|| format!("it has no result for the integers {a} and {b}"))
                })?),
                (Tensor::Int32(a), Tensor::Int32(b)) => Tensor::Int32(zip(a, b, |a, b| {
                    (operation.integer)(i64::from(*a), i64::from(*b))
                        .map(|value| value as i32)
                        .ok_or_else(|| format!("it has no result for the integers {a} and {b}"))
                })?),
                (a, b) => return Err(format!("its operands are {} and {}", a.data_type(), b.data_type())),
            };
        }
        match result {
            Tensor::Float32(array) if mean => map(&array, |value| value / inputs.len() as f32).map(Tensor::Float32),
            Tensor::Float64(array) if mean => map(&array, |value| value / inputs.len() as f64).map(Tensor::Float64),
            other => Ok(other),
        }
    }))
}

fn comparison(context: &Context<'_>) -> Built {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let fact = alike(context, 0..2)?;
    let holds: fn(Option<std::cmp::Ordering>) -> bool = match context.node.operator() {
        "Equal" => |order| order == Some(Equal),
        "Greater" => |order| order == Some(Greater),
        "GreaterOrEqual" => |order| matches!(order, Some(Greater | Equal)),
        "Less" => |order| order == Some(Less),
        _ => |order| matches!(order, Some(Less | Equal)),
    };
    if context.node.operator() != "Equal" && matches!(fact.data_type, DataType::Bool | DataType::String) {
        return Err(only(fact.data_type));
    }
    Ok(kernel(Fact::new(DataType::Bool, fact.shape), move |inputs| {
        let made = match (input(inputs, 0)?, input(inputs, 1)?) {
            (Tensor::Float32(a), Tensor::Float32(b)) => zip(a, b, |a, b| Ok(holds(a.partial_cmp(b)))),
            (Tensor::Float64(a), Tensor::Float64(b)) => zip(a, b, |a, b| Ok(holds(a.partial_cmp(b)))),
            (Tensor::Int32(a), Tensor::Int32(b)) => zip(a, b, |a, b| Ok(holds(Some(a.cmp(b))))),
            (Tensor::Int64(a), Tensor::Int64(b)) => zip(a, b, |a, b| Ok(holds(Some(a.cmp(b))))),
            (Tensor::Bool(a), Tensor::Bool(b)) => zip(a, b, |a, b| Ok(holds(Some(a.cmp(b))))),
            (Tensor::String(a), Tensor::String(b)) => zip(a, b, |a, b| Ok(holds(Some(a.cmp(b))))),
            (a, b) => return Err(format!("its operands are {} and {}", a.data_type(), b.data_type())),
        };
        made.map(Tensor::Bool)
    }))
}

fn truth(tensor: &Tensor) -> Result<&Array<bool>, String> {
    if let Tensor::Bool(array) = tensor {
        Ok(array)
    } else {
        Err(format!("it takes bool there, not {}", tensor.data_type()))
    }
}

fn logic(context: &Context<'_>) -> Built {
    let fact = alike(context, 0..2)?;
    if fact.data_type != DataType::Bool {
        return Err(format!("it takes bool, not {}", fact.data_type));
    }
    let operation: fn(bool, bool) -> bool = match context.node.operator() {
        "And" => |a, b| a && b,
        "Or" => |a, b| a || b,
        _ => |a, b| a != b,
    };
    Ok(kernel(fact, move |inputs| {
        zip(truth(input(inputs, 0)?)?, truth(input(inputs, 1)?)?, |a, b| Ok(operation(*a, *b))).map(Tensor::Bool)
    }))
}

fn not(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?.clone();
    if fact.data_type != DataType::Bool {
        return Err(format!("it takes bool, not {}", fact.data_type));
    }
    Ok(kernel(fact, |inputs| map(truth(input(inputs, 0)?)?, |value| !value).map(Tensor::Bool)))
}

fn is_nan(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?;
    if !fact.data_type.is_float() {
        return Err(only(fact.data_type));
    }
    Ok(kernel(Fact::new(DataType::Bool, fact.shape.clone()), |inputs| match input(inputs, 0)? {
        Tensor::Float32(array) => map(array, |value| value.is_nan()).map(Tensor::Bool),
        Tensor::Float64(array) => map(array, |value| value.is_nan()).map(Tensor::Bool),
        other => Err(only(other.data_type())),
    }))
}

fn select(context: &Context<'_>) -> Built {
    let condition = context.fact(0)?;
    if condition.data_type != DataType::Bool {
        return Err(format!("it takes bool, not {}", condition.data_type));
    }
    let values = alike(context, 1..3)?;
    let fact = Fact::new(values.data_type, joined(condition.shape.as_ref(), values.shape.as_ref()));
    Ok(kernel(fact, |inputs| {
        let condition = truth(input(inputs, 0)?)?;
        macro_rules! choose {
            ($variant:ident, $yes:expr, $no:expr) => {{
                // Both values travel as positions, so that text is copied once.
                let shape = broadcast(&broadcast(condition.shape(), $yes.shape())?, $no.shape())?;
                let (from, yes, no) = (
                    positions(condition.shape(), &shape),
                    positions($yes.shape(), &shape),
                    positions($no.shape(), &shape),
                );
                let data = from
                    .iter()
                    .zip(yes.iter().zip(&no))
                    .map(
                        |(from, (yes, no))| {
                            if condition.data()[*from] { $yes.data()[*yes].clone() } else { $no.data()[*no].clone() }
                        },
                    )
                    .collect();
                Array::new(shape, data).map(Tensor::$variant).map_err(error)
            }};
        }
        match (input(inputs, 1)?, input(inputs, 2)?) {
            (Tensor::Float32(yes), Tensor::Float32(no)) => choose!(Float32, yes, no),
            (Tensor::Float64(yes), Tensor::Float64(no)) => choose!(Float64, yes, no),
            (Tensor::Int32(yes), Tensor::Int32(no)) => choose!(Int32, yes, no),
            (Tensor::Int64(yes), Tensor::Int64(no)) => choose!(Int64, yes, no),
            (Tensor::Bool(yes), Tensor::Bool(no)) => choose!(Bool, yes, no),
            (Tensor::String(yes), Tensor::String(no)) => choose!(String, yes, no),
            (yes, no) => Err(format!("its values are {} and {}", yes.data_type(), no.data_type())),
        }
    }))
}

fn clip(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?.clone();
    if fact.data_type != DataType::Float32 {
        return Err(only(fact.data_type));
    }
    let bound = |input: usize, name: &str, default: f32| match context.constant(input) {
        Some(Tensor::Float32(array)) if array.data().len() == 1 => Ok(array.data()[0]),
        Some(_) => Err(format!("its bound `{name}` is not one float")),
        None if context.given(input) => Err(format!("its bound `{name}` is computed, which is not run")),
        None => Ok(context.node.float(name, default)),
    };
    let (least, most) = (bound(1, "min", f32::NEG_INFINITY)?, bound(2, "max", f32::INFINITY)?);
    Ok(kernel(fact, move |inputs| {
        let Tensor::Float32(array) = input(inputs, 0)? else {
            return Err("it runs on float32".to_owned());
        };
        map(array, |value| {
            let value = if *value < least { least } else { *value };
            if value > most { most } else { value }
        })
        .map(Tensor::Float32)
    }))
}
