//! The bundle: an ONNX model, its signature and its provenance in one directory or `.skew` archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use skewless_catalog::suggest::did_you_mean;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use crate::infer;
use crate::onnx::{Graph, LARGEST_FILE};
use crate::signature::{Classes, InputColumn, Role, Signature, Width};
use crate::tensor::{DataType, Tensor};
use crate::{Error, Session};

/// The version of the format that this crate reads and writes.
const FORMAT: u32 = 1;
/// The name of the model within a bundle.
const MODEL: &str = "model.onnx";
/// The name of the description within a bundle.
const DESCRIPTION: &str = "bundle.json";
/// The largest `bundle.json`.
const LARGEST_JSON: usize = 64 << 20;
/// The tolerance of a test vector that states none.
const TOLERANCE: f64 = 1e-5;

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
    /// SHA-256, in hex, over the model and the rest of this file.
    pub digest: String,
}

/// What a graph does not say, for [`Bundle::build`]. Every part may be left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(clippy::struct_field_names, reason = "the fields of a file")]
struct Description {
    name: Option<String>,
    version: Option<String>,
    description: Option<String>,
    /// Names of the scalars of vector inputs, by input.
    columns: BTreeMap<String, Vec<String>>,
    /// Features, `view:feature`, by column.
    features: BTreeMap<String, String>,
    /// The classes of a classifier, where the graph does not hold them.
    classes: Option<Classes>,
    provenance: BTreeMap<String, Value>,
    test_vectors: Vec<TestVector>,
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

/// A model with its signature: what every surface opens. Cheap to clone.
///
/// On disk it is a directory, or a zip archive named `.skew`, of `model.onnx` and `bundle.json`. Its digest is verified
/// whenever it is opened.
#[derive(Clone, Debug)]
pub struct Bundle {
    json: Arc<BundleJson>,
    onnx: Arc<[u8]>,
    graph: Arc<Graph>,
}

impl Bundle {
    /// Opens a bundle's directory, a `.skew` archive or a bare `.onnx` file, and verifies it. The name of a bare file
    /// is its own without the extension.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |reason: String| Error::File { path: path.to_owned(), reason };
        let metadata =
            std::fs::metadata(path).map_err(|error| failed(format!("{error}{}; check the path", siblings(path))))?;
        if metadata.is_dir() {
            let part = |name: &str, most: usize| {
                let part = path.join(name);
                let file = File::open(&part).map_err(|error| {
                    failed(format!(
                        "its `{name}` cannot be read: {error}; a bundle holds `{MODEL}` and `{DESCRIPTION}`"
                    ))
                })?;
                read_at_most(file, most).map_err(|reason| failed(format!("its `{name}` {reason}")))
            };
            let description = part(DESCRIPTION, LARGEST_JSON)?;
            return Self::verified(&path.display().to_string(), part(MODEL, LARGEST_FILE)?, &description);
        }
        let file = File::open(path).map_err(|error| failed(error.to_string()))?;
        let bytes = read_at_most(file, LARGEST_FILE).map_err(failed)?;
        if bytes.starts_with(b"PK") {
            return Self::read_archive(&path.display().to_string(), &bytes);
        }
        let name = path.file_stem().map_or_else(|| "model".to_owned(), |stem| stem.to_string_lossy().into_owned());
        Self::from_onnx(&name, &bytes)
    }

    /// Opens the bytes of a `.skew` archive, and verifies it.
    pub fn from_archive(archive: &[u8]) -> Result<Self, Error> {
        Self::read_archive("archive", archive)
    }

    /// A bundle of a bare ONNX model, whose signature is read from the graph: inputs by name, one scalar column each;
    /// a single 2-D input of width n takes n scalars named `f0`, `f1`, … (several of them: `input_0`, `input_1`, …).
    pub fn from_onnx(name: &str, onnx: &[u8]) -> Result<Self, Error> {
        Self::build(name, onnx, None)
    }

