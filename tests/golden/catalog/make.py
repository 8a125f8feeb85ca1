"""Writes catalog.json: what independent tools give for the functions of functions/catalog.

Read by functions/catalog/tests/golden.rs. Run from anywhere, with the versions of tests/requirements.txt:

    python tests/golden/catalog/make.py
"""

import calendar
import json
import math
import random
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import farmhash
import numpy as np
import scipy.stats
import sklearn
from sklearn.preprocessing import KBinsDiscretizer, MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler

VERSIONS = {"numpy": "2.4.6", "scipy": "1.17.1", "scikit-learn": "1.9.1", "pyfarmhash": "0.5.1"}
for package, wanted in VERSIONS.items():
    assert version(package) == wanted, f"{package} is {version(package)}, but the goldens are made with {wanted}"

rng = np.random.default_rng(20131231)
pick = random.Random(20131231)
cases = []


def plain(value):
    """A number, text or list as JSON, with NaN and infinities as strings, as skewless_catalog::json spells them."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (np.integer, int)) and not isinstance(value, bool):
        return int(value) if abs(int(value)) <= 2**53 else str(int(value))
    if isinstance(value, (np.floating, float)):
        value = float(value)
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
    return value


def scalar(function, *args, returns):
    cases.append({"function": function, "rows": [plain(list(args))], "returns": plain(returns)})


def scalers():
    column = rng.normal(40, 25, 40).reshape(-1, 1)
    standard, robust, min_max = StandardScaler().fit(column), RobustScaler().fit(column), MinMaxScaler().fit(column)
    probe = np.array([*rng.normal(40, 60, 20), 0.0, -1e300, 1e-300]).reshape(-1, 1)
    for x, z, r, m in zip(probe, standard.transform(probe), robust.transform(probe), min_max.transform(probe)):
        scalar("standard_scaler", x[0], standard.mean_[0], standard.scale_[0], returns=z[0])
        scalar("robust_scaler", x[0], robust.center_[0], robust.scale_[0], returns=r[0])
        if abs(x[0]) < 1e6:
            scalar("min_max_scaler", x[0], min_max.data_min_[0], min_max.data_max_[0], returns=m[0])
    constant = np.full((5, 1), 3.5)
    for name, scaler in [("standard_scaler", StandardScaler()), ("robust_scaler", RobustScaler())]:
        scalar(name, 7.0, 3.5, 0.0, returns=scaler.fit(constant).transform([[7.0]])[0][0])
    scalar("min_max_scaler", 7.0, 3.5, 3.5, returns=MinMaxScaler().fit(constant).transform([[7.0]])[0][0])


def buckets():
    column = rng.normal(0, 10, 200).reshape(-1, 1)
    bins = KBinsDiscretizer(n_bins=6, encode="ordinal", strategy="quantile", quantile_method="linear").fit(column)
    inner = bins.bin_edges_[0][1:-1]
    probe = np.array([*rng.normal(0, 20, 30), *inner]).reshape(-1, 1)
    for x, bucket in zip(probe[:, 0], bins.transform(probe)[:, 0]):
        scalar("bucketize", x, inner, returns=int(bucket))
    for x in [-np.inf, np.inf, -0.0, 0.0, 1.0, 2.5]:
        scalar("bucketize", x, [0.0, 1.0, 2.5], returns=int(np.digitize(x, [0.0, 1.0, 2.5])))
    categories = ["AS", "DL", "UA", "ünïcode", ""]
    encoder = OneHotEncoder(categories=[categories], handle_unknown="ignore", sparse_output=False).fit([[c] for c in categories])
    for x in [*categories, "as", "WN"]:
        scalar("one_hot", x, categories, returns=encoder.transform([[x]])[0])


def hashes():
    alphabet = "abcxyzABC0189 _-é漢🙂"
    for length in [*range(0, 40), 63, 64, 65, 100, 127, 128, 129, 300]:
        text = "".join(pick.choice(alphabet) for _ in range(length))
        fingerprint = farmhash.fingerprint64(text)
        scalar("farm_fingerprint", text, returns=int(np.uint64(fingerprint).astype(np.int64)))
        for n in [1, 7, 1000, 2**62]:
            scalar("hash_bucket", text, n, returns=fingerprint % n)


def elementary():
    for x in [0.0, -0.5, -1.0, -2.0, 1e-300, 1e-17, 1e300, np.inf, np.nan, *rng.normal(0, 1, 20) ** 2, *10 ** rng.uniform(-12, 12, 20)]:
        with np.errstate(all="ignore"):
            scalar("log1p", x, returns=np.log1p(x))
    for x in [*rng.normal(0, 3, 10), np.nan, np.inf, -np.inf]:
        scalar("clip", x, -1.0, 2.0, returns=np.clip(x, -1.0, 2.0))
        scalar("clip", x, -np.inf, 2.0, returns=np.clip(x, -np.inf, 2.0))
    for x, period in [*zip(rng.uniform(-1000, 1000, 30), rng.uniform(0.5, 400, 30)), (7.25, 24.0), (365.0, 365.25)]:
        scalar("cyclical_sin", x, period, returns=np.sin(2 * np.pi * x / period))
        scalar("cyclical_cos", x, period, returns=np.cos(2 * np.pi * x / period))


def calendars():
    start = datetime(1960, 1, 1, tzinfo=timezone.utc)
    moments = [start + timedelta(seconds=pick.uniform(0, 100 * 365.25 * 86400)) for _ in range(60)]
    moments += [datetime(*day, tzinfo=timezone.utc) for day in [(1969, 12, 31, 23, 59, 59), (2000, 2, 29), (1900, 3, 1), (2100, 2, 28), (1, 1, 1), (9999, 12, 31)]]
    for t in moments:
        text = t.strftime("%Y-%m-%dT%H:%M:%S.%f").rjust(26, "0") + "Z"
        days = calendar.monthrange(t.year, t.month)[1]
        for name, turns in [("hour", t.hour / 24), ("weekday", t.weekday() / 7), ("day", (t.day - 1) / days), ("month", (t.month - 1) / 12)]:
            scalar(f"{name}_sin", text, returns=np.sin(2 * np.pi * turns))
            scalar(f"{name}_cos", text, returns=np.cos(2 * np.pi * turns))


def distances():
    def haversine(lat1, lon1, lat2, lon2):
        lat1, lon1, lat2, lon2 = np.radians([lat1, lon1, lat2, lon2])
        h = np.sin((lat2 - lat1) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
        return 2 * 6371.0088 * np.arcsin(np.sqrt(h))

    for _ in range(40):
        points = [rng.uniform(-80, 80), rng.uniform(-180, 180), rng.uniform(-80, 80), rng.uniform(-180, 180)]
        if haversine(*points) < 19000:  # near antipodes the formula itself loses digits
            scalar("haversine_km", *points, returns=haversine(*points))
    scalar("haversine_km", 47.45, -122.31, 45.59, -122.6, returns=haversine(47.45, -122.31, 45.59, -122.6))


def sequence(n, step, scale, shift):
    """n values that Rust makes bit for bit alike: the fractional parts of the multiples of a step, scaled and shifted."""
    return np.mod(np.arange(n, dtype=np.float64) * step, 1.0) * scale + shift


def outcome(function, base, study, statistic, p_value, **source):
    fields = {"statistic": statistic, "effect_size": statistic, "p_value": p_value}
    returns = {name: plain(value) for name, value in fields.items()} | {"n_base": len(base), "n_study": len(study), "note": None}
    cases.append({"function": function, "returns": returns, **source})


def two_samples(base, study):
    return {"rows": [[plain(x), True] for x in base] + [[plain(x), False] for x in study]}


def ks():
    for m, n, shift in [(1, 1, 0), (2, 3, 0.5), (5, 5, 1), (7, 11, 0), (20, 20, 0.3), (30, 45, 0.7), (60, 60, 1.5), (50, 75, 0.1), (3, 80, 0.2)]:
        base, study = rng.normal(0, 1, m), rng.normal(shift, 1, n)
        d, p = scipy.stats.ks_2samp(base, study)[:2]
        outcome("ks_test", base, study, d, p, **two_samples(base, study))
    ties = (np.round(rng.normal(0, 1, 40)), np.round(rng.normal(0.3, 1, 33)))
    d, p = scipy.stats.ks_2samp(*ties)[:2]
    outcome("ks_test", *ties, d, p, **two_samples(*ties))
    infinite = ([-np.inf, 1.0, np.inf, np.inf], [0.0, 1.0, 2.0])
    d, p = scipy.stats.ks_2samp(*infinite)[:2]
    outcome("ks_test", *infinite, d, p, **two_samples(*infinite))
    golden, root = 0.6180339887498949, 0.41421356237309515
    # Exact up to 10,000, then every branch of the one-sample distribution: small and large sizes and distances.
    specifications = [
        ((10_000, golden, 1.0, 0.0), (10_000, root, 1.0, 0.01)),
        ((10_000, golden, 1.0, 0.0), (9_999, root, 1.0, 0.02)),
        ((9_000, golden, 1.0, 0.0), (300, root, 1.0, 0.05)),
        ((5_000, golden, 1.0, 0.0), (5_000, root, 1.0, 0.2)),
        ((10_001, golden, 1.0, 0.0), (1, root, 1.0, 0.3)),
        ((10_001, golden, 1.0, 0.0), (3, root, 1.0, 0.1)),
        ((10_001, golden, 1.0, 0.0), (12, root, 1.0, 0.05)),
        ((10_001, golden, 1.0, 0.0), (60, root, 1.0, 0.09)),
        ((10_001, golden, 1.0, 0.0), (60, root, 1.0, 0.3)),
        ((10_001, golden, 1.0, 0.0), (100, root, 1.0, 0.14)),
        ((10_001, golden, 1.0, 0.0), (130, root, 1.0, 0.6)),
        ((20_000, golden, 1.0, 0.0), (200, root, 1.0, 0.001)),
        ((20_000, golden, 1.0, 0.0), (200, root, 1.0, 0.03)),
        ((20_000, golden, 1.0, 0.0), (20_000, root, 1.0, 0.0002)),
        ((20_000, golden, 1.0, 0.0), (20_000, root, 1.0, 0.004)),
        ((20_000, golden, 1.0, 0.0), (20_000, root, 1.0, 0.012)),
        ((20_000, golden, 1.0, 0.0), (20_000, root, 1.0, 0.016)),
        ((20_000, golden, 1.0, 0.0), (20_000, root, 1.0, 0.05)),
        ((20_000, golden, 1.0, 0.0), (20_000, root, 1.0, 0.4)),
        ((20_000, golden, 1.0, 0.0), (20_000, root, 1.0, 0.7)),
        ((300_000, golden, 1.0, 0.0), (250_000, root, 1.0, 0.002)),
        ((300_000, golden, 1.0, 0.0), (250_000, root, 1.0, 0.005)),
        ((300_000, golden, 1.0, 0.0), (150, root, 1.0, 0.08)),
    ]
    for base, study in specifications:
        samples = sequence(*base), sequence(*study)
        d, p = scipy.stats.ks_2samp(*samples)[:2]
        outcome("ks_test", *samples, d, p, sequences=[base, study])


def chance(m, n, cells):
    """What is said of PSI's usual thresholds where chance alone exceeds them in more than one of twenty samples."""
    unit = 1 / m + 1 / n
    within = [name for name, threshold in [("0.1", 0.1), ("0.25", 0.25)] if scipy.stats.chi2.sf(threshold / unit, cells - 1) > 0.05]
    if not within:
        return []
    those = "the thresholds 0.1 and 0.25 say" if len(within) > 1 else "the threshold 0.1 says"
    return [f"at these sizes chance alone gives a PSI of {(cells - 1) * unit:.3f} on average, so {those} nothing: go by the p-value"]


