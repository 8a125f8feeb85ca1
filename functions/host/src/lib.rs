//! Runs spin.toml here: wasmtime, key-value, files, variables.
