"""Models exported by skl2onnx, and single nodes, with the outputs that ONNX Runtime gives for them.

Writes, beside itself, one `<name>.onnx` per model and one `<name>.json`: inputs by column, rows in order, null for a
missing value; outputs by name. Run it with the tools of tests/requirements.txt; it refuses other versions.
"""

import json
import pathlib
import warnings

import numpy as np
import onnx
import onnx.helper
import onnxruntime
import skl2onnx
import sklearn
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    BayesianRidge,
    LinearRegression,
    LogisticRegression,
    Perceptron,
    PoissonRegressor,
    Ridge,
    SGDClassifier,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType

VERSIONS = {
    onnx: "1.22.0",
    onnxruntime: "1.31.1",
    sklearn: "1.9.1",
    skl2onnx: "1.20.0",
}
for module, version in VERSIONS.items():
    assert module.__version__ == version, f"{module.__name__} {module.__version__} is not {version}"

HERE = pathlib.Path(__file__).parent
ROWS = 60
warnings.filterwarnings("ignore")

# skl2onnx 1.20 hands numpy integers and bools to onnx 1.22, which takes Python integers only.
make_attribute = onnx.helper.make_attribute


def make_plain_attribute(key, value, *args, **kwargs):
    if isinstance(value, (list, tuple)) and any(isinstance(item, (bool, np.integer, np.bool_)) for item in value):
        value = [int(item) for item in value]
    return make_attribute(key, value, *args, **kwargs)


onnx.helper.make_attribute = make_plain_attribute


def plain(value):
    """A JSON value; floats with the digits that a 32-bit float needs."""
    if isinstance(value, (float, np.floating)):
        if np.isnan(value):
            return None
        if np.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return float(f"{value:.17g}") if isinstance(value, (float, np.float64)) else float(f"{value:.9g}")
    if isinstance(value, np.bool_):
        return bool(value)
    return value.item() if isinstance(value, np.generic) else value


def run(model, feeds):
    """The outputs that ONNX Runtime gives."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def save(name, model, feeds, without=(), results=None):
    """Writes a model with its inputs and ONNX Runtime's outputs, but for some; or with the results given."""
    outputs = {}
    for output, result in zip(model.graph.output, run(model, feeds) if results is None else results, strict=True):
        if output.name in without:
            continue
        if isinstance(result, list):
            classes = list(result[0])
            outputs[output.name] = [[plain(row[label]) for label in classes] for row in result]
            outputs[f"{output.name}:classes"] = [plain(label) for label in classes]
        else:
            outputs[output.name] = [
                [plain(value) for value in row.reshape(-1)] if row.size > 1 else plain(row.reshape(-1)[0])
                for row in np.asarray(result, dtype=object).reshape(len(result), -1)
            ]
    inputs = {
        input_name: [
            plain(row.reshape(-1)[0]) if row.size == 1 else [plain(value) for value in row.reshape(-1)]
            for row in values
        ]
        for input_name, values in feeds.items()
    }
    # Texts of exporters are no part of a model, and skl2onnx writes the imports in the order of a set.
    model.doc_string = ""
    model.graph.doc_string = ""
    imports = sorted(model.opset_import, key=lambda entry: entry.domain)
    del model.opset_import[:]
    model.opset_import.extend(imports)
    onnx.save(model, HERE / f"{name}.onnx")
    text = json.dumps({"inputs": inputs, "outputs": outputs}, separators=(",", ":"), ensure_ascii=False)
    (HERE / f"{name}.json").write_text(text + "\n")


rng = np.random.default_rng(7)


def table(rows, missing=False):
    """Columns of a table: floats, an integer, and text with unequal frequencies."""
    import pandas as pd

    frame = pd.DataFrame(
        {
            "distance": (rng.gamma(2.0, 400.0, rows)).astype(np.float32),
            "wind": rng.normal(10.0, 5.0, rows).astype(np.float32),
            "hour": rng.integers(0, 24, rows),
            "carrier": rng.choice(["AS", "DL", "UA", "WN", "HA"], rows, p=[0.4, 0.25, 0.2, 0.1, 0.05]),
            "origin": rng.choice(["SEA", "PDX"], rows),
        }
    )
    if missing:
        frame.loc[rng.random(rows) < 0.2, "distance"] = np.nan
        frame.loc[rng.random(rows) < 0.2, "wind"] = np.nan
        frame.loc[rng.random(rows) < 0.1, "carrier"] = "ZZ"
        frame.loc[rng.random(rows) < 0.1, "origin"] = ""
    return frame


