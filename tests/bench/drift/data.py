"""Writes the Parquet files of the speed cases: `python data.py FOLDER ROWS SMALL GROUPS COLUMN` prints their paths as JSON.

A file that is there is kept: its name tells its rows, and its content is a function of its name alone.
"""

import json
import pathlib
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CHUNK = 500_000
TEXTS = {"text_3": 3, "text_20": 20, "text_300": 300, "text_10k": 10_000, "text_1m": 1_000_000}


def numbers(rng, rows, is_study):
    """Thirteen columns of numbers; `normal_2` and `count_1` drift a little, so that a report has something to say."""
    drift = 0.05 if is_study else 0.0
    masked = lambda values, share: pa.array(values, mask=rng.random(rows) < share)
    return {
        "normal_1": pa.array(rng.normal(0, 1, rows)),
        "normal_2": pa.array(rng.normal(100 + drift, 1, rows)),
        "normal_3": pa.array(rng.normal(-5, 0.01, rows)),
        "normal_4": masked(rng.normal(0, 1_000, rows), 0.1),
        "normal_5": masked(rng.normal(20, 5, rows), 0.01),
        "amount_1": pa.array(rng.lognormal(3, 1, rows)),
        "amount_2": pa.array(rng.lognormal(0, 2, rows)),
        "amount_3": pa.array(np.round(rng.lognormal(4, 1, rows), 2)),
        "amount_4": masked(rng.lognormal(0, 1, rows), 0.3),
        "count_1": pa.array(rng.poisson(3 + drift, rows)),
        "count_2": pa.array(rng.integers(0, 1_000_000, rows)),
        "count_3": masked(rng.geometric(0.01, rows), 0.2),
        "count_4": pa.array(rng.integers(18, 100, rows)),
    }


def sample(seed, rows, is_study):
    rng = np.random.default_rng(seed)
    columns = numbers(rng, rows, is_study)
    for name, distinct in TEXTS.items():
        # Few values are common and many are rare, but for identifiers, which are all alike.
        drawn = rng.random(rows) if distinct > 100_000 else rng.random(rows) ** 3
        values = pa.array(np.char.add("v", np.arange(distinct).astype(str)))
        columns[name] = pa.DictionaryArray.from_arrays(pa.array((drawn * distinct).astype(np.int32)), values).dictionary_decode()
    columns["flag_1"], columns["flag_2"] = pa.array(rng.random(rows) < 0.01), pa.array(rng.random(rows) < 0.4)
    return pa.table(columns)


def write(path, tables):
    """A file appears when it is whole. Row groups are of one chunk each."""
    if path.exists():
        return
    writer = None
    for table in tables:
        writer = writer or pq.ParquetWriter(path.with_suffix(".part"), table.schema, use_dictionary=list(TEXTS))
        writer.write_table(table)
    writer.close()
    path.with_suffix(".part").rename(path)


def chunks(rows):
    return [(start, min(CHUNK, rows - start)) for start in range(0, rows, CHUNK)]


def data(folder, rows, small, groups, column):
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}-{size}.parquet" for name, size in
             [("base", rows), ("study", rows), ("base_small", small), ("study_small", small), ("groups", groups), ("column", column)]}
    for number, name in enumerate(["base", "study", "base_small", "study_small"]):
        size = small if name.endswith("small") else rows
        write(files[name], (sample([number, start], count, number % 2 == 1) for start, count in chunks(size)))
    # 1,000 rows of a group lie together.
    normal = lambda start, count: np.random.default_rng([7, start]).normal(10, 2, count)
    write(files["groups"], (
        pa.table({"g": (np.arange(start, start + count) // 1_000).astype(np.int32), "x": normal(start, count)})
        for start, count in chunks(groups * 1_000)
    ))
    write(files["column"], (pa.table({"x": normal(start, count)}) for start, count in chunks(column)))
    return {name: str(path) for name, path in files.items()}


if __name__ == "__main__":
    print(json.dumps(data(pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:]))))
