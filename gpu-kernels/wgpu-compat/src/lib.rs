//! A future for a crate whose API was left behind: the part of wgpu 0.16 that wonnx 0.5.1 uses, over today's wgpu.
//!
//! wonnx is pinned to wgpu 0.16, which no longer resolves beside a modern `web-sys`, whose device limits today's
//! browsers reject, and which knows no `wasi:webgpu`. Forking wonnx would make its whole source ours. Instead this
//! crate takes wgpu's *name* and a version that wonnx accepts, `0.16.99`, and the workspace puts it in wgpu's place:
//!
//! ```toml
//! [patch.crates-io]
//! wgpu = { path = "gpu-kernels/wgpu-compat" }
//! ```
//!
//! wonnx then compiles unmodified. Types whose shape did not change since 0.16 are re-exported; what changed is
//! wrapped: [`Instance`], [`Adapter`], [`Device`], [`CommandEncoder`], the descriptors of pipelines and passes,
//! [`Maintain`] and [`util`]. To do the same for another dependent of an old wgpu, compile it and add what is missing.
//!
//! What differs from wgpu 0.16, on purpose:
//!
//! * **One adapter and one device per process.** wonnx opens a device for every session and for every constant it
//!   folds; here they all share one, opened on first use and again after it was lost.
//! * **The adapter's own limits** are asked for, not wgpu's defaults of the year.
//! * **Errors do not panic.** A rejected shader, binding or allocation is kept for the thread that caused it
//!   ([`take_faults`]), and the read-back that follows fails, which wonnx returns as an error of its run.
//!
//! The one back end so far is [wgpu 29] on native targets (`src/native.rs`). A back end over `wasi:webgpu` for
//! components, and one for browsers, each are one more module with the same items.
//!
//! [wgpu 29]: https://docs.rs/wgpu/29

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(not(target_family = "wasm"))]
pub use native::*;

#[cfg(target_family = "wasm")]
compile_error!("wgpu-compat has no back end for this target yet; build skewless-gpu for a native target");
