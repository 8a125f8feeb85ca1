//! Dense tensors in row-major order: what sessions take and give. The first dimension is the batch.

use serde::{Deserialize, Serialize};

use crate::Error;

/// The element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    /// 32-bit float; a missing value is NaN.
    Float32,
    /// 64-bit float; a missing value is NaN.
    Float64,
    /// 32-bit signed integer; no missing values.
    Int32,
    /// 64-bit signed integer; no missing values.
    Int64,
    /// Truth value; no missing values.
    Bool,
    /// UTF-8 text; a missing value is the empty string.
    String,
}

impl DataType {
    /// The name in `bundle.json` and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Bool => "bool",
            Self::String => "string",
        }
    }

    /// Whether values are 32- or 64-bit floats.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Float32 | Self::Float64)
    }
}

impl std::fmt::Display for DataType {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Values with a shape, row-major. The number of values is the product of the shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Array<T> {
    shape: Vec<usize>,
    data: Vec<T>,
}

impl<T> Array<T> {
    /// Fails with [`Error::Shape`] where the shape does not hold exactly the values given.
    pub fn new(shape: Vec<usize>, data: Vec<T>) -> Result<Self, Error> {
        let size = shape.iter().try_fold(1usize, |size, dimension| size.checked_mul(*dimension));
        if size == Some(data.len()) {
            Ok(Self { shape, data })
        } else {
            Err(Error::Shape { shape, values: data.len() })
        }
    }

    /// A batch of scalars, shape `[n, 1]`.
    pub fn column(data: Vec<T>) -> Self {
        Self { shape: vec![data.len(), 1], data }
    }

    /// Values of shape `[n]`.
    pub fn vector(data: Vec<T>) -> Self {
        Self { shape: vec![data.len()], data }
    }

    /// One dimension after the other, the batch first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values in row-major order.
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// The values in row-major order.
    pub fn into_data(self) -> Vec<T> {
        self.data
    }

    /// The same values under another shape.
    pub fn reshape(self, shape: Vec<usize>) -> Result<Self, Error> {
        Self::new(shape, self.data)
    }
}

/// A tensor of any element type.
#[derive(Clone, Debug, PartialEq)]
pub enum Tensor {
    /// 32-bit floats.
    Float32(Array<f32>),
    /// 64-bit floats.
    Float64(Array<f64>),
    /// 32-bit signed integers.
    Int32(Array<i32>),
    /// 64-bit signed integers.
    Int64(Array<i64>),
    /// Truth values.
    Bool(Array<bool>),
    /// Text.
    String(Array<String>),
}

/// The same expression for whichever array a tensor holds.
macro_rules! each {
    ($tensor:expr, $array:ident => $body:expr) => {
        match $tensor {
            $crate::Tensor::Float32($array) => $body,
            $crate::Tensor::Float64($array) => $body,
            $crate::Tensor::Int32($array) => $body,
            $crate::Tensor::Int64($array) => $body,
            $crate::Tensor::Bool($array) => $body,
            $crate::Tensor::String($array) => $body,
        }
    };
}
/// The same expression for whichever array a tensor holds, as a tensor again.
macro_rules! map_each {
    ($tensor:expr, $array:ident => $body:expr) => {
        match $tensor {
            $crate::Tensor::Float32($array) => $crate::Tensor::Float32($body),
            $crate::Tensor::Float64($array) => $crate::Tensor::Float64($body),
            $crate::Tensor::Int32($array) => $crate::Tensor::Int32($body),
            $crate::Tensor::Int64($array) => $crate::Tensor::Int64($body),
            $crate::Tensor::Bool($array) => $crate::Tensor::Bool($body),
            $crate::Tensor::String($array) => $crate::Tensor::String($body),
        }
    };
}
pub(crate) use map_each;

impl Tensor {
    /// 32-bit floats of a shape.
    pub fn float32(shape: Vec<usize>, data: Vec<f32>) -> Result<Self, Error> {
        Array::new(shape, data).map(Self::Float32)
    }

    /// 64-bit floats of a shape.
    pub fn float64(shape: Vec<usize>, data: Vec<f64>) -> Result<Self, Error> {
        Array::new(shape, data).map(Self::Float64)
    }

    /// 64-bit integers of a shape.
    pub fn int64(shape: Vec<usize>, data: Vec<i64>) -> Result<Self, Error> {
        Array::new(shape, data).map(Self::Int64)
    }

    /// Text of a shape.
    pub fn string(shape: Vec<usize>, data: Vec<String>) -> Result<Self, Error> {
        Array::new(shape, data).map(Self::String)
    }

    /// The element type.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Float32(_) => DataType::Float32,
            Self::Float64(_) => DataType::Float64,
            Self::Int32(_) => DataType::Int32,
            Self::Int64(_) => DataType::Int64,
            Self::Bool(_) => DataType::Bool,
            Self::String(_) => DataType::String,
        }
    }

    /// One dimension after the other, the batch first.
    pub fn shape(&self) -> &[usize] {
        each!(self, array => array.shape())
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        each!(self, array => array.data().len())
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first dimension; 1 for a tensor without dimensions.
    pub fn batch(&self) -> usize {
        self.shape().first().copied().unwrap_or(1)
    }

    /// The same values under another shape.
    pub fn reshape(self, shape: Vec<usize>) -> Result<Self, Error> {
        Ok(map_each!(self, array => array.reshape(shape)?))
    }

    /// Numbers as 64-bit floats (truth values as 0 and 1), in row-major order; `None` for text.
    pub fn to_f64(&self) -> Option<Vec<f64>> {
        Some(match self {
            Self::Float32(array) => array.data().iter().map(|value| f64::from(*value)).collect(),
            Self::Float64(array) => array.data().to_vec(),
            Self::Int32(array) => array.data().iter().map(|value| f64::from(*value)).collect(),
            Self::Int64(array) => array.data().iter().map(|value| *value as f64).collect(),
            Self::Bool(array) => array.data().iter().map(|value| f64::from(u8::from(*value))).collect(),
            Self::String(_) => return None,
        })
    }
}