    /// A bundle of an ONNX model and an optional JSON object of what the graph does not say: `name`, `version`,
    /// `description`, `columns` (names of the scalars of vector inputs, by input), `features` (`view:feature` by
    /// column; a column named `view__feature` needs none), `classes`, `provenance` and `test_vectors`.
    pub fn build(name: &str, onnx: &[u8], description: Option<&str>) -> Result<Self, Error> {
        let description: Description = match description {
            None => Description::default(),
            Some(text) => serde_json::from_str(text)
                .map_err(|error| Error::bundle(name, format!("its description is not as it must be: {error}")))?,
        };
        let name = description.name.as_deref().unwrap_or(name);
        let graph = Graph::read(name, onnx)?;
        let mut signature = infer::signature(&graph, &description.columns)?;
        for input in description.columns.keys() {
            if !signature.inputs.iter().any(|spec| spec.name == *input && matches!(spec.width, Width::Vector(_))) {
                let vectors = signature.inputs.iter().filter(|spec| matches!(spec.width, Width::Vector(_)));
                let hint = did_you_mean(input, vectors.map(|spec| spec.name.as_str()));
                return Err(Error::bundle(name, format!("`columns` names `{input}`, which is no vector input{hint}")));
            }
        }
        for (column, feature) in &description.features {
            set_feature(&mut signature, column, feature).map_err(|reason| Error::bundle(name, reason))?;
        }
        if let Some(classes) = &description.classes {
            set_classes(&mut signature, classes);
        }
        let mut json = BundleJson {
            format: FORMAT,
            name: name.to_owned(),
            version: description.version,
            description: description.description,
            signature,
            provenance: description.provenance,
            test_vectors: description.test_vectors,
            digest: String::new(),
        };
        let value = serde_json::to_value(&json).map_err(|error| Error::bundle(name, error.to_string()))?;
        json.digest = digest(onnx, &value);
        check_signature(name, &json.signature, &graph)?;
        Ok(Self { json: Arc::new(json), onnx: Arc::from(onnx), graph: Arc::new(graph) })
    }

