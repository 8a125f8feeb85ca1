"""Measures the CPU engine beside ONNX Runtime, and writes the guide's page of results.

`cargo xtask bench inference` runs it. It builds functions/model/examples/time.rs, which loads a model and times it in its own
process; the peer does the same (peer.py). Both are started once a model, on one thread, and then take turns, round after
round, a batch size at a time. What is compared is the median over the rounds, of the median run by the clock and of the mean
run by the processor's time; the latter is what counts where other work disturbs the machine. Outputs must agree.

Results: target/bench/inference.json, and tests/guide/benchmarks/inference.md. About 4 minutes after the build.
"""

import argparse
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
from datetime import date
from pathlib import Path

from page import page

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skewless"
DATA = CACHE / "bench-inference"
PYTHON = CACHE / "python-bench-inference/bin/python"
RESULTS = ROOT / "target/bench/inference.json"
PAGE = ROOT / "tests/guide/benchmarks/inference.md"
ROWS = 65_536
BATCHES = (1, 1_024, ROWS)
MODELS = ("gbdt", "forest", "mlp")
ONE_THREAD = {name: "1" for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"]}


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
    command = [PYTHON, HERE / arguments[0], *map(str, arguments[1:])]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ | ONE_THREAD)
    if ran.returncode:
        fail(f"{arguments[0]} failed")
    return json.loads(ran.stdout)


def build():
    """The example that times our engine."""
    command = ["cargo", "build", "--release", "--package", "skewless-model", "--example", "time", "--message-format", "json"]
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    built = [json.loads(line).get("executable") for line in ran.stdout.splitlines() if line.startswith("{")]
    if ran.returncode or not any(built):
        fail("functions/model/examples/time.rs cannot be built")
    return [path for path in built if path][-1]


class System:
    """A process that has loaded a model and times it when asked."""

    def __init__(self, command, model):
        command = [*map(str, command), str(DATA / f"{model}.onnx"), str(DATA / f"{model}.rows")]
        pipe = subprocess.PIPE
        self.child = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=os.environ | ONE_THREAD)
        self.load_ms = self.read()["load_ms"]

    def read(self):
        line = self.child.stdout.readline()
        return json.loads(line) if line else fail(f"{self.child.args[0]} ended")

    def time(self, batch, seconds):
        self.child.stdin.write(f"{batch} {seconds}\n")
        self.child.stdin.flush()
        return self.read()

    def end(self):
        self.child.stdin.close()
        self.child.wait()


def measure(model, commands, batches, options):
    systems = {name: System(command, model) for name, command in commands.items()}
    result = {"load_ms": {name: system.load_ms for name, system in systems.items()}, "batches": {}}
    for batch in batches:
        found = {name: [] for name in systems}
        for _ in range(options.rounds):
            for name, system in systems.items():
                found[name].append(system.time(batch, options.seconds))
        sums = [runs[-1]["sum"] for runs in found.values()]
        if not all(math.isclose(one, sums[0], rel_tol=1e-3, abs_tol=1e-2) for one in sums):
            fail(f"{model}, {batch} rows: the outputs sum to {sums}")
        middle = lambda runs, key: statistics.median(run[key] for run in runs)
        result["batches"][batch] = {
            name: {"wall_us": middle(runs, "wall_us"), "cpu_us": middle(runs, "cpu_us"), "runs": sum(run["runs"] for run in runs)}
            for name, runs in found.items()
        }
        told = ", ".join(f"{name} {times['cpu_us']:,.2f} µs" for name, times in result["batches"][batch].items())
        say(f"{model}, {batch} rows: {told}")
    for system in systems.values():
        system.end()
    return result


def machine():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return f"{os.cpu_count()} cores ({cpu[1] if cpu else platform.machine()}), {memory:.0f} GiB, {system}"


def clock_hz():
    found = re.search(r"cpu MHz\s*: ([\d.]+)", Path("/proc/cpuinfo").read_text())
    return float(found[1]) * 1e6 if found else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", action="append", choices=MODELS, help="run only this model; may be repeated")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="turns of each system [default: 9]")
    parser.add_argument("--seconds", type=float, default=1.0, metavar="X", help="how long a turn lasts [default: 1]")
    parser.add_argument("--report", action="store_true", help="run nothing; write the page from the results there are")
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"models": {}}
    if not options.report:
        prepare_python()
        DATA.mkdir(parents=True, exist_ok=True)
        commands = {"skewless": [build()], "onnxruntime": [PYTHON, HERE / "peer.py"]}
        what = python("models.py", DATA, ROWS)
        results |= {"machine": machine(), "date": date.today().isoformat(), "clock_hz": clock_hz(), "rounds": options.rounds}
        results |= {"versions": python("peer.py", "versions"), "limits": python("peer.py", "limits")}
        # What it takes to call each system at all.
        results["call"] = measure("identity", commands, [1], options)["batches"][1]
        for model in options.model or MODELS:
            results["models"][model] = what[model] | measure(model, commands, BATCHES, options)
            results["load"] = os.getloadavg()[0]
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            RESULTS.write_text(json.dumps(results, indent=1))
        results = json.loads(RESULTS.read_text())
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(results))
    say(f"wrote {PAGE.relative_to(ROOT)} and {RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
