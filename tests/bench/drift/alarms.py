"""Asks every tool about every trial of cells: `python alarms.py FOLDER WORKERS SHARE WHO NAME…` prints a JSON line a cell.

SHARE is the share of the trials that is run, WHO is `ours`, `peers` or `both`; SKEWLESS names our binary. One process runs a cell,
with one thread: writes both samples of all trials into two Parquet files, one row group a trial, asks our binary once about
all of them and the peers about one trial after the other, and deletes the files.
"""

import json
import math
import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import traceback

from cells import ALARMS, ALPHA, POWER

OURS = """
SELECT trial, metric, p_value, is_drift, note FROM ml_validate_drift(
    base => (SELECT trial, x FROM 'base.parquet'),
    study => (SELECT trial, x FROM 'study.parquet'),
    by => ['trial'], correction => 'none', alpha => 0.05)
"""
# The report is also run for the first trial, up to this many rows: it draws each column, which takes time.
REPORT_ROWS = 20_000
TIMEOUT_S = 300


def ask_us(folder, trials):
    """Our alarms: of the column, of its values alone, and of each metric by itself.

    A column has a test of its values and one of its share of NULLs, which share the level: of m tests each gets alpha / m.
    The others look at the values alone, so that test is counted at the whole level too.
    """
    command = [os.environ["SKEWLESS"], "sql", "--format", "ndjson", "--partitions", "1", "-c", OURS]
    surroundings = os.environ | {"TOKIO_WORKER_THREADS": "1"}
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=surroundings, timeout=TIMEOUT_S)
    if ran.returncode:
        raise RuntimeError(ran.stderr.strip())
    rows = {}
    for line in ran.stdout.splitlines():
        row = json.loads(line)
        rows.setdefault(row["trial"], []).append(row)
    column, values, metrics, untested = 0, 0, {}, {}
    for trial in range(trials):
        tested = [row for row in rows.get(trial, []) if row["p_value"] is not None]
        column += any(row["p_value"] <= ALPHA / len(tested) for row in tested)
        values += any(row["is_drift"] and row["metric"] != "missing" for row in tested)
        for row in tested:
            alarms, asked = metrics.get(row["metric"], (0, 0))
            metrics[row["metric"]] = (alarms + bool(row["is_drift"]), asked + 1)
        if not tested:
            note = next((row["note"] for row in rows.get(trial, []) if row["note"]), "no row")
            untested[note] = untested.get(note, 0) + 1
    return {
        "skewless": {"alarms": column, "trials": trials, "metrics": metrics, "untested": untested},
        "skewless-values": {"alarms": values, "trials": trials},
    }


def run(job):
    # Imported by the workers alone.
    import samples

    cell, share, who, parent = job
    started = time.monotonic()
    trials = math.ceil(cell.size.trials * share)
    result = {"name": cell.name, "tools": {}, "seconds": {}}
    with tempfile.TemporaryDirectory(dir=parent, prefix=cell.name) as folder:
        folder = pathlib.Path(folder)
        samples.write(cell, trials, folder)
        result["seconds"]["samples"] = time.monotonic() - started
        if who != "peers":
            started = time.monotonic()
            try:
                result["tools"] |= ask_us(folder, trials)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                result["tools"]["skewless"] = {"failed": str(error)}
            result["seconds"]["skewless"] = time.monotonic() - started
        if who == "ours":
            return result
        import pyarrow.parquet as pq

        import peers

        files = [pq.ParquetFile(folder / f"{side}.parquet") for side in ("base", "study")]
        for trial in range(trials):
            base, study = (file.read_row_group(trial, ["x"]).to_pandas() for file in files)
            for name, rule in peers.RULES.items():
                told = result["tools"].setdefault(name, {"alarms": 0, "trials": 0, "errors": {}})
                if name.startswith("whylogs") and trial >= math.ceil(cell.size.whylogs * share):
                    continue
                started = time.monotonic()
                try:
                    alarm = rule(cell.kind, base, study)
                    told["alarms"] += alarm is True
                    told["trials"] += alarm is not None
                # Scouter's panics are no Exception.
                except BaseException as error:
                    if isinstance(error, (KeyboardInterrupt, SystemExit)):
                        raise
                    told["errors"][repr(error)[:200]] = told["errors"].get(repr(error)[:200], 0) + 1
                result["seconds"][name] = result["seconds"].get(name, 0) + time.monotonic() - started
            if trial == 0 and len(base) + len(study) <= REPORT_ROWS:
                one, whole = peers.evidently(cell.kind, base, study), peers.evidently_report(cell.kind, base, study)
                result["report_agrees"] = one == whole
    return result


def guarded(job):
    try:
        return run(job)
    except Exception:
        return {"name": job[0].name, "failed": traceback.format_exc()}


def main():
    folder, workers, share, who, *names = sys.argv[1:]
    cells = [cell for cell in ALARMS + POWER if cell.name in names]
    # The longest first, so that no worker is left with one of them at the end.
    cells.sort(key=lambda cell: -(cell.size.base + cell.size.study) * cell.size.trials)
    jobs = [(cell, float(share), who, folder) for cell in cells]
    with multiprocessing.get_context("spawn").Pool(int(workers)) as pool:
        for result in pool.imap_unordered(guarded, jobs):
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
