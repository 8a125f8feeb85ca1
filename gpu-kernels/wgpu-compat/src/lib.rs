//! wgpu compat
