"""What becomes of an experiment outside the page: Parquet, CSV, LaTeX, SVG and PDF."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from ssgr.report.tables.cells import Cells
from ssgr.report.tables.figure import Exhibit
from ssgr.report.tables.latex import to_latex
from ssgr.report.tables.table import Entry, Table
from ssgr.storage import tables
from ssgr.storage.atomic import write_bytes, write_text

PARTS = ("", "low", "high", "published", "ours minus published", "mark")


def write(exhibit: Exhibit, folder: Path, spec: str = "") -> None:
    """Write ``cells.parquet``, ``table.csv``, ``table.tex``, ``figure.svg`` and ``figure.pdf``.

    Args:
        exhibit: what the experiment came to.
        folder: where to; it is made if it is not there.
        spec: what made it, for the Parquet file's metadata.

    Raises:
        TableError: the cells cannot be written.
        SsgrError: another file cannot be written.
    """
    from ssgr.report.tables.pictures import PRINT, to_pdf, to_svg  # with Altair, slow to import

    tables.write(exhibit.cells, Cells, folder / "cells.parquet", spec)
    write_text(folder / "table.csv", to_csv(exhibit.table))
    write_text(folder / "table.tex", to_latex(exhibit.table))
    chart = exhibit.draw(PRINT)
    write_text(folder / "figure.svg", to_svg(chart))
    write_bytes(folder / "figure.pdf", to_pdf(chart))


def to_csv(table: Table) -> str:
    """Return a table as CSV: headings, and of each column value, interval, published and mark.

    Parts that a column has nowhere are left out. Numbers are not rounded.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    wanted = [(at, part) for at in range(len(table.columns)) for part in _parts(table, at)]
    writer.writerow([*table.levels, *(_title(table, at, part) for at, part in wanted)])
    for row in table.rows:
        cells = [_part(row.entries[at], part) for at, part in wanted]
        writer.writerow([*row.headings, *cells])
    return out.getvalue()


def _parts(table: Table, at: int) -> Iterator[str]:
    entries = [row.entries[at] for row in table.rows]
    for part in PARTS:
        if not part or any(_part(entry, part) not in (None, "") for entry in entries):
            yield part


def _title(table: Table, at: int, part: str) -> str:
    heading = table.columns[at].heading
    return f"{heading}, {part}" if part else heading


def _part(entry: Entry | None, part: str) -> float | str | None:
    if entry is None:
        return None
    parts = (entry.value, entry.low, entry.high, entry.published, entry.gap, entry.mark)
    found = dict(zip(PARTS, parts, strict=True))[part]
    return round(found, 6) if isinstance(found, float) else found
