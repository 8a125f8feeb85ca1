"""Writes numeric.json: what scipy, astropy and mpmath give for the two-sample tests and distances of numbers, and what their
definitions give in numpy where no tool has them.

Read by functions/catalog/tests/golden.rs. Run from anywhere, with the versions of the requirements.txt beside it:

    python tests/golden/numeric/make.py
"""

import json
import math
import warnings
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import mpmath
import numpy as np
import scipy.stats
from astropy.stats import kuiper_two
from scipy.stats._hypotests import _pval_cvm_2samp_exact

VERSIONS = {"astropy": "8.0.2", "mpmath": "1.4.1", "numpy": "2.4.6", "scipy": "1.17.1"}
for package, wanted in VERSIONS.items():
    assert version(package) == wanted, f"{package} is {version(package)}, but the goldens are made with {wanted}"

rng = np.random.default_rng(20260401)
cases = []
GOLDEN, ROOT = 0.6180339887498949, 0.41421356237309515


def plain(value):
    """A number as JSON, with NaN and infinities as strings, as skewless_catalog::json spells them."""
    if value is None or isinstance(value, (bool, str, int)):
        return value
    value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def sequence(n, step, scale, shift):
    """n values that Rust makes bit for bit alike: the fractional parts of the multiples of a step, scaled and shifted."""
    return np.mod(np.arange(n, dtype=np.float64) * step, 1.0) * scale + shift


class Pair:
    """A base and a study sample, and how a case tells of them."""

    def __init__(self, base, study, source=None):
        self.base, self.study = np.asarray(base, dtype=float), np.asarray(study, dtype=float)
        self.source = source

    def case(self, *options):
        if self.source is not None and not options:
            return {"sequences": self.source}
        rows = [[plain(x), True, *options] for x in self.base] + [[plain(x), False, *options] for x in self.study]
        return {"rows": rows}


def sequences(base, study):
    return Pair(sequence(*base), sequence(*study), [base, study])


def outcome(function, pair, statistic, effect_size, p_value, note=None, options=(), sizes=None):
    n_base, n_study = sizes or (len(pair.base), len(pair.study))
    returns = {"statistic": plain(statistic), "effect_size": plain(effect_size), "p_value": plain(p_value)}
    returns |= {"n_base": n_base, "n_study": n_study, "note": note}
    cases.append({"function": function, "returns": returns, **pair.case(*options)})


def normal(m, n, shift=0.0, scale=1.0):
    return Pair(rng.normal(0, 1, m), rng.normal(shift, scale, n))


def rounded(m, n, shift=0.0, digits=0):
    return Pair(np.round(rng.normal(0, 1, m), digits) + 0.0, np.round(rng.normal(shift, 1, n), digits) + 0.0)


SMALL = [normal(2, 2), normal(2, 3, 0.5), normal(5, 5, 1), normal(7, 11), normal(19, 20, 0.3), normal(20, 20, 0.9), rounded(9, 12, 0.4), rounded(15, 6, 1.0, 1)]
MIDDLE = [normal(30, 45, 0.7), normal(60, 60, 1.5), normal(50, 75, 0.1), normal(3, 80, 0.2), normal(40, 40, 0, 3), rounded(40, 33, 0.3), rounded(200, 150, 0.2, 1)]
LARGE = [
    sequences((10_000, GOLDEN, 1.0, 0.0), (10_000, ROOT, 1.0, 0.01)),
    sequences((9_000, GOLDEN, 1.0, 0.0), (300, ROOT, 1.0, 0.05)),
    sequences((50_000, GOLDEN, 2.0, -1.0), (40_000, ROOT, 2.0, -1.0)),
    sequences((5_000, GOLDEN, 1.0, 0.0), (5_000, ROOT, 2.0, -0.5)),
]
INFINITE = Pair([-np.inf, 1.0, np.inf, np.inf, 3.0], [0.0, 1.0, 2.0, np.inf])