train = table(600)
score = train["wind"] / 5 + train["distance"] / 500 + (train["carrier"] == "UA") - train["hour"] / 12
train.loc[rng.random(600) < 0.05, "wind"] = np.nan
binary = (score > score.median()).astype(int)
three = np.array(["early", "late", "on time"])[np.digitize(score, np.quantile(score, [0.3, 0.7]))]
many = np.digitize(score, np.quantile(score, [0.2, 0.4, 0.6, 0.8])) * 10 - 20
value = score.to_numpy() * 12.5 - 3

NUMERIC = ["distance", "wind", "hour"]
TEXT = ["carrier", "origin"]
TYPES = [
    ("distance", FloatTensorType([None, 1])),
    ("wind", FloatTensorType([None, 1])),
    ("hour", Int64TensorType([None, 1])),
    ("carrier", StringTensorType([None, 1])),
    ("origin", StringTensorType([None, 1])),
]


def features(scale=True, impute=True):
    steps = ([SimpleImputer()] if impute else []) + ([StandardScaler()] if scale else [])
    floats = make_pipeline(*steps) if steps else "passthrough"
    return ColumnTransformer(
        [
            ("floats", floats, ["distance", "wind"]),
            ("hour", "passthrough", ["hour"]),
            ("text", OneHotEncoder(handle_unknown="ignore", sparse_output=False), TEXT),
        ]
    )


def columns(name, model, target, frame_train=None, zipmap=True, **options):
    """One named input per column, of its own type; rows with missing and unseen values."""
    pipeline = model if hasattr(model, "steps") else make_pipeline(features(), model)
    pipeline.fit(train if frame_train is None else frame_train, target)
    frame = table(ROWS, missing=True)
    feeds = {}
    for column, kind in TYPES:
        dtype = {FloatTensorType: np.float32, Int64TensorType: np.int64, StringTensorType: object}[type(kind)]
        feeds[column] = frame[column].to_numpy().astype(dtype).reshape(-1, 1)
    if not zipmap:
        options = {**options, id(pipeline): {"zipmap": False}}
    exported = to_onnx(pipeline, initial_types=TYPES, options=options or None)
    save(name, exported, feeds)


columns("gradient_boosting_binary", GradientBoostingClassifier(n_estimators=12, max_depth=3, random_state=0), binary)
columns("gradient_boosting_three", GradientBoostingClassifier(n_estimators=6, max_depth=3, random_state=0), three)
columns(
    "hist_gradient_boosting_missing",
    make_pipeline(
        features(scale=False, impute=False),
        HistGradientBoostingClassifier(max_iter=10, max_leaf_nodes=12, random_state=0),
    ),
    binary,
    zipmap=False,
)
columns(
    "hist_gradient_boosting_many",
    make_pipeline(
        features(scale=False, impute=False),
        HistGradientBoostingClassifier(max_iter=4, max_leaf_nodes=8, random_state=0),
    ),
    many,
)
columns("gradient_boosting_value", GradientBoostingRegressor(n_estimators=15, max_depth=3, random_state=0), value)
columns(
    "hist_gradient_boosting_value",
    make_pipeline(
        features(scale=False, impute=False), HistGradientBoostingRegressor(max_iter=8, max_leaf_nodes=10, random_state=0)
    ),
    value,
)
columns("random_forest_binary", RandomForestClassifier(8, max_depth=5, random_state=0), binary)
columns("random_forest_three", RandomForestClassifier(6, max_depth=5, random_state=0), three)
columns("random_forest_value", RandomForestRegressor(8, max_depth=5, random_state=0), value)
columns("decision_tree_binary", DecisionTreeClassifier(max_depth=4, random_state=0), np.where(binary == 1, "yes", "no"))
columns("logistic_binary", LogisticRegression(max_iter=500), binary)
columns("logistic_three", LogisticRegression(max_iter=500), three, zipmap=False)
columns("linear_value", LinearRegression(), value)
columns("linear_two_values", Ridge(), np.stack([value, -value * 2], axis=1))
columns("mlp_binary", MLPClassifier(hidden_layer_sizes=(16, 8), max_iter=150, random_state=0), binary)
columns("mlp_three", MLPClassifier(hidden_layer_sizes=(12,), activation="tanh", max_iter=150, random_state=0), three)
columns("mlp_value", MLPRegressor(hidden_layer_sizes=(16, 8), max_iter=200, random_state=0), value)
columns(
    "ordinal_forest",
    make_pipeline(
        ColumnTransformer(
            [
                ("floats", SimpleImputer(strategy="median"), ["distance", "wind"]),
                ("hour", "passthrough", ["hour"]),
                ("text", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), TEXT),
            ]
        ),
        RandomForestClassifier(5, max_depth=4, random_state=0),
    ),
    binary,
)


