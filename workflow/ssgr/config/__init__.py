"""The only schema of the configuration: what `config/config.yaml` may say, and in what words.

Every model here is frozen and forbids unknown keys. A registry entry (model, source, benchmark) is
data; an experiment is a list of points of the key space (source, tau, length rule) with a label.
"""

from ssgr.config.base import Name, Strict
from ssgr.config.pruning import Constants, Objective, Recipe, Search
from ssgr.config.registry import (
    AbacusSet,
    Benchmark,
    FileSet,
    Model,
    ProblemSet,
    Server,
    Source,
)
from ssgr.config.run import (
    REFERENCE_LENGTHS,
    Budget,
    Calibration,
    Config,
    Filters,
    Grading,
    Pool,
    PoolSampling,
    Run,
    Sampling,
    Tau,
)

__all__ = [
    "REFERENCE_LENGTHS",
    "AbacusSet",
    "Benchmark",
    "Budget",
    "Calibration",
    "Config",
    "Constants",
    "FileSet",
    "Filters",
    "Grading",
    "Model",
    "Name",
    "Objective",
    "Pool",
    "PoolSampling",
    "ProblemSet",
    "Recipe",
    "Run",
    "Sampling",
    "Search",
    "Server",
    "Source",
    "Strict",
    "Tau",
]