def distribution_functions(pair):
    """F and G at the pooled distinct values, each counting the values there by half; and how many are there."""
    values, counts = np.unique(np.concatenate([pair.base, pair.study]), return_counts=True)

    def middle(sample):
        sample = np.sort(sample)
        return (np.searchsorted(sample, values, "left") + np.searchsorted(sample, values, "right")) / 2 / len(sample)

    return middle(pair.base), middle(pair.study), counts


def distances():
    for pair in SMALL + MIDDLE + LARGE:
        wasserstein = scipy.stats.wasserstein_distance(pair.base, pair.study)
        normed = wasserstein / np.std(pair.base)
        outcome("wasserstein_distance", pair, wasserstein, normed, None)
        if pair.source is None:
            outcome("wasserstein_distance", pair, normed, normed, None, options=[True])
            cases.append({"function": "wasserstein_distance_value", "returns": wasserstein, **pair.case()})
        energy = scipy.stats.energy_distance(pair.base, pair.study)
        # The mean distance between the samples: the part of scipy's mean over pairs, without its sums over n m pairs.
        both = np.sort(np.concatenate([pair.base, pair.study]))
        f = np.searchsorted(np.sort(pair.base), both[:-1], "right") / len(pair.base)
        g = np.searchsorted(np.sort(pair.study), both[:-1], "right") / len(pair.study)
        between = np.sum((f * (1 - g) + g * (1 - f)) * np.diff(both))
        if len(pair.base) < 1000:
            assert np.isclose(between, np.abs(np.subtract.outer(pair.base, pair.study)).mean(), rtol=1e-12)
        outcome("energy_distance", pair, energy, energy**2 / 2 / between, None)
        if pair.source is None:
            cases.append({"function": "energy_distance_value", "returns": energy, **pair.case()})


def cramer_von_mises_limit_sf(x):
    """The tail of the limit by the series that scipy sums in floats, which cannot tell probabilities below 1e-8."""
    mpmath.mp.dps = 200
    x, total, k = mpmath.mpf(x), mpmath.mpf(0), 0
    while True:
        y = 4 * k + 1
        q = mpmath.mpf(y) ** 2 / (16 * x)
        factor = mpmath.exp(mpmath.loggamma(k + mpmath.mpf(1) / 2) - mpmath.loggamma(k + 1)) / (mpmath.pi ** mpmath.mpf(1.5) * mpmath.sqrt(x))
        term = factor * mpmath.sqrt(y) * mpmath.exp(-q) * mpmath.besselk(mpmath.mpf(1) / 4, q)
        total, k = total + term, k + 1
        if term < mpmath.mpf(10) ** -180:
            return float(1 - total)


def cramer_von_mises():
    for pair in SMALL + MIDDLE + LARGE + [INFINITE, rounded(18, 18, 0.3), rounded(70, 70, 0.3), Pair([7.0] * 12, [7.0] * 200)]:
        m, n = len(pair.base), len(pair.study)
        values, counts = np.unique(np.concatenate([pair.base, pair.study]), return_counts=True)
        # The squares of F - G in integers, below and above each value.
        of_base = np.searchsorted(np.sort(pair.base), values, "right") * n
        of_study = np.searchsorted(np.sort(pair.study), values, "right") * m
        above = [int(difference) ** 2 for difference in of_base - of_study]
        squares = sum(int(count) * (before + after) for count, before, after in zip(counts, [0, *above], above))
        statistic = Fraction(squares, 2 * m * n * (m + n) ** 2)
        result = scipy.stats.cramervonmises_2samp(pair.base, pair.study)
        without_ties = len(values) == m + n
        if without_ties or m == n:
            assert abs(float(statistic) - result.statistic) < 1e-9
        if max(m, n) > 20:
            mean = (1 + 1 / (m + n)) / 6
            variance = (m + n + 1) * (4 * m * n * (m + n) - 3 * (m * m + n * n) - 2 * m * n) / (45 * (m + n) ** 2 * 4 * m * n)
            p = cramer_von_mises_limit_sf(max(1 / 6 + (float(statistic) - mean) / math.sqrt(45 * variance), 1e-3))
            assert not without_ties or abs(p - result.pvalue) < 1e-7
        else:
            # scipy's exact distribution, which takes U: at the next statistic that samples without ties can have.
            g = math.gcd(m, n)
            unit = Fraction(g * g, m * n * (m + n) ** 2)
            reached = math.ceil(statistic / unit) * unit
            u = reached * m * n * (m + n) + Fraction(m * n * (4 * m * n - 1), 6)
            p = float(_pval_cvm_2samp_exact(float(u) * (1 + 1e-13), m, n))
            assert not without_ties or p == result.pvalue
        outcome("cramer_von_mises_test", pair, float(statistic), float(statistic * (m + n) / (m * n)), p)


