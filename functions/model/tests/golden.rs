//! Every model of `tests/golden/model` gives the outputs that ONNX Runtime gave: labels exactly, numbers to 1e-5.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use skewless_model::{Bundle, CpuEngine, DataType, Engine, InputColumn, Session, Signature, Tensor, Width};

const TOLERANCE: f64 = 1e-5;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/model")
}

/// Names of all goldens.
fn names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "onnx"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(names.len() > 60, "the goldens are missing: {}", folder().display());
    names
}

struct Golden {
    bundle: Bundle,
    expected: Value,
}

impl Golden {
    fn open(name: &str) -> Self {
        let bundle =
            Bundle::open(&folder().join(format!("{name}.onnx"))).unwrap_or_else(|error| panic!("{name}: {error}"));
        let text = fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
        Self { bundle, expected: serde_json::from_str(&text).unwrap() }
    }

    /// Every scalar column, by name.
    fn columns(&self) -> Vec<(String, InputColumn)> {
        let signature = self.bundle.signature();
        let mut columns = Vec::new();
        for spec in signature.columns() {
            let input = &signature.inputs[spec.input];
            let rows = self.expected["inputs"][&input.name].as_array().unwrap();
            let cells = rows.iter().map(|row| if row.is_array() { &row[spec.place] } else { row });
            columns.push((spec.name.to_owned(), column(spec.data_type, cells)));
        }
        columns
    }

    fn tensors(&self) -> Vec<Tensor> {
        bind(self.bundle.signature(), &self.columns())
    }
}

fn bind(signature: &Signature, columns: &[(String, InputColumn)]) -> Vec<Tensor> {
    let named: Vec<(&str, InputColumn)> =
        columns.iter().map(|(name, column)| (name.as_str(), column.clone())).collect();
    signature.bind(&named).unwrap()
}

fn number(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        _ => value.as_f64(),
    }
}

fn column<'a>(data_type: DataType, cells: impl Iterator<Item = &'a Value>) -> InputColumn {
    match data_type {
        DataType::String => InputColumn::String(cells.map(|cell| cell.as_str().map(str::to_owned)).collect()),
        DataType::Int64 | DataType::Int32 => InputColumn::Int64(cells.map(Value::as_i64).collect()),
        DataType::Bool => InputColumn::Bool(cells.map(Value::as_bool).collect()),
        DataType::Float32 | DataType::Float64 => InputColumn::Float64(cells.map(number).collect()),
    }
}

/// The largest difference, relative to values above 1; labels must be equal.
fn difference(name: &str, output: &str, found: &Tensor, expected: &Value) -> f64 {
    let rows = expected.as_array().unwrap();
    assert_eq!(found.batch(), rows.len(), "{name}: rows of {output}");
    let cells: Vec<&Value> =
        rows.iter().flat_map(|row| row.as_array().map_or_else(|| vec![row], |row| row.iter().collect())).collect();
    assert_eq!(found.len(), cells.len(), "{name}: values of {output}");
    let mut largest: f64 = 0.0;
    for (place, cell) in cells.into_iter().enumerate() {
        match found {
            Tensor::String(array) => assert_eq!(array.data()[place], cell.as_str().unwrap(), "{name}: {output}"),
            Tensor::Int64(array) => assert_eq!(array.data()[place], cell.as_i64().unwrap(), "{name}: {output} {place}"),
            _ => {
                let found = found.to_f64().unwrap()[place];
                match number(cell) {
                    None => assert!(found.is_nan(), "{name}: {output} {place} is {found} and NaN is expected"),
                    Some(expected) if found.to_bits() == expected.to_bits() => {}
                    Some(expected) => {
                        let error = (found - expected).abs() / expected.abs().max(1.0);
                        assert!(error <= TOLERANCE, "{name}: {output} {place} is {found} and {expected} is expected");
                        largest = largest.max(error);
                    }
                }
            }
        }
    }
    largest
}

