"""Tables that several test files build, and the folders they share."""

import copy
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# Before torch is imported: small models are fastest on one thread, and tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import polars as pl
import pytest

import slurm_cluster
from slurm_cluster import Slurm
from ssgr.storage import tables

ROOT = Path(__file__).parents[1]
ABACUS = ROOT / "resources" / "abacus"


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def abacus() -> Path:
    """The embedded model's folder."""
    return ABACUS


@pytest.fixture
def slurm() -> Iterator[Slurm]:
    """A SLURM of two nodes with fake GPUs, started for this test."""
    slurm_cluster.wanted()
    # not below tmp_path: a node's sockets stand there, whose paths have at most 107 characters
    with (
        tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as folder,
        slurm_cluster.started(Path(folder)) as slurm,
    ):
        yield slurm


def changed(raw: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a raw configuration with these values; a key is a place, as ``run.models``."""
    copied = copy.deepcopy(dict(raw))
    for place, value in changes.items():
        *above, key = place.split(".")
        entry = copied
        for name in above:
            entry = entry.setdefault(name, {})
        entry[key] = copy.deepcopy(value)
    return copied


def graded_pool(problems: dict[str, Sequence[tuple[int, bool]]], **columns: Any) -> pl.DataFrame:
    """Grades with ``prompt_tokens`` of ``{problem_id: [(tokens, correct), …]}``; all good quality.

    A keyword sets a column everywhere.
    """
    rows = [
        {
            "problem_id": problem_id,
            "sample": sample,
            "tokens": tokens,
            "extracted": "1",
            "verdict": "correct" if correct else "wrong",
            "correct": correct,
            "method": "exact",
            "milliseconds": 0.0,
            "finished": True,
            "closed": True,
            "has_thinking": True,
            "has_answer": True,
            "thinking_tokens": 1,
            "different_boxes": 1,
            "tokens_after_box": 0,
            "tokens_after_end": 0,
            "rep_20": 0.0,
            "loop_share": 0.0,
            "prompt_tokens": 10,
            **columns,
        }
        for problem_id, responses in problems.items()
        for sample, (tokens, correct) in enumerate(responses)
    ]
    table = pl.DataFrame(rows)
    tables.Grades.validate(table.select(tables.Grades.column_names()), cast=True)
    return table
