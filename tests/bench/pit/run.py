"""Measures point-in-time joins against their peers, and writes the guide's page of results.

`cargo xtask bench pit` runs it with SKEWLESS naming the release binary. Every case is run by each system in a process of its
own, round after round in turn: the process loads its input, runs the query twice to warm up (once if it takes more than
three seconds), and then three times or as often as fits into a second, timing each run. Medians are over all runs of all
rounds. Peak memory is of one more process, which runs the query once; a system that takes more than 20 seconds there is not
run again. The answers of all systems must agree.

Results: target/bench/pit.json, which keeps cases that were not run this time, and tests/guide/benchmarks/point-in-time.md.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import textwrap
import time
from datetime import date
from pathlib import Path

from cases import CASES

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skewless"
DATA = CACHE / "bench-pit"
PYTHON = CACHE / "python-bench-pit/bin/python"
RESULTS = ROOT / "target/bench/pit.json"
PAGE = ROOT / "tests/guide/benchmarks/point-in-time.md"
OURS = ("skewless", "skewless-1")
SLOW_MS = 20_000
LONG_MS = 3_000
LARGE = ("scale_20m", "scale_50m")


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
    return json.loads(ran.stdout or "null")


def path(file):
    return file if "/" in file else f"{DATA}/{file}.parquet"


def our_loads(case):
    if case.parquet:
        load = "CREATE EXTERNAL TABLE {} STORED AS PARQUET LOCATION '{}'"
    else:
        load = "CREATE TABLE {} AS SELECT * FROM '{}'"
    return [load.format(table, path(file)) for table, file in case.tables.items()] + case.definitions


class Process:
    """One system with one case's input: `loaded_kb` and `peak_kb` are resident memory, `runs` (milliseconds, answer).

    `cpu_ms` is the processor time of a run, over all threads and runs, which other work on the machine disturbs less.
    """

    def __init__(self, case, system, runs):
        threads = 1 if system == "skewless-1" else os.cpu_count()
        ours = system in OURS
        if ours:
            loads = our_loads(case)
            command = [os.environ["SKEWLESS"], "sql", "--timing", "--format", "ndjson", "--partitions", str(threads), "-f", "-"]
            script = ";\n".join(loads + [case.ours] * runs)
        else:
            command, script = [PYTHON, HERE / "peers.py", system, case.name, DATA, str(runs), str(threads)], ""
        surroundings = os.environ | {"TOKIO_WORKER_THREADS": str(threads), "POLARS_MAX_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
        pipe = subprocess.PIPE
        child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe if ours else None, text=True, env=surroundings, cwd=DATA)
        child.stdin.write(script)
        child.stdin.close()
        times, self.loaded_kb, errors, loading_s = [], 0, [], 0.0
        for line in child.stderr if ours else child.stdout:
            told = json.loads(line) if line.startswith("{") else None
            if told is None:
                errors.append(line.rstrip())
            elif told.get("loaded") or (ours and told["statement"] == len(loads)):
                self.loaded_kb, loading_s = loaded(child.pid)
            elif not ours:
                times.append((told["ms"], told["answer"]))
            elif told["statement"] > len(loads):
                times.append(told["elapsed_ms"])
        answers = [list(json.loads(line).values()) for line in child.stdout] if ours else []
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        self.peak_kb = usage.ru_maxrss
        self.cpu_ms = (usage.ru_utime + usage.ru_stime - loading_s) * 1e3 / runs
        self.runs = list(zip(times, answers)) if ours else times
        if child.returncode or len(self.runs) != runs:
            raise RuntimeError("\n".join(errors) or f"{system} ended with {child.returncode}")


def loaded(pid):
    """Resident memory and processor time of a process that has its input.

    From here on the peak is counted: what loading took for a moment is no part of a query's cost.
    """
    try:
        proc = Path(f"/proc/{pid}")
        status, stat = (proc / "status").read_text(), (proc / "stat").read_text().rpartition(")")[2].split()
        (proc / "clear_refs").write_text("5")
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]), (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, TypeError):
        return 0, 0.0


def agree(case, one, other):
    """Whether two answers are the same, floating-point sums but for the order of addition."""
    start = 0 if case.row_counts else 1
    near = lambda a, b: a == b or (None not in (a, b) and abs(a - b) <= 1e-9 * max(abs(a), abs(b)))
    return len(one) == len(other) and all(map(near, one[start:], other[start:]))


def measure(case, options):
    python("data.py", DATA, *[file for file in case.tables.values() if "/" not in file])
    systems = ([] if options.peers_only else list(OURS)) + list(case.peers)
    result = {"title": case.title, "note": case.note, "parquet": case.parquet, "systems": {}}
    plan = {}
    for system in systems:
        say(f"{case.name}: {system}, memory")
        try:
            single = Process(case, system, 1)
        except RuntimeError as error:
            say(f"{case.name}: {system} failed: {error}")
            result["systems"][system] = {"failed": str(error)}
            continue
        (first, answer), = single.runs
        result["systems"][system] = {
            "loaded_mb": single.loaded_kb / 1024, "peak_mb": single.peak_kb / 1024, "runs_ms": [], "answer": answer,
            "cpu_ms": single.cpu_ms,
        }
        if first > SLOW_MS:
            result["systems"][system]["runs_ms"].append(first)
        else:
            # How many runs are not counted, and how many are.
            plan[system] = (1, 1) if first > LONG_MS else (2, max(3, min(20, int(1_000 / first))))
    for number in range(1 if case.name in LARGE else options.rounds):
        for system, (warm, repeats) in plan.items():
            process, measured = Process(case, system, warm + repeats), result["systems"][system]
            times = [ms for ms, _ in process.runs[warm:]]
            measured["runs_ms"] += times
            measured["cpu_ms"] = min(process.cpu_ms, measured.get("cpu_ms", process.cpu_ms))
            say(f"{case.name}: round {number + 1}, {system}: {statistics.median(times):,.1f} ms")
    compared = {system: measured["answer"] for system, measured in result["systems"].items() if "answer" in measured}
    reference = next(iter(compared.values()), None)
    differing = [system for system, answer in compared.items() if not agree(case, reference, answer)]
    if differing:
        fail(f"{case.name}: answers differ: " + "; ".join(f"{system} {answer}" for system, answer in compared.items()))
    for measured in result["systems"].values():
        if "runs_ms" in measured:
            measured["median_ms"] = statistics.median(measured["runs_ms"])
            measured["best_ms"] = min(measured["runs_ms"])
    result["limit"] = python("limit.py", int(case.sorted), os.cpu_count(), *[path(file) for file in case.tables.values()])
    if "median_ms" in result["systems"].get("skewless", {}):
        result["where"] = where(case)
    result["load"] = os.getloadavg()[0]
    return result


def where(case):
    """Our operators that take a twentieth of the work or more, with their share, by EXPLAIN ANALYZE."""
    script = ";\n".join(our_loads(case) + [case.ours, "EXPLAIN ANALYZE " + case.ours])
    command = [os.environ["SKEWLESS"], "sql", "--format", "ndjson", "-f", "-"]
    ran = subprocess.run(command, input=script, stdout=subprocess.PIPE, text=True, cwd=DATA)
    if ran.returncode:
        return {}
    took = {}
    units = {"s": 1e3, "ms": 1.0, "µs": 1e-3, "us": 1e-3, "ns": 1e-6}
    for row in ran.stdout.splitlines()[1:]:
        for line in json.loads(row).get("plan", "").splitlines():
            operator = re.match(r"\s*(\w+)", line)
            for metric, value, unit in re.findall(r"\b(elapsed_compute|build_time)=([\d.]+)(s|ms|µs|us|ns)\b", line):
                name = operator[1].removesuffix("Exec") + (" index" if metric == "build_time" else "")
                took[name] = took.get(name, 0) + float(value) * units[unit]
    total = sum(took.values()) or 1
    return {name: ms for name, ms in sorted(took.items(), key=lambda item: -item[1]) if ms >= total / 20}


def machine():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return f"{os.cpu_count()} cores ({cpu[1] if cpu else platform.machine()}), {memory:.0f} GiB, {system}"


NAMES = {"duckdb": "DuckDB", "polars-memory": "Polars", "polars-streaming": "Polars streaming",
         "feast-duckdb": "Feast on DuckDB", "feast-dask": "Feast on Dask"}


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(measured):
    if measured is None:
        return "·"
    return "failed" if "failed" in measured else f"{number(measured['median_ms'])}"


def best_peer(systems):
    peers = {name: systems[name] for name in NAMES if "median_ms" in systems.get(name, {})}
    return min(peers.items(), key=lambda item: item[1]["median_ms"]) if peers else (None, None)


def page(results):
    """The guide's page."""
    cases = {case.name: results["cases"][case.name] for case in CASES if case.name in results["cases"]}
    main = {name: case for name, case in cases.items() if not name.startswith("scale_")}
    scales = {name: case for name, case in cases.items() if name.startswith("scale_")}
    lines = [
        "# Point-in-time joins and training sets, measured", "",
        f"Measured on {results['date']} by `cargo xtask bench pit`; [how](../../bench/pit/run.py), "
        "[what](../../bench/pit/cases.py).", "",
        f"**Machine.** {results['machine']}.", "",
        f"**Versions.** {results['versions']}.", "",
        f"**Method.** Each system runs in processes of its own, in turn, for {results['rounds']} rounds (one beyond 10M rows); after two runs that are "
        "not counted (one, where a run takes more than three seconds) the median of the others is shown, in milliseconds. All use every core. The input is in memory in the "
        "system's own form (a Polars DataFrame, a DuckDB table, our `CREATE TABLE … AS`) unless a case says Parquet, "
        "and every query ends in sums over all joined columns, which must agree. Polars is run by both of its engines. "
        "The ratio is the best peer's time over ours: above 1, we are ahead.", "",
        "## Time", "",
        "| case | Skewless | " + " | ".join(NAMES.values()) + " | best peer / Skewless |",
        "|---" * (len(NAMES) + 3) + "|",
    ]
    for case in main.values():
        systems = case["systems"]
        name, best = best_peer(systems)
        ours = systems.get("skewless", {}).get("median_ms")
        ratio = f"{'**' if best['median_ms'] > ours else ''}{number(best['median_ms'] / ours)}×{'**' if best['median_ms'] > ours else ''}" if best and ours else "·"
        lines.append(f"| {case['title']} | {cell(systems.get('skewless'))} | " + " | ".join(cell(systems.get(peer)) for peer in NAMES) + f" | {ratio} |")
    notes = [f"- {case['title']}: {case['note']}" for case in main.values() if case["note"]]
    why = {case.name: case.why for case in CASES}
    behind = [
        f"- {case['title']}: {NAMES[name]} is ahead by {number(case['systems']['skewless']['median_ms'] / best['median_ms'])}×. {why[key]}".rstrip()
        for key, case in main.items()
        for name, best in [best_peer(case["systems"])]
        if best and "median_ms" in case["systems"].get("skewless", {}) and best["median_ms"] < case["systems"]["skewless"]["median_ms"]
    ]
    lines += [""] + notes + (["", "Where we are behind:", ""] + behind if behind else [])
    lines += [
        "", "## Memory", "",
        "Peak resident memory of a process that runs the query once, in MB, and in parentheses what was resident when the input was loaded.", "",
        "| case | Skewless | " + " | ".join(NAMES.values()) + " |", "|---" * (len(NAMES) + 2) + "|",
    ]
    memory = lambda measured: f"{measured['peak_mb']:,.0f} ({measured['loaded_mb']:,.0f})" if measured and "peak_mb" in measured else "·"
    for case in cases.values():
        systems = case["systems"]
        lines.append(f"| {case['title']} | " + " | ".join(memory(systems.get(name)) for name in ["skewless", *NAMES]) + " |")
    lines += [
        "", "## Where the time goes", "",
        "The limit is what any engine pays on this machine: reading the input once and writing the sums' columns once at the "
        "bandwidth of memory, and, where the input is not in time order, sorting one 64-bit number a row (NumPy's vectorised sort), on all cores. "
        "Shares are of the operators' own times, added over threads.", "",
        "| case | limit: scan | + sort | Skewless | Skewless / limit | where |", "|---|---|---|---|---|---|",
    ]
    for case in cases.values():
        ours, limit = case["systems"].get("skewless", {}).get("median_ms"), case["limit"]
        if not ours:
            continue
        shares = case.get("where", {})
        total = sum(shares.values()) or 1
        told = ", ".join(f"{name} {ms / total:.0%}" for name, ms in list(shares.items())[:4])
        whole = limit["scan_ms"] + limit["sort_ms"]
        lines.append(f"| {case['title']} | {number(limit['scan_ms'])} | {number(limit['sort_ms'])} | {number(ours)} | {number(ours / whole)} | {told} |")
    lines += ["", "## From one thread to all", "", "| case | 1 thread | all | speed-up |", "|---|---|---|---|"]
    for case in cases.values():
        one, two = (case["systems"].get(name, {}).get("median_ms") for name in ["skewless-1", "skewless"])
        if one and two:
            lines.append(f"| {case['title']} | {number(one)} | {number(two)} | {one / two:.2f}× |")
    if scales:
        lines += [
            "", "## From 1M to 50M rows", "",
            "Both sides have this many rows, 10,000 keys and no order, and are read from Parquet files. Time in milliseconds, and "
            "nanoseconds a row of both sides; Polars is not run above 10M rows.", "",
            "| rows | Skewless | ns a row | peak MB | DuckDB | Polars | Polars streaming | best peer / Skewless |", "|---" * 8 + "|",
        ]
        for name, case in scales.items():
            systems, rows = case["systems"], int(name.split("_")[1][:-1]) * 2_000_000
            ours, (_, best) = systems.get("skewless", {}), best_peer(systems)
            if "median_ms" not in ours:
                continue
            ratio = f"{number(best['median_ms'] / ours['median_ms'])}×" if best else "·"
            lines.append(
                f"| {rows // 2_000_000}M | {cell(ours)} | {ours['median_ms'] * 1e6 / rows:.0f} | {ours['peak_mb']:,.0f} | "
                + " | ".join(cell(systems.get(peer)) for peer in ["duckdb", "polars-memory", "polars-streaming"])
                + f" | {ratio} |"
            )
    wrap = lambda line: line if line.startswith("|") else textwrap.fill(line, 120, subsequent_indent="  " if line.startswith("- ") else "")
    return "\n".join(map(wrap, lines)) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--case", action="append", metavar="NAME", help="run only this case; may be repeated; `scale` is all of its sizes")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds over all systems of a case [default: 5]")
    parser.add_argument("--quick", action="store_true", help="one round, and no case of more than 10M rows a side")
    parser.add_argument("--peers-only", action="store_true", help="measure the peers without us; no page is written")
    parser.add_argument("--report", action="store_true", help="run nothing; write the page from the results there are")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    names = [case.name for case in CASES]
    wanted = options.case or names
    for name in wanted:
        if name not in names and name != "scale":
            fail(f"there is no case `{name}`; the cases are {', '.join(names)}")
    binary = os.environ.get("SKEWLESS", "")
    if not options.report and not options.peers_only and not os.access(binary, os.X_OK):
        fail("SKEWLESS must name the release binary; `cargo xtask bench pit` builds it and starts this script")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"cases": {}}
    if not options.report:
        prepare_python()
        DATA.mkdir(parents=True, exist_ok=True)
        results["machine"], results["date"], results["rounds"] = machine(), date.today().isoformat(), options.rounds
        ours = subprocess.run([binary, "--version"], stdout=subprocess.PIPE, text=True).stdout.split() if binary else ["skewless", "?"]
        results["versions"] = ", ".join([f"Skewless {ours[-1]}", *python("limit.py", "versions")])
        for case in CASES:
            large = case.name in LARGE
            if (case.name in wanted or ("scale" in wanted and case.name.startswith("scale_"))) and not (large and options.quick):
                started = time.monotonic()
                results["cases"][case.name] = measure(case, options)
                RESULTS.parent.mkdir(parents=True, exist_ok=True)
                RESULTS.write_text(json.dumps(results, indent=1))
                say(f"{case.name}: done in {time.monotonic() - started:.0f} s")
    if not options.peers_only:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page(results))
        say(f"wrote {PAGE.relative_to(ROOT)} and {RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
