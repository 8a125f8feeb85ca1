"""Writes profile.json: profiles by a second writer of the format of functions/catalog/src/profile/format.md, and what
scipy and numpy give for the rows that they are of.

Read by functions/catalog/tests/golden.rs. Run from anywhere, with the versions of tests/requirements.txt:

    python tests/golden/profile/make.py
"""

import base64
import json
import math
import struct
from bisect import bisect_left
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import farmhash
import numpy as np
import scipy.stats
from scipy.spatial.distance import jensenshannon

VERSIONS = {"numpy": "2.4.6", "scipy": "1.17.1", "pyfarmhash": "0.5.1"}
for package, wanted in VERSIONS.items():
    assert version(package) == wanted, f"{package} is {version(package)}, but the goldens are made with {wanted}"

rng = np.random.default_rng(20131231)
cases = []
LIMIT, COARSEST, KEPT, SHOWN = 2048, 45, 256, 64
U64 = 2**64 - 1


# The format.


def varint(n):
    out = bytearray()
    while n >= 128:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def zigzag(n):
    return varint(2 * n if n >= 0 else -2 * n - 1)


def section(tag, body):
    return bytes([tag]) + varint(len(body)) + body


def key(x):
    bits = struct.unpack("<Q", struct.pack("<d", abs(x)))[0]
    return -bits if x < 0 else bits


def mix(z):
    z = (z + 0x9E3779B97F4A7C15) & U64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & U64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & U64
    return z ^ (z >> 31)


def registers(hashes):
    out = [0] * 4096
    for h in hashes:
        rest = h & (2**52 - 1)
        out[h >> 52] = max(out[h >> 52], 53 - rest.bit_length())
    used = [i for i, r in enumerate(out) if r]
    body = varint(len(used))
    if len(used) <= 1024:
        for before, i in zip([-1, *used], used):
            body += varint(i - before - 1) + bytes([out[i]])
    else:
        for i in range(0, 4096, 4):
            body += sum(r << (6 * j) for j, r in enumerate(out[i : i + 4])).to_bytes(3, "little")
    return body


def digits(number, unit):
    """A multiple of 2^unit as the exact sums of functions/catalog/src/sum write it."""
    scaled = abs(number) / Fraction(2) ** unit
    assert scaled.denominator == 1
    n, first = int(scaled), 0
    while n and n % 2**32 == 0:
        n, first = n >> 32, first + 1
    count = (n.bit_length() + 31) // 32
    return bytes([number < 0]) + struct.pack("<HH", first, count) + n.to_bytes(4 * count, "little")


def zeros(numbers):
    bits = 0
    for n in numbers:
        bits |= n
    return (bits & -bits).bit_length() - 1 if bits else 0


def profile_of_numbers(values):
    nulls = sum(x is None for x in values)
    given = [x for x in values if x is not None]
    if not given:
        return b"SKWP\1" + section(1, b"\0" + varint(len(values)) + varint(nulls))
    finite = [x for x in given if math.isfinite(x)]
    counts = [sum(map(math.isnan, given)), given.count(math.inf), given.count(-math.inf), given.count(0.0)]
    out = b"SKWP\1" + section(1, b"\1" + b"".join(map(varint, [len(values), nulls, *counts])))
    keys = sorted(map(key, finite))
    if not keys:
        return out
    shift = 0
    while len({k >> shift for k in keys}) > LIMIT and shift < COARSEST:
        shift += 1
    stretches = {}
    for k in keys:
        stretches.setdefault(k >> shift, []).append(k)
    only = {s: ks[0] - (s << shift) for s, ks in stretches.items() if ks[0] == ks[-1]}
    z = zeros(only.values() if shift else stretches)
    body = varint(len(stretches)) + bytes([shift, z])
    before = None
    for s, ks in stretches.items():
        at = s if shift else s >> z
        body += zigzag(at) if before is None else varint(at - before - 1)
        before = at
        if not shift:
            body += varint(len(ks))
        elif s in only:
            body += varint(2 * len(ks)) + varint(only[s] >> z)
        else:
            body += varint(2 * len(ks) + 1)
    out += section(2, body)
    if shift:
        exact = list(map(Fraction, finite))
        moments = struct.pack("<qq4Q", keys[0], keys[-1], len(finite), 0, 0, 0)
        moments += digits(sum(exact), -1074) + digits(sum(x * x for x in exact), -2148)
        out += section(3, moments) + section(4, registers(mix(k & U64) for k in set(keys)))
    return out


