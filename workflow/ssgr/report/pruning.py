"""What pruning did to every checkpoint: read from its folder, and set as a section of the page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from ssgr.config.labels import setting_name
from ssgr.pruning.output.summary import BLOCKS, MATRICES, Summary, read_summary
from ssgr.report import charts
from ssgr.report.live import figure
from ssgr.storage import tables

CHECKPOINT: dict[str, Any] = {
    **dict.fromkeys(("weights", "matrices", "flagged", "perplexity_tokens"), pl.Int64),
    **dict.fromkeys(
        ("zeros", "matrix_error", "last_error", "seconds", "peak_mb", "dense_perplexity",
         "pruned_perplexity"),
        pl.Float64,
    ),
    **dict.fromkeys(("warnings", "dense"), pl.List(pl.String)),
}  # fmt: skip
"""Of a checkpoint: ``weights`` and ``zeros`` of its pruned ``matrices``, of which so many are
``flagged`` with a warning; ``matrix_error`` their mean, ``last_error`` that of the last block;
``warnings`` what the checkpoint says of itself, in words, and ``dense`` what was left unpruned.
"""


def checkpoints(points: pl.DataFrame, folders: Sequence[Path]) -> pl.DataFrame:
    """Return a checkpoint a row: the columns of ``points`` and those of CHECKPOINT.

    Args:
        points: the pruned points.
        folders: of each the checkpoint.

    Raises:
        TableError: one of a checkpoint's reports is missing, truncated or of another schema.
    """
    rows = pl.DataFrame([_row(folder) for folder in folders], schema=CHECKPOINT, orient="row")
    return pl.concat([points, rows], how="horizontal")


def blocks(points: pl.DataFrame, folders: Sequence[Path]) -> pl.DataFrame:
    """Return a pruned block a row: the columns of ``points`` and of BlockReport; as above."""
    found = [tables.BlockReport.create_empty().join(points.clear(), how="cross")]
    for row, folder in zip(points.iter_rows(named=True), folders, strict=True):
        report = tables.read(folder / BLOCKS, tables.BlockReport)
        found.append(report.with_columns(pl.lit(value).alias(key) for key, value in row.items()))
    return pl.concat(found)


def _row(folder: Path) -> dict[str, Any]:
    matrices = tables.read(folder / MATRICES, tables.PruningReport)
    report = tables.read(folder / BLOCKS, tables.BlockReport)
    summary = read_summary(folder)
    weights = pl.col("rows").cast(pl.Int64) * pl.col("columns")
    counted = matrices.select(
        weights=weights.sum(),
        matrices=pl.len(),
        flagged=(pl.col("warnings") != "").sum(),
        zeros=(pl.col("achieved_sparsity") * weights).sum(),
        matrix_error=pl.col("relative_error").mean(),
    ).row(0, named=True)
    spent = report.select(
        pl.col("seconds").sum(),
        pl.col("peak_mb").max(),
        last_error=pl.col("relative_error").sort_by("block").last(),
    ).row(0, named=True)
    return {**counted, **spent, **_perplexities(summary), "warnings": summary.warnings,
            "dense": summary.dense}  # fmt: skip


def _perplexities(summary: Summary) -> dict[str, float | int | None]:
    held = summary.perplexity
    return {
        "dense_perplexity": held.dense if held else None,
        "pruned_perplexity": held.pruned if held else None,
        "perplexity_tokens": held.tokens if held else None,
    }


def section(
    checkpoints: pl.DataFrame, blocks: pl.DataFrame, model: str, hues: dict[str, str]
) -> dict[str, Any]:
    """Return what the template shows of one model.

    That is ``errors`` (a figure, or None), its checkpoints by ``settings``, how many there are
    (``pruned``), how many of them have warnings (``warned``), and what was left ``dense``. The
    tables are as of the functions above; ``hues`` are the colours of the labels.
    """
    measured = blocks.filter(pl.col("relative_error").is_not_null(), model=model)
    errors = None
    if len(measured):
        errors = figure(
            f"blocks-{model}", lambda layout: charts.block_errors(measured, hues, layout)
        )
    rows = checkpoints.filter(model=model).with_columns(
        reached=pl.col("zeros") / pl.col("weights"),
        lost=pl.col("pruned_perplexity") / pl.col("dense_perplexity"),
    )
    settings = rows.partition_by("pruner", "sparsity", maintain_order=True)
    return {
        "errors": errors,
        "settings": [
            {"name": setting_name(one["pruner"][0], one["sparsity"][0]), "rows": one.to_dicts()}
            for one in settings
        ],
        "pruned": len(rows),
        "dense": rows["dense"].explode().drop_nulls().unique(maintain_order=True).to_list(),
        "warned": int((rows["warnings"].list.len() > 0).sum()),
    }
