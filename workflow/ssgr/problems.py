"""Problem sets and documents: the embedded generator and local files, as one table.

Every set is put into one seeded order (by a hash of the id), so that the first k problems of a
source are a random sample of it and a larger pool extends a smaller one.
"""

import glob
import re
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import dataframely as dy
import fsspec
import polars as pl

from ssgr.config import AbacusSet, FileSet
from ssgr.errors import TableError
from ssgr.tables import Documents, Problems


def load(problem_set: AbacusSet | FileSet) -> tuple[pl.DataFrame, type[dy.Schema]]:
    """Return the set's table and its schema, Problems or Documents.

    Raises:
        TableError: a file is missing, unreadable or lacks a column; an id occurs twice.
    """
    if isinstance(problem_set, AbacusSet):
        from ssgr import abacus

        if problem_set.is_text:
            rows = abacus.documents(problem_set.count, problem_set.seed)
            return _ordered(pl.DataFrame(rows), "document_id"), Documents
        problems = abacus.problems(problem_set.kind, problem_set.count, problem_set.seed)
        return _ordered(pl.DataFrame(problems, schema=_STRINGS), "problem_id"), Problems
    raw = pl.concat([_read(file) for file in _files(problem_set.path)], how="diagonal_relaxed")
    if problem_set.text is not None:
        table = _columns(raw, problem_set, {"document_id": "id", "text": "text"})
        return _ordered(table, "document_id"), Documents
    table = _columns(raw, problem_set, {"problem_id": "id", **{name: name for name in _FIELDS}})
    answers = [_answer(value, problem_set.answer_from) for value in table["answer"]]
    table = table.with_columns(pl.Series("answer", answers, dtype=pl.String))
    return _ordered(table, "problem_id"), Problems


_FIELDS = ("question", "solution", "answer", "subject", "level")
_STRINGS = {name: pl.String for name in ("problem_id", *_FIELDS)}


def _files(path: str | list[str]) -> list[Path]:
    patterns = [path] if isinstance(path, str) else path
    files = [Path(name) for pattern in patterns for name in sorted(glob.glob(pattern))]
    if not files:
        raise TableError(f"no file matches {patterns}: check the source's or benchmark's path")
    return files


def _read(path: Path) -> pl.DataFrame:
    kind = next((suffix for suffix in reversed(path.suffixes) if suffix in _READERS), None)
    if kind is None:
        raise TableError(f"{path}: expected one of {sorted(_READERS)} (may be compressed)")
    try:
        with fsspec.open(str(path), "rb", compression="infer") as file:
            return _READERS[kind](file.read())
    except (OSError, EOFError, pl.exceptions.PolarsError) as error:
        raise TableError(f"{path} cannot be read as {kind}: {error}") from error


def _json(data: bytes) -> pl.DataFrame:
    """Read a JSON array or object, or JSON lines under the name of JSON (as C4's files are)."""
    try:
        return pl.read_json(data)
    except pl.exceptions.PolarsError:
        return pl.read_ndjson(data)


_READERS: dict[str, Callable[[bytes], pl.DataFrame]] = {
    ".parquet": pl.read_parquet,
    ".jsonl": pl.read_ndjson,
    ".json": _json,
    ".csv": pl.read_csv,
}


def _columns(raw: pl.DataFrame, spec: FileSet, wanted: dict[str, str]) -> pl.DataFrame:
    """Rename the file's columns as the registry entry says; an absent optional one is null."""
    expressions = []
    for column, field in wanted.items():
        name: str | None = getattr(spec, field)
        if name is not None and name not in raw.columns:
            raise TableError(f"{spec.path}: no column {name!r} (for `{field}`) in {raw.columns}")
        if name is not None:
            expressions.append(pl.col(name).cast(pl.String).alias(column))
        elif field == "id":
            expressions.append(
                pl.format("{}", pl.int_range(pl.len()).cast(pl.String).str.zfill(7)).alias(column)
            )
        else:
            expressions.append(pl.lit(None, dtype=pl.String).alias(column))
    return raw.select(expressions)


def _answer(text: str | None, answer_from: str) -> str | None:
    """Find the answer in its column: all of it, after GSM8K's ``####``, or in the last box."""
    if text is None or answer_from == "whole":
        return text
    if answer_from == "after-hashes":
        found = re.search(r"####\s*(.+)\s*$", text)
        return found[1].strip().replace(",", "") if found else None
    from ssgr.grading.answers import last_box

    return last_box(text)


def _ordered(table: pl.DataFrame, key: str) -> pl.DataFrame:
    doubled = table.filter(pl.col(key).is_duplicated())[key]
    if len(doubled):
        raise TableError(f"{key} {doubled[0]!r} occurs more than once: ids must be unique")
    order = [blake2b(value.encode(), digest_size=8).hexdigest() for value in table[key]]
    return table.with_columns(pl.Series("order", order)).sort("order").drop("order")