def profile_of_texts(texts):
    nulls = sum(t is None for t in texts)
    counts = {}
    for t in texts:
        if t is not None:
            h, n = farmhash.fingerprint64(t), counts.get(t, (0, 0))[1]
            counts[t] = (h, n + 1)
    kinds = sorted((h, t, n) for t, (h, n) in counts.items())
    kept, others = kinds[:KEPT], kinds[KEPT:]
    out = b"SKWP\1" + section(1, b"\2" + b"".join(map(varint, [len(texts), nulls, counts.get("", (0, 0))[1]])))
    if others:
        out += section(4, registers(h for h, _, _ in kinds))
    body = varint(len(kept)) + varint(sum(n for _, _, n in others))
    for h, text, n in kept:
        whole = text.encode()
        shown = whole[:SHOWN].decode(errors="ignore").encode()
        cut = len(shown) < len(whole)
        body += varint(2 * len(shown) + cut) + shown + (struct.pack("<Q", h) if cut else b"") + varint(n)
    return out + section(5, body)


def profile(values):
    return profile_of_texts(values) if any(isinstance(x, str) for x in values) else profile_of_numbers(values)


# The cases.


def plain(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (np.integer, int)):
        return int(value)
    if isinstance(value, (np.floating, float)):
        value = float(value)
        if math.isnan(value):
            return "NaN"
        return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def case(function, rows, returns):
    returns = {k: plain(v) for k, v in returns.items()} if isinstance(returns, dict) else plain(returns)
    cases.append({"function": function, "rows": [[plain(x) for x in row] for row in rows], "returns": returns})


SAMPLES = {
    "special": [math.nan, math.inf, -math.inf, -math.inf, 0.0, -0.0, 5e-324, -1.7e308, None, 1.5],
    "nulls": [None, None],
    "delays": [float(x) for x in np.round(rng.gamma(0.4, 60.0, 1_500)) - 12],
    "normal": [float(x) for x in rng.normal(0, 1, 300)],
    "narrow": [float(x) for x in rng.normal(1e6, 1, 2_500)],
    "octaves": [float(x) for x in rng.normal(0, 1, 1_200) ** 9 * 10.0 ** rng.integers(-200, 200, 1_200)] + [0.0, 3.0, 3.0],
    "wide": [float(x) for x in rng.normal(0, 1, 3_000)] + [7.0] * 40,
    "carriers": [["AS", "DL", "UA", "ünï", ""][i] for i in rng.integers(0, 5, 200)] + [None, "long " * 30, "é" * 33],
    "tails": [f"N{i * i % 997}" for i in range(1_500)],
}


def profiles():
    for values in SAMPLES.values():
        case("ml_profile", [[x] for x in values], profile(values))
    for name in ["wide", "tails", "special", "carriers", "octaves"]:
        values = SAMPLES[name]
        parts = [values[i::3] for i in range(3)]
        case("ml_profile_merge", [[profile(part)] for part in parts] + [[None]], profile(values))


def quantiles():
    for name in ["delays", "normal"]:
        for q in [0.0, 0.013, 0.25, 0.5, 0.777, 0.99, 1.0]:
            want = np.quantile(SAMPLES[name], q, method="inverted_cdf")
            case("ml_profile_quantile", [[profile(SAMPLES[name]), q]], want)
    case("ml_profile_quantile", [[profile(SAMPLES["nulls"]), 0.5]], None)
    case("ml_profile_quantile", [[profile([1.0, math.inf, math.nan]), 1.0]], math.inf)


def texts():
    def dumps(value):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    for name in ["delays", "normal"]:
        x = np.array(SAMPLES[name])
        qs = [(q, float(np.quantile(x, q, method="inverted_cdf"))) for q in [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]]
        exact = [Fraction(float(v)) for v in x]
        mean = sum(exact) / len(exact)
        variance = sum((v - mean) ** 2 for v in exact) / (len(exact) - 1)
        fields = {"kind": "numbers", "rows": len(x), "nulls": 0, "nans": 0, "negative_infinities": 0, "positive_infinities": 0}
        fields |= {"zeros": int((x == 0).sum()), "min": float(x.min()), "max": float(x.max())}
        fields |= {"mean": float(mean), "stddev": math.sqrt(float(variance))}
        fields["quantiles"] = [{"q": q, "value": v, "low": v, "high": v} for q, v in qs]
        fields |= {"distinct": float(len(set(x))), "distinct_standard_error": 0.0, "exact": True}
        case("ml_profile_json", [[profile(SAMPLES[name])]], dumps(fields))
    carriers = SAMPLES["carriers"]
    given = [x for x in carriers if x is not None]
    categories = []
    for x in sorted(set(given), key=lambda x: (-given.count(x), x.encode()[:SHOWN])):
        shown = x.encode()[:SHOWN].decode(errors="ignore")
        categories.append({"text": shown, "cut": shown != x, "count": given.count(x)})
    fields = {"kind": "texts", "rows": len(carriers), "nulls": 1, "empty": given.count(""), "categories": categories}
    fields |= {"other_categories": 0, "distinct": float(len(categories)), "distinct_standard_error": 0.0, "exact": True}
    case("ml_profile_json", [[profile(carriers)]], dumps(fields))


