"""What a calibration would take of a pool if another method had graded it.

All stored responses count, as with ``sampling.early_stop: false``. Where sampling stopped early, it
asked the configured method: another one lacks the responses and shards that it would have needed.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from ssgr.config import Budget, Calibration, Filters
from ssgr.selection.length_rules import AMONG
from ssgr.selection.rules import tally
from ssgr.verification.agreement.rates import RESPONSE


def regraded(grades: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """Return grades with one method's verdicts (Verdicts rows); responses without one drop out."""
    given = verdicts.select(
        *RESPONSE,
        pl.col("verdict").cast(grades.schema["verdict"]),
        correct=pl.col("verdict") == "correct",
        has_answer=pl.col("extracted").is_not_null(),
    )
    kept = grades.drop("verdict", "correct", "has_answer")
    return kept.join(given, on=RESPONSE, maintain_order="left")


def overlap(
    grades: pl.DataFrame,
    verdicts: Mapping[str, pl.DataFrame],
    configured: str,
    calibration: Calibration,
    filters: Filters,
    budget: Budget,
) -> list[dict[str, Any]]:
    """Return what each method selects, beside what the run's ``configured`` one does.

    ``grades`` are of the problems that the calibration visited, ``verdicts`` the Verdicts rows of
    each method.

    Returns:
        A row per method: method, candidates (problems that are left to draw from), selected;
        shared with the selection by ``configured``: problems, responses, and both as Jaccard
        indices in [0, 1] (1 if both selections are empty); disputed: how many of the selected
        responses have another verdict by ``configured`` than the length rule asks for; gained and
        lost: the responses (problem_id, sample) that only this method, only ``configured`` selects.
    """
    length, tau = calibration.length, calibration.tau or "1.00"
    taken: dict[str, pl.DataFrame] = {}
    left: dict[str, int] = {}
    for method, rows in verdicts.items():
        found = tally(regraded(grades, rows), length, tau, filters, budget)
        taken[method] = found.candidates.head(budget.sequences).select(RESPONSE)
        left[method] = found.counts["problems"][-1]
    base = taken[configured]
    other = verdicts[configured].filter(pl.col("verdict") != AMONG[length])
    compared = []
    for method, own in taken.items():
        problems = len(own.join(base, on="problem_id", how="semi"))
        responses = len(own.join(base, on=RESPONSE, how="semi"))
        row = {
            "method": method,
            "candidates": left[method],
            "selected": len(own),
            "problems": problems,
            "responses": responses,
            "problem_jaccard": _jaccard(problems, len(own) + len(base)),
            "response_jaccard": _jaccard(responses, len(own) + len(base)),
            "disputed": len(own.join(other, on=RESPONSE, how="semi")),
            "gained": _only(own, base),
            "lost": _only(base, own),
        }
        compared.append(row)
    return compared


def _only(one: pl.DataFrame, other: pl.DataFrame) -> list[dict[str, object]]:
    """The responses that are only in the first."""
    return one.join(other, on=RESPONSE, how="anti", maintain_order="left").to_dicts()


def _jaccard(shared: int, sizes: int) -> float:
    """The Jaccard index of two sets, by how much they share and the sum of their sizes."""
    return shared / (sizes - shared) if sizes else 1.0
