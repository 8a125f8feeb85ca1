"""Measures drift validation beside its peers, and writes the guide's page of results.

`cargo xtask bench drift` runs it with SKEWLESS naming the release binary. It has three parts, about 25 minutes on two idle
cores in all:

alarms  How often each tool raises an alarm where nothing drifts, over kinds of columns and sizes of samples: 13 minutes.
power   How often it does where something does, beside that: 2 minutes; the cells without drift are run where they are missing.
speed   Two samples of 5M rows and 20 columns, by profiles and by an exact second pass; what Evidently can do of them; profiles
        merged; the throughput of a profile: 10 minutes, and 2 more the first time, to write the data.

The peers' results are kept, so `--ours-only` measures our own again: alarms and power in 2 minutes, speed in 5.

Results: target/bench/drift.json, which keeps what was not run this time, tests/guide/benchmarks/drift.md and its plot,
drift-alarms.svg. With `--tiny` all of them lie in target/bench.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path

from cells import ALARMS, POWER
from page import page

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skewless"
DATA = CACHE / "bench-drift"
PYTHON = CACHE / "python-bench-drift/bin/python"
RESULTS = ROOT / "target/bench/drift.json"
PAGE = ROOT / "tests/guide/benchmarks/drift.md"
SPEED = ("validate", "exact", "evidently", "merge", "profile")
# The columns of numbers, as data.py writes them.
NUMBERS = [f"{kind}_{i}" for kind, count in (("normal", 5), ("amount", 4), ("count", 4)) for i in range(1, count + 1)]
# Rows of a sample, of a sample that Evidently can do, groups of 1,000 rows, rows of the single column.
FULL, TINY = (5_000_000, 200_000, 10_000, 100_000_000), (200_000, 5_000, 200, 1_000_000)
TIMEOUT_S = 400
SLOW_MS = 20_000


def say(text):
    print(text, file=sys.stderr, flush=True)


def fail(text):
    sys.exit(f"error: {text}")


def prepare_python():
    """The benchmark's own virtual environment, made anew when its requirements change."""
    wanted = (HERE / "requirements.txt").read_text()
    stamp = PYTHON.parents[1] / "requirements.txt"
    if PYTHON.is_file() and stamp.is_file() and stamp.read_text() == wanted:
        return
    say(f"installing {HERE / 'requirements.txt'} into {PYTHON.parents[1]}")
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", HERE / "requirements.txt"]
    for command in [[sys.executable, "-m", "venv", PYTHON.parents[1]], pip]:
        if subprocess.run(command).returncode:
            fail("the peers cannot be installed; does pip reach a package index?")
    stamp.write_text(wanted)


def python(*arguments):
    """Runs one of the scripts beside this one and reads the JSON it prints."""
    ran = subprocess.run([PYTHON, HERE / arguments[0], *map(str, arguments[1:])], stdout=subprocess.PIPE, text=True)
    if ran.returncode:
        fail(f"{arguments[0]} failed")
    return json.loads(ran.stdout)


def run_cells(cells, options, results, save):
    """Runs the cells, one process a core; what a cell has of tools that are not asked now is kept."""
    who = "peers" if options.peers_only else "ours" if options.ours_only else "both"
    command = [PYTHON, HERE / "alarms.py", DATA, str(os.cpu_count()), str(options.share), who, *[cell.name for cell in cells]]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for number, line in enumerate(child.stdout, 1):
        told = json.loads(line)
        if "failed" in told:
            say(f"{number}/{len(cells)} {told['name']} failed: {told['failed']}")
            continue
        name = told.pop("name")
        kept = results["cells"].setdefault(name, {"tools": {}})
        kept |= told | {"tools": kept["tools"] | told["tools"]}
        save()
        broken = [f"{tool}: {found['failed']}" for tool, found in told["tools"].items() if "failed" in found]
        say(f"{number}/{len(cells)} {name}: {sum(told['seconds'].values()):.1f} s" + "".join(f"; {text}" for text in broken))
    if child.wait():
        fail("alarms.py failed")


