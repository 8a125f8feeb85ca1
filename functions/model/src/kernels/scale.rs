//! `Scaler`, `Imputer`, `Normalizer`, `Binarizer` and `FeatureVectorizer`.

use super::{Built, Context, Fact, as_f32, float32, input, kernel, matrix, numeric, rows, width};
use crate::plan::Dim;
use crate::tensor::{Array, DataType, Tensor};

/// Checks that a list holds one value, or one per feature.
fn per_feature(what: &str, count: usize, fact: &Fact) -> Result<(), String> {
    match width(fact)? {
        Some(width) if count != 1 && count != width => {
            Err(format!("it has {count} values of {what} for {width} features"))
        }
        _ if count == 0 => Err(format!("it has no {what}; export the model again")),
        _ => Ok(()),
    }
}

/// `(x - offset) * scale`.
pub(super) fn scaler(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?;
    numeric(fact)?;
    let offsets = context.node.floats("offset").to_vec();
    let scales = context.node.floats("scale").to_vec();
    per_feature("offset", offsets.len(), fact)?;
    per_feature("scale", scales.len(), fact)?;
    let out = Fact::new(DataType::Float32, fact.shape.clone());
    Ok(kernel(out, move |inputs| {
        let tensor = input(inputs, 0)?;
        let (_, width) = matrix(tensor)?;
        let spread = |values: &[f32], what: &str| match values {
            [one] => Ok(vec![*one; width]),
            many if many.len() == width => Ok(many.to_vec()),
            many => Err(format!("it has {} values of {what} for {width} features", many.len())),
        };
        let (offset, scale) = (spread(&offsets, "offset")?, spread(&scales, "scale")?);
        let data = as_f32(tensor)?;
        let mut out = Vec::with_capacity(data.len());
        if width > 0 {
            for row in data.chunks_exact(width) {
                out.extend(row.iter().zip(&offset).zip(&scale).map(|((x, offset), scale)| (x - offset) * scale));
            }
        }
        float32(tensor.shape().to_vec(), out)
    }))
}

/// Replaces one value, or NaN, by a constant per feature.
pub(super) fn imputer(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?.clone();
    let floats = context.node.floats("imputed_value_floats").to_vec();
    let ints = context.node.ints("imputed_value_int64s").to_vec();
    let replaced_float = context.node.float("replaced_value_float", 0.0);
    let replaced_int = context.node.int("replaced_value_int64", 0);
    match fact.data_type {
        DataType::Float32 | DataType::Float64 => per_feature("imputed_value_floats", floats.len(), &fact)?,
        DataType::Int64 => per_feature("imputed_value_int64s", ints.len(), &fact)?,
        other => return Err(format!("it imputes floats and 64-bit integers, not {other}")),
    }
    let at = |column: usize, count: usize| if count == 1 { 0 } else { column };
    Ok(kernel(fact, move |inputs| {
        let tensor = input(inputs, 0)?;
        let (_, width) = matrix(tensor)?;
        let count = if tensor.data_type() == DataType::Int64 { ints.len() } else { floats.len() };
        if count != 1 && count != width {
            return Err(format!("it has {count} values for {width} features"));
        }
        let shape = tensor.shape().to_vec();
        let made = match tensor {
            Tensor::Float32(array) => {
                let replace = |(index, value): (usize, &f32)| {
                    let hit = *value == replaced_float || (value.is_nan() && replaced_float.is_nan());
                    if hit { floats.get(at(index % width, count)).copied().unwrap_or(*value) } else { *value }
                };
                Array::new(shape, array.data().iter().enumerate().map(replace).collect()).map(Tensor::Float32)
            }
            Tensor::Float64(array) => {
                let replaced = f64::from(replaced_float);
                let replace = |(index, value): (usize, &f64)| {
                    let hit = *value == replaced || (value.is_nan() && replaced.is_nan());
                    if hit { floats.get(at(index % width, count)).map_or(*value, |v| f64::from(*v)) } else { *value }
                };
                Array::new(shape, array.data().iter().enumerate().map(replace).collect()).map(Tensor::Float64)
            }
            Tensor::Int64(array) => {
                let replace = |(index, value): (usize, &i64)| {
                    if *value == replaced_int {
                        ints.get(at(index % width, count)).copied().unwrap_or(*value)
                    } else {
                        *value
                    }
                };
                Array::new(shape, array.data().iter().enumerate().map(replace).collect()).map(Tensor::Int64)
            }
            other => return Err(format!("it imputes floats and 64-bit integers, not {}", other.data_type())),
        };
        made.map_err(|error| error.to_string())
    }))
}

