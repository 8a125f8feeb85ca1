"""The peers of the speed cases: `python speed.py TASK …` prints a JSON line; `run.py` starts it and measures the process.

    duckdb BASE STUDY THREADS     the statistics of every column of two samples
    duckdb-exact BASE STUDY THREADS COLUMN…
                                  the exact Kolmogorov-Smirnov distance of columns of two samples, in 1 GB of memory
    duckdb-column FILE THREADS    the statistics of one column, in one scan
    duckdb-scan FILE THREADS      a sum of one column: what reading it costs
    evidently BASE STUDY          DataDriftPreset, on data frames in memory
    median FILE                   the median of the column x
    limit                         bandwidth of memory, one thread
    versions                      of the peers

What a task does not need is not imported, since the whole process is timed.
"""

import importlib.metadata
import json
import os
import sys
import time


def connect(threads):
    import duckdb

    db = duckdb.connect()
    db.execute(f"SET threads = {threads}; SET enable_progress_bar = false; SET preserve_insertion_order = false")
    return db


def timed(db, query):
    started = time.perf_counter()
    row = db.execute(query).fetchone()
    return row, (time.perf_counter() - started) * 1e3


# One bucket for each of 128 stretches of every power of two.
BUCKET = """CASE WHEN {x} > 0 THEN floor(128 * log2({x}))::INT + 150000
                 WHEN {x} < 0 THEN -150000 - floor(128 * log2(-{x}))::INT ELSE 0 END"""
KS = """
WITH b AS ({base}), s AS ({study}),
     f AS (SELECT sum(coalesce(b.n, 0)) OVER w / (SELECT sum(n) FROM b) AS p, sum(coalesce(s.n, 0)) OVER w / (SELECT sum(n) FROM s) AS q
           FROM b FULL JOIN s USING (k) WINDOW w AS (ORDER BY k))
SELECT (SELECT max(abs(p - q)) FROM f), mb, ms FROM (SELECT {moments} AS mb FROM b), (SELECT {moments} AS ms FROM s)
"""
GROUPED = """SELECT {bucket} AS k, count(*) AS n, min({x}) AS low, max({x}) AS high, sum({x}) AS s1, sum({x}::DOUBLE * {x}) AS s2
             FROM {side} WHERE {x} IS NOT NULL GROUP BY k"""
MOMENTS = "[sum(n), min(low), max(high), sum(s1) / sum(n), sqrt((sum(s2) - sum(s1) ** 2 / sum(n)) / (sum(n) - 1))]"
CHI_SQUARE = """
WITH b AS (SELECT {x} AS k, count(*) AS n FROM base WHERE {x} IS NOT NULL{kept} GROUP BY k),
     s AS (SELECT {x} AS k, count(*) AS n FROM study WHERE {x} IS NOT NULL{kept} GROUP BY k),
     c AS (SELECT coalesce(b.n, 0) AS b, coalesce(s.n, 0) AS s FROM b FULL JOIN s USING (k)
           UNION ALL SELECT {rest_base} - (SELECT sum(n) FROM b), {rest_study} - (SELECT sum(n) FROM s)),
     t AS (SELECT *, sum(b) OVER () AS nb, sum(s) OVER () AS ns FROM c)
SELECT sum((b * sqrt(ns / nb) - s * sqrt(nb / ns)) ** 2 / (b + s)), count(*) - 1 FROM t WHERE b + s > 0
"""


def duckdb(base, study, threads):
    """Two scans: one of all columns for their distinct values, and one of each column for its distribution and moments.

    Every column is grouped by itself and its moments are added up from its groups, which DuckDB does faster than one query
    of `histogram` and `stddev` over all columns. Of a text with many values about 256 are counted, chosen by their hashes,
    and the others as one.
    """
    db = connect(threads)
    for name, path in [("base", base), ("study", study)]:
        db.execute(f"CREATE VIEW {name} AS SELECT * FROM '{path}'")
    columns = db.execute("SELECT column_name, column_type FROM (DESCRIBE base)").fetchall()
    parts = [f"approx_count_distinct({name}), count({name})" for name, _ in columns]
    summary = {side: db.execute(f"SELECT {', '.join(parts)} FROM {side}").fetchone() for side in ("base", "study")}
    statistics = {}
    for index, (name, kind) in enumerate(columns):
        if kind in ("DOUBLE", "BIGINT"):
            sides = {side: GROUPED.format(bucket=BUCKET.format(x=name), x=name, side=side) for side in ("base", "study")}
            query = KS.format(moments=MOMENTS, **sides)
        else:
            distinct = max(values[2 * index] for values in summary.values())
            kept = f" AND hash({name}) < {int(2**64 * 256 / distinct)}::UBIGINT" if distinct > 512 else ""
            rest = {f"rest_{side}": values[2 * index + 1] for side, values in summary.items()}
            query = CHI_SQUARE.format(x=name, kept=kept, **rest)
        statistics[name] = db.execute(query).fetchone()
    return {"statistics": {name: found[0] for name, found in statistics.items()}}


