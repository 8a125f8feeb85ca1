"""Writes quality.json: what scikit-learn, scipy, fairlearn and River give for the measures and detectors of the catalog.

Intervals and estimates that no tool has are written out here from their definitions, over rows rather than counts. Read by
functions/catalog/tests/golden.rs. Run from anywhere, with the versions of requirements.txt beside this file:

    python tests/golden/quality/make.py
"""

import functools
import itertools
import json
import math
import warnings
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import fairlearn.metrics as fm
import numpy as np
import river.drift.kswin
import sklearn.calibration
import sklearn.isotonic
import sklearn.metrics as skm
from river import drift
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
    if isinstance(value, np.str_):
        return str(value)
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


def around_error(label, p, bins, value, confidence):
    """Below by the half-normal errors of the bins, to the third cumulant; above by their normal errors."""
    n, errors, gaps = len(p), [], []
    for mine in bins:
        share = (label[mine].sum() + 0.5) / (mine.sum() + 1)
        errors.append(math.sqrt(max(np.sum(p[mine] * (1 - p[mine])), mine.sum() * share * (1 - share))) / n)
        gaps += [abs(np.mean(label[mine]) - np.mean(p[mine]))] * mine.sum()
    of_sizes = np.var(gaps) / n
    z = stats.norm.ppf(0.5 + confidence / 2)
    high = value + z * math.sqrt(np.sum(np.square(errors)) + of_sizes)
    moments = np.array([stats.halfnorm.stats(scale=error, moments="mvs") for error in errors])
    mean, variance = moments[:, 0].sum(), moments[:, 1].sum() + of_sizes
    skewness = np.sum(moments[:, 2] * moments[:, 1] ** 1.5) / variance**1.5
    low = value - mean - math.sqrt(variance) * (z + (z**2 - 1) / 6 * skewness)
    return max(0.0, low), min(1.0, high)


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
            value = np.sum(size / n * gaps)
            for confidence in [0.95, 0.6]:
                low, high = around_error(label, p, [place == b for b in filled], value, confidence)
                returns = {"value": value, "low": low, "high": high, "by_chance": by_chance, "maximum": gaps.max(), "n": n, "note": None}
                case("expected_calibration_error", (label, p), [*options, confidence], returns)
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


def without_labels():
    """Each row repeated with labels in the proportion of its probability: expectations become counts."""
    for n, share in [(40, 0.5), (150, 0.15), (150, 0.8)]:
        of = 256
        tenths = np.sort(rng.choice(np.arange(1, of), n, replace=False)) if share == 0.5 else np.clip(rng.binomial(of, rng.beta(4 * share, 4 - 4 * share, n)), 0, of)
        p = tenths / of
        prediction = p > 0.45
        label = np.concatenate([np.arange(of) < k for k in tenths])
        predicted, score = np.repeat(prediction, of), np.repeat(p, of)
        hit, alarm, miss = label & predicted, ~label & predicted, label & ~predicted

        def error(values):
            # NannyML's: the deviation over the rows that count, over the root of how many of the n rows these are.
            return np.std(values) / math.sqrt(len(values) / of)

        union = hit | alarm | miss
        factor = union.sum() / (hit.sum() + 0.5 * (alarm.sum() + miss.sum()))
        rarer = label if label.mean() <= 0.5 else ~label
        ordered = score if label.mean() <= 0.5 else -score
        mine, others = ordered[rarer], np.sort(ordered[~rarer])
        places = (np.searchsorted(others, mine, "left") + np.searchsorted(others, mine, "right")) / 2 / len(others)
        measures = {
            "accuracy": (skm.accuracy_score(label, predicted), error((label == predicted).astype(float))),
            "precision": (skm.precision_score(label, predicted), error(label[predicted].astype(float))),
            "recall": (skm.recall_score(label, predicted), error(predicted[label].astype(float))),
            "f1": (skm.f1_score(label, predicted), error(hit[union] * factor)),
            "roc_auc": (skm.roc_auc_score(label, score), error(places)),
        }
        for reach in [3.0, 1.5]:
            returns = {"n": n, "note": None}
            for name, (value, deviation) in measures.items():
                returns |= {name: value, f"{name}_low": max(0.0, value - reach * deviation), f"{name}_high": min(1.0, value + reach * deviation)}
            case("cbpe", (p, prediction), [reach], returns)


