"""The rules of the others: whether each raises an alarm for one column of two samples, asked as its users ask it.

`RULES[name](kind, base, study)` takes pandas data frames with the column `x` and answers whether that is drift, or None where
the tool has no rule for such a column.
"""

import logging
import os
import warnings

# Scouter starts as many threads as there are cores; the grid already runs one process a core.
os.environ["RAYON_NUM_THREADS"] = "1"
# Both would report to their makers that they are used.
os.environ["DO_NOT_TRACK"] = os.environ["WHYLOGS_NO_ANALYTICS"] = "true"
warnings.filterwarnings("ignore")

import numpy as np
import pandas as pd
import whylogs
import whylogs_sketching
from evidently import DataDefinition, Dataset, Report
from evidently.core.datasets import infer_column_type
from evidently.legacy.calculations.stattests import get_stattest
from evidently.legacy.core import ColumnType
from evidently.metrics import ValueDrift
from scipy import stats
from scouter.drift import Drifter, PsiDriftConfig
from whylogs.viz.drift.column_drift_algorithms import KS, calculate_drift_scores

from cells import ALPHA

logging.disable(logging.WARNING)


def is_text(kind):
    return kind.startswith("cat")


def evidently(kind, base, study):
    """The test and threshold that Evidently chooses by the column's type and the number of base rows.

    Texts are declared to be categories: at 100 rows of 1,000 categories it would take them for prose.
    """
    column_type = ColumnType.Categorical if is_text(kind) else infer_column_type(study.x)
    base, study = (side.x.replace([-np.inf, np.inf], np.nan).dropna() for side in (base, study))
    test = get_stattest(base, study, column_type, None)
    return bool(test(base, study, column_type, None).drifted)


def evidently_report(kind, base, study):
    """The same verdict from a whole report, to see that `evidently` asks what a report asks."""
    definition = DataDefinition(categorical_columns=["x"]) if is_text(kind) else DataDefinition()
    base, study = (Dataset.from_pandas(side, data_definition=definition) for side in (base, study))
    report = Report([ValueDrift(column="x")], include_tests=True).run(study, base)
    return report.dict()["tests"][0]["status"] == "FAIL"


def profile(frame):
    return whylogs.log(frame).view()


def whylogs_rule(kind, base, study):
    """Profiles by `whylogs.log`, its own choice of test, and its category DRIFT (p < 0.05)."""
    scores = calculate_drift_scores(target_view=profile(study), reference_view=profile(base), with_thresholds=True)
    return scores["x"]["drift_category"] == "DRIFT"


def whylogs_256(kind, base, study):
    """Its KS test on the sketches that it keeps of numbers where `large_kll_k` is off."""
    if is_text(kind) or kind == "bool":
        return None
    sketches = []
    for side in (study, base):
        sketch = whylogs_sketching.kll_doubles_sketch(k=256)
        sketch.update(side.x.dropna().to_numpy(np.float64))
        sketches.append(sketch)
    return bool(KS()._compute_ks_score(*sketches).pvalue < ALPHA)


def scouter(kind, base, study):
    """PSI of ten quantile bins of the base, or of the categories, above its default threshold.

    The threshold is computed on its server: the quantile of chi-square with bins - 1 degrees of freedom, over the study
    rows alone. It expects samples without missing values, so these are left out.
    """
    base, study = base.dropna(), study.dropna()
    categorical = is_text(kind) or kind == "bool"
    if kind == "bool":
        base, study = (side.astype(str).astype(object) for side in (base, study))
    config = PsiDriftConfig(space="bench", name="drift", categorical_features=["x"] if categorical else None)
    drifter = Drifter()
    made = drifter.create_drift_profile(base, config)
    psi, bins = drifter.compute_drift(study, made).features["x"], len(made.features["x"].bins)
    # A constant base has one bin, and its chi-square no degree of freedom.
    return bins > 1 and bool(psi > stats.chi2.ppf(1 - ALPHA, bins - 1) / len(study))


def scipy(kind, base, study):
    """The textbook's test on the raw rows: Kolmogorov-Smirnov for numbers, chi-square of the 2 × k table for the rest."""
    base, study = base.x.dropna(), study.x.dropna()
    if not is_text(kind) and kind != "bool":
        return bool(stats.ks_2samp(base, study).pvalue < ALPHA)
    counts = pd.concat([base.value_counts(), study.value_counts()], axis=1).fillna(0)
    return len(counts) > 1 and bool(stats.chi2_contingency(counts, correction=False).pvalue < ALPHA)


RULES = {
    "evidently": evidently,
    "whylogs": whylogs_rule,
    "whylogs-256": whylogs_256,
    "scouter": scouter,
    "scipy": scipy,
}