class Process:
    """A process that ran to its end: `ms` and `peak_mb` of all of it, the rows it printed, and how long the
    statement itself took, as the system tells it."""

    def __init__(self, command, threads):
        surroundings = os.environ | {"TOKIO_WORKER_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
            started = time.perf_counter()
            child = subprocess.Popen(list(map(str, command)), stdout=out, stderr=errors, env=surroundings, cwd=DATA)
            timer = threading.Timer(TIMEOUT_S, child.kill)
            timer.start()
            _, status, usage = os.wait4(child.pid, 0)
            self.ms = (time.perf_counter() - started) * 1e3
            timer.cancel()
            child.returncode = os.waitstatus_to_exitcode(status)
            self.peak_mb = usage.ru_maxrss / 1024
            for file in (out, errors):
                file.seek(0)
            printed, told = out.read(), errors.read()
        if child.returncode:
            raise RuntimeError(f"stopped after {TIMEOUT_S} s" if child.returncode == -9 else told.strip()[-2_000:])
        self.rows = [json.loads(line) for line in printed.splitlines()]
        took = [json.loads(line)["elapsed_ms"] for line in told.splitlines() if line.startswith('{"statement"')]
        took += [row["run_ms"] for row in self.rows if "run_ms" in row]
        self.statement_ms = took[-1] if took else None


def ours(sql, threads):
    return [os.environ["SKEWLESS"], "sql", "--timing", "--format", "ndjson", "--partitions", threads, "-c", sql], threads


def peer(threads, *task):
    return [PYTHON, HERE / "speed.py", *task], threads


def speed_case(name, files):
    """The systems of a case: name, and the command with its threads."""
    cores = os.cpu_count()
    validate = "SELECT * FROM ml_validate_drift(base => (SELECT * FROM '{}'), study => (SELECT * FROM '{}'))"
    if name == "validate":
        pair = files["base"], files["study"]
        return {
            "skewless": ours(validate.format(*pair), cores),
            "duckdb": peer(cores, "duckdb", *pair, cores),
            "skewless-1": ours(validate.format(*pair), 1),
            "duckdb-1": peer(1, "duckdb", *pair, 1),
        }
    if name == "exact":
        pair = files["base"], files["study"]
        sides = [f"(SELECT {', '.join(NUMBERS)} FROM '{file}')" for file in pair]
        exact = "SET datafusion.runtime.memory_limit = '1G'; " \
            f"SELECT * FROM ml_validate_drift(base => {sides[0]}, study => {sides[1]}, metrics => ['ks'], exact => true)"
        return {
            "skewless": ours(exact, cores),
            "duckdb": peer(cores, "duckdb-exact", *pair, cores, *NUMBERS),
            "skewless-1": ours(exact, 1),
            "duckdb-1": peer(1, "duckdb-exact", *pair, 1, *NUMBERS),
        }
    if name == "evidently":
        pair = files["base_small"], files["study_small"]
        return {"skewless": ours(validate.format(*pair), cores), "evidently": peer(cores, "evidently", *pair)}
    if name == "merge":
        median = "ml_profile_quantile(ml_profile{}({}), 0.5) AS median FROM '{}'"
        return {
            "skewless": ours("SELECT " + median.format("_merge", "p", files["profiles"]), cores),
            "skewless-1": ours("SELECT " + median.format("_merge", "p", files["profiles"]), 1),
            "skewless-rows-1": ours("SELECT " + median.format("", "x", files["groups"]), 1),
        }
    file = files["column"]
    return {
        "skewless-1": ours(f"SELECT ml_profile_quantile(ml_profile(x), 0.5) AS median FROM '{file}'", 1),
        "duckdb-1": peer(1, "duckdb-column", file, 1),
        "skewless-scan-1": ours(f"SELECT sum(x) FROM '{file}'", 1),
        "duckdb-scan-1": peer(1, "duckdb-scan", file, 1),
    }


def run_speed(name, options, results):
    files = python("data.py", DATA, *(TINY if options.tiny else FULL))
    result = results["speed"].setdefault(name, {"systems": {}})
    result["rows"] = dict(zip(("sample", "small", "groups", "column"), TINY if options.tiny else FULL))
    result["bytes"] = {key: os.path.getsize(path) for key, path in files.items()}
    if name == "merge" and not options.peers_only:
        files["profiles"] = str(Path(files["groups"]).with_name("profiles.parquet"))
        Path(files["profiles"]).unlink(missing_ok=True)
        sql = f"COPY (SELECT g, ml_profile(x) AS p FROM '{files['groups']}' GROUP BY g) TO '{files['profiles']}'"
        try:
            made = Process(*ours(sql, os.cpu_count()))
            result |= {"made_ms": made.ms, "made_mb": made.peak_mb}
            result["bytes"]["profiles"] = os.path.getsize(files["profiles"])
        except RuntimeError as error:
            say(f"merge: the profiles cannot be made: {error}")
    files.setdefault("profiles", "profiles.parquet")
    if name in ("merge", "profile"):
        result["median"] = python("speed.py", "median", files["groups" if name == "merge" else "column"])["median"]
    wanted = {
        system: command for system, command in speed_case(name, files).items()
        if not (options.ours_only and not system.startswith("skewless")) and not (options.peers_only and system.startswith("skewless"))
    }
    result["systems"] |= {system: {} for system in wanted}
    # Every system finds the files in the page cache.
    subprocess.run(["cat", *[path for path in files.values() if os.path.exists(path)]], stdout=subprocess.DEVNULL)
    for number in range(options.rounds):
        for system, command in wanted.items():
            measured = result["systems"][system]
            if "failed" in measured or (number and measured["ms"][0] > SLOW_MS):
                continue
            try:
                process = Process(*command)
            except RuntimeError as error:
                say(f"{name}: {system} failed: {error}")
                measured["failed"] = str(error)
                continue
            measured.setdefault("ms", []).append(process.ms)
            measured["peak_mb"] = max(process.peak_mb, measured.get("peak_mb", 0))
            if process.statement_ms is not None:
                measured.setdefault("statement_ms", []).append(process.statement_ms)
            measured["rows"] = process.rows if len(process.rows) < 1_000 else []
            say(f"{name}: round {number + 1}, {system}: {process.ms:,.0f} ms, {process.peak_mb:,.0f} MB")
    if name == "profile":
        result["limit_mb_s"] = python("speed.py", "limit")["mb_s"]
    result["load"] = os.getloadavg()[0]


def machine():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return f"{os.cpu_count()} cores ({cpu[1] if cpu else platform.machine()}), {memory:.0f} GiB, {system}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--part", action="append", choices=["alarms", "power", "speed"], help="run only this part; may be repeated")
    parser.add_argument("--case", action="append", metavar="TEXT", help="run only cases whose name contains this; may be repeated")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds over the systems of a speed case [default: 3]")
    parser.add_argument("--share", type=float, default=1.0, metavar="X", help="share of the trials that is run [default: 1]")
    parser.add_argument("--tiny", action="store_true", help="a fiftieth of the trials and small tables, to try the script; results in target/bench")
    parser.add_argument("--peers-only", action="store_true", help="measure the peers without us; no page is written")
    parser.add_argument("--ours-only", action="store_true", help="measure us again and keep what there is of the peers")
    parser.add_argument("--report", action="store_true", help="run nothing; write the page from the results there are")
    options = parser.parse_args()
    target, out = (RESULTS.with_name("drift-tiny.json"), RESULTS.with_name("drift-tiny.md")) if options.tiny else (RESULTS, PAGE)
    if options.tiny:
        options.share, options.rounds = min(options.share, 0.02), 1
    results = json.loads(target.read_text()) if target.exists() else {"cells": {}, "speed": {}}

    def save():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(results, indent=1))

    # Processes run in other folders.
    given = os.environ.get("SKEWLESS")
    binary = os.environ["SKEWLESS"] = os.path.abspath(given) if given else ""
    if not options.report:
        if not options.peers_only and not os.access(binary, os.X_OK):
            fail("SKEWLESS must name the release binary; `cargo xtask bench drift` builds it and starts this script")
        parts = options.part or ["alarms", "power", "speed"]
        named = lambda name: not options.case or any(text in name for text in options.case)
        cells = [cell for part, of in [("alarms", ALARMS), ("power", POWER)] if part in parts for cell in of if named(cell.name)]
        # Power means nothing without the false alarms beside it.
        beside = {cell.null for cell in cells} - {cell.name for cell in cells} - set(results["cells"])
        cells += [cell for cell in ALARMS if cell.name in beside]
        if options.tiny:
            cells = [cell for cell in cells if cell.size.base <= 10_000]
        speed = [name for name in SPEED if "speed" in parts and named(name)]
        if not cells and not speed:
            fail(f"no case of {', '.join(parts)} has {' or '.join(options.case)} in its name")
        prepare_python()
        DATA.mkdir(parents=True, exist_ok=True)
        version = subprocess.run([binary, "--version"], stdout=subprocess.PIPE, text=True).stdout.split() if binary else ["?"]
        results |= {"machine": machine(), "date": date.today().isoformat()}
        results["versions"] = ", ".join([f"Skewless {version[-1]}", *python("speed.py", "versions")])
        started = time.monotonic()
        if cells:
            run_cells(cells, options, results, save)
        for name in speed:
            run_speed(name, options, results)
            save()
        say(f"done in {time.monotonic() - started:.0f} s")
    if options.peers_only:
        return
    prepare_python()
    out.parent.mkdir(parents=True, exist_ok=True)
    plot = out.with_name("drift-alarms.svg")
    if subprocess.run([PYTHON, HERE / "plot.py", target, plot]).returncode:
        fail("plot.py failed")
    out.write_text(page(results))
    say(f"wrote {out.relative_to(ROOT)}, {plot.relative_to(ROOT)} and {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
