"""Problem sets and documents, wherever they come from, as one table.

Every set is put into one seeded order (by a hash of the id), so that the first k problems of a
source are a random sample of it and a larger pool extends a smaller one.
"""

from functools import cache
from hashlib import blake2b
from pathlib import Path

import dataframely as dy
import polars as pl

from ssgr.config import AbacusSet, FileSet, HubSet, PartSet, PartsSet, ProblemSet
from ssgr.problems import embedded, hub
from ssgr.problems.columns import local_files, read_columns
from ssgr.problems.order import ordered
from ssgr.storage.tables import Documents, Problems

__all__ = ["commits", "contents", "files", "load"]

BLOCK, BLOCKS = 2**18, 128
"""Bytes that are read of a file at a time to tell its contents, and how many times at most."""


def load(problem_set: ProblemSet) -> tuple[pl.DataFrame, type[dy.Schema]]:
    """Return the set's table and its schema, Problems or Documents.

    Files of the hub are fetched into its cache, or found there.

    Raises:
        TableError: a file is missing, unreadable, not to be had from the hub, or lacks a column;
            an id occurs twice; a row has no question or no answer.
    """
    schema = Documents if problem_set.is_text else Problems
    if not isinstance(problem_set, PartsSet):
        table = _part(problem_set)
    else:
        tables = [
            _part(part).with_columns(pl.format(f"{name}/{{}}", _key(part)).alias(_key(part)))
            for name, part in problem_set.parts.items()
        ]
        table = pl.concat(tables)
    return ordered(table, _key(problem_set)), schema


def files(problem_set: ProblemSet) -> list[Path]:
    """Return the local files of a set, sorted; none for shipped rows and for files of the hub.

    Raises:
        TableError: nothing matches a path; fewer rows are shipped than asked for.
    """
    parts = problem_set.parts.values() if isinstance(problem_set, PartsSet) else [problem_set]
    found: list[Path] = []
    for part in parts:
        if isinstance(part, AbacusSet):
            embedded.check_shipped(part)
        elif isinstance(part, FileSet):
            found += local_files(part.path)
    return found


def contents(problem_set: ProblemSet) -> str:
    """Return a digest of a set's local files, whatever their dates and places; "" without any.

    Of a large file the size and blocks all over it are read.

    Raises:
        TableError: nothing matches a path.
    """
    found = [_content(path, path.stat().st_mtime_ns) for path in files(problem_set)]
    return blake2b("".join(found).encode(), digest_size=8).hexdigest() if found else ""


@cache
def _content(path: Path, mtime: int) -> str:
    """The digest of a file; taken once while it stays as it is."""
    size = path.stat().st_size
    digest = blake2b(str(size).encode(), digest_size=16)
    step = BLOCK if size <= BLOCKS * BLOCK else size // BLOCKS
    with path.open("rb") as file:
        for start in range(0, size, step):
            file.seek(start)
            digest.update(file.read(BLOCK))
    return digest.hexdigest()


def commits(problem_set: ProblemSet) -> dict[str, str]:
    """Return the commit that each of a set's files of the hub was taken from, by repo@revision.

    Raises:
        TableError: as `load`.
    """
    parts = problem_set.parts.values() if isinstance(problem_set, PartsSet) else [problem_set]
    return {
        f"{part.repo}@{part.revision}": hub.fetch(part.repo, part.revision, *part.files).commit
        for part in parts
        if isinstance(part, HubSet)
    }


def _key(problem_set: ProblemSet) -> str:
    return "document_id" if problem_set.is_text else "problem_id"


def _part(part: PartSet) -> pl.DataFrame:
    if isinstance(part, AbacusSet):
        return embedded.read_rows(part)
    if isinstance(part, HubSet):
        paths = hub.fetch(part.repo, part.revision, *part.files).paths
        return read_columns(part, list(zip(paths, part.files, strict=True)))
    return read_columns(part, [(path, str(path)) for path in local_files(part.path)])
