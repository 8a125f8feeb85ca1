//! Inference: the Open Inference Protocol v2 as a Spin component.
