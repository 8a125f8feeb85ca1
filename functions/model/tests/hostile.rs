//! Bad models, bundles and inputs: each is a clear error, none a panic or a hang.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use prost::Message;
use skewless_model::{Bundle, CpuEngine, Engine, Error, InputColumn, Tensor};
use tract_onnx::pb;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/model")
}

fn golden(name: &str) -> Vec<u8> {
    fs::read(goldens().join(format!("{name}.onnx"))).unwrap()
}

/// Opens, loads and runs whatever a file claims to be; all that matters is that it comes back.
fn survive(file: &[u8]) -> Result<(), Error> {
    let bundle = Bundle::from_onnx("m", file)?;
    let session = CpuEngine.load(&bundle)?;
    for rows in [0usize, 1, 3] {
        let columns: Vec<(&str, InputColumn)> = bundle
            .signature()
            .columns()
            .iter()
            .map(|column| {
                let values = match column.data_type {
                    skewless_model::DataType::String => InputColumn::String(vec![Some("SEA".to_owned()); rows]),
                    skewless_model::DataType::Bool => InputColumn::Bool(vec![Some(true); rows]),
                    skewless_model::DataType::Int32 | skewless_model::DataType::Int64 => {
                        InputColumn::Int64(vec![Some(2); rows])
                    }
                    _ => InputColumn::Float64(vec![None; rows]),
                };
                (column.name, values)
            })
            .collect();
        session.run(&bundle.signature().bind(&columns)?)?;
    }
    Ok(())
}

fn model() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(vec![
        "gradient_boosting_three",
        "encoders",
        "logistic_three",
        "matrix_mlp_value",
        "mlp_three",
        "mlp_binary",
        "ordinal_forest",
        "matrix_scalers",
        "trees_max_two",
        "ensemble_average",
        "classes_three_softmax",
        "linear_logistic_one",
    ])
    .prop_map(golden)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn truncated_models_are_refused_or_run(file in model(), keep in 0.0..1.0f64) {
        let _ = survive(&file[..(file.len() as f64 * keep) as usize]);
    }

    #[test]
    fn damaged_models_are_refused_or_run(
        file in model(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut file = file;
        for (place, byte) in damage {
            let place = place.index(file.len());
            file[place] = byte;
        }
        let _ = survive(&file);
    }

    #[test]
    fn noise_is_refused(file in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Bundle::from_onnx("m", &file).is_err());
        prop_assert!(Bundle::from_archive(&file).is_err());
    }

    #[test]
    fn damaged_archives_are_refused_or_open(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        keep in 0.5..1.5f64,
    ) {
        let mut archive = Bundle::from_onnx("m", &golden("linear_logistic_one")).unwrap().to_archive().unwrap();
        for (place, byte) in damage {
            let place = place.index(archive.len());
            archive[place] = byte;
        }
        archive.truncate((archive.len() as f64 * keep) as usize);
        let _ = Bundle::from_archive(&archive);
    }
}

fn message(result: Result<impl Sized, Error>) -> String {
    result.err().expect("an error").to_string()
}

fn refused(file: &[u8]) -> String {
    message(Bundle::from_onnx("m", file))
}

/// A golden with a change made to it.
fn changed(name: &str, change: impl FnOnce(&mut pb::ModelProto)) -> Vec<u8> {
    let mut proto = pb::ModelProto::decode(golden(name).as_slice()).unwrap();
    change(&mut proto);
    proto.encode_to_vec()
}

fn graph(proto: &mut pb::ModelProto) -> &mut pb::GraphProto {
    proto.graph.as_mut().unwrap()
}

fn node<'a>(proto: &'a mut pb::ModelProto, operator: &str) -> &'a mut pb::NodeProto {
    graph(proto).node.iter_mut().find(|node| node.op_type == operator).unwrap()
}

fn attribute<'a>(proto: &'a mut pb::ModelProto, operator: &str, name: &str) -> &'a mut pb::AttributeProto {
    node(proto, operator).attribute.iter_mut().find(|attribute| attribute.name == name).unwrap()
}