def drift(metric, base, study, statistic, effect_size, p, note=None, counts=None, alpha=0.05):
    low, high = p if isinstance(p, tuple) else (p, p)
    returns = {"metric": metric, "statistic": statistic, "statistic_low": statistic, "statistic_high": statistic}
    returns |= {"effect_size": effect_size, "p_low": low, "p_high": high, "alpha": alpha}
    returns["verdict"] = "drift" if high <= alpha else "no drift"
    m, n = counts or (len(base), len(study))
    returns |= {"n_base": m, "n_study": n, "note": note}
    case("ml_drift", [[metric, profile(base), profile(study), alpha]], returns)


def cells_of(base, study):
    """Counts by the deciles of the base, as psi; NULL a cell of its own."""
    if any(isinstance(x, str) for x in base):
        kinds = sorted({x for x in base + study if x is not None})
        table = [[sample.count(kind) for kind in [*kinds, None]] for sample in (base, study)]
    else:
        finite = np.array([x for x in base if x is not None])
        edges = np.unique(np.quantile(finite, np.arange(1, 10) / 10))
        table = []
        for sample in (base, study):
            values = [x for x in sample if x is not None]
            counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
            table.append([*counts, len(sample) - len(values)])
    table = np.array(table)
    return table[:, table.sum(axis=0) > 0]


def chance(m, n, cells):
    """What is said of PSI's usual thresholds where chance alone exceeds them in more than one of twenty samples."""
    unit = 1 / m + 1 / n
    within = [name for name, threshold in [("0.1", 0.1), ("0.25", 0.25)] if scipy.stats.chi2.sf(threshold / unit, cells - 1) > 0.05]
    if not within:
        return []
    those = "the thresholds 0.1 and 0.25 say" if len(within) > 1 else "the threshold 0.1 says"
    return [f"at these sizes chance alone gives a PSI of {(cells - 1) * unit:.3f} on average, so {those} nothing: go by the p-value"]


def drift_of_cells(base, study):
    table = cells_of(base, study)
    chi = scipy.stats.chi2_contingency(table, correction=False)
    small = int((chi.expected_freq.min(axis=0) < 5).sum())
    note = f"expected counts below 5 in {small} of {table.shape[1]} cells: the p-value is approximate" if small else None
    p, q = table / table.sum(axis=1, keepdims=True)
    drift("chi_square", base, study, chi.statistic, math.sqrt(chi.statistic / table.sum()), chi.pvalue, note)
    js = jensenshannon(p, q, base=2)
    drift("js", base, study, js, js, chi.pvalue, note)
    hellinger = math.sqrt(max(0.0, 1 - np.sqrt(p * q).sum()))
    drift("hellinger", base, study, hellinger, hellinger, chi.pvalue, note)
    tv = np.abs(p - q).sum() / 2
    drift("total_variation", base, study, tv, tv, chi.pvalue, note)
    one_sided = int((table == 0).any(axis=0).sum())
    if one_sided:
        p, q = (table + 0.5) / (table + 0.5).sum(axis=1, keepdims=True)
    cells = "1 cell has" if one_sided == 1 else f"{one_sided} cells have"
    notes = [f"{cells} values on one side only: 0.5 added to every count (Jeffreys)"] if one_sided else []
    psi = float(np.sum((q - p) * np.log(q / p)))
    m, n = table.sum(axis=1)
    drift("psi", base, study, psi, psi, scipy.stats.chi2.sf(psi / (1 / m + 1 / n), table.shape[1] - 1), "; ".join(notes + chance(m, n, table.shape[1])) or None)


