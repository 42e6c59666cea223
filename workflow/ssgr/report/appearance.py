"""How things are named and coloured, so that a calibration looks the same everywhere.

The hues are Okabe and Ito's colour-blind-safe set; where it ends, Paul Tol's follow.
"""

from itertools import cycle, islice

from ssgr.config import Config
from ssgr.points import DENSE, UNCALIBRATED
from ssgr.sparsity import Sparsity

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
PRUNERS = {"sparsegpt": "SparseGPT", "wanda": "Wanda", "magnitude": "Magnitude", "ria": "RIA"}


def colours(config: Config) -> dict[str, str]:
    """Colour of every calibration label of the registry (run or not), and of the dense model."""
    labels = list(config.calibrations)
    hues = islice(cycle(HUES), len(labels))
    return {DENSE: INK, UNCALIBRATED: MUTED, **dict(zip(labels, hues, strict=True))}


def pruner_name(pruner: str) -> str:
    """The pruner as its authors write it."""
    return PRUNERS.get(pruner, pruner)


def sparsity_name(key: str) -> str:
    """A sparsity key as read: ``50`` -> "50 %", ``2-4`` -> "2:4"."""
    pattern = Sparsity.parse(key)
    return key.replace("-", ":") if pattern.group else f"{key}\u00a0%"


def setting_name(pruner: str, sparsity: str) -> str:
    """A pruner at a sparsity, e.g. "SparseGPT, 50 %"."""
    return f"{pruner_name(pruner)}, {sparsity_name(sparsity)}"


def benchmark_names(config: Config) -> dict[str, str]:
    """Displayed name of every benchmark of the run, in order."""
    return {key: entry.label or key for key, entry in config.run_benchmarks.items()}
