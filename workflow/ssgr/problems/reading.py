"""Rows of a file, a batch at a time: a file of the web's size is never in memory as a whole.

Whatever the kind of file, a column arrives as it is written there: numbers of JSON and CSV stay
the text they are.
"""

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from ssgr.errors import TableError

ROWS = 10_000
"""Rows of a batch."""

Reader = Callable[[Path, Sequence[str]], Iterator[pl.DataFrame]]


def batches(path: Path, columns: Mapping[str, str], name: str = "") -> Iterator[pl.DataFrame]:
    """Yield ``columns`` of a Parquet, JSON or CSV file, in its order; text may be compressed.

    A value that JSON lines leave out is null.

    Args:
        path: the file.
        columns: names to read, and of each the configuration's key that names it.
        name: what errors call the file; default its path.

    Raises:
        TableError: the file is of another kind, empty, cannot be read, or lacks columns.
    """
    shown = name or str(path)
    kind = kind_of(shown)
    try:
        if not path.stat().st_size:
            raise TableError(f"{shown} is empty: it holds no rows")
        if _is_pointer(path):
            raise TableError(f"{shown} is a pointer of Git LFS, not the data: run `git lfs pull`")
        yield from _READERS[kind](path, list(columns))
    except _NoColumn as error:
        raise TableError(f"{shown}: {error.told(columns)}") from error
    except (OSError, EOFError, ValueError, pl.exceptions.PolarsError, pa.ArrowException) as error:
        said = str(error).partition("\n")[0]
        if "utf-8" in said.lower():
            said = f"it is not written in UTF-8: save it so ({said})"
        raise TableError(f"{shown} cannot be read as {kind}: {said}") from error


def _is_pointer(path: Path) -> bool:
    with path.open("rb") as file:
        return bool(re.match(rb"version \S*git-lfs\S*\n", file.read(200)))


def require_columns(path: Path, columns: Mapping[str, str]) -> None:
    """Check the columns of a Parquet or CSV file, of which no more than the beginning is read.

    Raises:
        TableError: it lacks some, or cannot be read.
    """
    try:
        if kind_of(str(path)) == ".parquet":
            known = pq.read_schema(path).names
        else:
            with _opened(path) as file:
                known = pl.read_csv(file.readline(), infer_schema=False).columns
    except (OSError, ValueError, pl.exceptions.PolarsError, pa.ArrowException) as error:
        raise TableError(f"{path} cannot be read: {error}") from error
    if not set(columns) <= set(known):
        raise TableError(f"{path}: {_NoColumn(list(columns), known).told(columns)}")


def kind_of(shown: str) -> str:
    """Return the suffix by which a file is read: ``.jsonl`` of ``a.jsonl.gz``.

    Raises:
        TableError: it is none that is known.
    """
    for suffix in reversed(Path(shown).suffixes):
        if suffix in _READERS:
            return suffix
    raise TableError(
        f"{shown}: expected one of {sorted(_READERS)} (all but .parquet may be compressed)"
    )


class _NoColumn(Exception):
    def __init__(self, columns: Sequence[str], known: Sequence[str]) -> None:
        super().__init__()
        self.absent = [column for column in columns if column not in known]
        self.known = list(known)

    def told(self, keys: Mapping[str, str]) -> str:
        """All absent columns, with the key that names each and the nearest name there is."""
        if not self.known:
            return "it holds no rows"
        told = []
        for column in self.absent:
            near = get_close_matches(column.lower(), map(str.lower, self.known), 1, 0.5)
            meant = [known for known in self.known if known.lower() in near]
            hint = f", did you mean {meant[0]!r}?" if meant else ""
            told.append(f"no column {column!r} (key `{keys[column]}`{hint})")
        marks = [mark for mark in ";\t|" if len(self.known) == 1 and mark in self.known[0]]
        between = f"; its columns seem to be separated by {marks[0]!r}: use commas" if marks else ""
        return f"{', '.join(told)} in {self.known}{between}"


def _parquet(path: Path, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    with pq.ParquetFile(path) as file:
        known = file.schema_arrow.names
        if not set(columns) <= set(known):
            raise _NoColumn(columns, known)
        for batch in file.iter_batches(ROWS, columns=list(columns)):
            table = pl.from_arrow(pa.Table.from_batches([batch]))
            assert isinstance(table, pl.DataFrame)
            yield table.select(columns)


def _csv(path: Path, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    with _opened(path) as file:
        table = pl.read_csv(file.read(), infer_schema=False, raise_if_empty=False)
    if doubled := [name for name in columns if f"{name}_duplicated_0" in table.columns]:
        raise ValueError(f"the column {doubled[0]!r} stands twice")
    if not set(columns) <= set(table.columns):
        raise _NoColumn(columns, table.columns)
    yield table.select(columns)


def _json(path: Path, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    seen: dict[str, None] = {}
    with _opened(path) as file:
        rows = _objects(file)
        while part := list(islice(rows, ROWS)):
            for row in part:
                seen.update(dict.fromkeys(row))
            yield pl.DataFrame({name: _texts([row.get(name) for row in part]) for name in columns})
    if not set(columns) <= set(seen):
        raise _NoColumn(columns, list(seen))


def _opened(path: Path) -> BinaryIO:
    return io.BufferedReader(pa.input_stream(str(path), compression="detect"), 1 << 20)


def _objects(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """The rows of JSON lines, of an array or of one object, whatever the file is called."""
    first = next((line for line in file if line.strip()), b"")
    try:
        start = json.loads(first) if first else []
    except json.JSONDecodeError:  # one value that spans lines
        start = json.loads(first + file.read())
    lines = (json.loads(line) for line in file if line.strip())
    rows = chain(start if isinstance(start, list) else [start], lines)
    for number in count(1):
        try:
            row = next(rows)
        except StopIteration:
            return
        except ValueError as error:
            raise ValueError(f"row {number}: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"row {number} is a {type(row).__name__}, not an object with columns")
        yield row


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


_READERS: dict[str, Reader] = {
    ".parquet": _parquet,
    ".jsonl": _json,
    ".json": _json,
    ".csv": _csv,
}