def psi_of(base, study, added=0.0):
    base, study = base + added, study + added
    p, q = base / base.sum(), study / study.sum()
    return float(np.sum((q - p) * np.log(q / p)))


def psi():
    for m, n, shift in [(1_000, 800, 0.1), (500, 500, 0.0), (200, 5_000, 0.3)]:
        base, study = rng.normal(0, 1, m), rng.normal(shift, 1, n)
        edges = np.unique(np.quantile(base, np.arange(1, 10) / 10))
        counts = [np.bincount(np.searchsorted(edges, x, side="left"), minlength=10) for x in (base, study)]
        index = psi_of(*counts)
        p = scipy.stats.chi2.sf(index / (1 / m + 1 / n), 9)
        outcome("psi", base, study, index, p, **two_samples(base, study))
        cases[-1]["returns"]["note"] = "; ".join(chance(m, n, 10)) or None
    # Half of the base is zero: five of its deciles are one edge.
    base, study = np.concatenate([np.zeros(60), np.arange(1.0, 41.0)]), np.concatenate([np.zeros(30), np.arange(1.0, 71.0)])
    edges = np.unique(np.quantile(base, np.arange(1, 10) / 10))
    counts = [np.bincount(np.searchsorted(edges, x, side="left"), minlength=len(edges) + 1) for x in (base, study)]
    counts = [count[(counts[0] > 0) | (counts[1] > 0)] for count in counts]  # none lies between two of the edges
    index = psi_of(*counts)
    p = scipy.stats.chi2.sf(index / (1 / 100 + 1 / 100), len(counts[0]) - 1)
    outcome("psi", base, study, index, p, **two_samples(base, study))
    cases[-1]["returns"]["note"] = "; ".join(chance(100, 100, len(counts[0])))
    # A category that the base has never seen.
    index = psi_of(np.array([60, 40, 0]), np.array([30, 50, 20]), 0.5)
    rows = [[c, True] for c in "a" * 60 + "b" * 40] + [[c, False] for c in "a" * 30 + "b" * 50 + "c" * 20]
    note = "1 cell has values on one side only: 0.5 added to every count (Jeffreys)"
    outcome("psi", range(100), range(100), index, scipy.stats.chi2.sf(index / 0.02, 2), rows=rows)
    cases[-1]["returns"]["note"] = "; ".join([note, *chance(100, 100, 3)])
    cases.append({"function": "psi_value", "rows": rows, "returns": index})


