"""Writes quality.json: what scikit-learn, scipy, fairlearn and River give for the measures and detectors of the catalog.

Intervals and estimates that no tool has are written out here from their definitions, over rows rather than counts. Read by
functions/catalog/tests/golden.rs. Run from anywhere, with the versions of requirements.txt beside this file:

    python tests/golden/quality/make.py
"""

import itertools
import json
import math
import warnings
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import numpy as np
import sklearn.calibration
import sklearn.isotonic
import sklearn.metrics as skm
from scipy import optimize, stats

VERSIONS = {"numpy": "2.4.6", "scipy": "1.17.1", "scikit-learn": "1.9.1", "fairlearn": "0.15.0", "river": "0.26.1"}
for package, wanted in VERSIONS.items():
    assert version(package) == wanted, f"{package} is {version(package)}, but the goldens are made with {wanted}"

warnings.simplefilter("ignore")
rng = np.random.default_rng(20240607)
cases = []


def plain(value):
    """Numbers, texts, lists and dictionaries as JSON, with NaN and infinities as strings."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (np.integer, int)):
        return int(value)
    if isinstance(value, (np.floating, float)):
        value = float(value)
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
    return value


def case(function, columns, options, returns):
    rows = [[*row, *options] for row in zip(*columns)]
    cases.append({"function": function, "rows": plain(rows), "returns": plain(returns)})


def measure(function, columns, options, value, interval=(None, None), note=None):
    low, high = interval
    case(function, columns, options, {"value": value, "low": low, "high": high, "n": len(columns[0]), "note": note})


def wilson(successes, n, confidence=0.95):
    interval = stats.binomtest(int(successes), int(n)).proportion_ci(confidence, method="wilson")
    return interval.low, interval.high


def normal(values, confidence=0.95, floor=0.0):
    """Mean plus and minus z standard errors."""
    half = stats.norm.ppf(0.5 + confidence / 2) * np.std(values, ddof=1) / math.sqrt(len(values))
    return max(floor, np.mean(values) - half), np.mean(values) + half


STEP = 1e-30j  # a derivative is the imaginary part of a complex step, without cancellation


def by_delta(measure_of, label, prediction, confidence=0.95):
    """The interval of a function of the cells of a confusion matrix, by complex steps of the cell shares."""
    classes = sorted(set(label) | set(prediction))
    index = {c: i for i, c in enumerate(classes)}
    shares = np.zeros((len(classes), len(classes)))
    for a, b in zip(label, prediction):
        shares[index[a], index[b]] += 1 / len(label)
    slope = np.zeros_like(shares)
    for cell in zip(*np.nonzero(shares)):
        step = np.zeros_like(shares, dtype=complex)
        step[cell] = STEP
        slope[cell] = measure_of(shares + step).imag / STEP.imag
    variance = (np.sum(shares * slope**2) - np.sum(shares * slope) ** 2) / len(label)
    half, value = stats.norm.ppf(0.5 + confidence / 2) * math.sqrt(variance), measure_of(shares).real
    return max(0.0, value - half), min(1.0, value + half)


def averaged(rate, weighted):
    def measure_of(shares):
        hits, rows, columns = np.diag(shares), shares.sum(axis=1), shares.sum(axis=0)
        over = {"precision": columns, "recall": rows, "f1_score": (rows + columns) / 2}[rate]
        rates = np.divide(hits, over, out=np.zeros_like(hits), where=over.real > 0)
        # Weights are the shares of the labels; a step off the simplex leaves them as they are.
        return np.sum(rates * rows) if weighted else np.mean(rates)

    return measure_of


def classification():
    scorers = {"precision": skm.precision_score, "recall": skm.recall_score, "f1_score": skm.f1_score}
    for n, share, quality in [(40, 0.5, 0.8), (300, 0.1, 0.9), (25, 0.9, 0.5)]:
        label = (rng.random(n) < share).astype(int)
        prediction = np.where(rng.random(n) < quality, label, 1 - label)
        right = int(np.sum(label == prediction))
        measure("accuracy", (label, prediction), [], skm.accuracy_score(label, prediction), wilson(right, n))
        measure("accuracy", (label, prediction), [0.8], skm.accuracy_score(label, prediction), wilson(right, n, 0.8))
        hits = int(np.sum(label & prediction))
        sizes = {"precision": prediction.sum(), "recall": label.sum(), "f1_score": np.sum(label | prediction)}
        for function, scorer in scorers.items():
            low, high = wilson(hits, sizes[function])
            if function == "f1_score":
                low, high = 2 * low / (1 + low), 2 * high / (1 + high)
            measure(function, (label, prediction), [], scorer(label, prediction), (low, high))
    names = np.array(["bird", "cat", "dog", "eel"])
    for n in [60, 300]:
        label = names[rng.choice(4, n, p=[0.5, 0.3, 0.15, 0.05])]
        prediction = np.where(rng.random(n) < 0.7, label, names[rng.integers(0, 4, n)])
        right = int(np.sum(label == prediction))
        measure("accuracy", (label, prediction), [], skm.accuracy_score(label, prediction), wilson(right, n))
        for function, scorer in scorers.items():
            for average in ["macro", "weighted"]:
                interval = by_delta(averaged(function, average == "weighted"), label, prediction)
                measure(function, (label, prediction), [None, average], scorer(label, prediction, average=average), interval)
            micro = scorer(label, prediction, average="micro")
            measure(function, (label, prediction), [None, "micro"], micro, wilson(right, n))
            one = scorer(label, prediction, average=None, labels=["dog"])[0]
            hits, labelled, predicted = np.sum((label == "dog") & (prediction == "dog")), np.sum(label == "dog"), np.sum(prediction == "dog")
            size = {"precision": predicted, "recall": labelled, "f1_score": labelled + predicted - hits}[function]
            low, high = wilson(hits, size)
            if function == "f1_score":
                low, high = 2 * low / (1 + low), 2 * high / (1 + high)
            measure(function, (label, prediction), ["dog"], one, (low, high))
        matrix = skm.confusion_matrix(label, prediction, labels=names)
        cells = [(a, b, matrix[i, j]) for i, a in enumerate(names) for j, b in enumerate(names) if matrix[i, j]]
        returns = dict(zip(["label", "prediction", "count"], (list(column) for column in zip(*cells))))
        returns["count"] = [float(count) for count in returns["count"]]
        case("confusion_matrix", (label, prediction), [], returns | {"n": n, "note": None})
    # A class that is never predicted counts as 0.
    label, prediction = [0, 0, 1, 2, 2, 1], [0, 1, 1, 1, 0, 1]
    note = "counted as 0 because nothing is predicted so: 2"
    interval = by_delta(averaged("precision", False), label, prediction)
    value = skm.precision_score(label, prediction, average="macro", zero_division=0)
    measure("precision", (label, prediction), [None, "macro"], value, interval, note)


def probabilities():
    for n in [30, 400]:
        p = np.round(rng.beta(2, 2, n), 3)
        p[:2] = [0.0, 1.0]
        label = rng.random(n) < p
        label[0] = n > 100  # once a certain prediction that is wrong
        if n > 100:
            label[1] = False
        losses = -np.log(np.clip(np.where(label, p, 1 - p), np.finfo(float).eps, 1 - np.finfo(float).eps))
        measure("log_loss", (label, p), [], skm.log_loss(label, p), normal(losses))
        measure("brier_score", (label, p), [], skm.brier_score_loss(label, p), normal((label - p) ** 2))
        measure("brier_score", (label, p), [0.5], skm.brier_score_loss(label, p), normal((label - p) ** 2, 0.5))


def weighted_r_squared(label, prediction, weights):
    mean = np.sum(weights * label) / np.sum(weights)
    return 1 - np.sum(weights * (label - prediction) ** 2) / np.sum(weights * (label - mean) ** 2)


def regression():
    for n, scale in [(20, 1.0), (150, 1e-4), (50, 1e6)]:
        label = rng.normal(3, 2, n) * scale
        prediction = label + rng.normal(0.3, 1, n) * scale
        error = label - prediction
        measure("mean_absolute_error", (label, prediction), [], skm.mean_absolute_error(label, prediction), normal(np.abs(error)))
        root = skm.root_mean_squared_error(label, prediction)
        half = stats.norm.ppf(0.975) * np.std(error**2, ddof=1) / math.sqrt(n) / (2 * root)
        measure("root_mean_squared_error", (label, prediction), [], root, (max(0.0, root - half), root + half))
        relative = np.abs(error / label)
        measure("mean_absolute_percentage_error", (label, prediction), [], skm.mean_absolute_percentage_error(label, prediction), normal(relative))
        for quantile in [0.5, 0.9, 0.0]:
            losses = np.maximum(quantile * error, (quantile - 1) * error)
            value = skm.mean_pinball_loss(label, prediction, alpha=quantile)
            measure("pinball_loss", (label, prediction), [quantile], value, normal(losses))
        value = skm.r2_score(label, prediction)
        # The infinitesimal jackknife: the score's derivative by the weight of each row.
        influence = np.empty(n)
        assert math.isclose(weighted_r_squared(label, prediction, np.ones(n)), value, rel_tol=1e-12)
        for i in range(n):
            weights = np.ones(n, dtype=complex)
            weights[i] += STEP
            influence[i] = n * weighted_r_squared(label, prediction, weights).imag / STEP.imag
        half = stats.norm.ppf(0.975) * np.std(influence) / math.sqrt(n)
        measure("r_squared", (label, prediction), [], value, (value - half, min(1.0, value + half)))


def delong(label, score, confidence=0.95):
    """DeLong's variance from all pairs."""
    positives, negatives = score[label], score[~label]
    wins = (positives[:, None] > negatives[None, :]) + 0.5 * (positives[:, None] == negatives[None, :])
    variance = np.var(wins.mean(axis=1), ddof=1) / len(positives) + np.var(wins.mean(axis=0), ddof=1) / len(negatives)
    half = stats.norm.ppf(0.5 + confidence / 2) * math.sqrt(variance)
    return max(0.0, wins.mean() - half), min(1.0, wins.mean() + half)