def of_classes(measure, label, prediction, score, weight=None):
    """A measure of labelled rows; NaN where it has nothing to be of."""
    if measure == "roc_auc":
        return skm.roc_auc_score(label, score, sample_weight=weight) if len(set(label)) == 2 else math.nan
    if measure == "accuracy":
        return skm.accuracy_score(label, prediction, sample_weight=weight) if len(label) else math.nan
    scorer = {"precision": skm.precision_score, "recall": skm.recall_score, "f1": skm.f1_score}[measure]
    return scorer(label, prediction, sample_weight=weight, zero_division=math.nan) if len(label) else math.nan


def sampling_error(measure, label, prediction, score, weight):
    """How far a measure of weighted rows scatters, as the deviation of what it is the mean of over the root of their weight."""
    hit, union = label & prediction, label | prediction
    if measure == "roc_auc":
        rarer = label if np.sum(weight[label]) <= np.sum(weight[~label]) else ~label
        above = np.subtract.outer(score[rarer], score[~rarer])
        values, weights = ((above > 0) + 0.5 * (above == 0)) @ weight[~rarer] / np.sum(weight[~rarer]), weight[rarer]
    else:
        values, mine = {
            "accuracy": (label == prediction, weight > 0), "precision": (label, prediction), "recall": (prediction, label),
            "f1": (hit * (np.sum(weight[union]) / (np.sum(weight[union]) + np.sum(weight[hit])) * 2), union),
        }[measure]  # fmt: skip
        values, weights = values[mine], weight[mine]
    if np.sum(weights) == 0:
        return 0.0
    mean = np.average(values, weights=weights)
    return math.sqrt(np.average((values - mean) ** 2, weights=weights) / np.sum(weights))


def by_chunk():
    """The chunk is left out of what calibrates it and of what its band is made of; expectations are weights of both labels."""
    months, size = 6, 60
    chunk = np.repeat([f"2024-{month:02}" for month in range(1, months + 1)], size)
    score = np.round(rng.normal(0, 1.5, len(chunk)), 2)
    prediction = score > 0.7
    label = rng.random(len(chunk)) < 1 / (1 + np.exp(0.5 - score))
    known = (chunk < "2024-05") | (chunk == "2024-05") & (np.arange(len(chunk)) % 2 == 0)
    prediction[chunk == "2024-02"] = False
    share = 1 / (1 + np.exp(-score))
    for measure, calibration, confidence in [
        ("roc_auc", "isotonic", 0.95), ("accuracy", "isotonic", 0.99), ("precision", "isotonic", 0.8), ("recall", "isotonic", 0.95),
        ("f1", "isotonic", 0.5), ("f1", "platt", 0.95), ("roc_auc", "platt", 0.95), ("accuracy", "none", 0.95),
    ]:  # fmt: skip
        x = share if calibration == "none" else score
        estimated, errors, realized, counts = [], [], [], []
        for name in np.unique(chunk):
            mine, others = chunk == name, known & (chunk != name)
            if calibration == "isotonic":
                model = sklearn.isotonic.IsotonicRegression(out_of_bounds="clip").fit(x[others], label[others])
                p = model.predict(x[mine])
            elif calibration == "platt":
                a, b = platt(label[others], x[others])
                p = 1 / (1 + np.exp(a * x[mine] + b))
            else:
                p = x[mine]
            both, twice = np.repeat([True, False], len(p)), lambda values: np.concatenate([values, values])
            rows = measure, both, twice(prediction[mine]), twice(p), np.concatenate([p, 1 - p])
            estimated.append(of_classes(*rows))
            errors.append(sampling_error(*rows))
            mine &= known
            realized.append(of_classes(measure, label[mine], prediction[mine], x[mine]))
            counts.append(int(mine.sum()))
        low, high = [], []
        for i in range(months):
            others = np.array([value for j, value in enumerate(realized) if j != i and not math.isnan(value)])
            deviation = max(np.std(others, ddof=1), errors[i])
            half = stats.t.ppf(0.5 + confidence / 2, len(others) - 1) * deviation * math.sqrt(1 + 1 / len(others))
            low.append(max(0.0, np.mean(others) - half))
            high.append(min(1.0, np.mean(others) + half))
        notes = ["1 chunk is labelled in part: realized is of the labelled rows"]
        if any(map(math.isnan, estimated)):
            notes.append(f"{measure} of 1 chunk has nothing to be of, or no labelled row elsewhere to calibrate by")
        returns = {
            "chunk": list(np.unique(chunk)), "n": [float(size)] * months, "n_labelled": [float(n) for n in counts], "estimated": estimated,
            "realized": realized, "low": low, "high": high, "note": "; ".join(notes),
        }  # fmt: skip
        labels = [bool(value) if is_known else None for value, is_known in zip(label, known)]
        case("cbpe_by_chunk", (labels, x, prediction, chunk), [measure, calibration, confidence], returns)


