"""The page's plot: `python plot.py RESULTS SVG`. On the left the false alarms of each tool in every cell, on the right its power."""

import json
import sys

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

from cells import ALARMS, ALPHA, POWER, TOOLS
from page import is_red, measured

# Texts stay texts, and equal results give equal bytes.
pyplot.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "drift", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
RED, GREY = "#c62828", "#8a8a8a"
COLOURS = dict(zip(TOOLS, ["#1b5e20", "#66a96b", "#e07b00", "#7b4fb0", "#b79bd8", "#1f77b4", "#555555"]))


def rate(found):
    return 100 * found["alarms"] / found["trials"]


def main(results, out):
    tools = [tool for tool in TOOLS if any(measured(results, cell.name, tool) for cell in ALARMS)]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9.5, 3.6), width_ratios=(3, 2), layout="constrained")
    for place, tool in enumerate(tools):
        told = [found for cell in ALARMS if (found := measured(results, cell.name, tool))]
        told.sort(key=rate)
        # Points of one tool stand side by side, so that many equal ones are seen.
        across = [place - 0.32 + 0.64 * index / max(1, len(told) - 1) for index in range(len(told))]
        for red, colour in [(False, GREY), (True, RED)]:
            chosen = [(x, rate(found)) for x, found in zip(across, told) if is_red(found) == red]
            left.plot(*(zip(*chosen) if chosen else ((), ())), "o", ms=2.6, mew=0, color=colour)
    left.axhline(100 * ALPHA, color="black", lw=0.8, ls=":")
    left.set_xticks(range(len(tools)), [TOOLS[tool].replace(", ", ",\n") for tool in tools], fontsize=8)
    left.set(ylim=(-2, 102), ylabel="trials with an alarm, %", title="False alarms, one point a cell; red: above 5 %")
    for tool in tools:
        pairs = [(measured(results, cell.null, tool), measured(results, cell.name, tool)) for cell in POWER]
        pairs = [(rate(null), rate(found)) for null, found in pairs if null and found]
        right.plot(*(zip(*pairs) if pairs else ((), ())), "o", ms=4, mew=0, alpha=0.75, color=COLOURS[tool], label=TOOLS[tool])
    right.axvline(100 * ALPHA, color="black", lw=0.8, ls=":")
    right.set(xlim=(-2, 102), ylim=(-2, 102), xlabel="false alarms in the same cell, %", ylabel="power, %", title="Power; best is upper left")
    right.legend(fontsize=7, frameon=False, loc="lower right")
    figure.savefig(out, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main(json.load(open(sys.argv[1])), sys.argv[2])
