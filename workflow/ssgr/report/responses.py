"""What checkpoints' responses are like, right or wrong: length, truncation, thinking."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from ssgr.config import Config
from ssgr.config.labels import setting_name
from ssgr.jobs.grid import NONE

Row = dict[str, Any]


def responses(
    scores: pl.DataFrame, config: Config, names: Mapping[str, str] | None = None
) -> Row | None:
    """Return the table of responses, as the template reads it; None without scores.

    Args:
        scores: a checkpoint and benchmark a row, as of ``ReportTables.scores``.
        config: what was run.
        names: displayed labels, where they differ.
    """
    if scores.is_empty():
        return None
    benchmarks = scores["benchmark"].unique(maintain_order=True).to_list()
    several = scores["model"].n_unique() > 1
    shown = scores.with_columns(pl.col("label").replace(names or {}))
    blocks = shown.partition_by("model", "pruner", "sparsity", maintain_order=True)
    return {
        "columns": [config.benchmarks[key].label or key for key in benchmarks],
        "blocks": [
            {"heading": _heading(block, several), "rows": _rows(block, benchmarks)}
            for block in blocks
        ],
        "unclosed": _unclosed(scores, config),
    }


def _unclosed(scores: pl.DataFrame, config: Config) -> list[str]:
    """Warnings of dense models of which no response to a benchmark closes its thinking."""
    dense = scores.filter((pl.col("pruner") == NONE) & (pl.col("with_thinking") == 0))
    found = []
    for row in dense.select("model", "benchmark", "responses").iter_rows(named=True):
        if tag := config.models[row["model"]].think_close:
            found.append(
                f"None of {row['responses']:,} responses of the dense {row['model']} to "
                f"{row['benchmark']} has a thinking that ends with {tag}, after which an answer "
                f"is looked for: hold think_open and think_close of models.{row['model']} "
                "against the responses."
            )
    return found


def _heading(block: pl.DataFrame, several: bool) -> str:
    one = block.row(0, named=True)
    setting = "" if one["pruner"] == NONE else setting_name(one["pruner"], one["sparsity"])
    return ", ".join(part for part in (one["model"] if several else "", setting) if part)


def _rows(block: pl.DataFrame, benchmarks: list[str]) -> list[Row]:
    cells = {(row["label"], row["benchmark"]): row for row in block.iter_rows(named=True)}
    labels = block["label"].unique(maintain_order=True)
    return [
        {"label": label, "cells": [cells.get((label, benchmark)) for benchmark in benchmarks]}
        for label in labels
    ]
