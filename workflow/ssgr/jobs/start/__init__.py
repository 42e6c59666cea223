"""What can be known of a run before any job: files, models and folders, held against its keys.

Nothing here loads a model, asks a network or reads much: a dry run stays a matter of seconds.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ssgr.config.expand import expand
from ssgr.jobs.start.data import data_found
from ssgr.jobs.start.entries import Entries
from ssgr.jobs.start.found import Found
from ssgr.jobs.start.keys import twice
from ssgr.jobs.start.models import models_found

__all__ = ["Found", "look"]


def look(raw: Mapping[str, Any], files: Iterable[Path] = (), targets: Iterable[str] = ()) -> Found:
    """Return what stands against a configuration, and what is worth saying of it.

    Args:
        raw: the whole configuration, right or wrong; entries that are wrong themselves are left
            to `ssgr.jobs.validation`.
        files: the configuration files it was read from.
        targets: what Snakemake is asked for; experiments among them are looked at.
    """
    with suppress(ValueError):  # validation says it
        raw = expand(raw)
    found, entries = Found(), Entries(raw, targets)
    for file in files:
        found.mistakes += twice(file)
    models_found(entries, found)
    data_found(entries, found)
    _folders(entries, found)
    return found


def _folders(entries: Entries, found: Found) -> None:
    """Where results and the pool go."""
    pool, results = entries.pool, entries.results
    if pool is None or results is None:
        return
    for key, folder in (
        ("results", results),
        ("pool.path", pool.path),
        ("pool.extend", pool.extend),
    ):
        above = [path for path in (Path(folder), *Path(folder).parents)] if folder else []
        there = next((path for path in above if path.exists()), None)
        if there is not None and not there.is_dir():
            found.mistakes.append(f"{key}: {str(there)!r} is a file: name a folder")
        elif there is not None and key == "results" and not os.access(there, os.W_OK):
            found.warnings.append(f"{key}: you may not write in {str(there)!r}")
    inside = Path(results).absolute()
    for key, folder in (("pool.path", pool.path), ("pool.extend", pool.extend)):
        if folder and Path(folder).absolute() in (inside, *inside.parents):
            found.mistakes.append(
                f"results: {results!r} is {key} or lies in it: the pool is shared and outlives a "
                "run, so name a folder beside it"
            )