def disparity(function, columns, rates, compare, worst, pair, options, value):
    """`rates` are (name, rows, successes); the interval is the worst of each bound over the pairs, Bonferroni-corrected."""
    sensitive, min_support = columns[-1], options[0]
    compared, best = [], None
    for name, rows, successes in rates:
        of = {}
        for group in sorted(set(sensitive)):
            mine = rows & (sensitive == group)
            if mine.sum() >= min_support:
                of[group] = (int(successes[mine].sum()), int(mine.sum()))
        compared.append(of)
        share = {group: k / n for group, (k, n) in of.items()}
        low, high = min(share, key=share.get), max(share, key=share.get)
        found = (compare(share[low], share[high]), str(low), str(high), name)
        best = found if best is None or worst(found[0], best[0]) != best[0] else best
    pairs = [(of[a], of[b]) for of in compared for a, b in itertools.combinations(of, 2)]
    confidence = 1 - (1 - options[1]) / len(pairs)
    bounds = []
    for a, b in pairs:
        (p, p_limits), (q, q_limits) = sorted([(k / n, wilson(k, n, confidence)) for k, n in (a, b)])
        bounds.append(pair(p, p_limits, q, q_limits))
    assert math.isclose(best[0], value, rel_tol=1e-12), (best, value)
    low, high = (functools.reduce(worst, column) for column in zip(*bounds))
    note = f"the larger difference is that of the {best[3]}" if len(rates) > 1 else None
    case(function, columns, options, {"value": value, "low": low, "high": high, "group_low": best[1], "group_high": best[2], "n": len(sensitive), "note": note})


def newcombe(p, p_limits, q, q_limits):
    low = (q - p) - math.hypot(q - q_limits[0], p_limits[1] - p)
    high = (q - p) + math.hypot(q_limits[1] - q, p - p_limits[0])
    return max(0.0, low), max(high, -low)


def mover(p, p_limits, q, q_limits):
    """Donner and Zou's interval for p / q, as they write it."""
    (l1, u1), (l2, u2), product = p_limits, q_limits, p * q
    low = (product - math.sqrt(product**2 - l1 * u2 * (2 * p - l1) * (2 * q - u2))) / (u2 * (2 * q - u2))
    high = (product + math.sqrt(product**2 - u1 * l2 * (2 * p - u1) * (2 * q - l2))) / (l2 * (2 * q - l2))
    return min(low, 1 / high), min(1.0, high)