macro_rules! assert_says {
    ($message:expr, $($part:expr),+) => {{
        let message = $message;
        $(assert!(message.contains($part), "{message:?} does not say {:?}", $part);)+
    }};
}

#[test]
fn files_that_are_not_models_are_refused() {
    assert_says!(refused(b"hello"), "`m`", "not an ONNX file", "export it again");
    assert_says!(refused(b""), "IR version is 0");
    assert_says!(message(Bundle::open(Path::new("/nowhere/m.onnx"))), "/nowhere/m.onnx", "check the path");
    let misspelt = goldens().join("mlp_binray.onnx");
    assert_says!(message(Bundle::open(&misspelt)), "did you mean `mlp_binary.onnx`?");
}

#[test]
fn versions_from_the_future_are_refused() {
    let file = changed("mlp_value", |proto| proto.ir_version = 99);
    assert_says!(refused(&file), "IR version is 99", "3 to 13");
    let file = changed("mlp_value", |proto| proto.opset_import.iter_mut().for_each(|import| import.version = 77));
    assert_says!(refused(&file), "version 77", "target_opset");
}

#[test]
fn graphs_that_contradict_themselves_are_refused_by_node() {
    let file = changed("matrix_mlp_value", |proto| {
        let last = graph(proto).node.last().unwrap().output[0].clone();
        graph(proto).node[0].input[0] = last;
    });
    assert_says!(refused(&file), "depends on its own output");
    let file = changed("matrix_mlp_value", |proto| node(proto, "Relu").input[0] = "add_resullt".to_owned());
    assert_says!(refused(&file), "(Relu)", "`add_resullt` is not defined", "did you mean `add_result");
    let file = changed("matrix_mlp_value", |proto| {
        let name = graph(proto).node[0].output[0].clone();
        graph(proto).node[1].output[0] = name;
    });
    assert_says!(refused(&file), "already defined");
    let file = changed("matrix_mlp_value", |proto| graph(proto).output[0].name = "gone".to_owned());
    assert_says!(refused(&file), "output `gone` is not computed");
    let file = changed("matrix_mlp_value", |proto| graph(proto).output.clear());
    assert_says!(refused(&file), "no outputs");
    let file = changed("matrix_mlp_value", |proto| {
        let again = graph(proto).initializer[0].clone();
        graph(proto).initializer.push(again);
    });
    assert_says!(refused(&file), "no name of its own");
}

#[test]
fn tensors_that_lie_about_their_size_are_refused() {
    for dims in [vec![i64::MAX, i64::MAX], vec![-1], vec![1 << 40], vec![3]] {
        let file = changed("matrix_mlp_value", |proto| graph(proto).initializer[0].dims = dims);
        assert_says!(refused(&file), "initializer `", "dimensions [");
    }
    let file = changed("matrix_mlp_value", |proto| graph(proto).initializer[0].raw_data = vec![1, 2, 3]);
    assert_says!(refused(&file), "raw data");
    let file = changed("matrix_mlp_value", |proto| graph(proto).initializer[0].data_type = 19);
    assert_says!(refused(&file), "FLOAT8E5M2");
    let file = changed("matrix_mlp_value", |proto| {
        graph(proto).initializer[0].data_location = Some(1);
    });
    assert_says!(refused(&file), "another file", "save_as_external_data=False");
}