# A row's frame ends with the last row of its value, so ties step together.
EXACT = """
WITH v AS (SELECT {x} AS x, 1 AS b, 0 AS s FROM '{base}' WHERE {x} IS NOT NULL
           UNION ALL SELECT {x}, 0, 1 FROM '{study}' WHERE {x} IS NOT NULL),
     f AS (SELECT sum(b) OVER w AS b, sum(s) OVER w AS s FROM v WINDOW w AS (ORDER BY x)),
     n AS (SELECT sum(b) AS b, sum(s) AS s FROM v)
SELECT max(abs(f.b / n.b - f.s / n.s)) FROM f, n
"""


def duckdb_exact(base, study, threads, *columns):
    db = connect(threads)
    db.execute("SET memory_limit = '1GB'")
    started = time.perf_counter()
    found = {x: db.execute(EXACT.format(x=x, base=base, study=study)).fetchone()[0] for x in columns}
    return {"statistics": found, "run_ms": (time.perf_counter() - started) * 1e3}


def duckdb_column(file, threads):
    deciles = [i / 10 for i in range(1, 10)]
    (quantiles, *_), took = timed(connect(threads), f"""
        SELECT approx_quantile(x, {deciles}), approx_count_distinct(x), count(x), min(x), max(x), avg(x), stddev_samp(x) FROM '{file}'
    """)
    return {"median": quantiles[4], "run_ms": took}


def duckdb_scan(file, threads):
    (total,), took = timed(connect(threads), f"SELECT sum(x) FROM '{file}'")
    return {"sum": total, "run_ms": took}


def evidently(base, study):
    os.environ["DO_NOT_TRACK"] = "true"
    import warnings

    import pandas as pd

    warnings.filterwarnings("ignore")
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    base, study = (Dataset.from_pandas(pd.read_parquet(path), data_definition=DataDefinition()) for path in (base, study))
    started = time.perf_counter()
    report = Report([DataDriftPreset()], include_tests=True).run(study, base)
    took = time.perf_counter() - started
    failed = [test["metric_config"]["params"].get("column") for test in report.dict()["tests"] if test["status"] == "FAIL"]
    return {"run_ms": took * 1e3, "drifted": [column for column in failed if column]}


def median(file):
    import numpy as np
    import pyarrow.parquet as pq

    return {"median": float(np.median(pq.read_table(file, columns=["x"])["x"].to_numpy()))}


def limit():
    """How fast one thread reads memory: the best of five sums of the bits of 1 GiB, which hide nothing behind arithmetic."""
    import numpy as np

    source = np.ones(1 << 27, np.int64)
    took = []
    for _ in range(5):
        started = time.perf_counter()
        np.bitwise_or.reduce(source)
        took.append(time.perf_counter() - started)
    return {"mb_s": source.nbytes / 1e6 / min(took)}


def versions():
    packages = {"DuckDB": "duckdb", "Evidently": "evidently", "whylogs": "whylogs", "Scouter": "scouter-ml", "SciPy": "scipy",
                "NumPy": "numpy", "pandas": "pandas"}
    return [f"{name} {importlib.metadata.version(package)}" for name, package in packages.items()]


TASKS = {
    "duckdb": duckdb, "duckdb-exact": duckdb_exact, "duckdb-column": duckdb_column, "duckdb-scan": duckdb_scan, "evidently": evidently,
    "median": median, "limit": limit, "versions": versions,
}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]](*sys.argv[2:])))
