"""The page of tables and figures: one experiment's, or all of a configuration's as one paper."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from ssgr.config import Config
from ssgr.report.appearance import calibration_names, hues_of
from ssgr.report.breakdowns import sections
from ssgr.report.findings import Verdict, findings, summary
from ssgr.report.live import figure, script
from ssgr.report.provenance import provenance
from ssgr.report.responses import responses
from ssgr.report.samples import Sample, confidential
from ssgr.report.tables.figure import Exhibit
from ssgr.report.tables.table import Entry, Table
from ssgr.report.tables.table import Row as TableRow
from ssgr.report.typesetting import environment, style

EXPORTS = {
    "table.csv": "CSV",
    "table.tex": "LaTeX",
    "cells.parquet": "Parquet",
    "figure.svg": "SVG",
    "figure.pdf": "PDF",
}
"""Files beside an experiment's page, and what they are called in a link."""
Row = dict[str, Any]


@dataclass(frozen=True)
class CloserLook:
    """What more is shown of one experiment's checkpoints than its numbers.

    ``scores`` are as of `ssgr.report.gather.scores`, the others as of their modules.
    """

    experiment: str
    scores: pl.DataFrame
    breakdowns: pl.DataFrame
    samples: Sequence[Sample]


def render(
    exhibits: Sequence[Exhibit],
    config: Config,
    closer: CloserLook | None = None,
    *,
    folder: str = "../experiments/{name}/",
    made: datetime | None = None,
    versions: Mapping[str, str] | None = None,
) -> str:
    """Return the page of one experiment, or of several, as one self-contained HTML file.

    Args:
        exhibits: what the experiments came to, in the order of the page.
        config: what was run.
        closer: what more is shown, if anything.
        folder: where an experiment's exports lie as seen from the page, with ``{name}``; empty if
            beside it.
        made: the date shown; default is now.
        versions: name and version of the software that ran; default is what is installed here.
    """
    names = [exhibit.name for exhibit in exhibits]
    found = findings(exhibits)
    alone = exhibits[0] if len(exhibits) == 1 else None
    selections = [config.selection(name) for name in names]
    benchmarks = list(dict.fromkeys(one for each in selections for one in each.benchmarks))
    entries = {k: entry for each in selections for k, entry in each.calibrations.items()}
    generators = [entry.generator for entry in entries.values() if entry.generator]
    return (
        environment("ssgr.report")
        .get_template("exhibits.html.j2")
        .render(
            config=config,
            title=f"{called(alone.name)}: {alone.table.title}" if alone else config.title,
            style=style("ssgr.report"),
            script=script(),
            sentences=summary(found, _method(exhibits, config)),
            called=called,
            verdicts={verdict: [one for one in found if one.verdict == verdict]
                      for verdict in Verdict},
            models_differ=len({one.model for one in found}) > 1,
            exhibits=[_exhibit(one, config, folder.format(name=one.name)) for one in exhibits],
            **_closer(closer, config),
            hues=dict(hue for one in exhibits for hue in hues_of(one.cells, config).items()),
            confidential=confidential(config, benchmarks),
            provenance=provenance(
                config,
                models=dict.fromkeys([m for each in selections for m in each.models] + generators),
                sources=dict.fromkeys(entry.source for entry in entries.values()),
                benchmarks=benchmarks,
                made=made,
                versions=versions,
            ),
        )
    )  # fmt: skip


def _closer(closer: CloserLook | None, config: Config) -> Row:
    """What the templates show of it; nothing if there is none."""
    if closer is None:
        return {"responses": None, "breakdowns": [], "samples": [], "several_models": False}
    names = calibration_names(config, closer.experiment)
    return {
        "responses": responses(closer.scores, config, names),
        "breakdowns": sections(closer.breakdowns, config, names),
        "samples": [sample.called(names) for sample in closer.samples],
        "several_models": closer.scores["model"].n_unique() > 1,
        "looked_at": closer.experiment,
    }


def _method(exhibits: Sequence[Exhibit], config: Config) -> str | None:
    """Label of what the first experiment that compares against one calibration compares against."""
    for exhibit in exhibits:
        if against := config.experiments[exhibit.name].against:
            return calibration_names(config, exhibit.name).get(against)
    return None


def called(name: str) -> str:
    """An experiment as it is spoken of: ``table3`` -> "Table 3"; a user's own keeps its name."""
    numbered = re.fullmatch(r"(table|figure)(\d+)", name)
    return f"{numbered[1].capitalize()} {numbered[2]}" if numbered else name


def _exhibit(exhibit: Exhibit, config: Config, folder: str) -> Row:
    """What the template shows of one experiment."""
    table = exhibit.table
    return {
        "name": exhibit.name,
        "title": table.title,
        "is_figure": config.experiments[exhibit.name].kind == "figure",
        "table": table,
        "head": table.levels[-1],
        "groups": _groups(table),
        "differences": _differences(table),
        "has_best": any(entry and entry.best for row in table.rows for entry in row.entries),
        "hues": hues_of(exhibit.cells, config),
        "chart": figure(f"chart-{exhibit.name}", exhibit.draw),
        "exports": {folder + file: kind for file, kind in EXPORTS.items()},
    }


def _groups(table: Table) -> list[Row]:
    """The rows in groups: those under the same headings, the innermost aside, each with its own."""
    groups: list[Row] = []
    for row in table.rows:
        outer, name = _headings(row)
        if not groups or groups[-1]["outer"] != outer:
            groups.append({"outer": outer, "heading": ", ".join(outer), "rows": []})
        groups[-1]["rows"].append({"name": name, "label": row.label, "is_dense": row.is_dense,
                                   "entries": row.entries})  # fmt: skip
    return groups


def _headings(row: TableRow) -> tuple[tuple[str, ...], str]:
    """The headings that a row shares with those around it, and its own."""
    said = [heading for heading in row.headings if heading]
    return tuple(said[:-1]), said[-1] if said else ""


def _differences(table: Table) -> list[Row]:
    """The rows that are compared: of each column the difference, and the published one."""
    published = {_place(table, row, at): entry.published
                 for row in table.rows for at, entry in enumerate(row.entries)
                 if entry and entry.published is not None}  # fmt: skip
    rows = []
    for row in table.rows:
        outer, name = _headings(row)
        cells = [
            _difference(entry, published.get(_place(table, row, at, entry)))
            if entry and entry.difference is not None
            else None
            for at, entry in enumerate(row.entries)
        ]
        if any(cells):
            rows.append({"outer": ", ".join(outer), "name": name, "label": row.label,
                         "cells": cells})  # fmt: skip
    return rows


def _place(
    table: Table, row: TableRow, at: int, entry: Entry | None = None
) -> tuple[tuple[str, ...], str, str]:
    """Where a number stands; of what it is compared with, if an ``entry`` is given.

    That is elsewhere in its column, or in its row where calibrations run across.
    """
    across = not row.label
    column = table.columns[at].heading
    other = entry.against if entry and entry.against else None
    if across:
        return row.headings, other or column, ""
    return _headings(row)[0], column, other or row.label


def _difference(entry: Entry, reference: float | None) -> Row:
    known = entry.published is not None and reference is not None
    ends = (entry.difference_low, entry.difference_high)
    return {
        "text": entry.difference_text,
        "mark": entry.mark,
        "against": entry.against,
        "interval": None
        if None in ends
        else [entry.signed(end) for end in ends if end is not None],
        "published": entry.signed(entry.published - reference)  # type: ignore[operator]
        if known
        else None,
    }