#[test]
fn operators_that_nothing_runs_are_refused_by_node() {
    let file = changed("encoders", |proto| {
        let node = node(proto, "Normalizer");
        node.op_type = "SVMClassifier".to_owned();
        node.name = "the one".to_owned();
    });
    assert_says!(refused(&file), "node `the one` (ai.onnx.ml.SVMClassifier)", "not supported", "Scaler");
    let file = changed("matrix_mlp_value", |proto| node(proto, "Relu").op_type = "Frobnicate".to_owned());
    assert_says!(refused(&file), "(Frobnicate)", "not supported");
    let file = changed("matrix_mlp_value", |proto| node(proto, "Relu").domain = "com.microsoft".to_owned());
    assert_says!(refused(&file), "com.microsoft.Relu", "standard ONNX operators");
    let file = changed("encoders", |proto| node(proto, "Cast").op_type = "Conv".to_owned());
    assert_says!(refused(&file), "(Conv)");
    let file = changed("matrix_mlp_value", |proto| {
        node(proto, "Relu").op_type = "RandomNormalLike".to_owned();
    });
    assert_says!(refused(&file), "random numbers");
    let file = changed("matrix_mlp_value", |proto| {
        node(proto, "Relu").attribute.push(pb::AttributeProto {
            name: "body".to_owned(),
            g: Some(pb::GraphProto::default()),
            ..Default::default()
        });
    });
    assert_says!(refused(&file), "graph of its own");
}

#[test]
fn trees_that_do_not_end_are_refused() {
    let name = "trees_sum_one";
    let operator = "TreeEnsembleRegressor";
    // The root's own child.
    let file = changed(name, |proto| attribute(proto, operator, "nodes_truenodeids").ints[0] = 0);
    assert_says!(refused(&file), "node 0 of tree 0 is reached twice");
    let file = changed(name, |proto| attribute(proto, operator, "nodes_falsenodeids").ints[3] = 1);
    assert_says!(refused(&file), "reached twice");
    let file = changed(name, |proto| attribute(proto, operator, "nodes_truenodeids").ints[0] = 400);
    assert_says!(refused(&file), "goes on to node 400, which is not there");
    let file = changed(name, |proto| attribute(proto, operator, "nodes_featureids").ints[0] = 3);
    assert_says!(refused(&file), "tests feature 3", "has 3");
    let file = changed(name, |proto| attribute(proto, operator, "nodes_featureids").ints[0] = -1);
    assert_says!(refused(&file), "feature -1");
    let file = changed(name, |proto| attribute(proto, operator, "target_ids").ints[0] = 1);
    assert_says!(refused(&file), "target 1 of 1");
    let file = changed(name, |proto| attribute(proto, operator, "target_nodeids").ints[0] = 99);
    assert_says!(refused(&file), "node 99");
    let file = changed(name, |proto| {
        attribute(proto, operator, "nodes_values").floats.pop();
    });
    assert_says!(refused(&file), "nodes_values");
    let file = changed(name, |proto| attribute(proto, operator, "nodes_modes").strings[0] = b"BRANCH_MAYBE".to_vec());
    assert_says!(refused(&file), "BRANCH_MAYBE");
    let file = changed(name, |proto| attribute(proto, operator, "nodes_nodeids").ints[1] = 0);
    assert_says!(refused(&file), "given twice");
}

/// A chain a hundred thousand nodes deep is walked without recursion.
#[test]
fn deep_trees_do_not_overflow_the_stack() {
    const DEPTH: i64 = 100_000;
    let file = changed("trees_sum_one", |proto| {
        let nodes = 2 * DEPTH + 1;
        let of = |name: &str| -> Vec<i64> {
            (0..nodes)
                .map(|node| match name {
                    "nodes_nodeids" => node,
                    "nodes_truenodeids" if node < DEPTH => node + 1,
                    "nodes_falsenodeids" if node < DEPTH => DEPTH + 1 + node,
                    _ => 0,
                })
                .collect()
        };
        for name in ["nodes_nodeids", "nodes_treeids", "nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids"] {
            attribute(proto, "TreeEnsembleRegressor", name).ints = of(name);
        }
        attribute(proto, "TreeEnsembleRegressor", "nodes_missing_value_tracks_true").ints = of("");
        attribute(proto, "TreeEnsembleRegressor", "nodes_values").floats = vec![1.0; nodes as usize];
        attribute(proto, "TreeEnsembleRegressor", "nodes_modes").strings =
            (0..nodes).map(|node| if node < DEPTH { b"BRANCH_LEQ".to_vec() } else { b"LEAF".to_vec() }).collect();
        attribute(proto, "TreeEnsembleRegressor", "target_ids").ints = vec![0];
        attribute(proto, "TreeEnsembleRegressor", "target_treeids").ints = vec![0];
        attribute(proto, "TreeEnsembleRegressor", "target_nodeids").ints = vec![DEPTH];
        attribute(proto, "TreeEnsembleRegressor", "target_weights").floats = vec![2.5];
        node(proto, "TreeEnsembleRegressor").attribute.retain(|attribute| attribute.name != "base_values");
    });
    let bundle = Bundle::from_onnx("m", &file).unwrap();
    let session = CpuEngine.load(&bundle).unwrap();
    let outputs = session.run(&[Tensor::float32(vec![1, 3], vec![0.0; 3]).unwrap()]).unwrap();
    assert_eq!(outputs[0].to_f64().unwrap(), [2.5]);
}

