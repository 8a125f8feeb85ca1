//! What the surfaces share: columns become tensors by name and type, and descriptions say what a graph does not.

use std::path::{Path, PathBuf};

use skewless_model::{
    Bundle, Classes, CpuEngine, DataType, Engine, Error, InputColumn, InputSpec, Role, Signature, Tensor, Width,
};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/golden/model/{name}.onnx"))
}

fn input(name: &str, data_type: DataType) -> InputSpec {
    InputSpec {
        name: name.to_owned(),
        data_type,
        width: Width::Scalar,
        columns: Vec::new(),
        feature: None,
        features: Vec::new(),
    }
}

fn signature(inputs: Vec<InputSpec>) -> Signature {
    Signature { inputs, outputs: Vec::new() }
}

fn floats(values: &[f64]) -> InputColumn {
    InputColumn::Float64(values.iter().copied().map(Some).collect())
}

fn message<T>(result: Result<T, Error>) -> String {
    result.err().expect("an error").to_string()
}

#[test]
fn null_is_nan_for_floats_and_empty_for_text_and_refused_elsewhere() {
    let null = InputColumn::Float64(vec![None]);
    let bound = signature(vec![input("a", DataType::Float32)]).bind(&[("a", null.clone())]).unwrap();
    assert!(matches!(&bound[0], Tensor::Float32(array) if array.data()[0].is_nan() && array.shape() == [1, 1]));
    let bound = signature(vec![input("a", DataType::String)]).bind(&[("a", InputColumn::String(vec![None]))]).unwrap();
    assert_eq!(bound, [Tensor::string(vec![1, 1], vec![String::new()]).unwrap()]);
    for data_type in [DataType::Int64, DataType::Int32] {
        let reason = message(signature(vec![input("a", data_type)]).bind(&[("a", null.clone())]));
        assert!(reason.contains("`a` is NULL in row 0") && reason.contains("coalesce"), "{reason}");
    }
    let reason =
        message(signature(vec![input("a", DataType::Bool)]).bind(&[("a", InputColumn::Bool(vec![Some(true), None]))]));
    assert!(reason.contains("row 1"), "{reason}");
}

#[test]
fn numbers_convert_where_nothing_is_lost() {
    let int = signature(vec![input("a", DataType::Int64)]);
    assert_eq!(int.bind(&[("a", floats(&[3.0, -2.0]))]).unwrap(), [Tensor::int64(vec![2, 1], vec![3, -2]).unwrap()]);
    assert!(message(int.bind(&[("a", floats(&[3.5]))])).contains("row 0 is 3.5"));
    assert!(message(int.bind(&[("a", floats(&[1e300]))])).contains("round it or cast it"));
    assert!(message(int.bind(&[("a", floats(&[f64::NAN]))])).contains("NULL"));
    let narrow = signature(vec![input("a", DataType::Int32)]);
    assert!(message(narrow.bind(&[("a", InputColumn::Int64(vec![Some(1 << 40)]))])).contains("out of its range"));
    let float = signature(vec![input("a", DataType::Float32)]);
    let bound = float.bind(&[("a", InputColumn::Int64(vec![Some(7)]))]).unwrap();
    assert_eq!(bound, [Tensor::float32(vec![1, 1], vec![7.0]).unwrap()]);
    let bound = float.bind(&[("a", InputColumn::Bool(vec![Some(true)]))]).unwrap();
    assert_eq!(bound, [Tensor::float32(vec![1, 1], vec![1.0]).unwrap()]);
    let text = InputColumn::String(vec![Some("7".to_owned())]);
    assert_eq!(message(float.bind(&[("a", text)])), "input `a` takes float32 and was given string; cast it");
}

#[test]
fn wrong_names_are_named() {
    let two = signature(vec![input("distance", DataType::Float32), input("wind", DataType::Float32)]);
    let reason = message(two.bind(&[("distnace", floats(&[1.0])), ("wind", floats(&[1.0]))]));
    assert_eq!(reason, "the model has no input `distnace`; did you mean `distance`?");
    let reason = message(two.bind(&[("q", floats(&[1.0]))]));
    assert_eq!(reason, "the model has no input `q`; the inputs are `distance`, `wind`");
    assert_eq!(message(two.bind(&[("wind", floats(&[1.0]))])), "input `distance` is missing; given are `wind`");
    let reason = message(two.bind(&[("wind", floats(&[1.0])), ("wind", floats(&[1.0]))]));
    assert_eq!(reason, "input `wind` is given twice; give it once");
    let reason = message(two.bind(&[("wind", floats(&[1.0])), ("distance", floats(&[1.0, 2.0]))]));
    assert!(reason.contains("`distance` has 2 rows and `wind` has 1"), "{reason}");
}