fn check(name: &str) -> f64 {
    let golden = Golden::open(name);
    let session = CpuEngine.load(&golden.bundle).unwrap_or_else(|error| panic!("{name}: {error}"));
    let outputs = session.run(&golden.tensors()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut largest: f64 = 0.0;
    for (spec, tensor) in golden.bundle.signature().outputs.iter().zip(&outputs) {
        let expected = &golden.expected["outputs"][&spec.name];
        if !expected.is_null() {
            largest = largest.max(difference(name, &spec.name, tensor, expected));
        }
        let classes = &golden.expected["outputs"][format!("{}:classes", spec.name)];
        if !classes.is_null() {
            assert_eq!(&serde_json::to_value(spec.classes.as_ref()).unwrap(), classes, "{name}: classes");
        }
    }
    largest
}

#[test]
fn models_give_what_onnx_runtime_gives() {
    let mut failed = Vec::new();
    for name in names() {
        match std::panic::catch_unwind(|| check(&name)) {
            Ok(largest) => println!("{name}: {largest:.1e}"),
            Err(_) => failed.push(name),
        }
    }
    assert!(failed.is_empty(), "{} differ: {}", failed.len(), failed.join(", "));
}

fn bits(outputs: &[Tensor]) -> Vec<String> {
    outputs
        .iter()
        .map(|tensor| match tensor {
            Tensor::Float32(array) => format!("{:?}", array.data().iter().map(|v| v.to_bits()).collect::<Vec<_>>()),
            Tensor::Float64(array) => format!("{:?}", array.data().iter().map(|v| v.to_bits()).collect::<Vec<_>>()),
            other => format!("{other:?}"),
        })
        .collect()
}

fn take(column: &InputColumn, rows: impl Iterator<Item = usize>) -> InputColumn {
    match column {
        InputColumn::Float64(values) => InputColumn::Float64(rows.map(|row| values[row]).collect()),
        InputColumn::Int64(values) => InputColumn::Int64(rows.map(|row| values[row]).collect()),
        InputColumn::Bool(values) => InputColumn::Bool(rows.map(|row| values[row]).collect()),
        InputColumn::String(values) => InputColumn::String(rows.map(|row| values[row].clone()).collect()),
    }
}

fn row_of(tensor: &Tensor, row: usize, width: usize) -> Tensor {
    let range = row * width..(row + 1) * width;
    match tensor {
        Tensor::Float32(array) => Tensor::float32(vec![width], array.data()[range].to_vec()).unwrap(),
        Tensor::Float64(array) => Tensor::float64(vec![width], array.data()[range].to_vec()).unwrap(),
        Tensor::Int64(array) => Tensor::int64(vec![width], array.data()[range].to_vec()).unwrap(),
        Tensor::String(array) => Tensor::string(vec![width], array.data()[range].to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn flat(tensor: Tensor) -> Tensor {
    let shape = vec![tensor.len()];
    tensor.reshape(shape).unwrap()
}

/// Models without a dense stage give a row the same bits alone and among a thousand others.
#[test]
fn a_row_does_not_depend_on_its_batch() {
    let mut checked = 0;
    for name in names() {
        let golden = Golden::open(&name);
        let session = CpuEngine.load(&golden.bundle).unwrap();
        if session.stages().iter().any(|stage| !stage.starts_with("kernels")) {
            continue;
        }
        let signature = golden.bundle.signature();
        let columns = golden.columns();
        let rows = columns[0].1.len();
        let many: Vec<(String, InputColumn)> = columns
            .iter()
            .map(|(name, column)| (name.clone(), take(column, (0..1000).map(|row| row % rows))))
            .collect();
        let all = session.run(&bind(signature, &many)).unwrap();
        for row in 0..rows {
            let one: Vec<(String, InputColumn)> =
                columns.iter().map(|(name, column)| (name.clone(), take(column, std::iter::once(row)))).collect();
            let alone: Vec<Tensor> = session.run(&bind(signature, &one)).unwrap().into_iter().map(flat).collect();
            let last = rows * (999 / rows) + row;
            let among = if last < 1000 { last } else { row };
            let picked: Vec<Tensor> = signature
                .outputs
                .iter()
                .zip(&all)
                .map(|(spec, tensor)| row_of(tensor, among, spec.width.scalars()))
                .collect();
            assert_eq!(bits(&alone), bits(&picked), "{name}: row {row}");
        }
        checked += 1;
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn no_rows_give_no_rows() {
    for name in names() {
        let golden = Golden::open(&name);
        let session = CpuEngine.load(&golden.bundle).unwrap();
        let columns: Vec<(String, InputColumn)> =
            golden.columns().iter().map(|(name, column)| (name.clone(), take(column, std::iter::empty()))).collect();
        let outputs = session.run(&bind(golden.bundle.signature(), &columns)).unwrap();
        for (spec, tensor) in golden.bundle.signature().outputs.iter().zip(&outputs) {
            let expected = match spec.width {
                Width::Scalar => vec![0],
                Width::Vector(width) => vec![0, width],
            };
            assert_eq!((tensor.shape(), tensor.data_type()), (expected.as_slice(), spec.data_type), "{name}");
        }
    }
}

/// A bundle keeps its meaning through both forms on disk, and its archive is the same bytes every time.
#[test]
fn bundles_survive_the_round_trip() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["gradient_boosting_three", "matrix_mlp_value"] {
        let bundle = Golden::open(name).bundle;
        let folder = directory.path().join(name);
        bundle.write_dir(&folder).unwrap();
        let archive = directory.path().join(format!("{name}.skew"));
        bundle.write_archive(&archive).unwrap();
        for path in [&folder, &archive] {
            let again = Bundle::open(path).unwrap();
            assert_eq!(again.metadata(), bundle.metadata());
            assert_eq!(again.onnx(), bundle.onnx());
        }
        assert_eq!(fs::read(&archive).unwrap(), Bundle::open(&folder).unwrap().to_archive().unwrap());
    }
}

#[test]
fn sessions_can_be_shared_between_threads() {
    for name in ["random_forest_three", "mlp_three"] {
        let golden = Golden::open(name);
        let session: std::sync::Arc<dyn Session> = CpuEngine.load(&golden.bundle).unwrap();
        let tensors = golden.tensors();
        let expected = bits(&session.run(&tensors).unwrap());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(bits(&session.run(&tensors).unwrap()), expected));
            }
        });
    }
}
