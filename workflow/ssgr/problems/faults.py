"""What stands against the rows of a problem set: gathered, then told all at once, with row numbers.

Rows count from 1, without a header and without blank lines.
"""

from collections.abc import Sequence

import polars as pl

from ssgr.errors import TableError

SHOWN = 5
"""Rows that a fault names."""
PLACE = ("file", "row")
"""Columns of a table that is still checked: the number of the file, and the row there."""


class Faults:
    """The faults of one set.

    Attributes:
        shown: what errors call its files, in order.
        key: column of the ids; None where rows have none of their own.
    """

    def __init__(self, shown: Sequence[str], key: str | None = None) -> None:
        """Gather what is wrong with rows of these files."""
        self.shown = shown
        self.key = key
        self._found: list[str] = []

    def add(self, rows: pl.DataFrame, said: str) -> None:
        """Add a fault of ``rows``, which have the columns of PLACE; none if there are no rows."""
        if len(rows):
            self._found.append(f"{said}: {self.places(rows)}")

    def places(self, rows: pl.DataFrame) -> str:
        """Return where some rows stand: ``row 3 ('b')``, ``rows 3, 7``, ``a.csv row 3, …``."""
        several = len(self.shown) > 1
        named = []
        for row in rows.sort(PLACE).head(SHOWN).iter_rows(named=True):
            place = f"{self.shown[row['file']]} row {row['row']}" if several else str(row["row"])
            identity = row[self.key] if self.key else None
            named.append(place if identity is None else f"{place} ({identity!r})")
        more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        kind = "" if several else "row " if len(rows) == 1 else "rows "
        return f"{kind}{', '.join(named)}{more}"

    def tell(self) -> None:
        """Raise what was gathered.

        Raises:
            TableError: names the files and every fault with its rows, and what to do.
        """
        if self._found:
            listed = "; ".join(self._found)
            raise TableError(
                f"{', '.join(self.shown)}: {listed}. Correct or remove these rows, leave them out "
                "by `where`, or name another column."
            )
