"""What can be known of a run before any job: files, models and folders, compared with its keys.

Nothing here loads a model, asks a network or reads much: a dry run stays a matter of seconds.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ssgr.config import Pool
from ssgr.config.expand import expand
from ssgr.jobs.start.data import data_found
from ssgr.jobs.start.entries import Entries, Found
from ssgr.jobs.start.keys import twice
from ssgr.jobs.start.models import models_found

__all__ = ["Found", "look"]


def look(raw: Mapping[str, Any], files: Iterable[Path] = (), targets: Iterable[str] = ()) -> Found:
    """Return what is wrong with a configuration, and what is worth a warning.

    Args:
        raw: the whole configuration, right or wrong; entries that are wrong themselves are left
            to `ssgr.jobs.validation`.
        files: the configuration files it was read from.
        targets: what Snakemake is asked for; experiments among them are looked at.
    """
    with suppress(ValueError):  # `ssgr.jobs.validation` reports it
        raw = expand(raw)
    found, entries = Found(), Entries(raw, targets)
    for file in files:
        found.mistakes += twice(file)
    models_found(entries, found)
    data_found(entries, found)
    if entries.pool is not None and entries.results is not None:
        found.mistakes += _folders(entries.pool, entries.results)
        there = _there(entries.results)
        if there.is_dir() and not os.access(there, os.W_OK):
            found.warnings.append(f"results: you may not write in {str(there)!r}")
    return found


def _folders(pool: Pool, results: str) -> Iterator[str]:
    """Results and pool that lie in a file, or in each other."""
    pools = {"pool.path": pool.path, "pool.extend": pool.extend}
    for key, folder in {"results": results, **pools}.items():
        if folder and not (there := _there(folder)).is_dir():
            yield f"{key}: {str(there)!r} is a file: name a folder"
    inside = Path(results).absolute()
    for key, folder in pools.items():
        if folder and Path(folder).absolute() in (inside, *inside.parents):
            yield (
                f"results: {results!r} is {key} or lies in it: the pool is shared and outlives a "
                "run, so name a folder beside it"
            )


def _there(folder: str) -> Path:
    """The folder, or the nearest above it that exists."""
    return next(path for path in (Path(folder), *Path(folder).parents) if path.exists())