def permutation_p(base, study):
    """The share of 999 draws of the base among all values that are as far, as ml_drift draws them."""
    m, n = len(base), len(study)
    state = 0

    def below(limit):
        nonlocal state
        out = mix(state) >> 32
        state = (state + 0x9E3779B97F4A7C15) & U64
        return out * limit >> 32

    places = np.array(sorted(set(base) | set(study)))
    pooled = [bisect_left(places, x) for x in sorted([*base, *study])]
    total = np.bincount(pooled, minlength=len(places))
    width = np.append(np.diff(places), 0.0)

    def area(counts):
        f = np.cumsum(counts)
        return float(np.sum(np.abs(f / m - (np.cumsum(total) - f) / n) * width))

    here = area(np.bincount([bisect_left(places, x) for x in base], minlength=len(places)))
    as_large = 0
    for _ in range(999):
        for i in range(m):
            j = i + below(m + n - i)
            pooled[i], pooled[j] = pooled[j], pooled[i]
        as_large += area(np.bincount(pooled[:m], minlength=len(places))) >= here * (1 - 1e-9)
    return (as_large + 1) / 1000


def drift_of_order(base, study):
    d, p = scipy.stats.ks_2samp(base, study)[:2]
    drift("ks", base, study, d, d, p)
    area = scipy.stats.wasserstein_distance(base, study)
    drift("wasserstein", base, study, area, area / np.std(base), permutation_p(base, study))
    t = scipy.stats.ttest_ind(study, base, equal_var=False)
    effect = (np.mean(study) - np.mean(base)) / math.sqrt((np.var(base, ddof=1) + np.var(study, ddof=1)) / 2)
    drift("welch_t", base, study, t.statistic, effect, t.pvalue)


def drifts():
    normal = [float(x) for x in rng.normal(0, 1, 400)]
    for size, shift in [(300, 0.0), (400, 0.4), (90, 0.15)]:
        study = [float(x) for x in rng.normal(shift, 1, size)]
        drift_of_order(normal, study)
        drift_of_cells(normal, study)
    rounded = [float(x) for x in np.round(rng.normal(0, 2, 250))]
    drift_of_order(rounded, [float(x) for x in np.round(rng.normal(0.5, 2, 150))])
    drift_of_cells([*rounded, None, None], [*map(float, np.round(rng.normal(0.5, 2, 150))), *[None] * 20])
    names = [f"c{i}" for i in range(6)]
    base = [*rng.choice(names, 300, p=[0.4, 0.3, 0.1, 0.1, 0.09, 0.01]), None, None]
    base = [None if x is None else str(x) for x in base]
    study = [str(x) for x in rng.choice(names[1:], 200)]
    drift_of_cells(base, study)
    # Sketches: the moments are exact, and so is Welch's t.
    base, study = SAMPLES["wide"], [float(x) for x in rng.normal(0.05, 1.1, 4_000)]
    t = scipy.stats.ttest_ind(study, base, equal_var=False)
    effect = (np.mean(study) - np.mean(base)) / math.sqrt((np.var(base, ddof=1) + np.var(study, ddof=1)) / 2)
    drift("welch_t", base, study, t.statistic, effect, t.pvalue)
    # Texts beyond those kept: the categories up to the smaller of the last hashes, and the others as one.
    base, study = SAMPLES["tails"], [f"N{i * i * i % 991}" for i in range(2_000)]
    hashes = {x: farmhash.fingerprint64(x) for x in base + study}
    last = min(sorted({hashes[x] for x in sample})[KEPT - 1] for sample in (base, study))
    kinds = sorted({x for x in base + study if hashes[x] <= last})
    table = np.array([[sample.count(x) for x in kinds] for sample in (base, study)])
    others = [len(sample) - counts.sum() for sample, counts in zip((base, study), table)]
    table = np.column_stack([table, others])
    chi = scipy.stats.chi2_contingency(table, correction=False)
    small = int((chi.expected_freq.min(axis=0) < 5).sum())
    note = f"{len(kinds)} categories are compared one by one, and the other {others[0]} base and {others[1]} study values as one; "
    note += f"expected counts below 5 in {small} of {table.shape[1]} cells: the p-value is approximate"
    drift("chi_square", base, study, chi.statistic, math.sqrt(chi.statistic / table.sum()), chi.pvalue, note)


profiles()
quantiles()
texts()
drifts()
lines = ["{", f'"made_with": {json.dumps(VERSIONS)},', '"cases": [']
lines.append(",\n".join(json.dumps(case, ensure_ascii=False) for case in cases))
lines.append("]}\n")
Path(__file__).with_name("profile.json").write_text("\n".join(lines), encoding="utf-8")
print(f"{len(cases)} cases")
