"""The columns that a registry entry names, under our names: problems or documents from files."""

import glob
import json
import os
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from ssgr.config import Columns
from ssgr.errors import TableError
from ssgr.problems.faults import PLACE, SHOWN, Faults
from ssgr.problems.options import with_options
from ssgr.problems.order import first
from ssgr.problems.reading import ROWS, batches, kind_of, require_columns
from ssgr.problems.reference_answers import BESIDE, golds
from ssgr.storage.tables import Problems

DOCUMENT = {"document_id": "id", "text": "text"}
PROBLEM = {
    "problem_id": "id",
    **{name: name for name in Problems.column_names() if name != "problem_id"},
    "context": "context",
    **{name: name for name in BESIDE},
}
MISSING = ("nan", "NaN", "NAN", "<NA>", "NaT")
"""How other programs write a cell that holds nothing: it is null here."""
_NUMBER = (
    r"^\s*(?:[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d*)?(?:[eE][-+]?\d+)?|[Tt]rue|[Ff]alse)\s*$"
)
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
            raise TableError(f"no file matches {pattern!r}{_elsewhere(pattern)}: check the `path`")
        for file in map(Path, matching):
            if file.is_dir():
                raise TableError(f"{file} is a folder: name its files, as in '{file}/*.jsonl'")
            found.append(file)
    return found


def _elsewhere(pattern: str) -> str:
    """Where a path was looked for, and the file there that is called nearly so."""
    path = Path(os.path.expanduser(pattern))
    inside = [entry.name for entry in path.parent.glob("*") if entry.is_file()]
    near = get_close_matches(path.name, inside, 1, 0.6)
    hint = f" (did you mean {str(path.parent / near[0])!r}?)" if near else ""
    return hint if path.is_absolute() else f" in {Path.cwd()}{hint}"


def check_columns(spec: Columns, path: Path) -> None:
    """Check the columns of a file too large to be read now, where its beginning says them all.

    Raises:
        TableError: it lacks some, or cannot be read.
    """
    if kind_of(str(path)) in (".parquet", ".csv"):
        require_columns(path, _keys(spec))


def read_columns(spec: Columns, paths: Sequence[tuple[Path, str]]) -> pl.DataFrame:
    """Read a set: the columns of Documents, or of Problems.

    Args:
        spec: which columns hold what, which rows are taken.
        paths: the files, in order, and what errors call them.

    Raises:
        TableError: a file cannot be read or lacks columns; no row is taken; rows have no id or one
            that others have, no question, option or answer, or a tolerance that is none.
    """
    key, *_ = wanted = DOCUMENT if spec.is_text else PROBLEM
    table = _taken(spec, dict(wanted), paths, key)
    faults = Faults([shown for _, shown in paths], key if spec.id else None)
    _check_ids(table, key, spec, faults)
    if spec.is_text:
        _check_texts(table, "text", spec.text, faults, may_lack=True)
        faults.tell()
        return table.filter(pl.col("text").str.strip_chars() != "").drop(PLACE)
    _check_texts(table, "question", spec.question, faults)
    if spec.options:
        made = with_options(table, spec, faults)
    else:
        made = table.with_columns(pl.Series("answer", golds(table, spec, faults), dtype=pl.String))
    faults.tell()
    blank = pl.col("solution").str.strip_chars() == ""
    made = made.with_columns(solution=pl.when(~blank).then("solution"))
    return made.with_columns(question=_WITH_CONTEXT).select(Problems.column_names())


def _taken(
    spec: Columns, wanted: dict[str, str], paths: Sequence[tuple[Path, str]], key: str
) -> pl.DataFrame:
    """The rows that are taken, texts all; ``answer`` and ``options`` are lists of texts."""
    table, read = None, 0
    for file, (path, shown) in enumerate(paths):
        before = read
        for batch in batches(path, _keys(spec), shown):
            rows = _under_our_names(batch, spec, wanted, shown, first_row=read)
            place = pl.lit(file, pl.UInt32), (pl.col("row") - before).cast(pl.UInt32)
            rows = rows.with_columns(file=place[0], row=place[1])
            read += len(batch)
            table = pl.concat([table, rows]) if table is not None else rows
            if spec.limit and len(table) >= spec.limit + ROWS:
                table = first(table, key, spec.limit)
    if table is None or table.is_empty():
        which = f" with {spec.where}" if spec.where else ""
        said = f"there is no row{which} among {read}" if read else "it holds no rows"
        raise TableError(f"{', '.join(shown for _, shown in paths)}: {said}")
    return first(table, key, spec.limit) if spec.limit else table


