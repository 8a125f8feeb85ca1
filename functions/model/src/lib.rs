//! The model bundle, the trait [`Engine`] and the CPU engine.
//!
//! A [`Bundle`] is an ONNX model with a typed, named [`Signature`]. SQL, HTTP and the browser open the same file, turn
//! their columns into tensors by [`Signature::bind`], and score them in a [`Session`]:
//!
//! ```no_run
//! use std::path::Path;
//! use skewless_model::{Bundle, CpuEngine, Engine, InputColumn};
//!
//! let bundle = Bundle::open(Path::new("late.skew"))?;
//! let session = CpuEngine.load(&bundle)?;
//! let inputs = bundle.signature().bind(&[
//!     ("distance", InputColumn::Float64(vec![Some(1024.0), None])),
//!     ("carrier", InputColumn::String(vec![Some("AS".to_owned()), Some("DL".to_owned())])),
//! ])?;
//! let outputs = session.run(&inputs)?;
//! # Ok::<(), skewless_model::Error>(())
//! ```
//!
//! **A bundle** is a directory, or a zip archive named `.skew`, of `model.onnx` and `bundle.json` ([`BundleJson`]). Its
//! digest is SHA-256 over the model and the rest of `bundle.json` with sorted keys. A bare `.onnx` file opens as a
//! bundle whose signature is read from the graph.
//!
//! **Missing values**: NULL is NaN for a float input and the empty string for text; other types have none.
//!
//! **Where a graph runs** is decided by [`plan`]. Operators of `ai.onnx.ml` (scalers, imputers, encoders, linear models,
//! tree ensembles), operators on text and light ones around them run in kernels of this crate, which follow ONNX
//! Runtime and give the same bits on every target. Matrix products and whatever else has no kernel here form dense
//! sub-graphs, which tract runs on the CPU and another [`plan::DenseEngine`] elsewhere.

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
