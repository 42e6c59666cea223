"""When a run will have ended: what jobs of a kind have taken, and how many ran side by side.

Nothing is guessed: a kind of job that has never run is named as missing in the estimate.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ssgr.jobs.listing import STAGES, Job

RECENT = 3600.0  # seconds back from now over which jobs side by side are counted
SHORTEST = 10.0  # seconds of a run that say nothing yet of its pace


@dataclass(frozen=True)
class Taken:
    """A finished job: when it ended (since 1970), and its wall seconds."""

    job: Job
    ended: float
    seconds: float


@dataclass(frozen=True)
class Left:
    """A job that is still to do, or to finish: seconds it has run already."""

    job: Job
    elapsed: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """``seconds`` of a run that are left, if it goes on as it did; None: not known.

    ``work`` are the seconds of its jobs, ``abreast`` how many of them ran side by side.
    ``unknown`` are stages with jobs left of which none has run.
    """

    seconds: float | None
    work: float
    abreast: float | None
    measured: int
    unknown: tuple[str, ...]


class Prices:
    """Mean seconds of jobs: of the same rule, model and pruner or benchmark, or the next best."""

    def __init__(self, taken: Iterable[Taken]) -> None:
        """Learn from finished jobs."""
        self._sums: dict[tuple[str, ...], tuple[float, int]] = {}
        for one in taken:
            for level in _levels(one.job):
                total, count = self._sums.get(level, (0.0, 0))
                self._sums[level] = (total + one.seconds, count + 1)

    def of(self, job: Job) -> float | None:
        """Return what a job will take; None if no job of its rule has run."""
        for level in _levels(job):
            if level in self._sums:
                total, count = self._sums[level]
                return total / count
        return None


def _levels(job: Job) -> list[tuple[str, ...]]:
    model = job.keys.get("model", "")
    of = job.keys.get("benchmark" if job.rule == "sample_benchmark" else "pruner", "")
    return [(job.rule, model, of), (job.rule, model), (job.rule,)]


def abreast(
    ended: Iterable[tuple[float, float]], running: Iterable[float], since: float, until: float
) -> float | None:
    """Return how many jobs ran side by side on average; None: too short a time to tell.

    Args:
        ended: when finished jobs ended, and their wall seconds.
        running: since when those run that do.
        since: begin of the time that is looked at, in seconds since 1970.
        until: its end.
    """
    if until - since < SHORTEST:
        return None
    spans = [(end - seconds, end) for end, seconds in ended]
    spans += [(begun, until) for begun in running]
    busy = sum(max(0.0, min(end, until) - max(start, since)) for start, end in spans)
    return busy / (until - since) or None


def estimate(
    left: Sequence[Left], prices: Prices, abreast: float | None, measured: int
) -> Estimate:
    """Return how long what is left will take: the jobs' seconds over how many run side by side.

    At least what the longest of them takes; which of them waits for another is not looked at.
    """
    work, longest, priced, unknown = 0.0, 0.0, 0, set()
    for one in left:
        price = prices.of(one.job)
        if price is None:
            unknown.add(one.job.rule)
            continue
        rest = max(0.0, price - one.elapsed)
        work, longest, priced = work + rest, max(longest, rest), priced + 1
    known = abreast and (priced or not left)
    seconds = max(work / abreast, longest) if abreast and known else None
    missing = tuple(stage for stage, rules in STAGES.items() if unknown.intersection(rules))
    return Estimate(seconds, work, abreast, measured, missing)
