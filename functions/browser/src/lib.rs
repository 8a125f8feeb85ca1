//! The catalog and the model in a web page, by wasm-bindgen.