def scored(n, digits):
    label = rng.random(n) < 0.4
    label[:4] = [True, True, False, False]
    return label, np.round(rng.normal(label * 1.0, 1.0), digits)


def curves():
    for n, digits in [(20, 3), (150, 1), (250, 6), (60, 0)]:
        label, score = scored(n, digits)
        measure("roc_auc", (label, score), [], skm.roc_auc_score(label, score), delong(label, score))
        precision = skm.average_precision_score(label, score)
        logit = math.log(precision / (1 - precision))
        half = stats.norm.ppf(0.975) / math.sqrt(label.sum() * precision * (1 - precision))
        interval = [1 / (1 + math.exp(-(logit + side * half))) for side in (-1, 1)]
        measure("average_precision", (label, score), [], precision, interval)
        for drop in [True, False]:
            fpr, tpr, threshold = skm.roc_curve(label, score, drop_intermediate=drop)
            case("roc_curve", (label, score), [drop], {"threshold": threshold, "fpr": fpr, "tpr": tpr, "n": n, "note": None})
            precision, recall, threshold = skm.precision_recall_curve(label, score, drop_intermediate=drop)
            returns = {"threshold": [math.inf, *threshold[::-1]], "precision": precision[::-1], "recall": recall[::-1], "n": n, "note": None}
            case("precision_recall_curve", (label, score), [drop], returns)
        thresholds = [0.5, -1.0, float(score[0]), 0.5, 99.0]
        counts = [skm.confusion_matrix(label, score >= t, labels=[False, True]).ravel() for t in thresholds]
        tn, fp, fn, tp = ([float(x) for x in column] for column in zip(*counts))
        case("confusion_by_threshold", (label, score), [thresholds], {"threshold": thresholds, "tp": tp, "fp": fp, "tn": tn, "fn": fn, "n": n, "note": None})


