"""How far the pool of a source has grown, and how far a run will grow it: the scopes of a plan."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ssgr.config import Config
from ssgr.jobs import grid, paths
from ssgr.jobs.waves import shards
from ssgr.monitor.plan.rates import Rate, retention
from ssgr.pool import store
from ssgr.pool.files import parts_among
from ssgr.pool.shards import Shard
from ssgr.selection.early_stop import Demand

FIRST, EXPECTED, ALL = "first wave", "expected", "all problems"


@dataclass(frozen=True)
class Growth:
    """A model's pool of a source.

    ``problems`` counts the source's (None: not known yet), ``rows`` the responses that a shard has
    so far; ``complete`` shards need no drawing and ``graded`` ones no grading. ``scopes`` are lists
    of shards (None: not known yet), each with the reason for its size.
    """

    model: str
    source: str
    problems: int | None
    rows: Mapping[str, int]
    complete: frozenset[str]
    graded: frozenset[str]
    scopes: Mapping[str, tuple[Sequence[str] | None, str]]

    def missing(self, shards: Sequence[str] | None, per_problem: Rate) -> Rate:
        """Return how many responses are still to be drawn for these shards."""
        if shards is None:
            return Rate(None, "")
        left = [shard for shard in shards if shard not in self.complete]
        whole = per_problem.times(sum(size(shard, self.problems) for shard in left))
        if whole.value is None:
            return whole
        there = sum(self.rows.get(shard, 0) for shard in left)
        return Rate(max(0.0, whole.value - there), whole.basis, whole.at_most)


def size(shard: str, problems: int | None) -> int:
    """Return the number of problems of a shard; a source may end in it, or before it."""
    first, last = (int(row) for row in shard.split("-"))
    return max(0, (last if problems is None else min(last, problems)) - first)


def growth(config: Config, pool: Path, model: str, source: str, problems: int | None) -> Growth:
    """Look at what a pool holds of a source, and at what a run would ask of it.

    With ``pool.extend``, what that folder holds counts too.

    Raises:
        PoolError: the pool was made by something else than the configuration says.
        TableError: a table of grades is damaged.
    """
    keys = {"model": model, "source": source, "sampling": config.sampling.key}
    key = paths.SAMPLED.format(**keys)
    pools = [Path(config.pool.extend), pool] if config.pool.extend else [pool]
    drawn = [one / "responses" / key for one in pools]
    judging = grid.judging(config, model, config.sources[source])
    grades = f"{paths.POOL_GRADES.format(**keys, grader=judging.digest)}/*.parquet"
    graded = {file.name for one in pools for file in one.glob(grades)}
    manifest = store.manifest(config.models[model], config.sampling.drawn)
    needs, judge = grid.needs_of(config, source), judging.identity
    rows: dict[str, int] = {}
    complete, judged = set(), set()
    files = [name for folder in drawn if folder.is_dir() for name in os.listdir(folder)]
    for name in {part.shard for part in parts_among(files)}:
        first, *base = (folder / f"{name}.parquet" for folder in drawn)
        shard = Shard(first, manifest, needs, judge, base=base[0] if base else None)
        parts = shard.parts()
        rows[name] = sum(receipt.rows for _, receipt in parts)
        if shard.complete():
            complete.add(name)
            if graded.issuperset(part.name for part, _ in parts):
                judged.add(name)
    visits = _visits(config, source, *_graded_parts(pool, keys, judging.digest))
    return Growth(
        model,
        source,
        problems,
        rows,
        frozenset(complete),
        frozenset(judged),
        _scopes(config, problems, visits),
    )


def _scopes(
    config: Config, problems: int | None, visits: Rate
) -> dict[str, tuple[list[str] | None, str]]:
    """The first wave, the waves expected for so many visited problems, and all there can be."""
    most = min(filter(None, (problems, config.pool.problems)), default=None)
    expected = visits.value if visits.value is None or most is None else min(visits.value, most)
    every = "" if most else "problems of the source not counted yet"
    return {
        FIRST: (_waves(config, 1, problems), ""),
        EXPECTED: (_until(config, expected, problems), visits.basis),
        ALL: (_until(config, most, problems), every),
    }


def _until(config: Config, visited: float | None, problems: int | None) -> list[str] | None:
    """The shards of the waves that visit so many problems."""
    if visited is None:
        return None
    waves = math.ceil(visited / (config.pool.wave * config.pool.shard_size))
    return _waves(config, waves, problems)


def _waves(config: Config, count: int, problems: int | None) -> list[str]:
    named = [shard for wave in range(count) for shard in shards(config.pool, wave)]
    return [shard for shard in named if size(shard, problems)]


def _graded_parts(pool: Path, keys: Mapping[str, str], digest: str) -> tuple[list[Path], str]:
    """Grades to measure retention on, and whose they are: this grader's, else the next best."""
    for others, whose in (
        ({"grader": digest}, ""),
        ({"grader": "*"}, "by another grader"),
        ({"grader": "*", "source": "*"}, "of another source"),
    ):
        folders = pool.glob(paths.POOL_GRADES.format(**{**keys, **others}))
        found = [sorted(folder.glob("*.parquet")) for folder in folders]
        if most := max(found, key=len, default=[]):
            return most, whose
    return [], ""


def _visits(config: Config, source: str, graded: Sequence[Path], whose: str) -> Rate:
    """Problems to visit until every calibration of the source has its budget."""
    most = Rate(0, "")
    names = [name for each in config.targeted for name in config.selection(each).calibrations]
    for label in dict.fromkeys(names):
        entry = config.calibrations[label]
        if entry.source != source or entry.tau is None:
            continue
        demand = Demand(tau=entry.tau, length=entry.length)
        share = retention(graded, demand, config.filters, config.budget, config.sampling.n)
        basis = " ".join(filter(None, (f"{label}: {share.basis}", whose)))
        if not share.value:
            return Rate(None, basis)
        visits = config.budget.sequences / share.value
        if visits > (most.value or 0):
            most = Rate(visits, basis)
    return most
