"""What the calibrations of a run visited of the pools, by the receipts of its graded shards."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from ssgr.config import Config
from ssgr.errors import ReportError
from ssgr.jobs import paths
from ssgr.jobs.grid import FROM_POOL
from ssgr.jobs.paths import keys_of
from ssgr.pool import receipts, store
from ssgr.report import filters
from ssgr.storage import tables

KEYS = ("model", "source", "verifier")
"""What tells pools apart: whose responses, to what, and how they are judged."""
Visited = dict[tuple[str, ...], list[receipts.GradedShard]]
"""The graded shards that calibrations have visited, by KEYS."""
_KEYED: dict[str, Any] = dict.fromkeys(KEYS, pl.String)


def visited(wanted: pl.DataFrame, graded: Sequence[Path], config: Config) -> Visited:
    """Return the graded shards of the pools that calibrations are taken from.

    Args:
        wanted: points, as of ``ssgr.jobs.grid.points``.
        graded: receipts of graded shards, in their ``key=value`` folders.
        config: what was run.

    Raises:
        ReportError: no shard of a wanted pool is among ``graded``; names its keys.
        PoolError: a receipt is damaged.
    """
    asked = wanted.filter(FROM_POOL).select("generator", "source", "verifier")
    found: Visited = {}
    for path in graded:
        keys = keys_of(path)
        if keys.get("sampling") == config.sampling.key:
            shards = found.setdefault(tuple(keys[key] for key in KEYS), [])
            shards.append(receipts.read(path, receipts.GradedShard))
    pools = asked.unique(maintain_order=True).rows()
    for pool in pools:
        if pool not in found:
            named = ", ".join(f"{key}={value}" for key, value in zip(KEYS, pool, strict=True))
            raise ReportError(
                f"no graded shard of {named}, sampling={config.sampling.key} was named, but "
                "calibrations are taken from it: name the receipts of what they visited "
                "(--visited)."
            )
    return {pool: found[pool] for pool in pools}


def responses(pool: Path, visited: Visited) -> pl.DataFrame:
    """Return a graded response a row: KEYS, problem_id, sample, correct and tokens."""
    columns = ("problem_id", "sample", "correct", "tokens")
    graded = tables.Grades.create_empty().select(columns).schema
    found = [pl.DataFrame(schema=pl.Schema({**_KEYED, **graded}))]
    for keys, shards in visited.items():
        for part in _parts(shards):
            grades = receipts.open_part(pool, part.grades, tables.Grades)
            found.append(grades.select(*_named(keys), *columns))
    return pl.concat(found)


def removed(pool: Path, visited: Visited, config: Config) -> pl.DataFrame:
    """Return what the quality filters drop: KEYS and the columns of ``filters.removed``."""
    found = [pl.DataFrame(schema=pl.Schema({**_KEYED, **filters.REMOVED}))]
    for keys, shards in visited.items():
        dropped = filters.removed(pool, shards, config.filters)
        found.append(dropped.select(*_named(keys), pl.all()))
    return pl.concat(found)


_COSTS: dict[str, type[pl.DataType]] = {
    **_KEYED,
    **dict.fromkeys(("source_problems", "tokens", "timed_tokens", "resumed"), pl.Int64),
    **dict.fromkeys(("seconds", "gpu_seconds", "cpu_seconds"), pl.Float64),
}


def costs(results: Path, pool: Path, visited: Visited) -> pl.DataFrame:
    """Return what was drawn of each pool, in which time: see ``ReportTables.costs``."""
    rows = []
    for keys, shards in visited.items():
        problems = results / paths.SOURCE.format(source=keys[1])
        count = tables.count_rows(problems)
        for part in _parts(shards):
            drawn = store.read_receipt(pool / part.responses.path, store.ResponsesReceipt)
            timed = round(drawn.tokens * (1 - drawn.resumed / max(drawn.rows, 1)))
            rows.append((*keys, count, drawn.tokens, timed, drawn.resumed,
                         drawn.seconds, drawn.gpu_seconds, drawn.cpu_seconds))  # fmt: skip
    spent = pl.DataFrame(rows, schema=_COSTS, orient="row")
    return spent.group_by((*KEYS, "source_problems"), maintain_order=True).agg(pl.all().sum())


def _parts(shards: Sequence[receipts.GradedShard]) -> Iterator[receipts.GradedPart]:
    return (part for shard in shards for part in shard.parts)


def _named(keys: tuple[str, ...]) -> list[pl.Expr]:
    return [pl.lit(value).alias(key) for key, value in zip(KEYS, keys, strict=True)]