    /// Writes `model.onnx` and `bundle.json` into a directory, which is made where it is missing.
    pub fn write_dir(&self, directory: &Path) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::File {
            path: directory.to_owned(),
            reason: format!("{error}; check the path"),
        };
        std::fs::create_dir_all(directory).map_err(failed)?;
        std::fs::write(directory.join(MODEL), &self.onnx).map_err(failed)?;
        std::fs::write(directory.join(DESCRIPTION), self.description()?).map_err(failed)
    }

    /// Writes the `.skew` archive.
    pub fn write_archive(&self, path: &Path) -> Result<(), Error> {
        std::fs::write(path, self.to_archive()?)
            .map_err(|error| Error::File { path: path.to_owned(), reason: format!("{error}; check the path") })
    }

    /// The bytes of the `.skew` archive; the same for the same bundle.
    pub fn to_archive(&self) -> Result<Vec<u8>, Error> {
        let failed = |error: String| Error::bundle(self.name(), format!("its archive cannot be written: {error}"));
        // Stored modification times would make every archive different.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644);
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, contents) in [(DESCRIPTION, self.description()?.as_bytes()), (MODEL, &*self.onnx)] {
            archive.start_file(name, options).map_err(|error| failed(error.to_string()))?;
            archive.write_all(contents).map_err(|error| failed(error.to_string()))?;
        }
        archive.finish().map(Cursor::into_inner).map_err(|error| failed(error.to_string()))
    }

    fn description(&self) -> Result<String, Error> {
        serde_json::to_string_pretty(&*self.json)
            .map(|text| text + "\n")
            .map_err(|error| Error::bundle(self.name(), error.to_string()))
    }

    fn read_archive(label: &str, bytes: &[u8]) -> Result<Self, Error> {
        let failed = |reason: String| Error::bundle(label, reason);
        let mut archive = ZipArchive::new(Cursor::new(bytes))
            .map_err(|error| failed(format!("it is not a bundle's archive, or it is damaged ({error})")))?;
        let mut onnx = None;
        let mut description = None;
        for index in 0..archive.len() {
            let entry = archive.by_index(index).map_err(|error| failed(format!("its archive is damaged ({error})")))?;
            let name = entry.name().to_owned();
            let (part, most) = match name.as_str() {
                MODEL => (&mut onnx, LARGEST_FILE),
                DESCRIPTION => (&mut description, LARGEST_JSON),
                other => {
                    let other: String = other.chars().take(200).collect();
                    return Err(failed(format!(
                        "its archive holds `{other}`; a bundle holds `{MODEL}` and `{DESCRIPTION}`, and nothing else"
                    )));
                }
            };
            if part.is_some() {
                return Err(failed(format!("its archive holds `{name}` twice")));
            }
            // The size that an entry states can be a lie: what comes out is counted.
            *part = Some(read_at_most(entry, most).map_err(|reason| failed(format!("its `{name}` {reason}")))?);
        }
        let missing = |name: &str| failed(format!("its archive holds no `{name}`; build it again"));
        let onnx = onnx.ok_or_else(|| missing(MODEL))?;
        Self::verified(label, onnx, &description.ok_or_else(|| missing(DESCRIPTION))?)
    }

    /// Checks the description against the digest and the graph.
    fn verified(label: &str, onnx: Vec<u8>, description: &[u8]) -> Result<Self, Error> {
        let failed = |reason: String| Error::bundle(label, reason);
        let value: Value = serde_json::from_slice(description)
            .map_err(|error| failed(format!("its `{DESCRIPTION}` is not JSON: {error}")))?;
        // The version decides how the rest is read, so it comes first.
        match value.get("format").and_then(Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(format) => {
                return Err(failed(format!(
                    "it has format {format} and this version of Skewless reads format {FORMAT}; upgrade Skewless or \
                     build the bundle again"
                )));
            }
            None => return Err(failed(format!("its `{DESCRIPTION}` states no `format`; build the bundle again"))),
        }
        let found = digest(&onnx, &value);
        let json: BundleJson = serde_json::from_value(value)
            .map_err(|error| failed(format!("its `{DESCRIPTION}` is not as it must be: {error}")))?;
        if !found.eq_ignore_ascii_case(&json.digest) {
            let expected = json.digest.chars().take(64).collect();
            return Err(Error::Digest { bundle: label.to_owned(), expected, found });
        }
        let graph = Graph::read(&json.name, &onnx)?;
        check_signature(label, &json.signature, &graph)?;
        Ok(Self { json: Arc::new(json), onnx: Arc::from(onnx), graph: Arc::new(graph) })
    }

    /// Runs the test vectors of the bundle, if it has any.
    pub fn verify(&self, session: &dyn Session) -> Result<(), Error> {
        for (index, vector) in self.json.test_vectors.iter().enumerate() {
            self.verify_one(session, vector).map_err(|reason| Error::TestVector {
                model: self.name().to_owned(),
                vector: index,
                reason,
            })?;
        }
        Ok(())
    }

    fn verify_one(&self, session: &dyn Session, vector: &TestVector) -> Result<(), String> {
        let signature = self.signature();
        let mut columns = Vec::new();
        for spec in signature.columns() {
            let values =
                vector.inputs.get(spec.name).ok_or_else(|| format!("it states no values of `{}`", spec.name))?;
            columns.push((spec.name, column(spec.name, values, spec.data_type)?));
        }
        if let Some(unknown) = vector.inputs.keys().find(|name| !columns.iter().any(|(known, _)| known == name)) {
            let hint = did_you_mean(unknown, columns.iter().map(|(name, _)| *name));
            return Err(format!("the model has no input `{unknown}`{hint}"));
        }
        let tensors = signature.bind(&columns).map_err(|error| error.to_string())?;
        let outputs = session.run(&tensors).map_err(|error| error.to_string())?;
        let tolerance = vector.tolerance.unwrap_or(TOLERANCE);
        for (name, expected) in &vector.outputs {
            let (place, spec) =
                signature.outputs.iter().enumerate().find(|(_, output)| output.name == *name).ok_or_else(|| {
                    let hint = did_you_mean(name, signature.outputs.iter().map(|output| output.name.as_str()));
                    format!("the model has no output `{name}`{hint}")
                })?;
            let found = outputs.get(place).ok_or_else(|| format!("`{name}` was not computed"))?;
            let flat: Vec<&Value> = expected
                .iter()
                .flat_map(|value| if let Value::Array(row) = value { row.iter().collect() } else { vec![value] })
                .collect();
            if flat.len() != found.len() || expected.len() != found.batch() {
                return Err(format!("`{name}` has {} values and {} are expected", found.len(), flat.len()));
            }
            compare(name, found, &flat, tolerance, spec.width.scalars())?;
        }
        Ok(())
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.json.name
    }

    /// SHA-256, in hex, over the model and its description.
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

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }
}

