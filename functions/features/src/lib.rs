//! Online features: Feast's feature server over the rows that `skewless materialize` wrote.
//!
//! | | |
//! |---|---|
//! | `POST /get-online-features` | the features of entities as of a time |
//! | `POST /push` | records rows of a view's source |
//! | `GET /health` | whether there is something to serve |
//!
//! The shapes are Feast's, so that Feast's remote online store reads from here. One field of the request is ours,
//! `as_of`: one RFC 3339 time, or one per row; without it features are as of now. One field of the response is ours,
//! `skewless`: per view and row why the values are what they are, and when the row that counts was known. `NaN` and the
//! infinities, for which JSON has no numbers, are the strings `"NaN"`, `"Infinity"`, `"-Infinity"`, both ways.
//!
//! Values come from [`FeatureTable::lookup`](skewless_udf::view::FeatureTable::lookup) and
//! [`FeatureView::evaluate`](skewless_udf::view::FeatureView::evaluate), the very code of `ml_training_set`.
//!
//! Rows that are pushed, and the inputs of a view ON DEMAND, are checked by the contracts ON FEATURE VIEW that were stored
//! with it. What breaks an enforced contract is a 422 whose `violations` has, for each rule, its name, its text, its columns
//! and some of the rows with their values, counted from 0; nothing of the request is done. What breaks a contract that is
//! NOT ENFORCED is told in the answer in the same way, under `violations`.
//!
//! Everything here is plain Rust over a [`KeyValue`] store; `component.rs` ties it to Spin.
//!
//! Two pushes for one entity that run at the same moment can lose one of them: the store has no transaction to offer.

#[cfg(target_family = "wasm")]
mod component;
mod door;
mod json;
mod online;
mod problem;
mod push;
mod server;
mod store;

pub use server::{Limits, Request, Response, Server};
pub use store::KeyValue;

#[cfg(test)]
mod tests;
