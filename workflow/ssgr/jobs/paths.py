"""Every path of a run and of its pool, each spelled once.

A path is a pattern whose wildcards are keys of the grid: below the results, but for those of the
pool. The path is the schema: one hive-partitioned scan of the scores has every key as a column.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from ssgr.jobs.grid import CALIBRATION_KEYS, CHECKPOINT_KEYS


def hive(keys: Iterable[str]) -> str:
    """Return the ``key={key}`` folders of these keys."""
    return "/".join(f"{key}={{{key}}}" for key in keys)


OF_SOURCE = hive(("model", "source"))
SAMPLED = hive(("model", "source", "sampling"))
SHARD = f"{SAMPLED}/{{shard}}"
GRADED = f"{SAMPLED}/verifier={{verifier}}/{{shard}}"
POINT = hive(CALIBRATION_KEYS)
WAVE = f"{POINT}/wave={{wave}}"
PRUNED = hive(CHECKPOINT_KEYS)
ANSWERED = f"{PRUNED}/benchmark={{benchmark}}"

POOL_RESPONSES = f"responses/{SHARD}.parquet"
POOL_GRADES = f"grades/{SAMPLED}/grader={{grader}}"

SOURCE = "problems/source={source}/problems.parquet"
DROPPED = "problems/source={source}/dropped.parquet"
BENCHMARK = "problems/benchmark={benchmark}/problems.parquet"
RESPONSES = f"receipts/responses/{SHARD}.json"
GRADES = f"receipts/grades/{GRADED}.json"
TALLY = f"tally/{WAVE}"
CALIBRATION = f"calibration/{POINT}"
CHECKPOINT = f"checkpoints/{PRUNED}"
SCORES = f"scores/{ANSWERED}"
VERDICTS = f"verification/{OF_SOURCE}/verdicts.parquet"
VERIFICATION = "verification/index.html"
HAND_CHECK = f"hand_check/{OF_SOURCE}/index.html"
EXPERIMENT = "experiments/{experiment}"
PAPER = "paper/index.html"
REPORT = "report/index.html"

CANDIDATES, FUNNEL, VISITED = "candidates.parquet", "funnel.parquet", "visited.json"
"""In the folder of a tally; the last two beside a calibration set too."""
CALIBRATED, HELD_BACK = "calibration.parquet", "held_back.parquet"

OUTPUTS = {
    "source_problems": SOURCE,
    "benchmark_problems": BENCHMARK,
    "sample": RESPONSES,
    "grade": GRADES,
    "tally": f"{TALLY}/{CANDIDATES}",
    "select": f"{CALIBRATION}/{CALIBRATED}",
    "prune": CHECKPOINT,
    "sample_benchmark": f"{SCORES}/responses.parquet",
    "grade_benchmark": f"{SCORES}/grades.parquet",
    "score": f"{SCORES}/scores.parquet",
    "experiment": EXPERIMENT,
    "paper_page": PAPER,
    "report": REPORT,
    "verdicts": VERDICTS,
    "verification": VERIFICATION,
    "hand_check_page": HAND_CHECK,
}
"""The first output of every rule."""

PLACES = {
    "source_problems": "problems/source={source}",
    "benchmark_problems": "problems/benchmark={benchmark}",
    "sample": f"sample/{SHARD}",
    "grade": f"grade/{GRADED}",
    "tally": f"tally/{WAVE}",
    "select": f"select/{POINT}",
    "prune": f"prune/{PRUNED}",
    **{rule: f"{rule}/{ANSWERED}" for rule in ("sample_benchmark", "grade_benchmark", "score")},
    "experiment": "experiment/{experiment}",
    "paper_page": "paper",
    "report": "report",
    "verdicts": f"verdicts/{OF_SOURCE}",
    "verification": "verification",
    "hand_check_page": f"hand_check/{OF_SOURCE}",
}
"""Where a rule's log and costs lie, below the folders of logs and of costs."""


def any_of(pattern: str, **keys: str) -> str:
    """Return a pattern for `Path.glob`: of these keys, whatever the others are."""
    wildcards = dict.fromkeys(re.findall(r"{(\w+)}", pattern), "*")
    return pattern.format(**{**wildcards, **keys})


def log(rule: str) -> str:
    """Return the log of a rule's job."""
    return f"logs/{PLACES.get(rule, rule)}.log"


def cost(rule: str) -> str:
    """Return the file of what a rule's job took, as Snakemake measures it."""
    return f"benchmarks/{PLACES.get(rule, rule)}.tsv"


def keys_of(path: Path) -> dict[str, str]:
    """Return the ``key=value`` folders of a file's path."""
    folders = path.parts[:-1]
    return {key: value for key, found, value in (part.partition("=") for part in folders) if found}


def files_by_keys(root: Path, name: str) -> dict[frozenset[tuple[str, str]], Path]:
    """Return every file of a name under a folder, by the keys of its folders below it."""
    found = sorted(root.rglob(name))
    return {frozenset(keys_of(path.relative_to(root)).items()): path for path in found}
