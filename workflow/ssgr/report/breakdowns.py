"""Scores by subject and by level: where a calibration keeps what pruning loses."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl

from ssgr.config import Config
from ssgr.config.labels import setting_name
from ssgr.evaluation.scores import breakdown
from ssgr.jobs import paths
from ssgr.jobs.grid import CHECKPOINT_KEYS, NONE
from ssgr.report.files import locate
from ssgr.storage import tables

BY: tuple[Literal["subject", "level"], ...] = ("subject", "level")
Row = dict[str, Any]
SCHEMA = pl.Schema({
    **dict.fromkeys(("label", *CHECKPOINT_KEYS, "benchmark", "by", "group"), pl.String),
    "problems": pl.Int64,
    **dict.fromkeys(("pass_at_1", "standard_error"), pl.Float64),
})  # fmt: skip


def breakdowns(results: Path, points: pl.DataFrame, benchmarks: Sequence[str]) -> pl.DataFrame:
    """Return the scores of every checkpoint by group, where problems have more than one.

    Args:
        results: folder of the experiment, with ``scores`` and ``problems``.
        points: as of ``ssgr.jobs.grid.points``.
        benchmarks: names.

    Returns:
        The points' columns, benchmark, by (subject or level), group, problems, pass_at_1 and
        standard_error.

    Raises:
        ReportError: the grades of a point are missing; names its keys.
        TableError: a table is missing, truncated or of another schema.
    """
    found = [pl.DataFrame(schema=SCHEMA)]
    for benchmark in benchmarks:
        path = results / paths.BENCHMARK.format(benchmark=benchmark)
        problems = tables.read(path, tables.Problems)
        ways = [by for by in BY if problems[by].drop_nulls().n_unique() > 1]
        if not ways:
            continue
        keys = points.select(*CHECKPOINT_KEYS, benchmark=pl.lit(benchmark))
        files = locate(results / "scores", "grades.parquet", keys)
        for point, file in zip(points.iter_rows(named=True), files, strict=True):
            grades = tables.read(file, tables.Grades)
            named = [pl.lit(value).alias(key) for key, value in point.items()]
            for by in ways:
                columns = (*named, pl.lit(benchmark).alias("benchmark"), pl.lit(by).alias("by"))
                groups = breakdown(grades, problems, by)
                found.append(groups.with_columns(*columns).select(SCHEMA.names()))
    return pl.concat(found)


def sections(
    found: pl.DataFrame, config: Config, names: Mapping[str, str] | None = None
) -> list[Row]:
    """Return of each benchmark its tables, as the template reads them.

    There is one for each model, setting and way to group; the dense model leads its columns.

    Args:
        found: as of ``breakdowns``.
        config: what was run.
        names: displayed labels, where they differ.
    """
    shown = found.with_columns(pl.col("label").replace(names or {}))
    return [
        {
            "benchmark": config.benchmarks[rows["benchmark"][0]].label or rows["benchmark"][0],
            "tables": _tables(rows),
        }
        for rows in shown.partition_by("benchmark", maintain_order=True)
    ]


def _tables(rows: pl.DataFrame) -> list[Row]:
    """The tables of one benchmark."""
    tables = []
    pruned = rows.filter(pl.col("pruner") != NONE)
    for own in pruned.partition_by("model", "pruner", "sparsity", "by", maintain_order=True):
        one = own.row(0, named=True)
        dense = rows.filter(pl.col("pruner") == NONE, model=one["model"], by=one["by"])
        heading = {"model": one["model"], "by": one["by"],
                   "setting": setting_name(one["pruner"], one["sparsity"])}  # fmt: skip
        tables.append(heading | _set(pl.concat([dense, own])))
    return tables


def _set(rows: pl.DataFrame) -> Row:
    """One table: a group a row, a label a column; cells are None where a label has no score."""
    labels = rows["label"].unique(maintain_order=True).to_list()
    cells = {(row["group"], row["label"]): row for row in rows.iter_rows(named=True)}
    counts = dict(rows.select("group", "problems").iter_rows())
    return {
        "labels": labels,
        "groups": [
            {"name": group, "problems": counts[group],
             "cells": [cells.get((group, label)) for label in labels]}
            for group in counts
        ],
    }  # fmt: skip
