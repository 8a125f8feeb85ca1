"""The samples of the grid, each a function of its cell, trial and side alone, and their Parquet files."""

import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def categories(kind, effect):
    count = int(kind[3:])
    share = 1 / np.arange(1, count + 1)
    share /= share.sum()
    if effect == "share5":
        share[[0, 1]] += [-0.05, 0.05]
    return share


def column(kind, effect, rng, rows):
    """One sample as an Arrow array."""
    if kind in ("normal", "null"):
        shift, scale = {"shift0.1": (0.1, 1), "shift0.2": (0.2, 1), "scale1.2": (0, 1.2)}.get(effect, (0, 1))
        mask = rng.random(rows) < 0.1 if kind == "null" else None
        return pa.array(rng.normal(shift, scale, rows), mask=mask)
    if kind == "lognormal":
        return pa.array(rng.lognormal(0, 2, rows))
    if kind == "poisson":
        return pa.array(rng.poisson(3, rows))
    if kind == "bool":
        return pa.array(rng.random(rows) < (0.02 if effect == "double" else 0.01))
    share = categories(kind, effect)
    # An inverse of the cumulated shares, since rng.choice with shares is slower.
    drawn = np.minimum(np.searchsorted(share.cumsum(), rng.random(rows), side="right"), len(share) - 1)
    return pa.DictionaryArray.from_arrays(pa.array(drawn.astype(np.int32)), [f"c{i:04}" for i in range(len(share))])


def sample(cell, trial, side):
    seed = [zlib.crc32(cell.name.encode()), trial, ("base", "study").index(side)]
    effect = cell.effect if side == "study" else ""
    rows = cell.size.base if side == "base" else cell.size.study
    return column(cell.kind, effect, np.random.default_rng(seed), rows)


def write(cell, trials, folder):
    """Both samples of every trial: {base,study}.parquet with the columns trial and x."""
    for side in ("base", "study"):
        writer = None
        for trial in range(trials):
            x = sample(cell, trial, side)
            table = pa.table({"trial": pa.array(np.full(len(x), trial, np.int32)), "x": x})
            if writer is None:
                # Without the Arrow schema the categories are read back as plain texts.
                writer = pq.ParquetWriter(folder / f"{side}.parquet", table.schema, store_schema=False)
            writer.write_table(table)
        writer.close()
