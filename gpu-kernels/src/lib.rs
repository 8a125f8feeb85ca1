//! The same models, faster: an engine over wonnx and WebGPU.
//!
//! A model is split by [`skewless_model::plan`] the same way whichever engine runs it. [`WonnxEngine`] takes the dense
//! stages: it rewrites them into what [wonnx](https://github.com/webonnx/wonnx) can run (`lower/`), hands what wonnx
//! lacks back to the CPU, and keeps one compiled session per batch size (`session.rs`). wonnx itself is unmodified; the
//! crate `wgpu-compat` gives it today's WebGPU.
//!
//! Results agree with the CPU engine within 1e-4; they are not the same bits, since a GPU may fuse a multiplication
//! with an addition and has `exp` and `tanh` of its own.

mod engine;
mod error;
mod lower;
mod session;

pub use engine::WonnxEngine;
pub use error::Error;
pub use lower::Placement;

#[cfg(test)]
mod tests;