def matrix(name, model, outcome, width=4, double=False, zipmap=True, count=ROWS):
    """One input for all features."""
    dtype = np.float64 if double else np.float32
    x = rng.normal(size=(400, width)).astype(dtype) * 3 + 1
    y = outcome(x)
    model.fit(x, y)
    kind = DoubleTensorType if double else FloatTensorType
    options = {id(model): {"zipmap": False}} if not zipmap else None
    target = {"": 17, "ai.onnx.ml": 3}
    exported = to_onnx(model, initial_types=[("input", kind([None, width]))], options=options, target_opset=target)
    rows = rng.normal(size=(count, width)).astype(dtype) * 3 + 1
    if isinstance(model, HistGradientBoostingRegressor):
        rows[rng.random(rows.shape) < 0.15] = np.nan
    save(name, exported, {"input": rows})


def above(x):
    return (x[:, 0] + x[:, 1] * x[:, 2] > 1).astype(int)


def smooth(x):
    return np.sin(x[:, 0]) * 3 + x[:, 1]


matrix("matrix_gradient_boosting", GradientBoostingClassifier(n_estimators=8, random_state=0), above)
matrix("matrix_linear_double", make_pipeline(StandardScaler(), LinearRegression()), smooth, double=True)
matrix("matrix_hist_missing", HistGradientBoostingRegressor(max_iter=8, max_leaf_nodes=8, random_state=0), smooth)
matrix("matrix_mlp_value", make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(16,), max_iter=200, random_state=0)), smooth)
matrix("matrix_mlp_many", MLPClassifier(hidden_layer_sizes=(12,), max_iter=150, random_state=0), lambda x: np.digitize(x[:, 0], [-1, 1, 3]) + 1)
matrix("matrix_logistic", make_pipeline(RobustScaler(), LogisticRegression()), above, zipmap=False)
matrix(
    "matrix_scalers",
    make_pipeline(MinMaxScaler(), MaxAbsScaler(), Normalizer("l2"), Binarizer(threshold=0.3), LinearRegression()),
    smooth,
)


def thirds(x):
    return np.digitize(x[:, 0], [0, 2])


