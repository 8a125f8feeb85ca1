"""Writes drift.json: what scipy gives for the tests and distances over cells of functions/catalog/src/drift.

Read by functions/catalog/tests/golden.rs. Run from anywhere, with the versions of tests/requirements.txt:

    python tests/golden/drift/make.py
"""

import json
import math
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from scipy.spatial.distance import jensenshannon

VERSIONS = {"numpy": "2.4.6", "scipy": "1.17.1", "pandas": "3.1.1"}
for package, wanted in VERSIONS.items():
    assert version(package) == wanted, f"{package} is {version(package)}, but the goldens are made with {wanted}"

rng = np.random.default_rng(19000101)
cases = []


def plain(value):
    """A number as JSON, with infinities as strings, as skewless_catalog::json spells them."""
    value = float(value)
    return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


def case(function, statistic, effect_size, p_value, table, source, options=(), note=None):
    numbers = {"statistic": statistic, "effect_size": effect_size, "p_value": p_value}
    returns = {name: None if value is None else plain(value) for name, value in numbers.items()}
    returns |= {"n_base": int(table[0].sum()), "n_study": int(table[1].sum()), "note": note}
    cases.append({"function": function, **source, "options": list(options), "returns": returns})


def value(function, statistic, source, options=()):
    cases.append({"function": function, **source, "options": list(options), "returns": plain(statistic)})


def small(expected):
    count = int((expected < 5).any(axis=0).sum())
    return [f"expected counts below 5 in {count} of {expected.shape[1]} cells: the p-value is approximate"] if count else []


def chance(m, n, cells):
    """What is said of PSI's usual thresholds where chance alone exceeds them in more than one of twenty samples."""
    unit = 1 / m + 1 / n
    within = [name for name, threshold in [("0.1", 0.1), ("0.25", 0.25)] if stats.chi2.sf(threshold / unit, cells - 1) > 0.05]
    if not within:
        return []
    those = "the thresholds 0.1 and 0.25 say" if len(within) > 1 else "the threshold 0.1 says"
    return [f"at these sizes chance alone gives a PSI of {(cells - 1) * unit:.3f} on average, so {those} nothing: go by the p-value"]


def joined(*notes):
    return "; ".join(note for some in notes for note in some) or None


def of_cells(table, source, cells=()):
    """Every function over the cells, which are columns of (base, study); `cells` are the options bins, binning, edges."""
    table = table[:, table.sum(axis=0) > 0]
    pearson = stats.chi2_contingency(table, correction=False)
    likelihood = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")
    note = joined(small(pearson.expected_freq))
    v = stats.contingency.association(table, method="cramer", correction=False)
    case("chi_square_test", pearson.statistic, v, pearson.pvalue, table, source, cells, note)
    case("g_test", likelihood.statistic, v, likelihood.pvalue, table, source, cells, note)
    case("cramers_v", v, v, pearson.pvalue, table, source, cells, note)
    value("cramers_v_value", v, source, cells)

    base, study = table
    expected = base * (study.sum() / base.sum())
    unseen = int((base == 0).sum())
    if unseen:
        has = "1 cell has" if unseen == 1 else f"{unseen} cells have"
        said = f"{has} values of the study sample alone, where none is expected"
        case("chi_square_gof_test", math.inf, math.inf, 0.0, table, source, cells, said)
    else:
        fit = stats.chisquare(study, expected)
        said = joined(small(expected.reshape(1, -1)))
        case("chi_square_gof_test", fit.statistic, math.sqrt(fit.statistic / study.sum()), fit.pvalue, table, source, cells, said)

    p, q = base / base.sum(), study / study.sum()
    with_e = [math.e, *cells]
    distances = [
        ("js_distance", jensenshannon(p, q, 2), [None, *cells]),
        ("js_distance", jensenshannon(p, q), with_e),
        ("hellinger_distance", math.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum() / 2), cells),
        ("total_variation_distance", np.abs(p - q).sum() / 2, cells),
        ("l_infinity_distance", np.abs(p - q).max(), cells),
    ]
    for name, distance, options in distances:
        case(name, distance, distance, pearson.pvalue, table, source, options, note)
        value(f"{name}_value", distance, source, options)

    one_sided = int((table == 0).any(axis=0).sum())
    has = "1 cell has" if one_sided == 1 else f"{one_sided} cells have"
    smoothed = [f"{has} values on one side only: 0.5 added to every count (Jeffreys)"] if one_sided else []
    added = table + 0.5 if one_sided else table
    kl = stats.entropy(added[1], added[0])
    case("kl_divergence", kl, kl, pearson.pvalue, table, source, [None, *cells], joined(smoothed, small(pearson.expected_freq)))
    value("kl_divergence_value", kl, source, [None, *cells])
    exact = stats.entropy(study, base)
    value("kl_divergence_value", exact, source, ["none", *cells])
    p, q = added / added.sum(axis=1, keepdims=True)
    psi = stats.entropy(p, q) + stats.entropy(q, p)
    tail = stats.chi2.sf(psi / (1 / base.sum() + 1 / study.sum()), table.shape[1] - 1)
    case("psi", psi, psi, tail, table, source, [None, *cells], joined(smoothed, chance(*table.sum(axis=1), table.shape[1])))
    value("psi_value", psi, source, [None, *cells])


