"""How things are named and coloured, so that a calibration looks the same everywhere.

The hues are Okabe and Ito's colour-blind-safe set; where it ends, Paul Tol's follow.
"""

from itertools import cycle, islice

from ssgr.config import Config
from ssgr.points import DENSE, UNCALIBRATED

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


def colours(config: Config) -> dict[str, str]:
    """Colour of every calibration label of the registry (run or not), and of the dense model."""
    labels = list(config.calibrations)
    hues = islice(cycle(HUES), len(labels))
    return {DENSE: INK, UNCALIBRATED: MUTED, **dict(zip(labels, hues, strict=True))}


def benchmark_names(config: Config) -> dict[str, str]:
    """Displayed name of every benchmark of the run, in order."""
    return {key: entry.label or key for key, entry in config.run_benchmarks.items()}
