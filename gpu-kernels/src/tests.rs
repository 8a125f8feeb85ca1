//! Pieces on a real adapter, a software one where the machine has no GPU.

use skewless_model::{Bundle, CpuEngine, DataType, Engine, Tensor};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, tensor_shape_proto, type_proto,
};

use crate::WonnxEngine;
use crate::lower::{Piece, lower};
use crate::session::Program;

/// Numbers that are neither round nor random: the same on every run.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        name: format!("{op}_{output}"),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

fn initializer(name: &str, dims: &[i64], data: &[f32]) -> TensorProto {
    // scikit-learn's converter writes raw data.
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: 1,
        raw_data: data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}

fn input(name: &str, columns: i64) -> ValueInfoProto {
    let dimension = |value| tensor_shape_proto::Dimension { value, ..Default::default() };
    let columns = tensor_shape_proto::dimension::Value::DimValue(columns);
    let shape = TensorShapeProto { dim: vec![dimension(None), dimension(Some(columns))] };
    let tensor = type_proto::Tensor { elem_type: 1, shape: Some(shape) };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.to_owned(), r#type: Some(r#type), ..Default::default() }
}

fn model(graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 18 }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

/// What scikit-learn's converter makes of an `MLPClassifier` with two classes, with a `Gemm` for good measure.
fn classifier() -> ModelProto {
    let mut gemm = node("Gemm", &["h1", "w2", "b2"], "g2");
    gemm.attribute.push(AttributeProto { name: "transB".to_owned(), i: 1, r#type: 2, ..Default::default() });
    let mut concat = node("Concat", &["rest", "p"], "probabilities");
    concat.attribute.push(AttributeProto { name: "axis".to_owned(), i: 1, r#type: 2, ..Default::default() });
    let mut label = node("ArgMax", &["probabilities"], "label");
    label.attribute.push(AttributeProto { name: "axis".to_owned(), i: 1, r#type: 2, ..Default::default() });
    model(GraphProto {
        name: "mlp".to_owned(),
        input: vec![input("x", 10)],
        output: ["label", "probabilities"]
            .map(|name| ValueInfoProto { name: name.to_owned(), ..Default::default() })
            .to_vec(),
        initializer: vec![
            initializer("w1", &[10, 13], &numbers(130, 1)),
            initializer("b1", &[1, 13], &numbers(13, 2)),
            initializer("w2", &[7, 13], &numbers(91, 3)),
            initializer("b2", &[7], &numbers(7, 4)),
            initializer("w3", &[7, 1], &numbers(7, 5)),
            initializer("b3", &[1], &[0.25]),
            initializer("one", &[], &[1.0]),
        ],
        node: vec![
            node("MatMul", &["x", "w1"], "m1"),
            node("Add", &["m1", "b1"], "a1"),
            node("Relu", &["a1"], "h1"),
            gemm,
            node("Tanh", &["g2"], "h2"),
            node("MatMul", &["h2", "w3"], "m3"),
            node("Add", &["m3", "b3"], "a3"),
            node("Sigmoid", &["a3"], "p"),
            node("Sub", &["one", "p"], "rest"),
            concat,
            label,
        ],
        ..GraphProto::default()
    })
}

/// The classifier's probability in doubles.
fn probability(row: &[f32]) -> f64 {
    let (w1, b1, w2, b2, w3) = (numbers(130, 1), numbers(13, 2), numbers(91, 3), numbers(7, 4), numbers(7, 5));
    let h1: Vec<f64> = (0..13)
        .map(|j| {
            let sum: f64 = (0..10).map(|i| f64::from(row[i]) * f64::from(w1[i * 13 + j])).sum();
            (sum + f64::from(b1[j])).max(0.0)
        })
        .collect();
    let h2: Vec<f64> = (0..7)
        .map(|j| {
            let sum: f64 = (0..13).map(|i| h1[i] * f64::from(w2[j * 13 + i])).sum();
            (sum + f64::from(b2[j])).tanh()
        })
        .collect();
    let sum: f64 = (0..7).map(|i| h2[i] * f64::from(w3[i])).sum();
    1.0 / (1.0 + (-(sum + 0.25)).exp())
}

#[test]
fn a_classifier_is_cut_into_one_gpu_piece_and_what_wonnx_lacks() {
    let lowered = lower(&classifier());
    let cpu: Vec<&str> =
        lowered.placements.iter().filter(|placement| !placement.gpu).map(|placement| placement.op.as_str()).collect();
    assert_eq!(cpu, ["Concat", "ArgMax"]);
    assert_eq!(lowered.pieces.len(), 2);
    let reason = &lowered.placements.iter().find(|placement| placement.op == "ArgMax").unwrap().reason;
    assert_eq!(reason, "wonnx has no `ArgMax` in this form");
}

#[test]
fn a_graph_without_a_product_stays_on_the_cpu() {
    let graph = GraphProto {
        input: vec![input("x", 4)],
        output: vec![ValueInfoProto { name: "y".to_owned(), ..Default::default() }],
        node: vec![node("Relu", &["x"], "y")],
        ..GraphProto::default()
    };
    let lowered = lower(&model(graph));
    assert!(matches!(lowered.pieces.as_slice(), [Piece::Cpu(_)]));
    assert!(lowered.placements[0].reason.contains("no matrix product"));
}

/// There must be an adapter to test on; a test that quietly passed without one would prove nothing.
fn adapter() {
    if let Err(error) = wgpu::connect() {
        panic!("{error}. Run `cargo xtask setup`, which installs a software adapter.");
    }
}

#[test]
fn every_batch_gives_the_numbers_of_the_reference() {
    adapter();
    let mut lowered = lower(&classifier());
    let Piece::Gpu(piece) = lowered.pieces.remove(0) else { panic!("the first piece is not for the GPU") };
    let program = Program::new(piece).unwrap();
    assert_eq!(program.piece.inputs, [("x".to_owned(), 10)]);
    for rows in [1, 2, 3, 4, 5, 17, 300, 5000] {
        let x: Vec<f32> = numbers(rows * 10, rows as u64).iter().map(|value| value * 3.0).collect();
        let out = program.run(&[&x], rows).unwrap();
        let position = |name: &str| program.piece.outputs.iter().position(|(output, _, _)| output == name).unwrap();
        let (p, rest) = (&out[position("p")].data, &out[position("rest")].data);
        assert_eq!((p.len(), rest.len()), (rows, rows));
        for row in 0..rows {
            let expected = probability(&x[row * 10..(row + 1) * 10]);
            assert!((f64::from(p[row]) - expected).abs() < 1e-5, "row {row} of {rows}: {} vs {expected}", p[row]);
            assert!((f64::from(rest[row]) - (1.0 - expected)).abs() < 1e-5);
        }
    }
}

#[test]
fn callers_that_share_a_program_do_not_mix_their_rows() {
    adapter();
    let mut lowered = lower(&classifier());
    let Piece::Gpu(piece) = lowered.pieces.remove(0) else { panic!("the first piece is not for the GPU") };
    let program = Program::new(piece).unwrap();
    std::thread::scope(|scope| {
        for seed in 0..4_u64 {
            let program = &program;
            scope.spawn(move || {
                for round in 0..5 {
                    let x = numbers(160, seed * 100 + round);
                    let out = program.run(&[&x], 16).unwrap();
                    let at = program.piece.outputs.iter().position(|(name, _, _)| name == "p").unwrap();
                    for (row, p) in out[at].data.iter().enumerate() {
                        assert!((f64::from(*p) - probability(&x[row * 10..(row + 1) * 10])).abs() < 1e-5);
                    }
                }
            });
        }
    });
}

#[test]
fn a_shader_that_the_driver_refuses_is_an_error_and_the_next_session_works() {
    adapter();
    // wonnx prints a one-sided Clip's open bound as the word `inf`, which is no WGSL.
    let graph = GraphProto {
        name: "clip".to_owned(),
        input: vec![input("x", 4)],
        output: vec![input("y", 4)],
        node: vec![node("Clip", &["x"], "y")],
        ..GraphProto::default()
    };
    let mut clip = model(graph);
    clip.opset_import[0].version = 13;
    for value in clip.graph.iter_mut().flat_map(|graph| graph.input.iter_mut().chain(&mut graph.output)) {
        *value = fixed(&value.name);
    }
    let bytes = prost::Message::encode_to_vec(&clip);
    wgpu::take_faults();
    let made = std::panic::catch_unwind(|| pollster::block_on(wonnx::Session::from_bytes(&bytes)).map(|_| ()));
    let faults = wgpu::take_faults();
    assert!(made.is_ok(), "wonnx panicked");
    assert!(!faults.is_empty(), "the driver accepted `inf`");

    let mut lowered = lower(&classifier());
    let Piece::Gpu(piece) = lowered.pieces.remove(0) else { panic!("the first piece is not for the GPU") };
    assert_eq!(Program::new(piece).unwrap().run(&[&numbers(40, 9)], 4).unwrap()[0].data.len(), 4);
}

fn fixed(name: &str) -> ValueInfoProto {
    let mut value = input(name, 4);
    if let Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), .. }) = &mut value.r#type {
        for dimension in tensor.shape.iter_mut().flat_map(|shape| &mut shape.dim) {
            dimension.value = Some(tensor_shape_proto::dimension::Value::DimValue(4));
        }
    }
    value
}

/// Both engines on the same model and rows: the outputs of the one and of the other.
fn both(model: &ModelProto, rows: usize, x: Vec<f32>) -> (Vec<Tensor>, Vec<Tensor>) {
    let bundle = Bundle::from_onnx("mlp", &prost::Message::encode_to_vec(model)).unwrap();
    let x = Tensor::float32(vec![rows, x.len() / rows], x).unwrap();
    let run = |engine: &dyn Engine| engine.load(&bundle).unwrap().run(std::slice::from_ref(&x)).unwrap();
    (run(&CpuEngine), run(&WonnxEngine::new().unwrap()))
}

fn assert_close(cpu: &[Tensor], gpu: &[Tensor]) {
    assert_eq!(cpu.len(), gpu.len());
    for (cpu, gpu) in cpu.iter().zip(gpu) {
        assert_eq!((cpu.data_type(), cpu.shape()), (gpu.data_type(), gpu.shape()));
        for (row, (a, b)) in cpu.to_f64().unwrap().iter().zip(gpu.to_f64().unwrap()).enumerate() {
            let same = a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
            assert!(same || (a - b).abs() < 1e-4, "value {row}: {a} on the CPU, {b} on the GPU");
        }
    }
}

#[test]
fn the_engine_agrees_with_the_cpu_engine_on_a_classifier() {
    adapter();
    for rows in [1, 7, 500] {
        let (cpu, gpu) = both(&classifier(), rows, numbers(rows * 10, 11));
        assert_close(&cpu, &gpu);
    }
}

#[test]
fn rows_that_are_not_finite_or_overflow_are_those_of_the_cpu_engine_and_spoil_no_others() {
    adapter();
    let mut x = numbers(60, 12);
    (x[3], x[21], x[22]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
    x[40..50].fill(3.0e38);
    let (cpu, gpu) = both(&classifier(), 6, x);
    assert_close(&cpu, &gpu);
}

#[test]
fn a_softmax_after_the_last_layer_stays_on_the_cpu() {
    adapter();
    let mut model = classifier();
    let graph = model.graph.as_mut().unwrap();
    graph.node.truncate(5);
    graph.node.push(node("MatMul", &["h2", "w4"], "m4"));
    graph.node.push(node("Add", &["m4", "b4"], "a4"));
    let mut softmax = node("Softmax", &["a4"], "probabilities");
    softmax.attribute.push(AttributeProto { name: "axis".to_owned(), i: 1, r#type: 2, ..Default::default() });
    graph.node.push(softmax);
    graph.output.remove(0);
    graph.initializer.push(initializer("w4", &[7, 3], &numbers(21, 6)));
    graph.initializer.push(initializer("b4", &[3], &numbers(3, 7)));
    let placements = WonnxEngine::new()
        .unwrap()
        .placements(&Bundle::from_onnx("mlp", &prost::Message::encode_to_vec(&model)).unwrap())
        .unwrap();
    let cpu: Vec<&str> = placements.iter().filter(|node| !node.gpu).map(|node| node.op.as_str()).collect();
    assert_eq!(cpu, ["Softmax"]);
    let (cpu, gpu) = both(&model, 33, numbers(330, 13));
    assert_close(&cpu, &gpu);
}

/// Rows for whatever a model takes.
fn rows_for(bundle: &Bundle, rows: usize) -> Vec<Tensor> {
    let inputs = bundle.signature().inputs.iter().enumerate();
    inputs
        .map(|(index, input)| {
            let width = input.width.scalars();
            let data = numbers(rows * width, 20 + index as u64);
            let shape = vec![rows, width];
            match input.data_type {
                DataType::Int64 => Tensor::int64(shape, data.iter().map(|value| (value * 10.0) as i64).collect()),
                DataType::String => Tensor::string(shape, data.iter().map(|value| format!("{value:.0}")).collect()),
                DataType::Float64 => Tensor::float64(shape, data.iter().copied().map(f64::from).collect()),
                _ => Tensor::float32(shape, data),
            }
            .unwrap()
        })
        .collect()
}

#[test]
fn perceptrons_exported_by_skl2onnx_agree_with_the_cpu_engine() {
    adapter();
    let engine = WonnxEngine::new().unwrap();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/model");
    for name in ["matrix_mlp_many", "matrix_mlp_value", "mlp_binary", "mlp_three", "mlp_value"] {
        let bundle = Bundle::open(&folder.join(name).with_extension("onnx")).unwrap();
        let products = engine.placements(&bundle).unwrap();
        let products: Vec<_> = products.iter().filter(|node| node.op == "MatMul" || node.op == "Gemm").collect();
        assert!(!products.is_empty() && products.iter().all(|node| node.gpu), "{name}: {products:?}");
        let x = rows_for(&bundle, 300);
        let run = |engine: &dyn Engine| engine.load(&bundle).unwrap().run(&x).unwrap();
        let (cpu, gpu) = (run(&CpuEngine), run(&engine));
        for (cpu, gpu) in cpu.iter().zip(&gpu) {
            if cpu.to_f64().is_none() {
                assert_eq!(cpu, gpu, "{name}");
            } else {
                assert_close(std::slice::from_ref(cpu), std::slice::from_ref(gpu));
            }
        }
    }
}

#[test]
fn no_adapter_is_an_error_that_says_what_to_do() {
    let message = crate::Error::NoDevice("none found".to_owned()).to_string();
    assert!(message.contains("mesa-vulkan-drivers") && message.contains("device 'cpu'"), "{message}");
}
