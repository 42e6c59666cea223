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
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]

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
    wanted = (*_FIELDS, *_BESIDE)
    table = _columns(problem_set, {"problem_id": "id", **{name: name for name in wanted}})
    golds = [_gold(row, problem_set) for row in table.iter_rows(named=True)]
    table = table.with_columns(pl.Series("answer", golds, dtype=pl.String)).drop(_BESIDE)
    _require_answers(table, problem_set)
    return _ordered(table, "problem_id"), Problems


def _gold(row: dict[str, Any], spec: FileSet) -> str | None:
    """Return a row's reference answer: one text, or JSON for `ssgr.grading.golds`.

    Without an answer (None) are a row with none and one whose list has an empty place: with the
    rest of its answers a wrong response could be judged correct.
    """
    answers = [_answer(text, spec.answer_from) for text in row["answer"] or ()]
    texts = [answer for answer in answers if answer and answer.strip()]
    if not texts or len(texts) < len(answers):
        return None
    beside = {name: row[name].strip() for name in _BESIDE if row[name] and row[name].strip()}
    _require_tolerance(row, beside.get("error"), spec)
    if len(texts) == 1 and not beside:
        return texts[0]
    return json.dumps({"final_answer": texts, **beside}, ensure_ascii=False)


def _require_tolerance(row: dict[str, Any], error: str | None, spec: FileSet) -> None:
    try:
        tolerances = [float(part) for part in (error or "0").split(",")]
    except ValueError:
        tolerances = [-1.0]
    if not all(tolerance >= 0 and isfinite(tolerance) for tolerance in tolerances):
        raise TableError(
            f"{spec.path}: column {spec.error!r} of problem {row['problem_id']!r} holds {error!r}; "
            "expected a tolerance such as 1e-1, or several with commas between"
        )


def _require_answers(table: pl.DataFrame, spec: FileSet) -> None:
    """Tell before anything is sampled that a problem could not be graded."""
    bare = table.filter(pl.col("answer").is_null())["problem_id"]
    if spec.answer is not None and len(bare):
        raise TableError(
            f"{spec.path}: {len(bare)} of {len(table)} problems have no answer in column "
            f"{spec.answer!r} (answer_from: {spec.answer_from}), or an empty one among several; "
            f"first: {bare[0]!r}. Choose another answer_from (whole, after-hashes, last-box), or "
            "remove these rows."
        )


_FIELDS = ("question", "solution", "answer", "subject", "level")
_BESIDE = ("unit", "error")
"""What may stand beside an answer; goes into it."""
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
    """Read ``columns`` of one file."""
    kind = next((suffix for suffix in reversed(path.suffixes) if suffix in _READERS), None)
    if kind is None:
        raise TableError(f"{path}: expected one of {sorted(_READERS)} (may be compressed)")
    try:
        with pa.input_stream(str(path), compression="detect") as file:
            table = _READERS[kind](file.read())
    except (OSError, EOFError, ValueError, pl.exceptions.PolarsError) as error:
        raise TableError(f"{path} cannot be read as {kind}: {error}") from error
    absent = [name for name in columns if name not in table.columns]
    if absent:
        raise TableError(f"{path}: no column {absent[0]!r} in {table.columns}")
    return table.select(columns)


def _text(values: pl.Series, path: Path) -> pl.Series:
    """A column as text; numbers are kept as they are written."""
    if values.dtype.is_nested():
        raise TableError(f"{path}: column {values.name!r} holds lists; expected one text a row")
    return values.cast(pl.String)


def _lists(values: pl.Series, path: Path) -> pl.Series:
    """A column as lists of texts, a text as a list of one."""
    if isinstance(values.dtype, pl.List) and not values.dtype.inner.is_nested():
        return values.cast(pl.List(pl.String))
    texts = _text(values, path)
    return pl.Series([None if text is None else [text] for text in texts],
                     dtype=pl.List(pl.String))  # fmt: skip


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
    """The values as text, numbers as JSON writes them; a list anywhere makes all of them lists."""
    lists = [value for value in values if isinstance(value, list)]
    if any(isinstance(value, dict) for value in [*values, *chain(*lists)]) or any(
        isinstance(element, list) for element in chain(*lists)
    ):
        return pl.Series([None] * len(values), dtype=pl.Struct({}))  # refused if it is asked for
    if not lists:
        return pl.Series(map(_json_text, values), dtype=pl.String)
    listed = [value if value is None or isinstance(value, list) else [value] for value in values]
    return pl.Series(
        [value if value is None else list(map(_json_text, value)) for value in listed],
        dtype=pl.List(pl.String),
    )


def _json_text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _csv(data: bytes) -> pl.DataFrame:
    return pl.read_csv(data, infer_schema=False)


_READERS: dict[str, Callable[[bytes], pl.DataFrame]] = {
    ".parquet": pl.read_parquet,
    ".jsonl": _json,
    ".json": _json,
    ".csv": _csv,
}


def _columns(spec: FileSet, wanted: dict[str, str]) -> pl.DataFrame:
    """Read the columns that the registry entry names, under our names; others are null.

    All are text, but ``answer`` is a list of texts.
    """
    named = {column: getattr(spec, field) for column, field in wanted.items()}
    given = list(dict.fromkeys(name for name in named.values() if name))
    table = pl.concat(_under_our_names(_read(file, given), named, file) for file in files(spec))
    key = next(iter(wanted))
    if named[key] is None:
        numbers = [f"{row:07d}" for row in range(len(table))]
        table = table.with_columns(pl.Series(key, numbers, dtype=pl.String))
    return table


def _under_our_names(raw: pl.DataFrame, named: dict[str, str | None], path: Path) -> pl.DataFrame:
    columns = []
    for column, name in named.items():
        values = raw[name] if name else pl.repeat(None, len(raw), dtype=pl.String, eager=True)
        as_wanted = _lists if column == "answer" else _text
        columns.append(as_wanted(values, path).alias(column))
    return pl.DataFrame(columns)


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
