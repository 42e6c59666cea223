"""The report: one self-contained page that redraws the paper's tables and figures for a run.

``gather`` collects the tables that a config asks for, ``comparison`` says what they amount to,
``charts`` draws them and ``page`` sets the page.
"""

import os
from pathlib import Path

from ssgr.config import Config
from ssgr.report.gather import ReportError, ReportTables, gather
from ssgr.report.page import render

__all__ = ["ReportError", "ReportTables", "gather", "render", "write_report"]


def write_report(results: Path, pool: Path, config: Config, out: Path) -> None:
    """Gather what ``config`` asks for from ``results`` and ``pool``, and write the page, whole.

    Raises:
        ReportError: a wanted table does not exist; names its keys.
        TableError: a wanted table is truncated or of another schema.
    """
    page = render(gather(results, pool, config), config)
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        aside.write_text(page, encoding="utf-8")
        os.replace(aside, out)
    finally:
        aside.unlink(missing_ok=True)