def anderson_darling():
    for pair in SMALL + MIDDLE + LARGE:
        if len(pair.base) + len(pair.study) < 4:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = scipy.stats.anderson_ksamp([pair.base, pair.study], variant="midrank")
        counts = np.unique(np.concatenate([pair.base, pair.study]), return_counts=True)[1]
        most, size, note = counts.max(), counts.sum(), None
        if most > 2 and most * 10 > size:
            note = f"{most} of {size} values are equal: with such ties the p-value tends to be too small"
        tied = note + "; " if note else ""
        if result.statistic < 0.325:
            note = tied + "the p-value is at least 0.25, where the table of critical values begins"
        elif result.statistic > 6.546:
            note = tied + "the p-value is at most 0.001, where the table of critical values ends"
        f, g, counts = distribution_functions(pair)
        m, n = len(pair.base), len(pair.study)
        h = (m * f + n * g) / (m + n)
        effect = np.average((f - g) ** 2 / (h * (1 - h) - counts / (m + n) / 4), weights=counts)
        outcome("anderson_darling_test", pair, result.statistic, effect, result.pvalue, note)


def mann_whitney():
    for pair in SMALL + MIDDLE + LARGE + [INFINITE, normal(1, 1), normal(8, 300, 1.5), normal(5, 4_000, 2.5), Pair([2.0] * 4, [2.0] * 7)]:
        result = scipy.stats.mannwhitneyu(pair.study, pair.base)
        m, n = len(pair.base), len(pair.study)
        ties = len(np.unique(np.concatenate([pair.base, pair.study]))) < m + n
        note = "ties: the p-value is by the normal distribution, which is rough for so few values" if ties and min(m, n) <= 8 else None
        outcome("mann_whitney_test", pair, result.statistic, result.statistic / m / n, result.pvalue, note)


def welch():
    for pair in SMALL + MIDDLE + LARGE + [Pair([5.0, 5.0], [7.0, 8.0, 9.0])]:
        result = scipy.stats.ttest_ind(pair.study, pair.base, equal_var=False)
        effect = (pair.study.mean() - pair.base.mean()) / np.sqrt((pair.study.var(ddof=1) + pair.base.var(ddof=1)) / 2)
        outcome("welch_t_test", pair, result.statistic, effect, result.pvalue)


def kuiper():
    for pair in SMALL + MIDDLE + LARGE:
        v, _ = kuiper_two(pair.base, pair.study)
        root = math.sqrt(len(pair.base) * len(pair.study) / (len(pair.base) + len(pair.study)))
        z2 = ((root + 0.155 + 0.24 / root) * v) ** 2
        j2 = np.arange(1, 200) ** 2
        p = 2 * math.fsum((4 * j2 * z2 - 1) * np.exp(-2 * j2 * z2))
        outcome("kuiper_test", pair, v, v, p)


