# Vocabulary shared by all stages: the checked configuration, the paths and the wildcards.
#
# model      a dense reasoning model of the registry
# source     where calibration data comes from: problems or plain documents
# sampling   how responses were drawn, spelled out: n16-t0.60-p0.95-l512-s0
# shard      rows first-last of a source's problems: 000000-000064
# wave       so many shards, visited together: 0000, 0001 …
# generator  the model whose responses are taken: the model itself, but for Table 8
# verifier   the grading method that says what is correct: math, choice, exact …
# tau        difficulty threshold on the correctness ratio, 0.75, or a band 0.50..0.99
# length     which response of a problem is taken: median, first ... or solution, text
# thinking   whether a response keeps its thinking: kept, dropped
# budget     calibration sequences x tokens, and the seed of the draw: 48x512-s0
# pruner     a recipe: sparsegpt, wanda … or an entry of `pruners`
# sparsity   50, 62.5, 2-4 (N zeros in every M)
# benchmark  a problem set to score on
# experiment a table or figure: points of this space, side by side
#
# A key that means nothing at a point is `none`: the dense model is source=none/…/pruner=none.
# The path is the schema: one hive-partitioned scan of the scores gives every key as a column.
import json
import os
import re
import shlex
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

PACKAGES = os.path.join(workflow.basedir, "workflow")
sys.path.insert(0, PACKAGES)

from ssgr import devices, locks, points, problems, provenance
from ssgr.config import REFERENCE_LENGTHS, RUN, narrowed
from ssgr.experiments.check import check_experiments
from ssgr.grading.methods import METHODS
from ssgr.pool import store
from ssgr.pool.shards import Asked, Shard
from ssgr.tables import Problems, count_rows, read
from ssgr.errors import SsgrError
from ssgr.pruning import pruner_names
from ssgr.selection import LENGTH_RULES
from ssgr.validation import load_config

# A job's `python -m ssgr` is the interpreter that runs Snakemake, activated or not, and the package
# of this checkout; a conda environment puts its own interpreter first.
os.environ.update(
    PATH=os.path.dirname(sys.executable)
    + os.pathsep
    + os.environ.get("PATH", os.defpath),
    PYTHONPATH=os.pathsep.join([PACKAGES, os.environ.get("PYTHONPATH", "")]),
)

try:
    CONFIG = load_config(config)
except SsgrError as error:
    raise WorkflowError(str(error)) from None

POOL = CONFIG.pool.path
RESULTS = CONFIG.results
SOURCE = f"{RESULTS}/problems/source={{source}}/problems.parquet"
DROPPED = f"{RESULTS}/problems/source={{source}}/dropped.parquet"
BENCHMARK = f"{RESULTS}/problems/benchmark={{benchmark}}/problems.parquet"
RECEIPTS = f"{RESULTS}/receipts"
SHARD = "model={model}/source={source}/sampling={sampling}/{shard}"
GRADED = "model={model}/source={source}/sampling={sampling}/verifier={verifier}/{shard}"
POINT = os.path.join(*(f"{key}={{{key}}}" for key in points.CALIBRATION_KEYS))
TALLY = f"{RESULTS}/tally/{POINT}/wave={{wave}}"
CALIBRATION = f"{RESULTS}/calibration/{POINT}"
PRUNED = f"{POINT}/pruner={{pruner}}/sparsity={{sparsity}}"
CHECKPOINT = f"{RESULTS}/checkpoints/{PRUNED}"
SCORED = f"{PRUNED}/benchmark={{benchmark}}"
SCORES = f"{RESULTS}/scores/{SCORED}"
VERDICTS = f"{RESULTS}/verification/model={{model}}/source={{source}}/verdicts.parquet"
VERIFICATION = f"{RESULTS}/verification/index.html"
HAND_CHECK = f"{RESULTS}/hand_check/model={{model}}/source={{source}}/index.html"
REPORT = f"{RESULTS}/report/index.html"
EXPERIMENT = f"{RESULTS}/experiments/{{experiment}}"
PAPER = f"{RESULTS}/paper/index.html"
LOGS = f"{RESULTS}/logs"
COSTS = f"{RESULTS}/benchmarks"


def one_of(names):
    """A wildcard constraint: exactly one of these names."""
    return "|".join(re.escape(name) for name in names)


wildcard_constraints:
    model=one_of(CONFIG.models),
    source=one_of([*CONFIG.sources, "none"]),
    generator=one_of([*CONFIG.models, "none"]),
    verifier=one_of([*METHODS, "none"]),
    benchmark=one_of(CONFIG.benchmarks),
    experiment=one_of(CONFIG.experiments or ["none"]),
    sampling=r"n\d+-t[\d.]+-p[\d.]+-l\d+-s\d+",
    shard=r"\d+-\d+",
    wave=r"\d\d\d\d+",
    tau=r"none|\d\.\d\d(\.\.\d\.\d\d)?",
    length=one_of([*LENGTH_RULES, *REFERENCE_LENGTHS, "none"]),
    thinking="kept|dropped|none",
    budget=r"none|\d+x\d+-s\d+",
    pruner=one_of([*pruner_names(), *CONFIG.pruners, "none"]),
    sparsity=r"[\d.]+|\d+-\d+",
