"""An experiment's outcome: its numbers, its table, and how its chart is drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from ssgr.report.tables.table import Table

if TYPE_CHECKING:  # Altair is slow to import, and the table needs none of it
    import altair as alt

    from ssgr.report.drawing import Layout


@dataclass(frozen=True)
class Exhibit:
    """What an experiment came to.

    ``cells`` is a `ssgr.report.tables.cells.Cells` table, ``table`` the same numbers as set,
    ``draw`` gives the chart for the room there is (`ssgr.report.drawing.Layout`).
    """

    cells: pl.DataFrame
    table: Table
    draw: "Callable[[Layout], alt.ConcatChart]"

    @property
    def name(self) -> str:
        """The experiment's name in the configuration."""
        return self.table.name