def calibration():
    for n in [37, 303]:
        p = rng.beta(2, 3, n)
        label = rng.random(n) < p**1.3
        for bins, strategy in [(10, "uniform"), (10, "quantile"), (7, "quantile"), (3, "uniform")]:
            observed, predicted = sklearn.calibration.calibration_curve(label, p, n_bins=bins, strategy=strategy)
            edges = np.linspace(0, 1, bins + 1) if strategy == "uniform" else np.percentile(p, np.linspace(0, 100, bins + 1))
            place = np.searchsorted(edges[1:-1], p)
            filled, size = np.unique(place, return_counts=True)
            gaps = np.abs(observed - predicted)
            by_chance = sum(math.sqrt(2 / math.pi * np.sum((p * (1 - p))[place == b])) for b in filled) / n
            options = [bins, strategy]
            returns = {"value": np.sum(size / n * gaps), "by_chance": by_chance, "maximum": gaps.max(), "n": n, "note": None}
            case("expected_calibration_error", (label, p), options, returns)
            intervals = [wilson(label[place == b].sum(), s) for b, s in zip(filled, size)]
            returns = {
                "low": edges[filled], "high": edges[filled + 1], "n": [float(s) for s in size], "mean_probability": predicted, "observed": observed,
                "observed_low": [i[0] for i in intervals], "observed_high": [i[1] for i in intervals], "note": None,
            }  # fmt: skip
            case("reliability_table", (label, p), options, returns)
    for n, digits in [(15, 2), (200, 2), (150, 9)]:
        label, score = scored(n, digits)
        model = sklearn.isotonic.IsotonicRegression(out_of_bounds="clip").fit(score, label)
        case("isotonic_calibration", (label, score), [], {"x": model.X_thresholds_, "y": model.y_thresholds_, "n": n, "note": None})
        for x in [*rng.normal(0, 2, 10), -99.0, 99.0, *model.X_thresholds_[:3]]:
            corners = list(model.X_thresholds_), list(model.y_thresholds_)
            case("calibrate_isotonic", ([x],), corners, model.predict([x])[0])
        scale = {15: 1.0, 200: 300.0, 150: 1e-3}[n]
        a, b = platt(label, score * scale)
        case("platt_calibration", (label, score * scale), [], {"slope": -a, "intercept": -b, "n": n, "note": None})
        fitted = sklearn.calibration._SigmoidCalibration().fit(score * scale, label)
        for x in score[:5] * scale:
            fitted.a_, fitted.b_ = a, b
            case("calibrate_platt", ([x],), [-a, -b], fitted.predict(np.array([x]))[0])


