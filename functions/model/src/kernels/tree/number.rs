//! Thresholds and scores: 32-bit floats, or 64-bit where the model says so.

use std::borrow::Cow;

use crate::kernels::as_f32;
use crate::tensor::{DataType, Tensor};

pub(super) trait Number:
    Copy
    + PartialOrd
    + Sized
    + Send
    + Sync
    + std::fmt::Debug
    + std::ops::AddAssign
    + std::ops::Div<Output = Self>
    + std::ops::Sub<Output = Self>
    + 'static
{
    const ZERO: Self;
    const NAN: Self;
    const NEG_INFINITY: Self;
    const DATA_TYPE: DataType;
    /// A tensor's numbers; an error for text.
    fn read(tensor: &Tensor) -> Result<Cow<'_, [Self]>, String>;
    fn tensor(shape: Vec<usize>, data: Vec<Self>) -> Result<Tensor, crate::Error>;
    fn from_f32(value: f32) -> Self;
    fn from_f64(value: f64) -> Self;
    fn from_count(value: usize) -> Self;
    fn to_f32(self) -> f32;
    fn missing(self) -> bool;
    /// The largest number below this one; itself for negative infinity and NaN.
    fn next_down(self) -> Self;
}

macro_rules! number {
    ($type:ty, $variant:ident, $tensor:path, $read:path, $from_f32:path) => {
        impl Number for $type {
            const ZERO: Self = 0.0;
            const NAN: Self = <$type>::NAN;
            const NEG_INFINITY: Self = <$type>::NEG_INFINITY;
            const DATA_TYPE: DataType = DataType::$variant;
            fn read(tensor: &Tensor) -> Result<Cow<'_, [Self]>, String> {
                $read(tensor)
            }
            fn tensor(shape: Vec<usize>, data: Vec<Self>) -> Result<Tensor, crate::Error> {
                $tensor(shape, data)
            }
            fn from_f32(value: f32) -> Self {
                $from_f32(value)
            }
            fn from_f64(value: f64) -> Self {
                value as $type
            }
            fn from_count(value: usize) -> Self {
                value as $type
            }
            fn to_f32(self) -> f32 {
                self as f32
            }
            fn missing(self) -> bool {
                self.is_nan()
            }
            fn next_down(self) -> Self {
                <$type>::next_down(self)
            }
        }
    };
}

number!(f32, Float32, Tensor::float32, as_f32, std::convert::identity);
number!(f64, Float64, Tensor::float64, as_f64, f64::from);

/// Numbers as doubles.
fn as_f64(tensor: &Tensor) -> Result<Cow<'_, [f64]>, String> {
    if let Tensor::Float64(array) = tensor {
        return Ok(array.data().into());
    }
    tensor.to_f64().map(Into::into).ok_or_else(|| "its input is text and it takes numbers".to_owned())
}
