//! The bundle: an ONNX model, its signature and its provenance in one directory or `.skew` archive.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Session, Signature};

/// The contents of `bundle.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleJson {
    /// The format's version: 1.
    pub format: u32,
    /// The model's name.
    pub name: String,
    /// The model's own version, free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What the model predicts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Typed, named inputs and outputs.
    pub signature: Signature,
    /// Where the model comes from: free-form.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub provenance: BTreeMap<String, Value>,
    /// Inputs with the outputs that they must give.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test_vectors: Vec<TestVector>,
    /// SHA-256 over the model and the rest of this file, in hex.
    pub digest: String,
}

/// Rows with the outputs that a model must give for them. A null is a missing value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestVector {
    /// Values of every input column, by name.
    pub inputs: BTreeMap<String, Vec<Value>>,
    /// Expected values of outputs, by name; a vector output has one list a row.
    pub outputs: BTreeMap<String, Vec<Value>>,
    /// The largest absolute difference of a float output: 1e-5 unless it is stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
}

/// A model with its signature: what every surface opens.
#[derive(Clone, Debug)]
pub struct Bundle {
    json: BundleJson,
    onnx: Vec<u8>,
}

impl Bundle {
    /// Opens a bundle's directory, a `.skew` archive or a bare `.onnx` file, and verifies it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Err(Error::bundle(&path.display().to_string(), "todo"))
    }

    /// Opens the bytes of a `.skew` archive, and verifies it.
    pub fn from_archive(archive: &[u8]) -> Result<Self, Error> {
        let _ = archive;
        Err(Error::bundle("", "todo"))
    }

    /// A bundle of a bare ONNX model, whose signature is read from the graph: inputs by name, one scalar column each;
    /// a single 2-D input of width n takes n scalars named `f0`, `f1`, ….
    pub fn from_onnx(name: &str, onnx: &[u8]) -> Result<Self, Error> {
        Self::build(name, onnx, None)
    }

    /// A bundle of an ONNX model and an optional JSON description of what the graph does not say.
    pub fn build(name: &str, onnx: &[u8], description: Option<&str>) -> Result<Self, Error> {
        let _ = (onnx, description);
        Err(Error::bundle(name, "todo"))
    }

    /// Writes `model.onnx` and `bundle.json` into a directory, which is made where it is missing.
    pub fn write_dir(&self, directory: &Path) -> Result<(), Error> {
        Err(Error::bundle(&directory.display().to_string(), "todo"))
    }

    /// The bytes of the `.skew` archive; the same for the same bundle.
    pub fn to_archive(&self) -> Result<Vec<u8>, Error> {
        Err(Error::bundle(self.name(), "todo"))
    }

    /// Runs the test vectors of the bundle, if it has any.
    pub fn verify(&self, session: &dyn Session) -> Result<(), Error> {
        let _ = session;
        Ok(())
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.json.name
    }

    /// SHA-256 over the model and its description, in hex.
    pub fn digest(&self) -> &str {
        &self.json.digest
    }

    /// Typed, named inputs and outputs.
    pub fn signature(&self) -> &Signature {
        &self.json.signature
    }

    /// The ONNX file.
    pub fn onnx(&self) -> &[u8] {
        &self.onnx
    }

    /// All of `bundle.json`.
    pub fn metadata(&self) -> &BundleJson {
        &self.json
    }
}
