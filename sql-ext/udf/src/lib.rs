//! The catalog as DataFusion functions, the expression engine and feature views; native and wasm.
//!
//! [`functions`] are the catalog's definitions as scalar and aggregate UDFs; [`expression`] turns SQL expressions into
//! the canonical text that every surface compiles the same way; [`view`] holds feature views, their rows and the
//! point-in-time look-up that training sets and the online store share; [`groups`] numbers their keys; [`contract`] holds
//! what a data contract asks of each row.

pub mod contract;
pub mod expression;
pub mod functions;
pub mod groups;
pub mod view;

pub use functions::register_all;
