"""The grid of false alarms and power: what is sampled, at which sizes, how often, and whose rules are asked.

A cell is one kind of column at one pair of sizes. Without an effect both samples are of one distribution, so every alarm
is a false one; with an effect the study sample is of another, and the share of alarms is the power.
"""

from dataclasses import dataclass

ALPHA = 0.05

KINDS = {
    "normal": "normal numbers",
    "lognormal": "lognormal numbers (σ = 2)",
    "poisson": "integers, Poisson(3)",
    "cat3": "3 categories, Zipf",
    "cat10": "10 categories, Zipf",
    "cat100": "100 categories, Zipf",
    "cat1000": "1,000 categories, Zipf",
    "bool": "booleans, 1 % true",
    "null": "normal numbers, 10 % NULL",
}

EFFECTS = {
    "shift0.1": ("normal", "mean + 0.1 σ"),
    "shift0.2": ("normal", "mean + 0.2 σ"),
    "scale1.2": ("normal", "σ × 1.2"),
    "share5": ("cat10", "5 points of the share of a category go to another"),
    "double": ("bool", "1 % true becomes 2 %"),
}

TOOLS = {
    "skewless": "Skewless",
    "skewless-values": "Skewless, values alone",
    "evidently": "Evidently",
    "whylogs": "whylogs",
    "whylogs-256": "whylogs, k = 256",
    "scouter": "Scouter",
    "scipy": "SciPy, raw rows",
}


@dataclass(frozen=True)
class Size:
    base: int
    study: int
    trials: int
    whylogs: int
    """Of the trials, the first so many are shown to whylogs too, which takes longest by far."""

    @property
    def name(self):
        return f"{self.base}x{self.study}"

    @property
    def title(self):
        return f"{self.base:,} / {self.study:,}"


SIZES = (
    Size(100, 100, 400, 200),
    Size(500, 500, 400, 200),
    Size(1_000, 1_000, 400, 200),
    Size(10_000, 100, 400, 200),
    Size(10_000, 10_000, 200, 100),
    Size(100_000, 1_000, 100, 40),
    Size(100_000, 100_000, 100, 20),
    Size(1_000_000, 1_000_000, 20, 5),
)
POWER_SIZES = ("1000x1000", "10000x10000", "100000x1000")


@dataclass(frozen=True)
class Cell:
    kind: str
    size: Size
    effect: str = ""

    @property
    def name(self):
        return f"{self.effect or self.kind}-{self.size.name}"

    @property
    def null(self):
        """The cell of the same kind and sizes in which nothing drifts."""
        return f"{self.kind}-{self.size.name}"


ALARMS = [Cell(kind, size) for size in SIZES for kind in KINDS]
POWER = [Cell(kind, size, effect) for effect, (kind, _) in EFFECTS.items() for size in SIZES if size.name in POWER_SIZES]
