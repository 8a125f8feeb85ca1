"""Trains the flights demo's two models on a training set that `skewless` built, and exports them to ONNX.

Run: python tests/data/train.py training.parquet OUT_DIR
Writes OUT_DIR/late.onnx (gradient-boosted trees) and OUT_DIR/late_mlp.onnx (a multi-layer perceptron), each beside a
.json with its features and how it was made; `skewless model build` packs them into bundles.
Trained on flights before 2017-03-01, measured on the later ones.
"""

import json
import pathlib
import sys

import numpy as np
import onnx.helper
import pyarrow.parquet as pq
import skl2onnx
import sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

assert sklearn.__version__ == "1.9.1", sklearn.__version__
assert skl2onnx.__version__ == "1.20.0", skl2onnx.__version__

CATEGORIES = ["carrier", "origin"]
FEATURES = [
    "weather__wind_speed", "weather__wind_gust", "weather__visibility",
    "inbound__last_dep_delay", "inbound__last_arr_delay", "inbound__last_distance",
    "airport__avg_arr_delay_6h", "airport__landed_6h", "airport__avg_dep_delay_24h",
    "airline__avg_arr_delay_12h", "airline__stddev_arr_delay_24h", "airline__max_arr_delay_12h",
    "plane__seats",
    "flight_plan__hour_sin", "flight_plan__hour_cos", "flight_plan__month_sin", "flight_plan__month_cos",
    "flight_plan__log_distance", "flight_plan__plane_age",
]  # fmt: skip

make_attribute = onnx.helper.make_attribute


def attribute_of_integers(key, value, *rest, **options):
    """skl2onnx 1.20 hands NumPy booleans and unsigned integers to onnx 1.22, whose protobuf takes integers only."""
    if key.startswith("nodes_") and isinstance(value, (list, tuple)) and not isinstance(value[0], (str, bytes)):
        value = [int(v) if isinstance(v, (bool, np.bool_, np.integer)) else v for v in value]
    return make_attribute(key, value, *rest, **options)


onnx.helper.make_attribute = attribute_of_integers

source, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
frame = pq.read_table(source).to_pandas()
frame = frame[frame["late"].notna() & frame["prediction_time"].notna()]
# The model sees what the ONNX graph sees: 32-bit floats, NaN for what is missing.
frame[FEATURES] = frame[FEATURES].astype(np.float32)
train = frame["prediction_time"] < "2017-03-01"
inputs, label = frame[CATEGORIES + FEATURES], frame["late"].astype(np.int64)


def one_hot():
    return OneHotEncoder(handle_unknown="ignore", sparse_output=False)


models = {
    "late": make_pipeline(
        ColumnTransformer([("numbers", "passthrough", FEATURES), ("categories", one_hot(), CATEGORIES)]),
        HistGradientBoostingClassifier(
            max_iter=100, max_depth=6, learning_rate=0.1, early_stopping=False, random_state=7
        ),
    ),
    "late_mlp": make_pipeline(
        ColumnTransformer([
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), FEATURES),
            ("categories", one_hot(), CATEGORIES),
        ]),
        MLPClassifier((64, 32), early_stopping=True, max_iter=40, random_state=7),
    ),
}  # fmt: skip
types = [(c, StringTensorType([None, 1])) for c in CATEGORIES] + [(c, FloatTensorType([None, 1])) for c in FEATURES]
for name, model in models.items():
    model.fit(inputs[train], label[train])
    held_out = model.predict_proba(inputs[~train])[:, 1]
    exported = skl2onnx.to_onnx(
        model, name=name, initial_types=types, target_opset={"": 17, "ai.onnx.ml": 3}, options={"zipmap": False}
    )
    (out / f"{name}.onnx").write_bytes(exported.SerializeToString())
    about = {
        "name": name,
        "provenance": {
            "task": "does the flight arrive more than 15 minutes late, predicted one hour before scheduled departure",
            "data": "pnw-flights, labelled flights before 2017-03-01",
            "rows": int(train.sum()),
            "held_out_rows": int((~train).sum()),
            "held_out_roc_auc": round(float(roc_auc_score(label[~train], held_out)), 4),
            "held_out_log_loss": round(float(log_loss(label[~train], held_out)), 4),
            "tools": f"scikit-learn {sklearn.__version__}, skl2onnx {skl2onnx.__version__}, onnx {onnx.__version__}",
        },
    }
    (out / f"{name}.json").write_text(json.dumps(about, indent=2) + "\n")
    print(json.dumps(about["provenance"]))
