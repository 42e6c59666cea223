"""An experiment from its name: read, measured, compared, laid out."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ssgr.config import Config
from ssgr.errors import ReportError
from ssgr.report.tables import cells
from ssgr.report.tables.figure import Exhibit
from ssgr.report.tables.layout import lay_out
from ssgr.report.tables.notes import notes
from ssgr.report.tables.results import Measurements

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

    from ssgr.report.drawing import Layout


def build(config: Config, name: str, results: Path, pool: Path) -> Exhibit:
    """Return what an experiment came to.

    Args:
        config: the whole configuration.
        name: of ``config.experiments``.
        results: folder of this configuration's files.
        pool: folder of the sampled responses.

    Raises:
        ReportError: there is no such experiment, something that it asks for was not measured, or
            there are no such published numbers.
        TableError: a file is damaged or of another schema.
        PoolError: what a calibration visited of the pool is gone.
    """
    if name not in config.experiments:
        known = ", ".join(config.experiments) or "none"
        raise ReportError(f"the configuration has no experiment {name!r}; it has {known}")
    numbers = cells.measure(config, name, Measurements(results, pool, name))
    table = lay_out(numbers, config, name, notes(numbers, config, name))
    return Exhibit(numbers, table, partial(_draw, numbers, config, name))


def _draw(
    numbers: "pl.DataFrame", config: Config, name: str, layout: "Layout"
) -> "alt.ConcatChart":
    from ssgr.report.tables import charts  # with Altair, which is slow to import

    return charts.draw(numbers, config, name, layout)