#[test]
fn version_5_trees_that_contradict_themselves_are_refused() {
    let name = "ensemble_average";
    let with = |list: &str, change: &dyn Fn(&mut pb::AttributeProto)| {
        refused(&changed(name, |proto| change(attribute(proto, "TreeEnsemble", list))))
    };
    assert_says!(with("tree_roots", &|list| list.ints[1] = list.ints[0]), "is reached twice");
    assert_says!(with("tree_roots", &|list| list.ints[0] = 4000), "tree 0 goes on to node 4000 of");
    assert_says!(with("tree_roots", &|list| list.ints.clear()), "no tree_roots");
    assert_says!(with("nodes_truenodeids", &|list| list.ints[0] = 0), "node 0 is reached twice");
    assert_says!(with("nodes_trueleafs", &|list| list.ints.truncate(1)), "nodes_modes and 1 nodes_trueleafs");
    assert_says!(with("nodes_featureids", &|list| list.ints[0] = 3), "tests feature 3", "has 3");
    assert_says!(with("leaf_targetids", &|list| list.ints[0] = 2), "target 2 of 2");
    assert_says!(with("leaf_targetids", &|list| list.ints.truncate(1)), "leaf_weights and 1 leaf_targetids");
    assert_says!(with("aggregate_function", &|list| list.i = 4), "aggregate_function 4 is none of");
    assert_says!(with("post_transform", &|list| list.i = 5), "post_transform 5 is none of");
    let modes =
        |list: &mut pb::AttributeProto, change: &dyn Fn(&mut Vec<u8>)| change(&mut list.t.as_mut().unwrap().raw_data);
    assert_says!(with("nodes_modes", &|list| modes(list, &|modes| modes[0] = 7)), "nodes_modes holds 7");
    assert_says!(
        with("nodes_modes", &|list| modes(list, &|modes| modes.fill(6))),
        "nodes of mode BRANCH_MEMBER",
        "sets in membership_values"
    );
    assert_says!(with("nodes_modes", &|list| list.t.as_mut().unwrap().data_type = 3), "not a tensor of type uint8");
    assert_says!(
        with("membership_values", &|list| {
            let members = list.t.as_mut().unwrap();
            let last = members.raw_data.len() - 4;
            members.raw_data[last..].copy_from_slice(&1f32.to_le_bytes());
        }),
        "do not end with NaN"
    );
}

#[test]
fn files_that_expand_in_memory_are_refused_before_they_do() {
    // A million empty nodes take two bytes each.
    let nodes = [0x0a, 0x00].repeat(1_000_000);
    let mut file = vec![0x08, 0x08, 0x3a];
    prost::encoding::encode_varint(nodes.len() as u64, &mut file);
    file.extend(nodes);
    assert_says!(refused(&file), "more than 400000 nodes");
    // Graphs within attributes of nodes within graphs.
    let mut nested: Vec<u8> = Vec::new();
    for _ in 0..40 {
        for key in [0x32, 0x2a, 0x0a] {
            let mut outer = vec![key];
            prost::encoding::encode_varint(nested.len() as u64, &mut outer);
            outer.extend(&nested);
            nested = outer;
        }
    }
    let mut file = vec![0x3a];
    prost::encoding::encode_varint(nested.len() as u64, &mut file);
    file.extend(nested);
    assert_says!(refused(&file), "too deeply");
}

fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, contents) in entries {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(contents).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn archives_that_are_not_bundles_are_refused() {
    assert_says!(message(Bundle::from_archive(b"PK\x03\x04 but no more")), "not a bundle's archive");
    assert_says!(message(Bundle::from_archive(&archive(&[]))), "holds no `model.onnx`");
    assert_says!(
        message(Bundle::from_archive(&archive(&[("../../etc/passwd", b"x")]))),
        "`../../etc/passwd`",
        "nothing else"
    );
    assert_says!(message(Bundle::from_archive(&archive(&[("model.onnx", b"x"), ("bundle.json", b"{")]))), "not JSON");
    let future = archive(&[("model.onnx", b"x"), ("bundle.json", b"{\"format\": 7}")]);
    assert_says!(message(Bundle::from_archive(&future)), "format 7", "reads format 1");
    let bomb = vec![b' '; 65 << 20];
    let file = archive(&[("bundle.json", &bomb)]);
    assert!(file.len() < 1 << 20);
    assert_says!(message(Bundle::from_archive(&file)), "`bundle.json` is larger than");
}

#[test]
fn a_bundle_that_was_changed_does_not_match_its_digest() {
    let directory = tempfile::tempdir().unwrap();
    let bundle = Bundle::from_onnx("m", &golden("mlp_binary")).unwrap();
    let write = || bundle.write_dir(directory.path()).unwrap();
    let model = directory.path().join("model.onnx");
    let description = directory.path().join("bundle.json");

    write();
    fs::write(&model, golden("mlp_three")).unwrap();
    let error = Bundle::open(directory.path()).unwrap_err();
    assert!(
        matches!(&error, Error::Digest { expected, found, .. } if expected == bundle.digest() && found != expected)
    );
    assert_says!(error.to_string(), bundle.digest(), "rebuild it");

    write();
    let text = fs::read_to_string(&description).unwrap();
    fs::write(&description, text.replace("\"label\"", "\"value\"")).unwrap();
    assert!(matches!(Bundle::open(directory.path()), Err(Error::Digest { .. })));

    // Layout is no part of what is digested.
    let compact: serde_json::Value = serde_json::from_str(&text).unwrap();
    fs::write(&description, compact.to_string()).unwrap();
    assert_eq!(Bundle::open(directory.path()).unwrap().digest(), bundle.digest());

    fs::remove_file(&model).unwrap();
    assert_says!(message(Bundle::open(directory.path())), "`model.onnx` cannot be read");
}

#[test]
fn shapes_and_counts_of_tensors_are_checked() {
    let bundle = Bundle::open(&goldens().join("matrix_mlp_value.onnx")).unwrap();
    let session = CpuEngine.load(&bundle).unwrap();
    let floats = |shape: Vec<usize>| Tensor::float32(shape.clone(), vec![0.5; shape.iter().product()]).unwrap();
    assert_says!(message(session.run(&[])), "takes 1 inputs and was given 0");
    assert_says!(message(session.run(&[floats(vec![2, 3])])), "`input`", "[2, 3]", "[2, 4]");
    assert_says!(message(session.run(&[floats(vec![8])])), "`input`", "[8]");
    let text = Tensor::string(vec![1, 4], vec![String::new(); 4]).unwrap();
    assert_says!(message(session.run(&[text])), "takes float32 and was given string");
    assert_says!(message(Tensor::float32(vec![usize::MAX, 2], vec![])), "cannot hold 0 values");
    for extreme in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        session.run(&[Tensor::float32(vec![1, 4], vec![extreme; 4]).unwrap()]).unwrap();
    }
}
