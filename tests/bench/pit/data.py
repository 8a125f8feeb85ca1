"""Makes the benchmark's tables: `python data.py FOLDER NAME…` writes NAME.parquet into FOLDER.

Every table is a function of its name alone. No two right rows of a key have the same time, since DuckDB and Polars leave
open which of two rows of one time they take. Values are integers, so that a sum is exact in whatever order it is made.
"""

import pathlib
import sys
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

EPOCH = np.datetime64("2024-01-01T00:00:00", "us")
MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000


def times(offsets):
    """Microseconds after the epoch of the data, as timestamps."""
    return EPOCH + offsets.astype("timedelta64[us]")


def right(rng, rows, keys, spacing=1_000):
    """Rows in random order, `spacing` microseconds apart over all keys."""
    key = {"k": rng.integers(0, keys, rows)} if keys else {}
    return key | {"t": times(rng.permutation(rows) * spacing), "v": rng.integers(0, 1_000_000, rows)}


def left(rng, rows, keys, span):
    key = {"k": rng.integers(0, keys, rows)} if keys else {}
    return key | {"t": times(rng.integers(0, span, rows))}


def by_time(columns):
    order = np.argsort(columns["t"], kind="stable")
    return {name: column[order] for name, column in columns.items()}


def few_keys_right(rng):
    """The build side of DuckDB's own benchmark `asof_join`: 100,000 minutes of 50 keys, in time order."""
    minute, key = np.divmod(np.arange(5_000_000), 50)
    return {"k": key, "t": times(minute * MINUTE), "v": minute}


def few_keys_left(rng):
    """Its probe side: half a minute earlier, and half of the keys have no match."""
    built = few_keys_right(rng)
    return {"k": built["k"] * 2, "t": built["t"] - np.timedelta64(30_000_000, "us")}


def daily(rng, features):
    """100,000 entities over 14 days, a row each day at a time of its own."""
    entity, day = np.divmod(rng.permutation(1_400_000), 14)
    columns = {"id": entity, "t": times(day * DAY + rng.integers(0, DAY, len(day)))}
    return columns | {f"f{i}": rng.integers(0, 1_000_000, len(day)).astype(float) for i in range(features)}


def sensors(rng):
    """50 entities with 2,000 rows each, ten minutes apart in the mean: a quarter of the gaps is longer than the ttl."""
    entity = np.repeat(np.arange(50), 2_000)
    gaps = rng.exponential(10 * MINUTE, (50, 2_000)).astype(np.int64) + 1
    columns = {"id": entity, "t": times(gaps.cumsum(axis=1).ravel())}
    columns |= {f"f{i}": rng.integers(0, 1_000_000, 100_000).astype(float) for i in range(5)}
    order = rng.permutation(100_000)
    return {name: column[order] for name, column in columns.items()}


def spine(rng, rows, entities, span):
    return {"id": rng.integers(0, entities, rows), "t": times(rng.integers(0, span, rows))}


TABLES = {
    "few_keys_left": few_keys_left,
    "few_keys_right": few_keys_right,
    "many_keys_left": lambda rng: left(rng, 1_000_000, 10_000, 1_000_000_000),
    "many_keys_right": lambda rng: right(rng, 1_000_000, 10_000),
    "small_left_left": lambda rng: left(rng, 100_000, 100_000, 1_000_000_000),
    "small_left_right": lambda rng: right(rng, 1_000_000, 100_000),
    "no_key_left": lambda rng: left(rng, 1_000_000, None, 10_000_000_000),
    "no_key_right": lambda rng: right(rng, 10_000_000, None),
    "no_key_small_left": lambda rng: by_time(left(rng, 1_000_000, None, 10_000_000_000)),
    "no_key_small_right": lambda rng: by_time(right(rng, 10_000, None, spacing=1_000_000)),
    "twenty_left": lambda rng: left(rng, 100_000, 1_000, 500_000_000_000),
    "twenty_right": lambda rng: right(rng, 500_000, 1_000, spacing=1_000_000),
    "daily_events": lambda rng: daily(rng, 10),
    "daily_spine": lambda rng: spine(rng, 20_000, 100_000, 14 * DAY),
    "sensors_events": lambda rng: sensors(rng),
    "sensors_spine": lambda rng: spine(rng, 10_000, 50, 20_000 * MINUTE),
}
for million in [1, 2, 5, 10, 20, 50]:
    rows = million * 1_000_000
    TABLES[f"scale_{million}m_left"] = lambda rng, rows=rows: left(rng, rows, 10_000, rows * 1_000)
    TABLES[f"scale_{million}m_right"] = lambda rng, rows=rows: right(rng, rows, 10_000)


def make(folder, name):
    path = folder / f"{name}.parquet"
    if path.exists():
        return
    columns = TABLES[name](np.random.default_rng(zlib.crc32(name.encode())))
    part = path.with_suffix(".part")
    pq.write_table(pa.table(columns), part, compression="lz4", row_group_size=1_000_000)
    part.rename(path)
    print(f"{name}: {len(columns['t']):,} rows", file=sys.stderr)


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    # Tables that another version of this script made are made again.
    source, stamp = pathlib.Path(__file__).read_text(), folder / "data.py"
    if not stamp.exists() or stamp.read_text() != source:
        for old in folder.glob("*.parquet"):
            old.unlink()
        stamp.write_text(source)
    for name in sys.argv[2:]:
        make(folder, name)
