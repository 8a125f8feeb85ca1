use std::path::PathBuf;

/// What can be wrong with a model, a bundle or an input. Every message names the thing, the reason and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot access the model file `{}`: {reason}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says, and what to do.
        reason: String,
    },
    /// A bundle's directory, archive or `bundle.json` is malformed.
    #[error("model bundle `{bundle}`: {reason}")]
    Bundle {
        /// The bundle's name or path.
        bundle: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The contents of a bundle are not those that its digest was computed from.
    #[error(
        "model bundle `{bundle}` does not match its digest: bundle.json says {expected}, its contents give {found}; \
         the bundle was edited or damaged, so fetch it again or rebuild it"
    )]
    Digest {
        /// The bundle's name or path.
        bundle: String,
        /// The digest in `bundle.json`.
        expected: String,
        /// The digest of what is there.
        found: String,
    },
    /// The ONNX file cannot be used.
    #[error("the ONNX model of `{model}` cannot be used: {reason}")]
    Onnx {
        /// The model's name.
        model: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// One node of the ONNX graph cannot be run.
    #[error("the ONNX model of `{model}` cannot be used: node `{node}` ({operator}): {reason}")]
    Node {
        /// The model's name.
        model: String,
        /// The node's name, or its first output where it has none.
        node: String,
        /// Its operator, with the domain unless it is ONNX's own.
        operator: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// An input of the model is missing, unknown, or of the wrong type, length or shape.
    #[error("{reason}")]
    Input {
        /// The input's name; empty where the error is about all of them.
        input: String,
        /// The whole message.
        reason: String,
    },
    /// The shape and the number of values of a tensor do not agree.
    #[error("a tensor of shape {shape:?} cannot hold {values} values")]
    Shape {
        /// The shape that was asked for.
        shape: Vec<usize>,
        /// The number of values given.
        values: usize,
    },
    /// Running the model failed on these rows.
    #[error("model `{model}` failed: {reason}")]
    Run {
        /// The model's name.
        model: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The engine cannot run here, for example because there is no GPU adapter.
    #[error("engine `{engine}` is not available: {reason}")]
    Engine {
        /// The engine's name.
        engine: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A model does not give the outputs that the test vectors in its bundle state.
    #[error("model `{model}` fails test vector {vector} of its bundle: {reason}")]
    TestVector {
        /// The model's name.
        model: String,
        /// The vector's position, from 0.
        vector: usize,
        /// The output, row and both values.
        reason: String,
    },
}

impl Error {
    pub(crate) fn input(input: &str, reason: impl Into<String>) -> Self {
        Self::Input { input: input.to_owned(), reason: reason.into() }
    }

    pub(crate) fn onnx(model: &str, reason: impl Into<String>) -> Self {
        Self::Onnx { model: model.to_owned(), reason: reason.into() }
    }

    pub(crate) fn bundle(bundle: &str, reason: impl Into<String>) -> Self {
        Self::Bundle { bundle: bundle.to_owned(), reason: reason.into() }
    }
}