def fairness():
    for n, groups, gap in [(120, 2, 0.3), (900, 4, 0.1), (300, 3, 0.0)]:
        names = np.array(["north", "east", "south", "west"])[:groups]
        sensitive = names[rng.integers(0, groups, n)]
        label = rng.random(n) < 0.5
        prediction = rng.random(n) < np.where(label, 0.7, 0.3) + gap * (sensitive == names[0])
        every, options = np.ones(n, dtype=bool), [5, 0.9]
        difference, ratio = (lambda low, high: high - low), (lambda low, high: low / high)
        selection = [("selection rate", every, prediction)]
        odds = [("true positive rate", label, prediction), ("false positive rate", ~label, prediction)]
        truth = {"y_true": label, "y_pred": prediction, "sensitive_features": sensitive}
        for function, columns, rates, compare, worst, pair in [
            ("demographic_parity_difference", (prediction, sensitive), selection, difference, max, newcombe),
            ("demographic_parity_ratio", (prediction, sensitive), selection, ratio, min, mover),
            ("equal_opportunity_difference", (label, prediction, sensitive), odds[:1], difference, max, newcombe),
            ("equalized_odds_difference", (label, prediction, sensitive), odds, difference, max, newcombe),
        ]:
            disparity(function, columns, rates, compare, worst, pair, options, getattr(fm, function)(**truth))


streams = []


def stream(function, values, detector, statistic_of, options=()):
    """River's verdict at every row, and the statistic at every 20th and at every drift."""
    detected, warned, statistics = [], [], {}
    for row, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            detected.append(row)
        if getattr(detector, "warning_detected", False):
            warned.append(row)
        if row % 20 == 0 or detector.drift_detected:
            statistics[row] = statistic_of(detector)
    entry = {"function": function, "options": list(options), "values": values, "drift": detected, "warning": warned, "statistic": statistics}
    streams.append(plain(entry))


def steps(*means, n=300, scale=1.0):
    return [float(x) for x in np.round(np.concatenate([rng.normal(mean, scale, n) for mean in means]), 2)]


def errors(*rates, n=400):
    return [bool(x) for x in np.concatenate([rng.random(n) < rate for rate in rates])]


class SplitMix:
    """The sample that Kswin draws: the first steps of a Fisher-Yates shuffle by SplitMix64."""

    def __init__(self, seed):
        self.state = seed

    def draw(self, bound):
        mask = 2**64 - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return ((z ^ (z >> 31)) * bound) >> 64

    def sample(self, population, k):
        items = list(population)
        for i in range(k):
            other = i + self.draw(len(items) - i)
            items[i], items[other] = items[other], items[i]
        return items[:k]


class Cusum:
    """The tabular CUSUM of Montgomery, Introduction to Statistical Quality Control, section 9.1.2, started anew after a signal."""

    def __init__(self, mean, std, k, h):
        self.mean, self.std, self.k, self.h = mean, std, k, h
        self.high = self.low = 0.0
        self.drift_detected = False

    def update(self, x):
        if self.drift_detected:
            self.high = self.low = 0.0
        self.high = max(0.0, x - (self.mean + self.k * self.std) + self.high)
        self.low = max(0.0, (self.mean - self.k * self.std) - x + self.low)
        self.drift_detected = max(self.high, self.low) > self.h * self.std


