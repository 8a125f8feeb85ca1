"""The guide's page, made of the results alone."""

import textwrap

TITLES = {
    "gbdt": "Boosted trees: 100 full trees of depth 6, 16 features",
    "forest": "Random forest: 100 trees of 1,000 leaves, 16 features",
    "mlp": "Perceptron 32-128-64-1, ReLU",
}
# Instructions a cycle that load from the first-level cache on today's cores.
LOADS = 2


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def limit(model, results):
    """Nanoseconds a row that the machine cannot do without, and why."""
    moved = (model["width"] + 1) * 4
    memory = moved / results["limits"]["copied"] * 1e9
    if "flops" in model:
        return max(memory, model["flops"] / results["limits"]["multiplied"] * 1e9), f"{model['flops']:,} floating-point operations"
    loads = 3 * model["tests"] + 100
    return max(memory, loads / LOADS / results["clock_hz"] * 1e9), f"{model['tests']:,.0f} tests, {loads:,.0f} loads"


def page(results):
    call = results["call"]
    lines = [
        "# Inference, measured", "",
        f"Measured on {results['date']} by `cargo xtask bench inference`; [how](../../bench/inference/run.py), "
        "[what](../../bench/inference/models.py).", "",
        f"**Machine.** {results['machine']}; load {results['load']:.1f} while it was measured.", "",
        f"**Versions.** {', '.join(results['versions'])}.", "",
        f"**Method.** One thread. Both systems load the same file and take turns, {results['rounds']} of each; a turn scores batches of "
        "one size for a second. *Time* is the median over the turns of a turn's median run by the clock, *processor* that of its "
        "mean run in processor time, which other work on the machine disturbs less. Ours is timed within a Rust process; ONNX "
        "Runtime with bound inputs and outputs from Python, in which a call that does nothing takes "
        f"{number(call['onnxruntime']['wall_us'])} µs (ours: {number(call['skewless']['wall_us'])} µs). The ratio is ONNX "
        "Runtime's time over ours: above 1, we are ahead. Outputs agree.", "",
        "## Time", "",
        "| model | batch | Skewless, µs | ONNX Runtime, µs | ratio | Skewless, processor µs | ONNX Runtime, processor µs | ratio | Skewless, rows a second |",
        "|---" * 9 + "|",
    ]
    for name, title in TITLES.items():
        for batch, found in results["models"].get(name, {"batches": {}})["batches"].items():
            ours, peer = found["skewless"], found["onnxruntime"]
            ratios = [f"{number(peer[key] / ours[key])}×" if ours[key] else "·" for key in ("wall_us", "cpu_us")]
            rate = int(batch) / (ours["cpu_us"] or ours["wall_us"]) * 1e6
            lines.append(
                f"| {title} | {int(batch):,} | {number(ours['wall_us'])} | {number(peer['wall_us'])} | {ratios[0]} | {number(ours['cpu_us'])} | "
                f"{number(peer['cpu_us'])} | {ratios[1]} | {rate:,.0f} |"
            )
    lines += [
        "", "## Against what the machine can do", "",
        "The least time a row takes: its bytes at the rate of a copy through memory "
        f"({results['limits']['copied'] / 1e9:.1f} GB a second on one core), or its operations at the rate of their unit, whichever is "
        "more. A test of a tree loads the node's column and threshold and the row's value, and a leaf its weight, where a core "
        f"loads {LOADS} words a cycle ({results['clock_hz'] / 1e9:.1f} GHz); the first three levels of padded trees escape this limit, "
        "since vectors compare four rows at once. A perceptron multiplies at the rate of NumPy's matrix product on one core "
        f"({results['limits']['multiplied'] / 1e9:.0f} GFLOP a second).", "",
        "| model | a row needs | limit, ns a row | Skewless, ns a row | Skewless / limit | ONNX Runtime / limit |", "|---" * 6 + "|",
    ]
    for name, title in TITLES.items():
        model = results["models"].get(name)
        if model:
            (batch, found), (least, why) = list(model["batches"].items())[-1], limit(model, results)
            ours, peer = (found[system]["cpu_us"] * 1e3 / int(batch) for system in ("skewless", "onnxruntime"))
            lines.append(f"| {title} | {why} | {number(least)} | {number(ours)} | {ours / least:.2f} | {peer / least:.2f} |")
    loaded = [
        f"{TITLES[name].partition(':')[0].lower()} {number(model['load_ms']['skewless'])} ms ({number(model['load_ms']['onnxruntime'])} ms)"
        for name, model in results["models"].items()
    ]
    lines += ["", f"Loading, ours and in parentheses ONNX Runtime's: {', '.join(loaded)}."]
    wrap = lambda line: line if line.startswith("|") else textwrap.fill(line, 120)
    return "\n".join(map(wrap, lines)) + "\n"