def platt(label, score):
    """scikit-learn's optimum, which L-BFGS leaves some digits early, at the root of the gradient of the same loss."""
    first = np.array(sklearn.calibration._sigmoid_calibration(score, label.astype(float)))
    up, down = (label.sum() + 1) / (label.sum() + 2), 1 / ((~label).sum() + 2)
    scale = np.abs(score).max()
    target, x = np.where(label, up, down), score / scale

    def gradient(ab):
        p = 1 / (1 + np.exp(ab[0] * x + ab[1]))
        return np.array([np.sum((target - p) * x), np.sum(target - p)])

    found = optimize.root(gradient, first * [scale, 1], tol=1e-15).x / [scale, 1]
    assert np.allclose(found, first, rtol=2e-3), (found, first)
    return found


def mean_over_orders(relevant, score, measure_of):
    """The mean of a measure over all orders of the items that sort them by score."""
    values = []
    for order in itertools.permutations(range(len(score))):
        if all(score[a] >= score[b] for a, b in itertools.pairwise(order)):
            values.append(measure_of([bool(relevant[i]) for i in order]))
    return float(sum(values) / len(values))


def ranking():
    for n in [1, 5, 6, 7, 7, 7]:
        relevant, score = rng.random(n) < 0.4, np.round(rng.random(n), 1)
        for k in [1, 2, 5, 10]:
            case("precision_at_k", (relevant, score), [k], mean_over_orders(relevant, score, lambda r: Fraction(sum(r[:k]), k)))
            first = lambda r: Fraction(1, r.index(True) + 1) if True in r[:k] else Fraction(0)
            case("reciprocal_rank", (relevant, score), [k], mean_over_orders(relevant, score, first))
    for n, digits in [(2, 1), (30, 1), (30, 0), (200, 3)]:
        relevance, score = rng.integers(0, 5, n).astype(float), np.round(rng.random(n), digits)
        for k in [None, 1, 10]:
            case("ndcg", (relevance, score), [k], skm.ndcg_score([relevance], [score], k=k))


classification()
probabilities()
regression()
curves()
calibration()
ranking()
lines = ["{", f'"made_with": {json.dumps(VERSIONS)},', '"cases": [']
lines.append(",\n".join(json.dumps(case, ensure_ascii=False) for case in cases))
lines.append("]}\n")
Path(__file__).with_name("quality.json").write_text("\n".join(lines), encoding="utf-8")
print(f"{len(cases)} cases")