# Estimators whose exports are made of ONNX's own operators, in every mix.
for name, model, outcome in [
    ("ada_boost", AdaBoostClassifier(n_estimators=4, random_state=0), above),
    ("bagging", BaggingClassifier(n_estimators=3, random_state=0), thirds),
    ("bayesian_ridge", BayesianRidge(), smooth),
    ("bins", make_pipeline(KBinsDiscretizer(4, encode="onehot-dense"), LogisticRegression()), above),
    ("calibrated", CalibratedClassifierCV(LogisticRegression(), cv=2), above),
    ("discriminant", LinearDiscriminantAnalysis(), thirds),
    ("extra_trees", ExtraTreesRegressor(3, max_depth=4, random_state=0), smooth),
    ("isolation_forest", IsolationForest(n_estimators=3, max_samples=32, random_state=0), thirds),
    ("k_means", KMeans(3, random_state=0), thirds),
    ("linear_svc", LinearSVC(random_state=0), thirds),
    ("mlp_logistic", MLPClassifier(hidden_layer_sizes=(5,), activation="logistic", random_state=0), thirds),
    ("naive_bayes", GaussianNB(), thirds),
    ("one_vs_rest", OneVsRestClassifier(LogisticRegression()), thirds),
    ("perceptron", Perceptron(random_state=0), thirds),
    ("poisson", PoissonRegressor(), lambda x: np.exp(x[:, 0] / 4)),
    ("polynomial", make_pipeline(PolynomialFeatures(2), LinearRegression()), smooth),
    ("power_transformer", make_pipeline(PowerTransformer(), LinearRegression()), smooth),
    ("principal_components", make_pipeline(PCA(2), LogisticRegression()), above),
    ("selected", make_pipeline(SelectKBest(k=2), LogisticRegression()), above),
    ("stochastic_gradient", SGDClassifier(loss="log_loss", random_state=0), thirds),
    ("voting", VotingRegressor([("a", LinearRegression()), ("b", DecisionTreeRegressor(max_depth=3))]), smooth),
]:
    matrix(f"estimator_{name}", model, outcome, count=15)


# Single ai.onnx.ml nodes, for what exports of scikit-learn do not reach.
def node_model(nodes, inputs, outputs, initializers=()):
    graph = onnx.helper.make_graph(nodes, "node", inputs, outputs, list(initializers))
    imports = [onnx.helper.make_opsetid("ai.onnx.ml", 3), onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=imports)
    model.ir_version = 8
    return model


def ml(operator, inputs, outputs, **attributes):
    return onnx.helper.make_node(operator, inputs, outputs, domain="ai.onnx.ml", **attributes)


def tensor(name, kind, shape):
    return onnx.helper.make_tensor_value_info(name, kind, shape)


MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]


def forest(trees, depth, width, modes, missing):
    """Random complete trees, with thresholds that rows hit exactly."""
    lists = {key: [] for key in ["treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids"]}
    tracks = []
    leaves = []
    for tree in range(trees):
        for node in range(2 ** (depth + 1) - 1):
            leaf = node >= 2**depth - 1
            lists["treeids"].append(tree)
            lists["nodeids"].append(node)
            lists["featureids"].append(0 if leaf else int(rng.integers(width)))
            lists["modes"].append("LEAF" if leaf else str(rng.choice(modes)))
            lists["values"].append(0.0 if leaf else float(rng.integers(-3, 4)) / 2)
            lists["truenodeids"].append(0 if leaf else 2 * node + 1)
            lists["falsenodeids"].append(0 if leaf else 2 * node + 2)
            tracks.append(int(missing and not leaf and rng.random() < 0.5))
            if leaf:
                leaves.append((tree, node))
    attributes = {f"nodes_{key}": entries for key, entries in lists.items()}
    if missing:
        attributes["nodes_missing_value_tracks_true"] = tracks
    return attributes, leaves


def tree_rows(width):
    rows = (rng.integers(-4, 5, size=(40, width)) / 2).astype(np.float32)
    rows[rng.random(rows.shape) < 0.15] = np.nan
    rows[0, 0] = np.inf
    rows[1, 0] = -np.inf
    return rows


def tree_regressor(name, targets, aggregate, transform, base, positive=False, double=False):
    attributes, leaves = forest(5, 3, 3, MODES, missing=True)
    ids, trees, nodes, weights = [], [], [], []
    for tree, node in leaves:
        for target in range(targets):
            ids.append(target)
            trees.append(tree)
            nodes.append(node)
            # Below 0.5 in sum, about which the approximation of PROBIT has no digits.
            weights.append(float(rng.random() * 0.08 if positive else rng.normal()))
    if base:
        attributes["base_values"] = [0.02 if positive else 0.25 * (place + 1) for place in range(targets)]
    attributes["target_weights"] = weights
    if double:
        for key in ["nodes_values", "target_weights", "base_values"]:
            doubles = np.array(attributes.pop(key), np.float64) + 1e-9
            attributes[f"{key}_as_tensor"] = numpy_helper.from_array(doubles, key)
    node = ml(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        n_targets=targets,
        aggregate_function=aggregate,
        post_transform=transform,
        target_ids=ids,
        target_treeids=trees,
        target_nodeids=nodes,
        **attributes,
    )
    model = node_model(
        [node],
        [tensor("x", TensorProto.DOUBLE if double else TensorProto.FLOAT, [None, 3])],
        [tensor("y", TensorProto.FLOAT, [None, targets])],
    )
    save(name, model, {"x": tree_rows(3).astype(np.float64 if double else np.float32)})


