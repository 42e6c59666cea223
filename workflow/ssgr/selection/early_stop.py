"""Early stop: how many responses of a problem can still change what is selected.

With n = 16 and tau = 0.75 a problem with 13 correct responses is discarded whatever the others are.
A prefix of a problem's samples 0, 1, 2 … *settles* a demand (tau, length rule) if no outcome of the
later ones changes which response it takes. Sampling draws a response only if it is certain to
belong to the shortest prefix that settles every demand. A selection looks only at its own shortest
prefix, so it does not depend on what else was drawn.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor
from typing import Literal

import polars as pl

from ssgr.config import Filters, Strict
from ssgr.selection.filters import quality
from ssgr.selection.length_rules import AMONG, FIRST
from ssgr.selection.rules import MARGIN, band


@dataclass(frozen=True)
class Outcome:
    """One graded response: its verdict, and whether it passes the quality filters."""

    verdict: str
    passes: bool


Outcomes = Sequence[Outcome | None]
"""Of samples 0 … n-1; None where it is not known."""


class Demand(Strict):
    """What is asked of a pool: a threshold or band, and a length rule (or ``every`` response)."""

    tau: str
    length: str

    @cached_property
    def band(self) -> tuple[float, float]:
        """The lowest and highest correctness ratio kept."""
        return band(self.tau)

    @property
    def among(self) -> Literal["correct", "wrong"]:
        """The verdict of the responses that the length rule chooses among."""
        return AMONG[self.length]

    def prefix(self, outcomes: Outcomes) -> int:
        """Return a length that the shortest settling prefix cannot fall below.

        It is the length of that prefix once every sample in it is known. Unknown samples count as
        whatever settles the demand soonest.
        """
        n = len(outcomes)
        low = ceil(self.band[0] * n - MARGIN)  # correct responses of a problem that is kept
        high = floor(self.band[1] * n + MARGIN)
        correct = unknown = candidates = 0
        for drawn, outcome in enumerate(outcomes, 1):
            unknown += outcome is None
            correct += outcome is not None and outcome.verdict == "correct"
            candidates += outcome is not None and outcome.passes and outcome.verdict == self.among
            left = n - drawn
            if correct + unknown > high or correct + left < low:
                return drawn
            if self.length in FIRST and candidates + unknown:
                # the one taken may be an unknown: then that one is correct, or wrong
                least = correct + (not candidates and self.among == "correct")
                most = correct + unknown - (not candidates and self.among == "wrong")
                if max(least, low) <= min(most, high - left):
                    return drawn
        return n


class Needs(Strict):
    """What all experiments of a run ask of a pool; ``demands`` None asks for all n responses."""

    demands: tuple[Demand, ...] | None
    filters: Filters

    def prefix(self, outcomes: Outcomes) -> int:
        """Return how many samples of a problem are certain to be needed; see `Demand.prefix`."""
        if self.demands is None:
            return len(outcomes)
        return max(demand.prefix(outcomes) for demand in self.demands)

    def covered_by(self, other: "Needs") -> bool:
        """Whether a pool that settles ``other`` settles these needs too."""
        if other.demands is None:
            return True
        if self.demands is None:
            every = Demand(tau="1.00", length=EVERY)
            return any(_covers(theirs, every, True) for theirs in other.demands)
        return all(
            any(_covers(theirs, ours, self.filters == other.filters) for theirs in other.demands)
            for ours in self.demands
        )


EVERY = "median"
"""Stands for all rules that look at every correct response."""


def needs(points: Iterable[tuple[str, str]], filters: Filters, early_stop: bool) -> Needs:
    """Return the needs of (tau, length rule) points, spelled so that equal needs are equal.

    Rules that look at every response join into one demand over the hull of their bands.
    """
    if not early_stop:
        return Needs(demands=None, filters=filters)
    chosen = sorted(set(points))
    bands = [band(tau) for tau, length in chosen if length not in FIRST]
    demands = [Demand(tau=tau, length=length) for tau, length in chosen if length in FIRST]
    if bands:
        low, high = min(lo for lo, _ in bands), max(hi for _, hi in bands)
        hull = f"{low:.2f}..{high:.2f}" if low else f"{high:.2f}"
        demands.insert(0, Demand(tau=hull, length=EVERY))
    return Needs(demands=tuple(demands), filters=filters)


def joined(parts: Sequence[Needs], filters: Filters) -> Needs:
    """Return what several parts of a pool, drawn for the same filters, settle together."""
    if any(part.demands is None for part in parts):
        return Needs(demands=None, filters=filters)
    demands = dict.fromkeys(
        demand
        for part in parts
        for demand in part.demands or ()
        if part.filters == filters or demand.length not in FIRST
    )
    return Needs(demands=tuple(demands), filters=filters)


def outcomes(graded: pl.DataFrame, filters: Filters, n: int) -> dict[str, list[Outcome | None]]:
    """Return the outcomes of every problem of a Grades table, samples in order."""
    known: dict[str, list[Outcome | None]] = {}
    rows = graded.select("problem_id", "sample", "verdict", passes=quality(filters))
    for problem_id, sample, verdict, passes in rows.iter_rows():
        known.setdefault(problem_id, [None] * n)[sample] = Outcome(verdict, passes)
    return known


def settled(graded: pl.DataFrame, demand: Demand, filters: Filters, n: int) -> pl.DataFrame:
    """Return the rows that ``demand`` looks at: of each problem its shortest settling prefix.

    A problem whose prefix is not drawn whole, since it was stopped early under another grader, is
    left out. n is the number of responses of a full pool to each problem.
    """
    known = outcomes(graded, filters, n)
    prefixes = {problem_id: demand.prefix(found) for problem_id, found in known.items()}
    of_rows = [prefixes[problem_id] for problem_id in graded["problem_id"]]
    rows = graded.with_columns(prefix=pl.Series(of_rows, dtype=pl.Int32))
    needed = rows.filter(pl.col("sample") < pl.col("prefix"))
    return needed.filter(pl.len().over("problem_id") == pl.col("prefix")).drop("prefix")


def _covers(theirs: Demand, ours: Demand, same_filters: bool) -> bool:
    if theirs.length not in FIRST and theirs.band == (0.0, 1.0):
        return True  # every response was drawn
    if theirs.length in FIRST:
        return theirs == ours and same_filters
    (low, high), (lower, higher) = ours.band, theirs.band
    return lower <= low and high <= higher