def _keys(spec: Columns) -> dict[str, str]:
    """The columns that an entry names, and the key that names each."""
    keys = {column: f"where.{column}" for column in spec.where}
    keys |= {column: "options" for column in spec.options or ()}
    fields = [field for field in {**DOCUMENT, **PROBLEM}.values() if getattr(spec, field)]
    return keys | {getattr(spec, field): field for field in reversed(fields)}


def _under_our_names(
    raw: pl.DataFrame, spec: Columns, wanted: dict[str, str], shown: str, *, first_row: int
) -> pl.DataFrame:
    columns = []
    for column, field in wanted.items():
        name = getattr(spec, field)
        values = raw[name] if name else pl.repeat(None, len(raw), dtype=pl.String, eager=True)
        as_wanted = _lists if column == "answer" else _written if column == "error" else _text
        columns.append(as_wanted(values, shown).alias(column))
    if spec.id is None:
        numbers = [f"{row:07d}" for row in range(first_row, first_row + len(raw))]
        columns[0] = pl.Series(columns[0].name, numbers, dtype=pl.String)
    if spec.options:
        texts = pl.DataFrame([_text(raw[name], shown).alias(name) for name in spec.options])
        listed = [list(row) for row in texts.iter_rows()]
        columns.append(pl.Series("options", listed, dtype=pl.List(pl.String)))
    numbered = pl.int_range(first_row + 1, first_row + len(raw) + 1, dtype=pl.Int64, eager=True)
    columns.append(numbered.alias("row"))
    return pl.DataFrame(columns).filter(_asked_for(raw, spec, shown))


def _asked_for(raw: pl.DataFrame, spec: Columns, shown: str) -> pl.Series:
    taken = pl.repeat(True, len(raw), dtype=pl.Boolean, eager=True)
    for column, value in spec.where.items():
        values = value if isinstance(value, list) else [value]
        texts = [one if isinstance(one, str) else json.dumps(one) for one in values]
        taken &= _written(raw[column], shown).is_in(texts).fill_null(False)
    return taken


def _check_ids(table: pl.DataFrame, key: str, spec: Columns, faults: Faults) -> None:
    blank = table.filter(pl.col(key).is_null())
    faults.add(blank, f"{len(blank)} of {len(table)} rows have no id in column {spec.id!r}")
    doubled = table.filter(pl.col(key).is_not_null() & pl.col(key).is_duplicated()).sort(PLACE)
    for identity in doubled[key].unique(maintain_order=True)[:SHOWN]:
        same = doubled.filter(pl.col(key) == identity)
        faults.add(same, f"id {identity!r} (column {spec.id!r}) occurs more than once")


def _check_texts(
    table: pl.DataFrame, name: str, column: str | None, faults: Faults, *, may_lack: bool = False
) -> None:
    """Rows without a question, and those that are bare numbers: another column was meant."""
    if not may_lack:
        blank = table.filter(pl.col(name).fill_null("").str.strip_chars() == "")
        faults.add(blank, f"{len(blank)} of {len(table)} rows have no {name} in column {column!r}")
    text = pl.col(name)
    numbers = table.filter(text.str.contains(_NUMBER) & text.str.contains(r"\w"))
    faults.add(
        numbers,
        f"{len(numbers)} of {len(table)} rows have a bare number for a {name} in column "
        f"{column!r}: is it the right one?",
    )


def _text(values: pl.Series, shown: str) -> pl.Series:
    """The same, and what is missing is null."""
    texts = _written(values, shown)
    return texts.set(texts.str.strip_chars().is_in(MISSING), None)


def _written(values: pl.Series, shown: str) -> pl.Series:
    """A column as text; numbers are kept as they are written."""
    if values.dtype.is_nested():
        raise TableError(
            f"{shown}: column {values.name!r} holds lists or objects; expected one text a row, and "
            "of JSON a list of rows (orient='records' of pandas)"
        )
    return values.cast(pl.String)


def _lists(values: pl.Series, shown: str) -> pl.Series:
    """A column as lists of texts, a text as a list of one."""
    if isinstance(values.dtype, pl.List) and not values.dtype.inner.is_nested():
        missing = pl.element().str.strip_chars().is_in(MISSING)
        return values.cast(pl.List(pl.String)).list.eval(pl.when(~missing).then(pl.element()))
    texts = _text(values, shown)
    return pl.Series([None if text is None else [text] for text in texts],
                     dtype=pl.List(pl.String))  # fmt: skip
