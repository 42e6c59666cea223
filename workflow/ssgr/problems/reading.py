"""Rows of a file, a batch at a time: a file of the web's size is never in memory as a whole.

Whatever the kind of file, a column arrives as it is written there: numbers of JSON and CSV stay
the text they are.
"""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from ssgr.errors import TableError

ROWS = 10_000
"""Rows of a batch."""

Reader = Callable[[Path, Sequence[str]], Iterator[pl.DataFrame]]


def batches(path: Path, columns: Sequence[str], name: str = "") -> Iterator[pl.DataFrame]:
    """Yield ``columns`` of a Parquet, JSON or CSV file, in its order; text may be compressed.

    A value that JSON lines leave out is null.

    Args:
        path: the file.
        columns: names to read, each once.
        name: what errors call the file; default its path.

    Raises:
        TableError: the file is of another kind, cannot be read, or lacks a column.
    """
    shown = name or str(path)
    suffixes = Path(shown).suffixes
    kind = next((suffix for suffix in reversed(suffixes) if suffix in _READERS), None)
    if kind is None:
        raise TableError(
            f"{shown}: expected one of {sorted(_READERS)} (all but .parquet may be compressed)"
        )
    try:
        yield from _READERS[kind](path, columns)
    except _NoColumn as error:
        raise TableError(f"{shown}: {error}") from error
    except (OSError, EOFError, ValueError, pl.exceptions.PolarsError, pa.ArrowException) as error:
        raise TableError(f"{shown} cannot be read as {kind}: {error}") from error


class _NoColumn(Exception):
    def __init__(self, columns: Sequence[str], known: Sequence[str]) -> None:
        absent = [column for column in columns if column not in known]
        super().__init__(f"no column {absent[0]!r} in {list(known)}")


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
        table = pl.read_csv(file.read(), infer_schema=False)
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
    rows = start if isinstance(start, list) else [start]
    lines = (json.loads(line) for line in file if line.strip())
    for number, row in enumerate(_told(chain(rows, lines)), 1):
        if not isinstance(row, dict):
            raise ValueError(f"row {number} is a {type(row).__name__}, not an object with columns")
        yield row


def _told(rows: Iterator[Any]) -> Iterator[Any]:
    """The same rows; an error says which could not be read."""
    number = 0
    while True:
        number += 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except ValueError as error:
            raise ValueError(f"row {number}: {error}") from error
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
