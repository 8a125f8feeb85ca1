//! The model bundle, the trait [`Engine`] and the CPU engine.
//!
//! A [`Bundle`] is an ONNX model with a typed, named [`Signature`]. SQL, HTTP and the browser open the same file, turn
//! their columns into tensors by [`Signature::bind`], and score them in a [`Session`].

mod bundle;
mod engine;
mod error;
mod infer;
#[allow(clippy::float_cmp, reason = "operators are specified by exact comparison")]
mod kernels;
mod onnx;
pub mod plan;
mod signature;
mod tensor;
mod tract;

pub use bundle::{Bundle, BundleJson, TestVector};
pub use engine::{CpuEngine, Engine, Session};
pub use error::Error;
pub use signature::{Classes, ColumnSpec, InputColumn, InputSpec, OutputSpec, Role, Signature, Width};
pub use tensor::{Array, DataType, Tensor};
pub use tract::TractEngine;
