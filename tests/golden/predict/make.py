"""Makes the small models of tests/sql/predict.slt and prints what ONNX Runtime says about the rows in it."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas
import skl2onnx
import sklearn
from onnx import TensorProto, helper
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

assert onnx.__version__ == "1.22.0", onnx.__version__
assert onnxruntime.__version__ == "1.31.1", onnxruntime.__version__
assert pandas.__version__ == "3.1.1", pandas.__version__
assert skl2onnx.__version__ == "1.20.0", skl2onnx.__version__
assert sklearn.__version__ == "1.9.1", sklearn.__version__

HERE = Path(__file__).parent
ROWS = {
    "distance": [100.0, 1500.0, 2500.0, 700.0],
    "carrier": ["AS", "DL", "AS", "ZZ"],
}


def save(name, model):
    model.doc_string = ""
    onnx.checker.check_model(model)
    (HERE / name).write_bytes(model.SerializeToString(deterministic=True))


def run(name, inputs):
    session = onnxruntime.InferenceSession(HERE / name, providers=["CPUExecutionProvider"])
    outputs = session.run(None, inputs)
    for output, value in zip(session.get_outputs(), outputs, strict=True):
        print(f"{name} {output.name} {output.shape} {value.tolist()}")


def classifier(name, labels):
    frame = pandas.DataFrame({
        "distance": [100, 200, 900, 1000, 1600, 2400, 2500, 300],
        "carrier": ["AS", "AS", "DL", "DL", "UA", "UA", "AS", "DL"],
    })
    columns = ColumnTransformer([
        ("distance", StandardScaler(), ["distance"]),
        ("carrier", OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
    ])
    pipeline = make_pipeline(columns, LogisticRegression()).fit(frame, [labels[i] for i in (0, 0, 0, 1, 1, 1, 1, 0)])
    model = skl2onnx.to_onnx(
        pipeline,
        initial_types=[("distance", FloatTensorType([None, 1])), ("carrier", StringTensorType([None, 1]))],
        options={"zipmap": False},
        target_opset=18,
    )
    save(name, model)
    run(name, {
        "distance": np.array(ROWS["distance"], np.float32)[:, None],
        "carrier": np.array(ROWS["carrier"], object)[:, None],
    })


def regression(name):
    x = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], np.float32)
    model = LinearRegression().fit(x, x @ np.array([1.5, -2.0, 0.25]) + 0.5)
    save(name, skl2onnx.to_onnx(model, initial_types=[("x", FloatTensorType([None, 3]))], target_opset=18))
    run(name, {"x": np.array([[1, 2, 4], [0, 0, 0]], np.float32)})


def two_outputs(name):
    def value(label):
        return helper.make_tensor_value_info(label, TensorProto.FLOAT, [None, 1])

    nodes = [helper.make_node("Add", ["a", "b"], ["total"]), helper.make_node("Sub", ["a", "b"], ["difference"])]
    graph = helper.make_graph(nodes, "two", [value("a"), value("b")], [value("total"), value("difference")])
    save(name, helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9))


def integers(name):
    def value(label):
        return helper.make_tensor_value_info(label, TensorProto.INT64, [None, 1])

    graph = helper.make_graph([helper.make_node("Add", ["n", "n"], ["twice"])], "twice", [value("n")], [value("twice")])
    save(name, helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9))


classifier("late.onnx", [0, 1])
classifier("verdict.onnx", ["on time", "late"])
regression("cost.onnx")
two_outputs("two.onnx")
integers("twice.onnx")
