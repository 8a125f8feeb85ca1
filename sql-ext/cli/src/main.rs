//! The one binary: `sql`, `materialize`, `up`, `demo`.

fn main() {}