def detectors():
    estimate = lambda d: d.estimation
    stream("adwin", steps(0, 1, 1.2, -0.5), drift.ADWIN(), estimate)
    stream("adwin", steps(5, 5.5, 5, n=200, scale=0.3), drift.ADWIN(0.05, 7, 3, 2, 0), estimate, (0.05, 7, 3, 2, 0))
    stream("adwin", steps(0, 0.7, n=500), drift.ADWIN(0.3, 1, 8, 1, 30), estimate, (0.3, 1, 8, 1, 30))
    stream("adwin", steps(0, 0, n=400), drift.ADWIN(0.01, 16, 1, 10, 50), estimate, (0.01, 16, 1, 10, 50))

    def excess(d):
        up, down = d._sum_increase - d._min_increase, d._max_decrease - d._sum_decrease
        return {"up": up, "down": down, "both": max(up, down)}[d.mode]

    stream("page_hinkley", steps(0, 1.5, 0, -2), drift.PageHinkley(), excess)
    for mode in ["up", "down", "both"]:
        options = (10, 0.1, 12.0, 0.99, mode)
        stream("page_hinkley", steps(1, 3, 1, n=150), drift.PageHinkley(*options), excess, options)
    rate = lambda d: d._p.get()
    stream("ddm", errors(0.1, 0.3, 0.1, 0.5), drift.binary.DDM(), rate)
    stream("ddm", errors(0.5, 0.6, n=300), drift.binary.DDM(10, 1.5, 2.5), rate, (10, 1.5, 2.5))
    stream("ddm", errors(0.0, 0.05), drift.binary.DDM(), rate)

    def level(d):
        if d._n_errors <= d.warm_start or not d.levels:
            return None
        return d.levels[-1]

    class Eddm(drift.binary.EDDM):
        """Remembers what the last comparison with the longest distance was."""

        def _reset(self):
            super()._reset()
            self.levels = []

        def update(self, x):
            longest, compared = self._p2s_prime_max, self._n_errors
            if self.drift_detected:
                longest, compared = -1, 0
            super().update(x)
            if self._n_errors > compared and self._n > self.warm_start and self._p2s_prime_max == longest and self._n_errors > self.warm_start:
                length = self._error_distances.mean.get() + 2 * self._error_distances.get() ** 0.5
                self.levels.append(length / longest)

    stream("eddm", errors(0.1, 0.4, 0.2, 0.6), Eddm(), level)
    stream("eddm", errors(0.5, 0.6, 0.3, n=300), Eddm(20, 0.8, 0.75), level, (20, 0.8, 0.75))

    # The window is twice the sample, so River draws all of it, in an order that the test does not see.
    distances = []
    plain_test = stats.ks_2samp

    def test(*args, **options):
        result = plain_test(*args, **options)
        distances.append(result.statistic)
        return result

    river.drift.kswin.stats = type("stats", (), {"ks_2samp": staticmethod(test)})
    full = lambda d: distances[-1] if len(d.window) == d.window_size or d.drift_detected else None
    stream("kswin", steps(0, 1, 1, n=120), drift.KSWIN(0.005, 60, 30, 7), full, (0.005, 60, 30, 7))
    stream("kswin", steps(0, 0.5, n=200), drift.KSWIN(0.05, 24, 12, 7), full, (0.05, 24, 12, 7))
    # River itself with the catalog's random numbers in place of Python's.
    river.drift.kswin.random = type("random", (), {"Random": SplitMix})
    stream("kswin", steps(0, 1, 0, n=200), drift.KSWIN(seed=0), full)
    stream("kswin", steps(0, 0.5, n=200), drift.KSWIN(0.02, 80, 25, 123456789), full, (0.02, 80, 25, 123456789))
    for options in [(0.0, 1.0, 0.5, 5.0), (2.0, 0.5, 0.25, 8.0)]:
        mean, std = options[:2]
        chart = Cusum(*options)
        values = steps(mean, mean + std, mean, mean - 1.5 * std, n=150, scale=std)
        stream("cusum", values, chart, lambda d: max(d.high, d.low) / d.std, options)
    assert all(entry["drift"] for entry in streams if entry["function"] == "cusum")


classification()
probabilities()
regression()
curves()
calibration()
ranking()
without_labels()
fairness()
detectors()
by_chunk()
lines = ["{", f'"made_with": {json.dumps(VERSIONS)},', '"cases": [']
lines.append(",\n".join(json.dumps(case, ensure_ascii=False) for case in cases))
lines.append('],\n"streams": [')
lines.append(",\n".join(json.dumps(entry) for entry in streams))
lines.append("]}\n")
Path(__file__).with_name("quality.json").write_text("\n".join(lines), encoding="utf-8")
print(f"{len(cases)} cases, {len(streams)} streams")