/// Divides a row by its largest value, the sum of its absolute values, or its Euclidean length, unless that is zero.
pub(super) fn normalizer(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?;
    numeric(fact)?;
    width(fact)?;
    let norm = context.node.text("norm", "MAX")?;
    let divide: fn(&[f32], &mut Vec<f32>) = match norm.as_str() {
        "MAX" => |row, out| {
            let largest = row.iter().copied().fold(f32::MIN, f32::max);
            out.extend(row.iter().map(|x| if largest == 0.0 { *x } else { x / largest }));
        },
        "L1" => |row, out| {
            let sum: f32 = row.iter().map(|x| x.abs()).sum();
            out.extend(row.iter().map(|x| if sum == 0.0 { *x } else { x / sum }));
        },
        "L2" => |row, out| {
            let sum: f32 = row.iter().map(|x| x * x).sum();
            out.extend(row.iter().map(|x| {
                if sum == 0.0 {
                    return *x;
                }
                let root = libm::sqrtf(x * x / sum);
                if *x < 0.0 { -root } else { root }
            }));
        },
        other => return Err(format!("norm `{other}` is none of MAX, L1 and L2")),
    };
    Ok(kernel(Fact::new(DataType::Float32, fact.shape.clone()), move |inputs| {
        let tensor = input(inputs, 0)?;
        let (_, width) = matrix(tensor)?;
        let data = as_f32(tensor)?;
        let mut out = Vec::with_capacity(data.len());
        if width > 0 {
            data.chunks_exact(width).for_each(|row| divide(row, &mut out));
        }
        float32(tensor.shape().to_vec(), out)
    }))
}

/// 1 above a threshold, else 0.
pub(super) fn binarizer(context: &Context<'_>) -> Built {
    let fact = context.fact(0)?;
    numeric(fact)?;
    let threshold = context.node.float("threshold", 0.0);
    Ok(kernel(Fact::new(DataType::Float32, fact.shape.clone()), move |inputs| {
        let tensor = input(inputs, 0)?;
        let data = as_f32(tensor)?;
        float32(tensor.shape().to_vec(), data.iter().map(|x| f32::from(u8::from(*x > threshold))).collect())
    }))
}

/// Matrices of numbers side by side.
pub(super) fn feature_vectorizer(context: &Context<'_>) -> Built {
    let mut total = Some(0);
    for index in 0..context.node.inputs().len() {
        let fact = context.fact(index)?;
        numeric(fact)?;
        total = match (total, width(fact)?) {
            (Some(total), Some(width)) => Some(total + width),
            _ => None,
        };
    }
    let fact = Fact::new(DataType::Float32, Some(vec![rows(context.fact(0)?), total.map_or(Dim::Unknown, Dim::Fixed)]));
    Ok(kernel(fact, |inputs| {
        let (rows, _) = matrix(input(inputs, 0)?)?;
        let mut parts = Vec::with_capacity(inputs.len());
        for index in 0..inputs.len() {
            let tensor = input(inputs, index)?;
            let (found, width) = matrix(tensor)?;
            if found != rows {
                return Err(format!("its inputs have {rows} and {found} rows"));
            }
            parts.push((width, as_f32(tensor)?));
        }
        let total = parts.iter().map(|(width, _)| width).sum();
        let mut out = Vec::with_capacity(rows * total);
        for row in 0..rows {
            for (width, data) in &parts {
                out.extend_from_slice(&data[row * width..(row + 1) * width]);
            }
        }
        float32(vec![rows, total], out)
    }))
}