for aggregate in ["SUM", "AVERAGE", "MIN", "MAX"]:
    tree_regressor(f"trees_{aggregate.lower()}_one", 1, aggregate, "NONE", base=True)
    tree_regressor(f"trees_{aggregate.lower()}_two", 2, aggregate, "NONE", base=aggregate != "MAX")
for transform in ["LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"]:
    tree_regressor(f"trees_value_{transform.lower()}", 3, "SUM", transform, base=False)
tree_regressor("trees_value_logistic_one", 1, "SUM", "LOGISTIC", base=False)
tree_regressor("trees_double", 2, "SUM", "NONE", base=True, double=True)
tree_regressor("trees_value_probit", 1, "SUM", "PROBIT", base=True, positive=True)


def tree_classifier(name, classes, class_ids, positive, base, transform, text=False):
    attributes, leaves = forest(4, 3, 3, MODES[:4], missing=False)
    ids, trees, nodes, weights = [], [], [], []
    for tree, node in leaves:
        for class_id in class_ids:
            ids.append(class_id)
            trees.append(tree)
            nodes.append(node)
            weights.append(float(rng.random() * 0.3 if positive else rng.normal()))
    if base:
        attributes["base_values"] = [0.1 * (place + 1) for place in range(base)]
    labels = (
        {"classlabels_strings": [f"class {place}" for place in range(classes)]}
        if text
        else {"classlabels_int64s": [place * 10 for place in range(classes)]}
    )
    node = ml(
        "TreeEnsembleClassifier",
        ["x"],
        ["label", "scores"],
        post_transform=transform,
        class_ids=ids,
        class_treeids=trees,
        class_nodeids=nodes,
        class_weights=weights,
        **labels,
        **attributes,
    )
    model = node_model(
        [node],
        [tensor("x", TensorProto.FLOAT, [None, 3])],
        [
            tensor("label", TensorProto.STRING if text else TensorProto.INT64, [None]),
            tensor("scores", TensorProto.FLOAT, [None, classes]),
        ],
    )
    # With weights on both of two classes, ONNX Runtime's label is not the class of the larger score, which the
    # specification asks for.
    save(name, model, {"x": tree_rows(3)}, without=["label"] if class_ids == [0, 1] else [])


for positive in [True, False]:
    sign = "positive" if positive else "mixed"
    for transform in ["NONE", "LOGISTIC", "SOFTMAX"]:
        for ids, side in [([0], "first"), ([1], "second"), ([0, 1], "both")]:
            for base in [0, 1, 2]:
                if base and (transform == "SOFTMAX" or side == "second"):
                    continue
                tree_classifier(
                    f"classes_two_{sign}_{transform.lower()}_{side}_{base}", 2, ids, positive, base, transform
                )
tree_classifier("classes_three_softmax", 3, [0, 1, 2], False, 3, "SOFTMAX", text=True)
tree_classifier("classes_three_none", 3, [0, 1, 2], True, 0, "NONE")
tree_classifier("classes_three_logistic", 3, [0, 1, 2], False, 0, "LOGISTIC")
tree_classifier("classes_three_softmax_zero", 3, [0, 1, 2], False, 0, "SOFTMAX_ZERO")
tree_classifier("classes_three_one_unseen", 3, [0, 2], True, 0, "NONE")