#[test]
fn a_vector_input_takes_its_scalars_in_order() {
    let bundle = Bundle::open(&golden("matrix_logistic")).unwrap();
    let signature = bundle.signature();
    let names: Vec<&str> = signature.columns().iter().map(|column| column.name).collect();
    assert_eq!(names, ["f0", "f1", "f2", "f3"]);
    let columns: Vec<(&str, InputColumn)> =
        names.iter().enumerate().map(|(place, name)| (*name, floats(&[place as f64, place as f64 + 10.0]))).collect();
    let bound = signature.bind(&columns).unwrap();
    let data = vec![0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0];
    assert_eq!(bound, [Tensor::float32(vec![2, 4], data.clone()).unwrap()]);
    // The same by tensors: whole, of another type, or column by column in any order.
    let whole = Tensor::float32(vec![2, 4], data.clone()).unwrap();
    assert_eq!(signature.bind_tensors(vec![("input", whole)]).unwrap(), bound);
    let double = Tensor::float64(vec![2, 4], data.iter().map(|value| f64::from(*value)).collect()).unwrap();
    assert_eq!(signature.bind_tensors(vec![("input", double)]).unwrap(), bound);
    let parts = (0..4u8)
        .rev()
        .map(|place| {
            let values = vec![f32::from(place), f32::from(place) + 10.0];
            (names[usize::from(place)], Tensor::float32(vec![2], values).unwrap())
        })
        .collect();
    assert_eq!(signature.bind_tensors(parts).unwrap(), bound);
    let reason = message(signature.bind_tensors(vec![("input", Tensor::float32(vec![2, 3], vec![0.0; 6]).unwrap())]));
    assert_eq!(reason, "input `input` has shape [2, 3]; it takes [n, 4]");
}

#[test]
fn features_are_told_by_names_and_descriptions() {
    let description = r#"{
        "columns": {"input": ["inbound__delay", "b", "c", "d"]},
        "features": {"b": "weather:wind"},
        "provenance": {"trained_on": "2014"},
        "test_vectors": [{
            "inputs": {"inbound__delay": [0.5], "b": [1], "c": [null], "d": [2]},
            "outputs": {"label": [0]}
        }]
    }"#;
    let onnx = std::fs::read(golden("matrix_logistic")).unwrap();
    let bundle = Bundle::build("late", &onnx, Some(description)).unwrap();
    let features: Vec<Option<String>> = bundle.signature().columns().into_iter().map(|column| column.feature).collect();
    assert_eq!(features, [Some("inbound:delay".to_owned()), Some("weather:wind".to_owned()), None, None]);
    let session = CpuEngine.load(&bundle).unwrap();
    bundle.verify(&*session).unwrap();

    let wrong = description.replace(r#""label": [0]"#, r#""label": [1]"#);
    let bundle = Bundle::build("late", &onnx, Some(&wrong)).unwrap();
    let reason = message(bundle.verify(&*session));
    assert!(reason.contains("test vector 0") && reason.contains("`label` of row 0 is 0 and 1 is expected"), "{reason}");

    let reason = message(Bundle::build("late", &onnx, Some(r#"{"features": {"f9": "a:b"}}"#)));
    assert!(reason.contains("`f9`, which the model does not read"), "{reason}");
    let reason = message(Bundle::build("late", &onnx, Some(r#"{"columns": {"input": ["a"]}}"#)));
    assert!(reason.contains("has 4 columns and 1 are named"), "{reason}");
    let reason = message(Bundle::build("late", &onnx, Some(r#"{"feature": {}}"#)));
    assert!(reason.contains("unknown field `feature`"), "{reason}");
}

#[test]
fn roles_and_classes_are_read_from_the_graph() {
    let roles = |name: &str| -> Vec<(Role, DataType, Width)> {
        let bundle = Bundle::open(&golden(name)).unwrap();
        bundle.signature().outputs.iter().map(|output| (output.role, output.data_type, output.width)).collect()
    };
    let label = (Role::Label, DataType::String, Width::Scalar);
    let probabilities = (Role::Probabilities, DataType::Float32, Width::Vector(3));
    for name in ["gradient_boosting_three", "random_forest_three", "logistic_three", "mlp_three"] {
        assert_eq!(roles(name), [label, probabilities], "{name}");
        let classes = Classes::String(["early", "late", "on time"].map(str::to_owned).to_vec());
        let bundle = Bundle::open(&golden(name)).unwrap();
        assert!(bundle.signature().outputs.iter().all(|output| output.classes.as_ref() == Some(&classes)), "{name}");
    }
    for name in ["gradient_boosting_value", "mlp_value", "matrix_scalers"] {
        assert_eq!(roles(name), [(Role::Value, DataType::Float32, Width::Scalar)], "{name}");
    }
    assert_eq!(roles("linear_two_values"), [(Role::Value, DataType::Float32, Width::Vector(2))]);
    let bundle = Bundle::open(&golden("mlp_binary")).unwrap();
    assert_eq!(bundle.signature().classes(), Some(&Classes::Int64(vec![0, 1])));
}

#[test]
fn only_matrix_products_are_left_to_the_dense_engine() {
    let stages = |name: &str| CpuEngine.load(&Bundle::open(&golden(name)).unwrap()).unwrap().stages();
    assert_eq!(stages("gradient_boosting_three").len(), 1);
    assert_eq!(
        stages("mlp_binary")[1..],
        [
            "tract: MatMul, Add, Relu, MatMul, Add, Relu, MatMul, Add, Sigmoid, Sub",
            "kernels: Concat, ArgMax, ZipMap, ArrayFeatureExtractor, Reshape, Cast, Cast",
        ]
    );
}
