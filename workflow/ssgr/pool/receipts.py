"""An experiment's own receipts: which parts of the pool it uses, and their checksums.

Snakemake deletes a job's outputs before it starts, and a pool must never be deleted. So what a rule
makes is a small local receipt that names parts of the pool; whoever reads a part by it compares the
checksum first.
"""

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import dataframely as dy
import polars as pl
from pydantic import ValidationError

from ssgr.config import Strict
from ssgr.errors import PoolError, TableError
from ssgr.pool.store import DRAW_AGAIN, Receipt
from ssgr.storage import tables
from ssgr.storage.atomic import write_text


class Reference(Strict):
    """A part of the pool: its path in it, its checksum and its rows."""

    path: str
    sha256: str
    rows: int


class SampledShard(Strict):
    """The parts of a shard that hold its responses, in order."""

    parts: tuple[Reference, ...]


class GradedPart(Strict):
    """A part of a shard and its grades."""

    responses: Reference
    grades: Reference


class GradedShard(Strict):
    """The graded parts of a shard, in order."""

    parts: tuple[GradedPart, ...]


S = TypeVar("S", SampledShard, GradedShard)


def refer(pool: Path, part: Path, receipt: Receipt) -> Reference:
    """Return the reference to a part of the pool."""
    path = part.relative_to(pool).as_posix()
    return Reference(path=path, sha256=receipt.sha256, rows=receipt.rows)


def write(shard: SampledShard | GradedShard, path: Path) -> None:
    """Write a local receipt."""
    write_text(path, shard.model_dump_json(indent=1) + "\n")


def read(path: Path, kind: type[S]) -> S:
    """Read a local receipt.

    Raises:
        PoolError: it is missing or not a receipt.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise PoolError(f"{path} is no receipt: delete it and run again. {error}") from error


def read_visited(path: Path) -> list[str]:
    """Read which graded shards a calibration visited (visited.json): paths of their receipts.

    Raises:
        TableError: it is missing or no such list.
    """
    try:
        return [str(name) for name in json.loads(path.read_bytes())]
    except (OSError, ValueError, TypeError) as error:
        raise TableError(
            f"{path} is no list of visited shards, as stands beside a calibration set "
            f"(visited.json): {error}"
        ) from error


def graded_rows(pool: Path, parts: Iterable[GradedPart]) -> pl.DataFrame:
    """Read the grades of parts, with ``part`` and ``sha256`` of the file with each response.

    Raises:
        PoolError: a part is gone or has changed.
        TableError: a part is not a table of Grades.
    """
    graded = [
        open_part(pool, part.grades, tables.Grades).with_columns(
            part=pl.lit(part.responses.path), sha256=pl.lit(part.responses.sha256)
        )
        for part in parts
    ]
    text = pl.lit(None, dtype=pl.String)
    return pl.concat([tables.Grades.create_empty().with_columns(part=text, sha256=text), *graded])


def response_rows(pool: Path, wanted: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield the Responses rows of ``wanted``, one part in memory at a time.

    ``wanted``: problem_id, sample, part and sha256, as of `graded_rows`.

    Raises:
        PoolError: a part is gone or has changed.
        TableError: a part is not a table of Responses.
    """
    for (path, digest), rows in wanted.group_by("part", "sha256", maintain_order=True):
        part = Reference(path=str(path), sha256=str(digest), rows=0)
        responses = open_part(pool, part, tables.Responses)
        yield responses.join(rows, on=["problem_id", "sample"], how="semi")


def open_part(pool: Path, part: Reference, schema: type[dy.Schema]) -> pl.DataFrame:
    """Read a part of the pool, after comparing its checksum with the reference.

    Raises:
        PoolError: the part is gone or has changed.
        TableError: the part is not a table of ``schema``.
    """
    path = pool / part.path
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PoolError(
            f"the pool's {path} cannot be read ({error.strerror}). If it was purged, delete this "
            "experiment's results/receipts and run again: it is made anew."
        ) from error
    if sha256(data).hexdigest() != part.sha256:
        raise PoolError(
            f"the pool's {path} is not what its receipt says: the checksum differs. It was edited "
            f"or damaged. {DRAW_AGAIN}. `ssgr pool verify` shows what else is wrong."
        )
    return tables.parse(data, schema, path)