def categories():
    letters = "abcdefghijklmnopqrstuvwxyz"
    for k, m, n, shift in [(2, 20, 30, 0.3), (2, 800, 500, 0.05), (3, 100, 900, 0.2), (5, 60, 60, 0.0), (12, 2_000, 300, 0.4), (26, 500, 4_000, 0.1)]:
        shares = rng.dirichlet(np.ones(k) * 2)
        moved = (1 - shift) * shares + shift * rng.dirichlet(np.ones(k))
        table = np.array([rng.multinomial(m, shares), rng.multinomial(n, moved)])
        of_cells(table, {"counts": [[letters[i], *map(int, table[:, i])] for i in range(k)]})
    for table in [[[60, 40, 0], [30, 50, 20]], [[60, 20, 40], [50, 0, 40]], [[7, 0], [0, 9]], [[10, 20, 30], [20, 40, 60]], [[9_000, 31_000], [30_000, 8_000]]]:
        table = np.array(table)
        of_cells(table, {"counts": [[letters[i], *map(int, column)] for i, column in enumerate(table.T)]})


def sequence(n, step, scale, shift):
    """n values that Rust makes bit for bit alike: the fractional parts of the multiples of a step, scaled and shifted."""
    return np.mod(np.arange(n, dtype=np.float64) * step, 1.0) * scale + shift


def bins_of_numbers():
    golden, root = 0.6180339887498949, 0.41421356237309515
    pairs = [((500, golden, 1.0, 0.0), (700, root, 1.1, 0.02)), ((2_000, golden, 40.0, -20.0), (90, root, 38.0, -20.5))]
    for base, study in pairs:
        samples = [sequence(*base), sequence(*study)]
        low, high = samples[0].min(), samples[0].max()
        middle = [low + (high - low) * part for part in (0.1, 0.45, 0.5, 0.9)]
        for options, inner in [
            ([None, None, None], np.quantile(samples[0], np.arange(1, 10) / 10)),
            ([4, "quantile", None], np.quantile(samples[0], np.arange(1, 4) / 4)),
            ([7, "equal_width", None], np.linspace(low, high, 8)[1:-1]),
            ([None, None, middle], np.array(middle)),
        ]:
            edges = [-np.inf, *inner, np.inf]
            table = np.array([pd.cut(pd.Series(x), edges).value_counts(sort=False).to_numpy() for x in samples])
            of_cells(table, {"sequences": [base, study]}, options)


def two_values():
    tables = [[[8, 2], [1, 5]], [[3, 7], [9, 4]], [[1, 0], [0, 1]], [[5, 5], [5, 5]], [[10, 0], [4, 6]], [[0, 3], [12, 1]], [[40, 60], [55, 45]]]
    tables += [rng.integers(0, top, (2, 2)).tolist() for top in (4, 10, 30, 100, 1_000) for _ in range(12)]
    tables += [[[15_000, 300], [14_000, 350]], [[20_000, 19_000], [18_000, 19_500]], [[30, 20_000], [2, 15_000]], [[9_000, 100], [100, 20]]]
    for table in map(np.array, tables):  # rows: base and study; columns: the lesser and the greater value
        if 0 in table.sum(axis=0) or 0 in table.sum(axis=1):
            continue
        lesser, greater = [(0, 1), (-1.5, 2.0), ("no", "yes")][int(rng.integers(3))]
        source = {"counts": [[lesser, *map(int, table[:, 0])], [greater, *map(int, table[:, 1])]]}
        odds, p = stats.fisher_exact(table[::-1, ::-1])
        case("fisher_exact_test", odds, odds, p, table, source)
        pearson = stats.chi2_contingency(table, correction=False)
        (m, n), (x, y) = table.sum(axis=1), table[:, 1]
        pooled = (x + y) / (m + n)
        z = (y / n - x / m) / math.sqrt(pooled * (1 - pooled) * (1 / m + 1 / n))
        assert math.isclose(z * z, pearson.statistic, rel_tol=1e-9, abs_tol=1e-20)
        assert math.isclose(2 * stats.norm.sf(abs(z)), pearson.pvalue, rel_tol=1e-9)
        note = joined(small(pearson.expected_freq))
        if z != 0:
            case("two_proportion_z_test", z, y / n - x / m, 2 * stats.norm.sf(abs(z)), table, source, note=note)


categories()
bins_of_numbers()
two_values()
lines = ["{", f'"made_with": {json.dumps(VERSIONS)},', '"cases": [']
lines.append(",\n".join(json.dumps(case, ensure_ascii=False) for case in cases))
lines.append("]}\n")
Path(__file__).with_name("drift.json").write_text("\n".join(lines), encoding="utf-8")
print(f"{len(cases)} cases")
