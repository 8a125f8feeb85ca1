"""What a case costs any engine here: `python limit.py SORTED THREADS FILE…` prints JSON; `python limit.py versions` the peers'."""

import importlib.metadata
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow.parquet as pq


def best(work, repeats=3):
    took = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        took.append(time.perf_counter() - started)
    return min(took)


def limit(is_sorted, threads, files):
    tables = [pq.ParquetFile(file).metadata for file in files]
    rows = [table.num_rows for table in tables]
    # Every column of the cases is a 64-bit number or about as wide; what is written is the right columns, once a left row.
    read = sum(table.num_rows * table.num_columns * 8 for table in tables)
    written = rows[0] * tables[-1].num_columns * 8
    with ThreadPoolExecutor(threads) as pool:
        source = np.ones(32 << 20)
        target = np.empty_like(source)
        parts = list(zip(np.array_split(target, threads), np.array_split(source, threads)))
        copy = best(lambda: list(pool.map(lambda part: np.copyto(*part), parts)))
        # A copy reads and writes.
        bandwidth = 2 * source.nbytes / copy
        del source, target, parts
        sort = 0.0
        if not is_sorted:
            numbers = np.random.default_rng(0).integers(0, 1 << 62, sum(rows))
            sort = best(lambda: list(pool.map(np.sort, np.array_split(numbers, threads))))
    return {"scan_ms": (read + written) / bandwidth * 1e3, "sort_ms": sort * 1e3, "bandwidth_gb_s": bandwidth / 1e9}


if __name__ == "__main__":
    if sys.argv[1] == "versions":
        packages = {"DuckDB": "duckdb", "Polars": "polars", "Feast": "feast", "Dask": "dask", "NumPy": "numpy"}
        print(json.dumps([f"{name} {importlib.metadata.version(package)}" for name, package in packages.items()]))
    else:
        print(json.dumps(limit(sys.argv[1] == "1", int(sys.argv[2]), sys.argv[3:])))
