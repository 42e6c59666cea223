"""Problem sets and documents: the embedded generator and local files, as one table.

Every set is put into one seeded order (by a hash of the id), so that the first k problems of a
source are a random sample of it and a larger pool extends a smaller one.
"""

import glob
import json
import os
import re
from collections.abc import Callable, Sequence
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
    if problem_set.text is not None:
        return _ordered(_columns(problem_set, {"document_id": "id", "text": "text"}),
                        "document_id"), Documents  # fmt: skip
    table = _columns(problem_set, {"problem_id": "id", **{name: name for name in _FIELDS}})
    answers = [_answer(value, problem_set.answer_from) for value in table["answer"]]
    table = table.with_columns(pl.Series("answer", answers, dtype=pl.String))
    _require_answers(table, problem_set)
    return _ordered(table, "problem_id"), Problems


def _require_answers(table: pl.DataFrame, spec: FileSet) -> None:
    """Tell before anything is sampled that a problem could not be graded."""
    bare = table.filter(pl.col("answer").is_null())["problem_id"]
    if spec.answer is not None and len(bare):
        raise TableError(
            f"{spec.path}: {len(bare)} of {len(table)} problems have no answer in column "
            f"{spec.answer!r} (answer_from: {spec.answer_from}), first: {bare[0]!r}. Choose "
            "another answer_from (whole, after-hashes, last-box), or remove these rows."
        )


_FIELDS = ("question", "solution", "answer", "subject", "level")
_STRINGS = {name: pl.String for name in ("problem_id", *_FIELDS)}


def files(problem_set: AbacusSet | FileSet) -> list[Path]:
    """Return the local files of a set, sorted; none for the embedded generator.

    Raises:
        TableError: nothing matches the path.
    """
    if isinstance(problem_set, AbacusSet):
        return []
    path = problem_set.path
    patterns = [os.path.expanduser(p) for p in ([path] if isinstance(path, str) else path)]
    found = [Path(name) for pattern in patterns for name in sorted(glob.glob(pattern))]
    if not found:
        raise TableError(f"no file matches {patterns}: check the source's or benchmark's path")
    return found


def _read(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """Read ``columns`` of one file as text; numbers are kept as they are written."""
    kind = next((suffix for suffix in reversed(path.suffixes) if suffix in _READERS), None)
    if kind is None:
        raise TableError(f"{path}: expected one of {sorted(_READERS)} (may be compressed)")
    try:
        with fsspec.open(str(path), "rb", compression="infer") as file:
            table = _READERS[kind](file.read())
        absent = [name for name in columns if name not in table.columns]
        if absent:
            raise TableError(f"{path}: no column {absent[0]!r} in {table.columns}")
        nested = [name for name in columns if table[name].dtype.is_nested()]
        if nested:
            raise TableError(f"{path}: column {nested[0]!r} holds lists; expected one text a row")
        return table.select(pl.col(columns).cast(pl.String))
    except (OSError, EOFError, ValueError, pl.exceptions.PolarsError) as error:
        raise TableError(f"{path} cannot be read as {kind}: {error}") from error


def _json(data: bytes) -> pl.DataFrame:
    """Read JSON lines, an array or one object, whatever the file is called."""
    text = data.decode()
    try:
        whole = json.loads(text)
        rows = whole if isinstance(whole, list) else [whole]
    except json.JSONDecodeError:
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    names = dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame({name: _texts([row.get(name) for row in rows]) for name in names})


def _texts(values: list[object]) -> pl.Series:
    """The values as text, numbers as JSON writes them; a list anywhere makes a column of lists."""
    if any(isinstance(value, list | dict) for value in values):
        return pl.Series([[] for _ in values], dtype=pl.List(pl.String))
    texts = [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
    return pl.Series(texts, dtype=pl.String)


def _csv(data: bytes) -> pl.DataFrame:
    return pl.read_csv(data, infer_schema=False)


_READERS: dict[str, Callable[[bytes], pl.DataFrame]] = {
    ".parquet": pl.read_parquet,
    ".jsonl": _json,
    ".json": _json,
    ".csv": _csv,
}


def _columns(spec: FileSet, wanted: dict[str, str]) -> pl.DataFrame:
    """Read the columns that the registry entry names, under our names; others are null."""
    named = {column: getattr(spec, field) for column, field in wanted.items()}
    given = list(dict.fromkeys(name for name in named.values() if name))
    raw = pl.concat(_read(file, given) for file in files(spec))
    numbers = pl.Series([f"{row:07d}" for row in range(len(raw))], dtype=pl.String)
    key = next(iter(wanted))
    return raw.select(
        pl.col(name).alias(column)
        if name
        else (numbers if column == key else pl.lit(None, dtype=pl.String)).alias(column)
        for column, name in named.items()
    )


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
    if table[key].null_count():
        raise TableError(f"{key} is missing in {table[key].null_count()} rows: every row needs one")
    doubled = table.filter(pl.col(key).is_duplicated())[key]
    if len(doubled):
        raise TableError(f"{key} {doubled[0]!r} occurs more than once: ids must be unique")
    order = [blake2b(value.encode(), digest_size=8).hexdigest() for value in table[key]]
    return table.with_columns(pl.Series("order", order)).sort("order").drop("order")
