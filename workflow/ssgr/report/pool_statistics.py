"""What is known of a pool, of which early stop has left some problems with fewer than n responses.

Of such a problem c = k/n is not known, only that it lies between what is reached when every
response that was not drawn is wrong, and when every one is correct. Means weigh problems alike:
with responses weighed alike, a problem would count less the sooner it was stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ssgr.config import Config
from ssgr.selection.rules import MARGIN, band

UNKNOWN = "unknown"

Bands = Sequence[tuple[float, float]]
"""Lowest and highest c that calibrations keep."""


def by_problem(rows: pl.DataFrame, n: int, bands: Bands) -> pl.DataFrame:
    """Return a pool's problems, one a row.

    Args:
        rows: one source's rows of ``ReportTables.pool``.
        n: responses that a full pool has of each problem.
        bands: by which calibrations of the run decide.

    Returns:
        problem_id, drawn (responses), correct (of them), tokens (their mean length), low and high
        (bounds of c, equal if all n are drawn), whole (whether they are), and known: what is
        certain of c of the others, e.g. ``> 0.75``.
    """
    counted = rows.group_by("problem_id", maintain_order=True).agg(
        drawn=pl.len().cast(pl.Int64),
        correct=pl.col("correct").sum().cast(pl.Int64),
        tokens=pl.col("tokens").mean(),
    )
    bounded = counted.with_columns(
        low=pl.col("correct") / n,
        high=(pl.col("correct") + n - pl.col("drawn")) / n,
        whole=pl.col("drawn") >= n,
    )
    said = [
        None if whole else _known(low, high, bands)
        for low, high, whole in bounded.select("low", "high", "whole").iter_rows()
    ]
    return bounded.with_columns(pl.Series("known", said, dtype=pl.String))


def bands(config: Config, source: str) -> list[tuple[float, float]]:
    """Return the bands of c, ascending, that the run's calibrations of a source keep."""
    entries = config.run_calibrations.values()
    return sorted({band(entry.tau) for entry in entries if entry.source == source and entry.tau})


def _known(low: float, high: float, bands: Bands) -> str:
    """What is certain of c, in terms of the bands; it lies between ``low`` and ``high``."""
    above = [(end, f"> {end:.2f}") for _, end in bands if low > end + MARGIN]
    above += [(end, f"≥ {end:.2f}") for end, _ in bands if 0 < end <= low + MARGIN]
    below = [(end, f"< {end:.2f}") for end, _ in bands if high < end - MARGIN]
    below += [(end, f"≤ {end:.2f}") for _, end in bands if high <= end + MARGIN and end < 1]
    said = [max(above)[1]] if above else []
    return ", ".join([*said, min(below)[1]] if below else said) or UNKNOWN


@dataclass(frozen=True)
class Bounds:
    """A share of problems, or a mean of c: between ``low`` and ``high``, and equal if known."""

    low: float
    high: float


@dataclass(frozen=True)
class Correctness:
    """How often a pool's responses are correct.

    ``drawn`` is the mean over problems of the correct share of what was drawn, ``mean`` of c;
    ``always`` and ``never`` are the shares of problems with c = 1 and with c = 0.
    """

    drawn: float
    mean: Bounds
    always: Bounds
    never: Bounds


def correctness(problems: pl.DataFrame) -> Correctness:
    """Return what is known of how often ``problems``, as of ``by_problem``, are solved."""
    low, high = problems["low"], problems["high"]
    return Correctness(
        drawn=_mean(problems["correct"] / problems["drawn"]),
        mean=Bounds(_mean(low), _mean(high)),
        always=Bounds(_mean(low >= 1 - MARGIN), _mean(high >= 1 - MARGIN)),
        never=Bounds(_mean(high <= MARGIN), _mean(low <= MARGIN)),
    )


@dataclass(frozen=True)
class Scope:
    """So many problems, responses to them and tokens of these; ``estimated`` are the tokens."""

    problems: int
    responses: int
    tokens: int
    estimated: bool


@dataclass(frozen=True)
class Extent:
    """What was drawn of a pool, and what more of it would be.

    ``visited``: all n responses to the visited problems; ``source``: to all of the source's.
    """

    drawn: Scope
    visited: Scope
    source: Scope


def extent(problems: pl.DataFrame, tokens: int, source_problems: int, n: int) -> Extent:
    """Return what was drawn and what it saved.

    A response that was not drawn is taken to be as long as the mean of its problem's others; a
    problem that was not visited as the mean of the visited ones.

    Args:
        problems: the visited ones, as of ``by_problem``.
        tokens: of all that was drawn.
        source_problems: how many problems there are to visit.
        n: responses that a full pool has of each problem.
    """
    visited, mean = len(problems), _mean(problems["tokens"])
    whole = bool(problems["whole"].all())
    every = visited == source_problems
    full = tokens if whole else round(n * visited * mean)
    return Extent(
        drawn=Scope(visited, int(problems["drawn"].sum()), tokens, False),
        visited=Scope(visited, n * visited, full, not whole),
        source=Scope(
            source_problems,
            n * source_problems,
            full if every else round(n * source_problems * mean),
            not (whole and every),
        ),
    )


def _mean(values: pl.Series) -> float:
    """The mean of a series that is not empty, as Python's type."""
    return float(values.cast(pl.Float64).sum()) / len(values)
