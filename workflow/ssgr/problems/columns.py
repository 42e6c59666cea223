"""The columns that a registry entry names, under our names: problems or documents from files."""

import glob
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from ssgr.config import Columns
from ssgr.errors import TableError
from ssgr.problems.golds import BESIDE, golds
from ssgr.problems.options import with_options
from ssgr.problems.order import first
from ssgr.problems.reading import ROWS, batches
from ssgr.tables import Problems

DOCUMENT = {"document_id": "id", "text": "text"}
PROBLEM = {
    "problem_id": "id",
    **{name: name for name in Problems.column_names() if name != "problem_id"},
    "context": "context",
    **{name: name for name in BESIDE},
}
_HAS_CONTEXT = pl.col("context").fill_null("").str.strip_chars() != ""
_WITH_CONTEXT = (
    pl.when(_HAS_CONTEXT).then(pl.format("{}\n\n{}", "context", "question")).otherwise("question")
)


def local_files(path: str | list[str]) -> list[Path]:
    """Return the files that match a path, glob or list of them; those of each sorted.

    Raises:
        TableError: nothing matches one of them.
    """
    found: list[Path] = []
    for pattern in [path] if isinstance(path, str) else path:
        matching = sorted(glob.glob(os.path.expanduser(pattern)))
        if not matching:
            raise TableError(f"no file matches {pattern!r}: check the source's or benchmark's path")
        found += map(Path, matching)
    return found


def read_columns(spec: Columns, paths: Sequence[tuple[Path, str]]) -> pl.DataFrame:
    """Read a set: the columns of Documents, or of Problems.

    Args:
        spec: which columns hold what, which rows are taken.
        paths: the files, in order, and what errors call them.

    Raises:
        TableError: a file cannot be read or lacks a column; no row is taken; a row has no id,
            question, option or answer, or a tolerance that is none.
    """
    key, *_ = wanted = DOCUMENT if spec.is_text else PROBLEM
    table = _taken(spec, dict(wanted), paths, key)
    shown = ", ".join(shown for _, shown in paths)
    if spec.is_text:
        return table.filter(pl.col("text").str.strip_chars() != "")
    _require_questions(table, shown)
    table = table.with_columns(question=_WITH_CONTEXT)
    if spec.options:
        table = with_options(table, spec, shown)
    else:
        table = table.with_columns(pl.Series("answer", golds(table, spec, shown), dtype=pl.String))
    return table.select(Problems.column_names())


def _taken(
    spec: Columns, wanted: dict[str, str], paths: Sequence[tuple[Path, str]], key: str
) -> pl.DataFrame:
    """The rows that are taken, texts all; ``answer`` and ``options`` are lists of texts."""
    table, read = None, 0
    for path, shown in paths:
        for batch in _batches(spec, path, shown):
            rows = _under_our_names(batch, spec, wanted, shown, first_row=read)
            read += len(batch)
            table = pl.concat([table, rows]) if table is not None else rows
            if spec.limit and len(table) >= spec.limit + ROWS:
                table = first(table, key, spec.limit)
    if table is None or table.is_empty():
        which = f" with {spec.where}" if spec.where else ""
        raise TableError(
            f"{', '.join(shown for _, shown in paths)}: there is no row{which} among {read}"
        )
    return first(table, key, spec.limit) if spec.limit else table


def _batches(spec: Columns, path: Path, shown: str) -> Iterator[pl.DataFrame]:
    names = [getattr(spec, field) for field in {**DOCUMENT, **PROBLEM}.values()]
    given = [*filter(None, names), *(spec.options or ()), *spec.where]
    yield from batches(path, list(dict.fromkeys(given)), shown)


def _under_our_names(
    raw: pl.DataFrame, spec: Columns, wanted: dict[str, str], shown: str, *, first_row: int
) -> pl.DataFrame:
    columns = []
    for column, field in wanted.items():
        name = getattr(spec, field)
        values = raw[name] if name else pl.repeat(None, len(raw), dtype=pl.String, eager=True)
        as_wanted = _lists if column == "answer" else _text
        columns.append(as_wanted(values, shown).alias(column))
    if spec.id is None:
        numbers = [f"{row:07d}" for row in range(first_row, first_row + len(raw))]
        columns[0] = pl.Series(columns[0].name, numbers, dtype=pl.String)
    if spec.options:
        texts = pl.DataFrame([_text(raw[name], shown).alias(name) for name in spec.options])
        listed = [list(row) for row in texts.iter_rows()]
        columns.append(pl.Series("options", listed, dtype=pl.List(pl.String)))
    return pl.DataFrame(columns).filter(_asked_for(raw, spec, shown))


def _asked_for(raw: pl.DataFrame, spec: Columns, shown: str) -> pl.Series:
    taken = pl.repeat(True, len(raw), dtype=pl.Boolean, eager=True)
    for column, value in spec.where.items():
        values = value if isinstance(value, list) else [value]
        texts = [one if isinstance(one, str) else json.dumps(one) for one in values]
        taken &= _text(raw[column], shown).is_in(texts).fill_null(False)
    return taken


def _require_questions(table: pl.DataFrame, shown: str) -> None:
    blank = table.filter(pl.col("question").fill_null("").str.strip_chars() == "")["problem_id"]
    if len(blank):
        raise TableError(
            f"{shown}: {len(blank)} of {len(table)} rows have no question; first: {blank[0]!r}. "
            "Remove them, or leave them out by `where`."
        )


def _text(values: pl.Series, shown: str) -> pl.Series:
    """A column as text; numbers are kept as they are written."""
    if values.dtype.is_nested():
        raise TableError(f"{shown}: column {values.name!r} holds lists; expected one text a row")
    return values.cast(pl.String)


def _lists(values: pl.Series, shown: str) -> pl.Series:
    """A column as lists of texts, a text as a list of one."""
    if isinstance(values.dtype, pl.List) and not values.dtype.inner.is_nested():
        return values.cast(pl.List(pl.String))
    texts = _text(values, shown)
    return pl.Series([None if text is None else [text] for text in texts],
                     dtype=pl.List(pl.String))  # fmt: skip
