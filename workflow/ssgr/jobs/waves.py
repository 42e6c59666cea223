"""Waves: how a calibration visits a source's pool, so many shards at a time, and when it stops."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ssgr.config import Config, Pool
from ssgr.errors import TableError
from ssgr.jobs import paths
from ssgr.jobs.grid import CALIBRATION_KEYS
from ssgr.storage.tables import count_rows


def shards(pool: Pool, wave: int) -> list[str]:
    """Return the shards of a wave, as ranges of a source's rows: ``000000-000064`` …

    A wave may reach beyond the source's end, where shards are cut or empty; it does not reach
    beyond ``pool.problems``, but for the rest of a shard. A shard's name depends on neither, so
    that a pool grows without sampling anything again.
    """
    rows = range(wave * pool.wave * pool.shard_size, _end(pool, wave), pool.shard_size)
    last = math.inf if pool.problems is None else pool.problems
    return [f"{first:06d}-{first + pool.shard_size:06d}" for first in rows if first < last]


def is_last(pool: Pool, wave: int, problems: int) -> bool:
    """Whether no wave follows, for a source of so many problems."""
    return _end(pool, wave) >= min(problems, pool.problems or problems)


def is_enough(config: Config, wave: int, found: int, problems: int | None) -> bool:
    """Whether a calibration stops after a wave.

    Args:
        config: its budget, and how far a pool is visited.
        wave: the last one visited, from 0.
        found: candidates of all waves up to it.
        problems: of the source; None if not known, then the source does not end.
    """
    hopeless = not found and wave + 1 >= config.pool.give_up
    if found >= config.budget.sequences or hopeless:
        return True
    return problems is not None and is_last(config.pool, wave, problems)


def stops(config: Config, wave: int, tally: Path, source: Path) -> bool:
    """Whether a calibration stops after a wave.

    Args:
        config: as of `is_enough`.
        wave: the last one visited, from 0.
        tally: the candidates up to it.
        source: the source's problems; if they are gone, they are made again before another wave.

    Raises:
        TableError: a table is damaged.
    """
    problems = count_rows(source) if source.is_file() else None
    return is_enough(config, wave, count_rows(tally), problems)


def _end(pool: Pool, wave: int) -> int:
    return (wave + 1) * pool.wave * pool.shard_size


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
    point = {key: keys[key] for key in CALIBRATION_KEYS}
    problems = _rows(results / paths.SOURCE.format(**point))
    done, found = 0, None
    while (tally := _tally(results, point, done)).is_file():
        done, found = done + 1, _rows(tally)
    settled = found is not None and is_enough(config, done - 1, found, problems)
    wanted = math.ceil(done * config.budget.sequences / found) if found else 1
    count = done if settled else max(done + 1, wanted)
    if problems:
        visited = min(problems, config.pool.problems or problems)
        count = max(1, min(count, math.ceil(visited / _end(config.pool, 0))))
    named = (shard for wave in range(count) for shard in shards(config.pool, wave))
    return Waves(count, settled, tuple(named))


def _tally(results: Path, point: Mapping[str, str], wave: int) -> Path:
    return results / paths.TALLY.format(**point, wave=f"{wave:04d}") / paths.CANDIDATES


def _rows(path: Path) -> int | None:
    """The rows of a table; None if it is not there, or not whole yet."""
    try:
        return count_rows(path) if path.is_file() else None
    except (TableError, OSError):
        return None
