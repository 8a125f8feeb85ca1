//! The model bundle, the trait Engine and the CPU engine.
