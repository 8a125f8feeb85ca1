//! Setup, tests, demo, benchmarks and generated docs.

fn main() {}