def linear_classifier(name, targets, classes, transform, text=False):
    labels = (
        {"classlabels_strings": [f"class {place}" for place in range(classes)]}
        if text
        else {"classlabels_ints": [place * 10 for place in range(classes)]}
    )
    node = ml(
        "LinearClassifier",
        ["x"],
        ["label", "scores"],
        coefficients=[float(value) for value in rng.normal(size=targets * 3)],
        intercepts=[float(value) for value in rng.normal(size=targets)],
        post_transform=transform,
        **labels,
    )
    model = node_model(
        [node],
        [tensor("x", TensorProto.FLOAT, [None, 3])],
        [
            tensor("label", TensorProto.STRING if text else TensorProto.INT64, [None]),
            tensor("scores", TensorProto.FLOAT, [None, classes]),
        ],
    )
    save(name, model, {"x": rng.normal(size=(20, 3)).astype(np.float32)})


for transform in ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"]:
    linear_classifier(f"linear_{transform.lower()}_one", 1, 2, transform)
    linear_classifier(f"linear_{transform.lower()}_three", 3, 3, transform, text=True)

encoders = node_model(
    [
        ml("LabelEncoder", ["text"], ["a"], keys_strings=["x", "y", "x"], values_int64s=[1, 2, 3], default_int64=-7),
        ml("LabelEncoder", ["number"], ["b"], keys_int64s=[1, 2], values_strings=["one", "two"], default_string="?"),
        ml("LabelEncoder", ["float"], ["c"], keys_floats=[float("nan"), 0.0], values_floats=[9.0, 8.0], default_float=0.5),
        ml("OneHotEncoder", ["number"], ["d3"], cats_int64s=[2, 1], zeros=1),
        ml("OneHotEncoder", ["float"], ["e3"], cats_int64s=[0, 2], zeros=1),
        onnx.helper.make_node("Squeeze", ["d3", "axis"], ["d"]),
        onnx.helper.make_node("Flatten", ["e3"], ["e"], axis=1),
        ml("Imputer", ["number"], ["f"], imputed_value_int64s=[77], replaced_value_int64=2),
        onnx.helper.make_node("Concat", ["float", "float"], ["pair"], axis=1),
        ml("Normalizer", ["pair"], ["g"], norm="MAX"),
        ml("ArrayFeatureExtractor", ["pair", "second"], ["h"]),
        ml("FeatureVectorizer", ["pair", "float"], ["i"], inputdimensions=[2, 1]),
        onnx.helper.make_node("Cast", ["number"], ["j"], to=TensorProto.STRING),
        onnx.helper.make_node("Equal", ["number", "two"], ["k"]),
        onnx.helper.make_node("Where", ["k", "float", "one"], ["l"]),
    ],
    [
        tensor("text", TensorProto.STRING, [None, 1]),
        tensor("number", TensorProto.INT64, [None, 1]),
        tensor("float", TensorProto.FLOAT, [None, 1]),
    ],
    [
        tensor("a", TensorProto.INT64, [None, 1]),
        tensor("b", TensorProto.STRING, [None, 1]),
        tensor("c", TensorProto.FLOAT, [None, 1]),
        tensor("d", TensorProto.FLOAT, [None, 2]),
        tensor("e", TensorProto.FLOAT, [None, 2]),
        tensor("f", TensorProto.INT64, [None, 1]),
        tensor("g", TensorProto.FLOAT, [None, 2]),
        tensor("h", TensorProto.FLOAT, [None, 1]),
        tensor("i", TensorProto.FLOAT, [None, 3]),
        tensor("j", TensorProto.STRING, [None, 1]),
        tensor("l", TensorProto.FLOAT, [None, 1]),
    ],
    [
        numpy_helper.from_array(np.array([1], np.int64), "axis"),
        numpy_helper.from_array(np.array([1], np.int64), "second"),
        numpy_helper.from_array(np.array([2], np.int64), "two"),
        numpy_helper.from_array(np.array([[-1.5]], np.float32), "one"),
    ],
)
save(
    "encoders",
    encoders,
    {
        "text": np.array([["x"], ["y"], [""], ["é"]], dtype=object),
        "number": np.array([[1], [2], [3], [-1]], dtype=np.int64),
        "float": np.array([[0.0], [-2.5], [2.9], [np.nan]], dtype=np.float32),
    },
)


