"""The pools of a run, before any job starts: whose they are, and which shards need no job."""

import os
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

import polars as pl

from ssgr.cluster import gpu_lease
from ssgr.config import Config
from ssgr.jobs import grid, paths
from ssgr.pool import store
from ssgr.pool.shards import Asked, Shard
from ssgr.storage import locks
from ssgr.storage.permissions import belongs_to, may_write
from ssgr.storage.tables import Problems, count_rows, read


def check_pools(config: Config) -> None:
    """Refuse pools that another model, prompt or engine made under the same name.

    Raises:
        PoolError: a pool's manifest or shard size differs from the configuration's.
    """
    for name, source in grid.pools(config):
        keys = {"model": name, "source": source, "sampling": config.sampling.key}
        folder = Path(config.pool.folder, "responses", paths.SAMPLED.format(**keys))
        wanted = store.manifest(config.models[name], config.sampling.drawn)
        for each in filter(None, [folder, in_base(config, folder)]):
            store.check_manifest(each, wanted)
            store.check_shard_size(each, config.pool.shard_size)


def in_base(config: Config, path: Path) -> Path | None:
    """Return where a file of the pool lies in the pool that this one extends; None without one."""
    base = config.pool.base
    return Path(base) / path.relative_to(config.pool.folder) if base else None


def who_is_at_work(config: Config) -> Iterator[str]:
    """Name the processes of other runs, or left by a killed one, that hold shards or devices.

    And who owns a pool that may only be read.
    """
    pool = Path(config.pool.folder)
    for held in [*locks.holders(pool), *gpu_lease.holders()]:
        yield f"{held.path} is held by {held}"
    if not may_write(pool):
        yield (
            f"the pool {pool} may only be read: it belongs to {belongs_to(pool)}. What it holds is "
            "used; what it lacks is refused, unless pool.extend names a folder of yours"
        )


def problems_of(
    config: Config, results: Path, kind: Literal["source", "benchmark"], name: str
) -> int | None:
    """Return the number of problems of a source or benchmark; None for files not counted yet."""
    pattern = paths.SOURCE if kind == "source" else paths.BENCHMARK
    table = results / pattern.format(**{kind: name})
    if table.is_file():
        return _counted(table, table.stat().st_mtime_ns)
    data = (config.sources if kind == "source" else config.benchmarks)[name].data
    return data.count if data.loader == "abacus" else None


@cache
def _counted(table: Path, mtime: int) -> int:
    """Rows of a table, counted once while it stays as it is."""
    return count_rows(table)


class Shards:
    """Which shards the pool holds already. Several params and resources of a job ask.

    A shard is looked up again when files have come into its folders or have gone.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._complete = lru_cache(maxsize=10000)(self._look)

    def complete(self, keys: Mapping[str, str]) -> bool:
        """Whether the pool holds all that is needed of a shard.

        Args:
            keys: model, source, sampling and shard.

        Raises:
            PoolError: what it holds is damaged, or of other problems.
        """
        file = Path(self.config.pool.folder, paths.POOL_RESPONSES.format(**keys))
        places = filter(None, [file, in_base(self.config, file), self._problems(keys["source"])])
        folders = tuple(_changed(place.parent) for place in places)
        return self._complete(file, keys["model"], keys["source"], keys["shard"], folders)

    def _look(self, file: Path, model: str, source: str, rows: str, _: object) -> bool:
        config = self.config
        return Shard(
            file,
            store.manifest(config.models[model], config.sampling.drawn),
            grid.needs_of(config, source),
            grid.judging(config, model, config.sources[source]).identity,
            self._asked(source, rows),
            in_base(config, file),
        ).complete()

    def _asked(self, source: str, rows: str) -> Asked | None:
        """What a shard asks, if its source's problems are at hand already."""
        file = self._problems(source)
        if not file.is_file():
            return None
        first, last = map(int, rows.split("-"))
        return Asked.of(_table(file, file.stat().st_mtime_ns).slice(first, last - first))

    def _problems(self, source: str) -> Path:
        return Path(self.config.results, paths.SOURCE.format(source=source))


@cache
def _table(file: Path, mtime: int) -> pl.DataFrame:
    """A source's problems, read once for all its shards."""
    return read(file, Problems)


def _changed(folder: Path) -> int | None:
    """When a file last came into a folder or went, in ns; None without the folder."""
    try:
        return os.stat(folder).st_mtime_ns
    except FileNotFoundError:
        return None