/// Reads a file that may be longer than it says, and may be longer than is good.
fn read_at_most(source: impl Read, most: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    source
        .take(most as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read or is damaged ({error})"))?;
    if bytes.len() > most { Err(format!("is larger than the {most} bytes that are read")) } else { Ok(bytes) }
}

/// "Did you mean" among the files beside a path that is not there.
fn siblings(path: &Path) -> String {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else { return String::new() };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .take(1000)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    did_you_mean(&name, names.iter().map(String::as_str))
}

/// SHA-256 over the version, the model's own SHA-256 and the description without its digest, keys sorted.
fn digest(onnx: &[u8], description: &Value) -> String {
    let mut text = String::new();
    canonical(description, true, &mut text);
    let mut hash = Sha256::new();
    hash.update(format!("skewless-bundle-{FORMAT}\n{:x}\n", Sha256::digest(onnx)));
    hash.update(text);
    format!("{:x}", hash.finalize())
}

/// JSON with sorted keys and no space, so that formatting is no part of a digest.
fn canonical(value: &Value, top: bool, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().filter(|name| !(top && *name == "digest")).collect();
            names.sort_unstable();
            out.push('{');
            for (index, name) in names.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                canonical(&fields[name], false, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                canonical(item, false, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn set_feature(signature: &mut Signature, column: &str, feature: &str) -> Result<(), String> {
    if !matches!(feature.split_once(':'), Some((view, name)) if !view.is_empty() && !name.is_empty()) {
        return Err(format!("`features` gives `{feature}` for `{column}`; a feature is written view:feature"));
    }
    for input in &mut signature.inputs {
        if matches!(input.width, Width::Scalar) && input.name == column {
            input.feature = Some(feature.to_owned());
            return Ok(());
        }
        if let Some(place) = input.columns.iter().position(|name| name == column) {
            input.features.resize(input.columns.len(), None);
            if let Some(cell) = input.features.get_mut(place) {
                *cell = Some(feature.to_owned());
            }
            return Ok(());
        }
    }
    let hint = did_you_mean(column, signature.columns().iter().map(|spec| spec.name));
    Err(format!("`features` names the column `{column}`, which the model does not read{hint}"))
}

fn set_classes(signature: &mut Signature, classes: &Classes) {
    for output in &mut signature.outputs {
        let probabilities = output.data_type.is_float() && output.width == Width::Vector(classes.len());
        if output.role == Role::Value && probabilities {
            output.role = Role::Probabilities;
        }
        if output.role != Role::Value {
            output.classes = Some(classes.clone());
        }
    }
}

/// Refuses a signature that is not about this graph.
fn check_signature(label: &str, signature: &Signature, graph: &Graph) -> Result<(), Error> {
    let failed = |reason: String| Err(Error::bundle(label, reason));
    if signature.inputs.len() != graph.inputs.len() || signature.outputs.len() != graph.outputs.len() {
        return failed(format!(
            "its signature has {} inputs and {} outputs, and its model has {} and {}; build it again",
            signature.inputs.len(),
            signature.outputs.len(),
            graph.inputs.len(),
            graph.outputs.len()
        ));
    }
    for (spec, input) in signature.inputs.iter().zip(&graph.inputs) {
        if spec.name != input.name || Some(spec.data_type) != input.data_type {
            return failed(format!(
                "its signature has the input `{}` of {}, and its model `{}` of {}; build it again",
                spec.name,
                spec.data_type,
                input.name,
                input.data_type.map_or("another type", DataType::name)
            ));
        }
        let names = match spec.width {
            Width::Scalar => 0,
            Width::Vector(width) => width,
        };
        if spec.columns.len() != names || !(spec.features.is_empty() || spec.features.len() == names) {
            return failed(format!(
                "its signature names {} columns of `{}`; it has {names}",
                spec.columns.len(),
                spec.name
            ));
        }
    }
    for (spec, output) in signature.outputs.iter().zip(&graph.outputs) {
        if spec.name != output.name {
            return failed(format!(
                "its signature has the output `{}`, and its model `{}`; build it again",
                spec.name, output.name
            ));
        }
        let classes = spec.classes.as_ref().map_or(0, Classes::len);
        if spec.role == Role::Probabilities && classes > 0 && classes != spec.width.scalars() {
            return failed(format!("its signature has {classes} classes and {} probabilities", spec.width.scalars()));
        }
    }
    let mut names: Vec<&str> = signature.columns().iter().map(|column| column.name).collect();
    names.sort_unstable();
    if let Some([name, _]) = names.windows(2).find(|pair| pair.first() == pair.last()) {
        return failed(format!("its signature has two columns `{name}`; name the columns of its inputs"));
    }
    Ok(())
}

/// A column of JSON values.
fn column(name: &str, values: &[Value], data_type: DataType) -> Result<InputColumn, String> {
    let wrong = |value: &Value| format!("`{name}` takes {data_type} and has {value}");
    if data_type == DataType::String {
        let texts = values.iter().map(|value| match value {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.clone())),
            other => Err(wrong(other)),
        });
        return Ok(InputColumn::String(texts.collect::<Result<_, _>>()?));
    }
    if data_type == DataType::Bool {
        let truths = values.iter().map(|value| match value {
            Value::Null => Ok(None),
            Value::Bool(truth) => Ok(Some(*truth)),
            other => Err(wrong(other)),
        });
        return Ok(InputColumn::Bool(truths.collect::<Result<_, _>>()?));
    }
    if values.iter().all(|value| value.is_i64() || value.is_null()) {
        return Ok(InputColumn::Int64(values.iter().map(Value::as_i64).collect()));
    }
    let numbers = values.iter().map(|value| match value {
        Value::Null => Ok(None),
        other => other.as_f64().map(Some).ok_or_else(|| wrong(other)),
    });
    Ok(InputColumn::Float64(numbers.collect::<Result<_, _>>()?))
}

/// Compares an output with what is expected: floats within a tolerance, everything else exactly.
fn compare(name: &str, found: &Tensor, expected: &[&Value], tolerance: f64, width: usize) -> Result<(), String> {
    let differs = |place: usize, found: String| {
        let row = place / width.max(1);
        Err(format!(
            "`{name}` of row {row} is {found} and {} is expected",
            expected.get(place).unwrap_or(&&Value::Null)
        ))
    };
    let numbers = found.to_f64();
    for (place, expected) in expected.iter().enumerate() {
        let same = match (found, &numbers) {
            (Tensor::String(array), _) => array.data().get(place).map(String::as_str) == expected.as_str(),
            (Tensor::Int64(array), _) => array.data().get(place).copied() == expected.as_i64(),
            (Tensor::Int32(array), _) => array.data().get(place).map(|value| i64::from(*value)) == expected.as_i64(),
            (Tensor::Bool(array), _) => array.data().get(place).copied() == expected.as_bool(),
            (_, Some(numbers)) => match (numbers.get(place), expected.as_f64()) {
                (Some(number), Some(expected)) => (number - expected).abs() <= tolerance,
                (Some(number), None) => number.is_nan() && expected.is_null(),
                (None, _) => false,
            },
            (_, None) => false,
        };
        if !same {
            let shown = match found {
                Tensor::String(array) => array.data().get(place).map(|text| format!("{text:?}")),
                _ => numbers.as_ref().and_then(|numbers| numbers.get(place)).map(ToString::to_string),
            };
            return differs(place, shown.unwrap_or_default());
        }
    }
    Ok(())
}
