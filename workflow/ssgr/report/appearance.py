"""How things are named and coloured, so that a calibration looks the same everywhere.

The hues are Okabe and Ito's colour-blind-safe set; where it ends, Paul Tol's follow.
"""

from collections import Counter
from itertools import cycle

import polars as pl

from ssgr.config import RUN, Config
from ssgr.jobs.grid import DENSE, UNCALIBRATED

AVERAGE = "AVG"

INK = "#1b1f24"
MUTED = "#5b6470"
HAIRLINE = "#e3e6ea"
CORRECT = "#44aa99"
WRONG = "#b0b5bc"
STOPPED = "#b9ddd7"  # a pale CORRECT: how often is not known exactly
HUES = (
    "#e69f00", "#cc79a7", "#56b4e9", "#0072b2", "#009e73", "#d55e00",
    "#882255", "#999933", "#332288", "#ddcc77", "#661100", "#88ccee",
)  # fmt: skip


PAPERS = dict(zip(("C4", "MathR", "SGR", "SSGR"), HUES, strict=False))
"""The paper's own kinds of calibration look the same in every table, whatever else is in it."""


def colours(config: Config) -> dict[str, str]:
    """Colour of every calibration label of the registry (run or not), and of the dense model."""
    others = [label for label in config.calibrations if label not in PAPERS]
    free = [hue for hue in HUES if hue not in PAPERS.values()]
    named = PAPERS | dict(zip(others, cycle(free), strict=False))
    return {DENSE: INK, UNCALIBRATED: MUTED, **{one: named[one] for one in config.calibrations}}


def hues_of(cells: pl.DataFrame, config: Config) -> dict[str, str]:
    """Colour of every displayed label of an experiment, no two alike while there are hues left.

    ``cells`` have ``label`` and ``calibration``. A label has the colour of its calibration, if it
    is not taken already, else a free one.
    """
    usual, found = colours(config), {DENSE: INK, UNCALIBRATED: MUTED}
    for label, calibration in (
        cells.select("label", "calibration").unique(maintain_order=True).rows()
    ):
        free = [hue for hue in HUES if hue not in found.values()]
        own = usual.get(calibration)
        spare = free[0] if free else HUES[len(found) % len(HUES)]
        found.setdefault(label, own if own in free else spare)
    return found


def calibration_names(config: Config, name: str = RUN) -> dict[str, str]:
    """Displayed name of every calibration of a selection: its label, if that is its alone."""
    entries = config.selection(name).calibrations
    shown = {key: entry.label or key for key, entry in entries.items()}
    often = Counter(shown.values())
    return {key: label if often[label] == 1 else key for key, label in shown.items()}


def benchmark_names(config: Config) -> dict[str, str]:
    """Displayed name of every benchmark of the run, in order."""
    return {key: entry.label or key for key, entry in config.run_benchmarks.items()}
