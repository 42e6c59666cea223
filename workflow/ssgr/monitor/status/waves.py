"""How many waves of shards a calibration takes: known when it has its budget, else estimated."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ssgr.config import Config, Pool
from ssgr.errors import TableError
from ssgr.jobs import grid
from ssgr.storage.tables import count_rows


@dataclass(frozen=True)
class Waves:
    """The waves of a calibration and their shards; ``settled``: it visits neither more nor less."""

    count: int
    settled: bool
    shards: tuple[str, ...]


def waves(config: Config, results: Path, keys: Mapping[str, str]) -> Waves:
    """Return the waves that a calibration point visits in all.

    Until its tallies have the budget or the source ends, as many as its budget takes if later waves
    offer what the earlier ones did; before the first tally, one.
    """
    point = results.joinpath("tally", *(f"{key}={keys[key]}" for key in grid.CALIBRATION_KEYS))
    problems = _rows(results / "problems" / f"source={keys['source']}" / "problems.parquet")
    done = 0
    while (point / f"wave={done:04d}" / "candidates.parquet").is_file():
        done += 1
    found = _rows(point / f"wave={done - 1:04d}" / "candidates.parquet") if done else None
    ended = bool(done and problems and grid.is_last(config.pool, done - 1, problems))
    wants = config.budget.sequences
    settled = ended or (
        found is not None and (found >= wants or (not found and done >= config.pool.give_up))
    )
    count = done if settled else max(done + 1, math.ceil(done * wants / found) if found else 1)
    count = max(1, min(count, _last(config.pool, problems))) if problems else count
    shards = (shard for number in range(count) for shard in grid.wave(config.pool, number))
    return Waves(count, settled, tuple(shards))


def _last(pool: Pool, problems: int) -> int:
    """The number of waves of a source of so many problems."""
    return math.ceil(min(problems, pool.problems or problems) / (pool.wave * pool.shard_size))


def _rows(path: Path) -> int | None:
    """The rows of a table; None if it is not there, or not whole yet."""
    try:
        return count_rows(path) if path.is_file() else None
    except (TableError, OSError):
        return None
