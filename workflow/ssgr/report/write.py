"""The report of a run: gathered, set and written."""

from collections.abc import Sequence
from pathlib import Path

from ssgr.config import Config
from ssgr.report.gather import ReportTables, gather
from ssgr.report.page import render
from ssgr.storage.atomic import write_text

__all__ = ["ReportTables", "gather", "render", "write_report"]


def write_report(
    results: Path, pool: Path, config: Config, out: Path, graded: Sequence[Path] = ()
) -> None:
    """Gather what ``config`` asks for from ``results`` and ``pool``, and write the page, whole.

    ``graded`` are the receipts of the pool's shards that were visited.

    Raises:
        ReportError: a wanted table does not exist, or nothing of a wanted pool; names its keys.
        TableError: a wanted table is truncated or of another schema.
        PoolError: a part of the pool is gone or has changed.
        SsgrError: the page cannot be written.
    """
    write_text(out, render(gather(results, pool, config, graded), config))
