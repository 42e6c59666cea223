"""Verdicts of an older grader that still hold, so that regrading judges only what has changed.

Extraction and the quick steps take microseconds and are always done anew. What costs is
math-verify. Its verdict on a (gold, answer) pair depends on the pair, on the code and versions
behind it and on the conventions that it looks at, and on nothing else: where these are the same,
grades of another grader are taken over, whatever else changed (extraction, the quick steps,
quality measures).
"""

import json
from collections.abc import Mapping
from hashlib import blake2b
from importlib.metadata import version
from typing import Any

import polars as pl

from ssgr.config.conventions import Conventions
from ssgr.grading.spec import Judging
from ssgr.grading.verdict import Verdict
from ssgr.grading.workers import Pair
from ssgr.storage.provenance import code_digest, rows_digest

KEY = "math_verify"
"""Where a Grades file's spec holds what :func:`provenance` returns."""
LIBRARIES = ("math-verify", "latex2sympy2_extended", "sympy")
EXTRACTION = {"thinking", "unclosed_box", "unboxed", "unboxed_letter", "options", "pattern"}
"""Conventions that decide what the answer is, not whether it is right."""


def method_digest(conventions: Conventions) -> str:
    """Return a digest of what decides math-verify's verdicts, beside the pair."""
    parts = [
        code_digest("ssgr.grading.equality", "ssgr.grading.golds"),
        *(f"{name} {version(name)}" for name in LIBRARIES),
        conventions.model_dump_json(exclude=EXTRACTION),
    ]
    return blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()


def provenance(grades: pl.DataFrame, problems: pl.DataFrame, judging: Judging) -> dict[str, Any]:
    """Return what must be in the spec of a Grades file for its verdicts to be taken over later."""
    return {
        "digest": method_digest(judging.conventions),
        "time_limit": judging.time_limit,
        "golds": _golds_digest(grades, problems),
    }


def reusable(
    grades: pl.DataFrame, spec: str, problems: pl.DataFrame, judging: Judging
) -> dict[Pair, Verdict]:
    """Return the verdicts of older grades that hold under ``judging``: for `grade(earlier=...)`.

    Args:
        grades: an older Grades table, of the same responses or of others to these problems.
        spec: the JSON in that file's metadata.
        problems: the Problems table of today.
        judging: today's.

    A time-out holds only if it had at least today's time.
    """
    made: Mapping[str, Any] = json.loads(spec or "{}").get(KEY) or {}
    if made.get("digest") != method_digest(judging.conventions):
        return {}
    if made.get("golds") != _golds_digest(grades, problems):
        return {}
    rows = grades.filter(method="math-verify")
    if made.get("time_limit", 0.0) < judging.time_limit:
        rows = rows.filter(pl.col("verdict") != "timed-out")
    rows = rows.join(problems.select("problem_id", "answer"), on="problem_id")
    columns = ("answer", "extracted", "verdict", "method", "milliseconds")
    return {
        (gold, extracted): Verdict(extracted, verdict, method, milliseconds)
        for gold, extracted, verdict, method, milliseconds in rows.select(columns).iter_rows()
    }


def _golds_digest(grades: pl.DataFrame, problems: pl.DataFrame) -> str:
    golds = problems.join(grades, on="problem_id", how="semi").select("problem_id", "answer")
    return rows_digest(golds.iter_rows())
