"""Where the tables of points lie in a results folder, which may hold those of many runs."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from ssgr.errors import ReportError
from ssgr.jobs.paths import files_by_keys


def locate(root: Path, name: str, wanted: pl.DataFrame) -> Sequence[Path]:
    """Return the ``name`` file of every row of ``wanted``, in order.

    Args:
        root: folder with ``key=value`` folders in it.
        name: of the files.
        wanted: the keys, all of them.

    Raises:
        ReportError: a file is missing; names its keys and how many more there are.
    """
    found = files_by_keys(root, name)
    rows = [frozenset(row.items()) for row in wanted.iter_rows(named=True)]
    missing = [
        row for row, key in zip(wanted.iter_rows(named=True), rows, strict=True) if key not in found
    ]
    if missing:
        keys = ", ".join(f"{key}={value}" for key, value in missing[0].items())
        others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise ReportError(
            f"{root} holds no {name} for {keys}{others}, which the configuration asks for. "
            "Run the workflow to the end, or take the point out of the configuration's `run`."
        )
    return [found[key] for key in rows]
