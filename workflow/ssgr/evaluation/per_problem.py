"""Outcomes: what a checkpoint made of each problem, checked so that statistics can rely on it.

A table of outcomes has the columns benchmark, problem_id, draw (the seed of the calibration set)
and score (the mean over the responses to the problem, in [0, most]).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ssgr.errors import TableError

ROUNDING = 1e-12  # relative: what sums of floats may be off by
KEYS = ("benchmark", "problem_id", "draw")

Array = NDArray[np.float64]


def outcomes(
    grades: pl.DataFrame, benchmark: str, draw: int = 0, of: str = "correct"
) -> pl.DataFrame:
    """Average the responses to each problem.

    Args:
        grades: a Grades table of one checkpoint on one benchmark.
        benchmark: its key.
        draw: the seed of the checkpoint's calibration set.
        of: the column to average: ``correct`` (pass@1) or, say, ``tokens`` (length).

    Returns:
        Columns benchmark, problem_id, draw, score; one row a problem. Tables of several benchmarks
        and draws are put together with `polars.concat`.
    """
    return grades.group_by("problem_id", maintain_order=True).agg(
        pl.lit(benchmark).alias("benchmark"),
        pl.lit(draw, dtype=pl.Int64).alias("draw"),
        pl.col(of).cast(pl.Float64).mean().alias("score"),
    ).select(*KEYS, "score")  # fmt: skip


@dataclass(frozen=True)
class Crossed:
    """One benchmark's problems, in order, and their outcomes in [0, 1], (N, D): D draws."""

    problems: list[str]
    scores: Array


def crossed(outcomes: pl.DataFrame, most: float, name: str) -> dict[str, Crossed]:
    """Return each benchmark's outcomes / ``most`` by problem and draw.

    Raises:
        TableError: no rows, missing columns, an outcome that is NaN, null or outside [0, most], a
            row twice, or a draw without some problem; names the benchmark and the problems.
    """
    _check(outcomes, most, name)
    table = outcomes.sort(*KEYS)
    draws = table["draw"].unique().sort().to_list()
    arrays: dict[str, Crossed] = {}
    for (benchmark,), rows in table.group_by("benchmark", maintain_order=True):
        ids = rows["problem_id"].unique(maintain_order=True).to_list()
        if len(rows) != len(ids) * len(draws):
            counts = rows.group_by("problem_id", maintain_order=True).len()
            lacking = counts.filter(pl.col("len") < len(draws))["problem_id"].to_list()
            raise TableError(
                f"{name}, {benchmark}: not every draw of {draws} has the problems "
                f"{named(lacking)}. Score every draw on the same problems."
            )
        scores = rows["score"].cast(pl.Float64).to_numpy() / most
        arrays[str(benchmark)] = Crossed(ids, scores.reshape(len(ids), len(draws)))
    return arrays


def paired(first: Mapping[str, Crossed], second: Mapping[str, Crossed]) -> list[Array]:
    """Return first minus second of each problem, draws averaged: one (N_b,) a benchmark.

    Raises:
        TableError: the two have other benchmarks or problems; names them.
    """
    _match("the benchmarks", first, second)
    for benchmark, one in first.items():
        _match(f"{benchmark}: the problems", one.problems, second[benchmark].problems)
    return [
        one.scores.mean(axis=1) - second[benchmark].scores.mean(axis=1)
        for benchmark, one in first.items()
    ]


def named(names: Sequence[str], most: int = 5) -> str:
    """Return the first names as text, and how many more there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + rest


def _check(outcomes: pl.DataFrame, most: float, name: str) -> None:
    """Raise TableError unless the table is one that :func:`outcomes` could have made."""
    missing = [column for column in (*KEYS, "score") if column not in outcomes.columns]
    if missing or outcomes.is_empty():
        what = f"lack the columns {missing}" if missing else "are empty"
        raise TableError(f"{name} {what}: there is nothing to estimate. Grade the responses first.")
    inside = pl.col("score").is_between(0, most * (1 + ROUNDING)).fill_null(False)
    for rows, what in (
        (outcomes.filter(~inside), f"outcomes must lie in [0, {most:g}], but not so"),
        (outcomes.filter(pl.struct(KEYS).is_duplicated()), "there are two rows of one draw for"),
    ):
        if len(rows):
            benchmark, found = rows["benchmark"][0], rows.filter(benchmark=rows["benchmark"][0])
            names = found["problem_id"].unique(maintain_order=True).to_list()
            raise TableError(
                f"{name}, {benchmark}: {what} {named(names)}. Grade the responses again."
            )


def _match(what: str, first: Iterable[str], second: Iterable[str]) -> None:
    only = [sorted(set(one) - set(other)) for one, other in ((first, second), (second, first))]
    if any(only):
        sides = " and ".join(
            f"{named(names)} only in the {side}"
            for side, names in zip(("first", "second"), only, strict=True)
            if names
        )
        raise TableError(
            f"{what} of the two are not the same: {sides}. A paired comparison needs both to have "
            "answered the same problems: score them on one problem set."
        )
