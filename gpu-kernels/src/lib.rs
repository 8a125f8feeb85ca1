//! The same models, faster: an Engine over wonnx and WebGPU.
