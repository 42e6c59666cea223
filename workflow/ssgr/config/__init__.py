"""The only schema of the configuration: what `config/config.yaml` may say, and in what words.

Every model here is frozen and forbids unknown keys. A registry entry (model, source, benchmark) is
data; an experiment is a list of points of the key space (source, tau, length rule) with a label.
"""

from ssgr.config.base import Name, Strict
from ssgr.config.budget import Budget
from ssgr.config.calibrations import REFERENCE_LENGTHS, Calibration, Tau
from ssgr.config.execution import Execution
from ssgr.config.experiments import RUN, Experiment
from ssgr.config.filters import Filters
from ssgr.config.models import Model, Server
from ssgr.config.narrow import narrowed
from ssgr.config.pool import Pool
from ssgr.config.problem_sets import (
    AbacusSet,
    Columns,
    FileSet,
    HubSet,
    PartSet,
    PartsSet,
    ProblemSet,
)
from ssgr.config.pruning import Constants, Objective, Recipe, Search
from ssgr.config.registry import Benchmark, Source
from ssgr.config.run import Config, Grading, Run, Selection
from ssgr.config.sampling import PoolSampling, Sampling

__all__ = [
    "REFERENCE_LENGTHS",
    "RUN",
    "AbacusSet",
    "Benchmark",
    "Budget",
    "Calibration",
    "Columns",
    "Config",
    "Constants",
    "Execution",
    "Experiment",
    "FileSet",
    "Filters",
    "Grading",
    "HubSet",
    "Model",
    "Name",
    "Objective",
    "PartSet",
    "PartsSet",
    "Pool",
    "PoolSampling",
    "ProblemSet",
    "Recipe",
    "Run",
    "Sampling",
    "Search",
    "Selection",
    "Server",
    "Source",
    "Strict",
    "Tau",
    "narrowed",
]
