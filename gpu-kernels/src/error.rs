//! What can go wrong on the way to the GPU.

/// Why a model does not run on the GPU.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no adapter or no device.
    #[error(
        "no GPU to run on: {0}; install a graphics driver (mesa-vulkan-drivers has one in software, chosen with \
         WGPU_BACKEND=vulkan), or use device 'cpu'"
    )]
    NoDevice(String),
    /// wonnx or the driver refused a part of the model.
    #[error("the GPU cannot run the nodes {nodes} of the model: {reason}; use device 'cpu'")]
    Refused {
        /// The nodes, in order.
        nodes: String,
        /// What was said.
        reason: String,
    },
    /// The GPU failed while it ran.
    #[error("the GPU failed in the nodes {nodes} of the model: {reason}; run again, or use device 'cpu'")]
    Failed {
        /// The nodes, in order.
        nodes: String,
        /// What was said.
        reason: String,
    },
}