def splits():
    """The split of the exact place of the fingerprint of "seed/key", against exact sums of the fractions as floats."""
    names = ["train", "validation", "test"]
    draw = random.Random(20240229)
    for i in range(60):
        key = draw.choice([f"N{draw.randrange(10**5)}", draw.randrange(-(2**53), 2**53), "", "ünïcode 🙂", i])
        seed = draw.choice(["", "2024", 42, "a/b"])
        shares = draw.choice([[0.8, 0.1, 0.1], [0.5, 0.25, 0.25], [0.75, 0.0, 0.25], [0.25, 0.75, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
        place = Fraction(farmhash.fingerprint64(f"{seed}/{key}") >> 11, 2**53)
        bounds = [Fraction(shares[0]), Fraction(shares[0] + shares[1])]
        args = [key, *shares] if seed == "" else [key, *shares, seed]
        scalar("split", *args, returns=names[sum(place >= bound for bound in bounds)])


def sums():
    """Exact sums and the moments as exact fractions, rounded once."""
    out = []
    for size, width in [(1, 0), (2, 0), (10, 5), (100, 30), (1_000, 300), (300, 60), (50, 1000)]:
        for _ in range(6):
            values = [pick.uniform(-1, 1) * 2.0 ** pick.randint(-width, min(width, 1020)) for _ in range(size)]
            exact = [Fraction(x) for x in values]
            n, total = len(exact), sum(exact)
            entry = {"values": values, "sum": math.fsum(values), "avg": float(total / n)}
            assert entry["sum"] == float(total)
            if n > 1:
                variance = (n * sum(x * x for x in exact) - total * total) / (n * (n - 1))
                entry["var"] = plain(float(variance) if variance < Fraction(2) ** 1024 else math.inf)
            out.append(entry)
    return out


scalers()
buckets()
hashes()
elementary()
calendars()
distances()
ks()
psi()
splits()
golden = {"made_with": VERSIONS, "cases": cases, "sums": sums()}
lines = ["{", f'"made_with": {json.dumps(VERSIONS)},', '"cases": [']
lines.append(",\n".join(json.dumps(case, ensure_ascii=False) for case in cases))
lines.append('],\n"sums": [')
lines.append(",\n".join(json.dumps(entry) for entry in golden["sums"]))
lines.append("]}\n")
Path(__file__).with_name("catalog.json").write_text("\n".join(lines), encoding="utf-8")
print(f"{len(cases)} cases, {len(golden['sums'])} sums")
