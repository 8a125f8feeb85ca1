"""Writes slices.json: the slices of three samples whose loss is worse, by numpy and scipy over the rows themselves.

The p-values of losses of two values are scipy's hypergeometric tail; of other losses Chernoff's bound, whose supremum scipy's
minimize_scalar finds over the losses of all rows and those of all rows mirrored. Welch's interval is scipy's, Holm's and
Bonferroni's correction are written out, that of Benjamini and Yekutieli is scipy's. Read by functions/catalog/tests/slices.rs. Run
from anywhere, with the versions of requirements.txt beside this file:

    python tests/golden/slices/make.py
"""

import itertools
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy import optimize, stats
from scipy.special import logsumexp

VERSIONS = {"numpy": "2.4.6", "scipy": "1.17.1"}
for package, wanted in VERSIONS.items():
    assert version(package) == wanted, f"{package} is {version(package)}, but the goldens are made with {wanted}"

rng = np.random.default_rng(20261121)
ALPHA = 0.05
MIN_ROWS = 20


def rate(losses, mean):
    """sup over t >= 0 of t (mean - m) - ln E exp(t (loss - m)), where mean is above m, the mean of the losses."""
    centred, x = losses - losses.mean(), mean - losses.mean()
    scale = losses.std()
    centred, x = centred / scale, min(x / scale, centred.max() / scale)

    def negative(t):
        return logsumexp(t * centred) - np.log(len(centred)) - t * x

    return -optimize.minimize_scalar(negative, bounds=(0, 200), method="bounded", options={"xatol": 1e-12}).fun


def p_value(losses, inside):
    n, mean = inside.sum(), losses[inside].mean()
    if mean <= losses.mean():
        return 1.0
    values = np.unique(losses)
    if len(values) == 2:
        is_larger = losses == values[1]
        return stats.hypergeom.sf((is_larger & inside).sum() - 1, len(losses), is_larger.sum(), n)
    upper = n * rate(losses, mean)
    lower = (len(losses) - n) * rate(-losses, -losses[~inside].mean())
    return np.exp(-max(upper, lower))


def adjusted(p, correction):
    if correction == "bonferroni":
        return np.minimum(p * len(p), 1)
    if correction == "benjamini_yekutieli":
        return stats.false_discovery_control(p, method="by")
    order = np.argsort(p, kind="stable")
    result = np.empty(len(p))
    result[order] = np.minimum(np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))), 1)
    return result


def search(columns, losses, correction):
    cells = {column: {value: values == value for value in np.unique(values)} for column, values in columns.items()}
    slices = []
    for size in (1, 2):
        for names in itertools.combinations(columns, size):
            for values in itertools.product(*(cells[name] for name in names)):
                inside = np.logical_and.reduce([cells[name][value] for name, value in zip(names, values)])
                parents = [cells[name][value].sum() for name, value in zip(names, values)] if size > 1 else []
                if inside.sum() < MIN_ROWS or inside.all() or inside.sum() in parents:
                    continue
                condition = " AND ".join(f"{name} = {value:g}" for name, value in zip(names, values))
                slices.append((condition, inside))
    p = np.array([p_value(losses, inside) for _, inside in slices])
    rows = []
    for (condition, inside), raw, corrected in zip(slices, p, adjusted(p, correction)):
        if corrected > ALPHA or losses[inside].mean() <= losses.mean():
            continue
        slice_, rest = losses[inside], losses[~inside]
        interval = stats.ttest_ind(slice_, rest, equal_var=False).confidence_interval(1 - ALPHA / len(slices))
        deviation = np.sqrt((slice_.var(ddof=1) + rest.var(ddof=1)) / 2)
        rows.append(
            {
                "slice": condition,
                "n": int(inside.sum()),
                "mean_loss": slice_.mean(),
                "mean_rest": rest.mean(),
                "low": interval.low,
                "high": interval.high,
                "effect_size": (slice_.mean() - rest.mean()) / deviation,
                "p_value": raw,
                "p_adjusted": corrected,
            }
        )
    return len(slices), sorted(rows, key=lambda row: row["slice"])


cases = []
N = 800
for name, correction in [
    ("two values", "holm"),
    ("four values", "bonferroni"),
    ("many values", "benjamini_yekutieli"),
]:
    columns = {
        "a": rng.integers(0, 3, N).astype(float),
        "b": rng.integers(0, 5, N).astype(float),
        "c": np.minimum(rng.geometric(0.4, N), 7).astype(float),
    }
    worse = (columns["a"] == 1) & (columns["b"] >= 3)
    draws = rng.random(N)
    if name == "two values":
        losses = (draws < np.where(worse, 0.5, 0.15)).astype(float)
    elif name == "four values":
        losses = np.array([0.0, 0.5, 1.0, 4.0])[np.minimum((draws + np.where(worse, 0.45, 0)) * 3, 3.9).astype(int)]
    else:
        losses = -np.log(1 - draws) * np.where(worse, 2.2, 1.0)
    searched, found = search(columns, losses, correction)
    cases.append(
        {
            "name": name,
            "correction": correction,
            "min_rows": MIN_ROWS,
            "columns": {column: values.tolist() for column, values in columns.items()},
            "losses": losses.tolist(),
            "searched": searched,
            "found": found,
        }
    )

made_with = ", ".join(f"{package} {wanted}" for package, wanted in VERSIONS.items())
path = Path(__file__).with_name("slices.json")
path.write_text(json.dumps({"made_with": made_with, "cases": cases}) + "\n")
print({case["name"]: (case["searched"], len(case["found"])) for case in cases})
