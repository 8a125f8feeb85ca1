//! Inference over HTTP: the [Open Inference Protocol](https://github.com/kserve/open-inference-protocol), version 2, in
//! JSON, as a Spin component. The models are the bundles mounted at `/models`: `<name>.skew`, `<name>/` or
//! `<name>.onnx`.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v2` | name, version and extensions of the server |
//! | `GET /v2/health/live`, `GET /v2/health/ready` | 200; `ready` loads every model first, and is a 503 if one fails |
//! | `GET /v2/models/{m}[/versions/{v}]` | names, types and shapes of its inputs and outputs |
//! | `GET /v2/models/{m}[/versions/{v}]/ready` | 200 once the model is loaded |
//! | `POST /v2/models/{m}[/versions/{v}]/infer` | the outputs for the inputs in the body |
//!
//! **Inputs** are tensors by name. A scalar input has the shape `[n]` or `[n, 1]`, a vector `[n, width]` or, instead, one
//! tensor for each of its columns. `datatype` is `BOOL`, `INT8` to `INT64`, `UINT8` to `UINT64`, `FP32`, `FP64` or
//! `BYTES` (text); `data` is flat or nested. Numbers become the model's type as in SQL. JSON has no NaN and no
//! infinities: they are the strings `"NaN"`, `"Infinity"` and `"-Infinity"`, in both directions. `null` is a missing
//! value, which is NaN for a float input of the model, the empty string for text, and refused by every other type.
//!
//! **Outputs** come in the model's order, or as `outputs` selects them; numbers are written so that they parse to
//! exactly the model's value, in 32 and in 64 bits. The binary tensor extension is not offered.
//!
//! **Errors** are `application/problem+json`: 400 for a body or tensor that is wrong (with the input, the reason and the
//! remedy), 404 for an unknown path, model or version, 405, 413 and 415; 500 if the model itself fails. A request may
//! have [`MAX_BODY`] bytes and [`MAX_ROWS`] rows.
//!
//! Everything but the last lines of this crate is plain Rust: [`handle`] answers a [`Request`] from a [`Repository`].

#[cfg(target_family = "wasm")]
mod component;
mod problem;
mod protocol;
mod repository;
mod tensor;

pub use problem::Problem;
pub use protocol::{MAX_BODY, MAX_ROWS, Request, Response, handle};
pub use repository::{Model, Repository};
