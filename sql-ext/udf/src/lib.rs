//! The catalog as DataFusion functions, the expression engine and feature views; native and wasm.