def epps_singleton():
    for pair in SMALL + MIDDLE + LARGE + [rounded(30, 30, 0.5), normal(24, 24, 1), normal(25, 10, 1)]:
        m, n = len(pair.base), len(pair.study)
        if min(m, n) < 5:
            continue
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = scipy.stats.epps_singleton_2samp(pair.base, pair.study)
        # The one deficient case: three integers, whose cosines and sines span three dimensions.
        note = "the covariance has rank 3, not 4: the test may not see every difference" if caught else None
        corrected = 1 / (1 + (m + n) ** -0.45 + 10.1 * (m**-1.7 + n**-1.7)) if max(m, n) < 25 else 1
        effect = math.sqrt(result.statistic / corrected * (m + n) / (m * n))
        outcome("epps_singleton_test", pair, result.statistic, effect, result.pvalue, note)


class SplitMix64:
    def __init__(self, seed):
        self.state = seed % 2**64

    def below(self, bound):
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        z = self.state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return (z ^ (z >> 31)) * bound >> 64


def mmd():
    def thinned(sample, generator):
        sample = np.sort(sample)
        if len(sample) <= 1000:
            return sample
        kept, left, wanted = [], len(sample), 1000
        for x in sample:
            take = generator.below(left) < wanted
            kept += [x] if take else []
            left, wanted = left - 1, wanted - take
        return np.array(kept)

    def unbiased(kernel, members):
        mine = np.zeros(len(kernel), dtype=bool)
        mine[members] = True
        a, b = mine.sum(), (~mine).sum()
        within = kernel[np.ix_(mine, mine)].sum() - a, kernel[np.ix_(~mine, ~mine)].sum() - b
        return within[0] / (a * (a - 1)) + within[1] / (b * (b - 1)) - 2 * kernel[np.ix_(mine, ~mine)].mean()

    drawn = "1000 of the 1200 values of the base sample were drawn"
    large = sequences((1_200, GOLDEN, 1.0, 0.0), (40, ROOT, 1.0, 0.02))
    constants = Pair([0.0] * 9 + [1.0], [0.0] * 8 + [1.0, 5.0])
    for pair, options in [*((pair, ()) for pair in SMALL + MIDDLE), (large, ()), (constants, ()), (normal(30, 20, 0.8), (99, 7)), (normal(12, 20), (500, -3))]:
        permutations, seed = options or (199, 0)
        generator = SplitMix64(seed)
        base, study = thinned(pair.base, generator), thinned(pair.study, generator)
        smaller_is_base = len(base) <= len(study)
        pooled = sorted([(x, smaller_is_base) for x in base] + [(x, not smaller_is_base) for x in study])
        values = np.array([x for x, _ in pooled])
        members = [at for at, (_, member) in enumerate(pooled) if member]
        distances = np.abs(np.subtract.outer(values, values))
        above = distances[np.triu_indices(len(values), 1)]
        bandwidth, note = np.median(above), drawn if pair is large else None
        if bandwidth == 0:
            bandwidth, note = np.median(above[above > 0]), "most pairs are ties: the bandwidth is the median distance of the others"
        kernel = np.exp(-0.5 * (distances / bandwidth) ** 2)
        observed = unbiased(kernel, members)
        order, as_large = list(range(len(values))), 0
        for _ in range(permutations):
            for at in range(len(members)):
                other = at + generator.below(len(order) - at)
                order[at], order[other] = order[other], order[at]
            as_large += unbiased(kernel, order[: len(members)]) >= observed - 1e-12
        outcome("mmd_test", pair, observed, math.sqrt(max(observed, 0)), (as_large + 1) / (permutations + 1), note, options, (len(base), len(study)))


distances()
cramer_von_mises()
anderson_darling()
mann_whitney()
welch()
kuiper()
epps_singleton()
mmd()
lines = ["{", f'"made_with": {json.dumps(VERSIONS)},', '"cases": [']
lines.append(",\n".join(json.dumps(case) for case in cases))
lines.append("]}\n")
Path(__file__).with_name("numeric.json").write_text("\n".join(lines), encoding="utf-8")
print(f"{len(cases)} cases")