# Dense graphs as PyTorch exports them.
def dense(name, nodes, inputs, outputs, initializers, feeds, opset=17):
    arrays = [numpy_helper.from_array(value, key) for key, value in initializers.items()]
    graph = onnx.helper.make_graph(nodes, "dense", inputs, outputs, arrays)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    model.ir_version = 8
    save(name, model, feeds)


def weights(*shape):
    return (rng.normal(size=shape) / 2).astype(np.float32)


op = onnx.helper.make_node
dense(
    "dense_gemm",
    [
        op("Gemm", ["x", "w1", "b1"], ["h1"], transB=1),
        op("Relu", ["h1"], ["r1"]),
        op("LayerNormalization", ["r1", "scale", "bias"], ["n1"], axis=-1),
        op("Gemm", ["n1", "w2", "b2"], ["h2"], transB=1),
        op("Softmax", ["h2"], ["y"], axis=1),
    ],
    [tensor("x", TensorProto.FLOAT, ["batch", 5])],
    [tensor("y", TensorProto.FLOAT, ["batch", 3])],
    {
        "w1": weights(8, 5),
        "b1": weights(8),
        "scale": weights(8),
        "bias": weights(8),
        "w2": weights(3, 8),
        "b2": weights(3),
    },
    {"x": weights(7, 5)},
)
dense(
    "dense_image",
    [
        op("Conv", ["x", "k", "kb"], ["c"], pads=[1, 1, 1, 1]),
        op("Relu", ["c"], ["r"]),
        op("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        op("Flatten", ["p"], ["f"], axis=1),
        op("Gemm", ["f", "w", "b"], ["g"], transB=1),
        op("ArgMax", ["g"], ["y"], axis=1, keepdims=0),
    ],
    [tensor("x", TensorProto.FLOAT, ["batch", 1, 6, 6])],
    [tensor("g", TensorProto.FLOAT, ["batch", 4]), tensor("y", TensorProto.INT64, ["batch"])],
    {"k": weights(2, 1, 3, 3), "kb": weights(2), "w": weights(4, 18), "b": weights(4)},
    {"x": weights(5, 1, 6, 6)},
)
dense(
    "dense_fixed_batch",
    [
        op("MatMul", ["x", "w"], ["h"]),
        op("Add", ["h", "b"], ["a"]),
        op("Erf", ["a"], ["e"]),
        op("Mul", ["a", "e"], ["m"]),
        op("ReduceSum", ["m", "axes"], ["s"], keepdims=1),
        op("Sqrt", ["absolute"], ["y"]),
        op("Abs", ["s"], ["absolute"]),
    ],
    [tensor("x", TensorProto.FLOAT, [1, 4])],
    [tensor("y", TensorProto.FLOAT, [1, 1])],
    {"w": weights(4, 6), "b": weights(6), "axes": np.array([1], np.int64)},
    {"x": weights(1, 4)},
)
dense(
    "dense_two_inputs",
    [
        op("Gather", ["table", "id"], ["row3"], axis=0),
        op("Reshape", ["row3", "flat"], ["row"]),
        op("Concat", ["row", "x"], ["joined"], axis=1),
        op("MatMul", ["joined", "w"], ["h"]),
        op("Tanh", ["h"], ["t"]),
        op("ReduceMean", ["t"], ["y"], axes=[1], keepdims=0),
    ],
    [tensor("id", TensorProto.INT64, ["batch", 1]), tensor("x", TensorProto.FLOAT, ["batch", 2])],
    [tensor("y", TensorProto.FLOAT, ["batch"])],
    {"table": weights(6, 3), "flat": np.array([-1, 3], np.int64), "w": weights(5, 4)},
    {"id": rng.integers(0, 6, size=(6, 1)), "x": weights(6, 2)},
    opset=13,
)


# TreeEnsemble of ai.onnx.ml 5. Its post_transform counts otherwise in ONNX Runtime 1.31.1 than in the specification, which
# has SOFTMAX as 1 and LOGISTIC as 2, and its set tests take integers only; the reference implementation of onnx has no
# transforms, and ends a set at a 0.
SPECIFIED = {"NONE": 0, "SOFTMAX": 1, "LOGISTIC": 2, "SOFTMAX_ZERO": 3, "PROBIT": 4}
RUN = SPECIFIED | {"SOFTMAX": 2, "LOGISTIC": 1}


def tree_ensemble(name, targets, aggregate, transform="NONE", modes=7, members=9, double=False, positive=False, refer=False):
    numbers = np.float64 if double else np.float32
    lists = {key: [] for key in ["truenodeids", "falsenodeids", "trueleafs", "falseleafs", "featureids"]}
    kinds, splits, tracks, sets, leaf_targets, leaf_weights, roots = [], [], [], [], [], [], []
    # The reference implementation takes sets in the order in which it comes by them, not in that of the nodes.
    for depth in [1] * 8 if refer else [3, 0, 1, 4, 2]:
        first = len(kinds)
        roots.append(first)
        # A tree of one leaf is a node with that leaf on both sides.
        inner = max(2**depth - 1, 1)
        leaves = len(leaf_weights)
        for node in range(inner):
            mode = int(rng.integers(modes))
            kinds.append(mode)
            splits.append(0.0 if mode == 6 else float(rng.integers(-3, 4)) / 2)
            if mode == 6:
                sets += [float(rng.integers(1, members)) / (2 if refer else 1) for _ in range(int(rng.integers(1, 4)))] + [np.nan]
            lists["featureids"].append(int(rng.integers(3)))
            tracks.append(int(rng.random() < 0.5))
            for side, child in [("true", 2 * node + 1), ("false", 2 * node + 2)]:
                leaf = child >= inner
                lists[f"{side}nodeids"].append(leaves if depth == 0 else leaves + child - inner if leaf else first + child)
                lists[f"{side}leafs"].append(int(leaf))
        for _ in range(2**depth):
            leaf_targets.append(int(rng.integers(targets)))
            leaf_weights.append(float(rng.random() * 0.08 + 0.01 if positive else rng.normal()))

    def model(transforms):
        attributes = {f"nodes_{key}": values for key, values in lists.items()}
        if sets:
            attributes["membership_values"] = numpy_helper.from_array(np.array(sets, numbers), "members")
        node = ml(
            "TreeEnsemble",
            ["x"],
            ["y"],
            n_targets=targets,
            aggregate_function=["AVERAGE", "SUM", "MIN", "MAX"].index(aggregate),
            post_transform=transforms[transform],
            tree_roots=roots,
            nodes_modes=numpy_helper.from_array(np.array(kinds, np.uint8), "modes"),
            nodes_splits=numpy_helper.from_array(np.array(splits, numbers), "splits"),
            nodes_missing_value_tracks_true=tracks,
            leaf_targetids=leaf_targets,
            leaf_weights=numpy_helper.from_array(np.array(leaf_weights, numbers), "weights"),
            **attributes,
        )
        kind = TensorProto.DOUBLE if double else TensorProto.FLOAT
        made = node_model([node], [tensor("x", kind, [None, 3])], [tensor("y", kind, [None, targets])])
        made.opset_import[0].version = 5
        return made

    feeds = {"x": (tree_rows(3) * (1 if refer else 2)).astype(numbers)}
    made = model(SPECIFIED)
    results = ReferenceEvaluator(made).run(None, feeds) if refer else run(model(RUN), feeds)
    save(name, made, feeds, results=results)


for aggregate in ["SUM", "AVERAGE", "MIN", "MAX"]:
    tree_ensemble(f"ensemble_{aggregate.lower()}", 2, aggregate)
tree_ensemble("ensemble_one", 1, "SUM")
tree_ensemble("ensemble_one_logistic", 1, "SUM", "LOGISTIC")
tree_ensemble("ensemble_ordered", 1, "SUM", modes=4)
tree_ensemble("ensemble_double", 3, "SUM", double=True)
tree_ensemble("ensemble_halves", 1, "SUM", refer=True)
tree_ensemble("ensemble_probit", 1, "SUM", "PROBIT", positive=True)
for transform in ["LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"]:
    tree_ensemble(f"ensemble_{transform.lower()}", 3, "SUM", transform)
tree_ensemble("ensemble_double_softmax", 2, "AVERAGE", "SOFTMAX", double=True)
