"""What a pool holds, read from names, manifests and receipts alone: no Parquet file is opened.

A pool of thousands of shards is listed at once, and a damaged shard spoils no listing; whether
what the receipts say is true is the business of `ssgr.pool.verification`.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import polars as pl

from ssgr.errors import PoolError
from ssgr.pool.files import Folder, PartName, folders, held
from ssgr.pool.store import GradesReceipt, Receipt, ResponsesReceipt, read_receipt
from ssgr.storage.locks import Holder, holders

R = TypeVar("R", bound=Receipt)

COUNTS = ("problems", "rows", "resumed", "tokens", "bytes", "seconds", "gpus")
PARTS: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("model", "source", "sampling", "engine", "shard"), pl.String),
    **dict.fromkeys(("part", *COUNTS), pl.Int64),
    "seconds": pl.Float64,
}
"""Columns of :func:`parts`; those of COUNTS are null where a part has no readable receipt."""

GRADER: dict[str, type[pl.DataType]] = {
    "grader": pl.String,
    "parts": pl.Int64,
    "responses": pl.Int64,
    "coverage": pl.Float64,
}
DRAWER: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("shard", "what", "host", "user", "since"), pl.String),
    "pid": pl.Int64,
    "orphaned": pl.Boolean,
}
INVENTORY: dict[str, type[pl.DataType] | pl.DataType] = {
    **dict.fromkeys(("model", "source", "sampling", "engine"), pl.String),
    **dict.fromkeys(("shards", "parts", "problems", "responses", "tokens", "bytes"), pl.Int64),
    **dict.fromkeys(("gpu_hours", "cpu_hours"), pl.Float64),
    "unreadable": pl.Int64,
    "graders": pl.List(pl.Struct(GRADER)),
    "in_progress": pl.List(pl.Struct(DRAWER)),
    "journals": pl.List(pl.String),
}
"""Columns of :func:`inventory`."""


def parts(pool: Path) -> pl.DataFrame:
    """Return one row for each part of a shard: the PARTS columns, from the receipts.

    Raises:
        PoolError: there is no such pool.
    """
    rows = []
    for folder in folders(pool, "responses"):
        key = (*folder.key.values(), folder.engine())
        for part in folder.parts:
            receipt = _receipt(folder, part, ResponsesReceipt)
            counts = [getattr(receipt, name, None) for name in COUNTS]
            rows.append((*key, part.shard, part.number, *counts))
    return pl.DataFrame(rows, schema=PARTS, orient="row")


def inventory(pool: Path) -> pl.DataFrame:
    """Return what a pool holds: the INVENTORY columns, one row for each (model, source, sampling).

    Hours are the receipts' seconds x GPUs / 3600; ``cpu_hours`` is the wall time of parts drawn
    without a GPU; what broken runs took, before others went on from their journals, is in neither.
    ``bytes`` counts responses and grades. ``unreadable`` counts parts without a readable receipt;
    no other number but ``parts`` and ``shards`` includes them. ``journals`` are shards whose
    drawing broke off: the next run that asks for one continues it.

    Raises:
        PoolError: there is no such pool.
    """
    of_parts = parts(pool)
    graded = folders(pool, "grades")
    busy = holders(pool)
    rows = []
    for folder in folders(pool, "responses"):
        mine = of_parts.filter(**folder.key)
        sums = _sums(mine)
        graders, graded_bytes = _graders([one for one in graded if one.key == folder.key], sums)
        drawn = held(folder, busy)
        rows.append(
            {
                **folder.key,
                "engine": folder.engine(),
                **sums,
                "bytes": sums["bytes"] + graded_bytes,
                "graders": graders,
                "in_progress": [_drawer(shard, holder) for shard, holder in drawn.items()],
                "journals": [shard for shard in folder.journals() if shard not in drawn],
            }
        )
    return pl.DataFrame(rows, schema=INVENTORY)


def _drawer(shard: str, holder: Holder) -> dict[str, object]:
    """Who holds a shard at the moment: the columns of DRAWER."""
    facts = asdict(holder) | {"shard": shard, "since": str(holder.since)}
    return {name: facts[name] for name in DRAWER}


def _sums(of_parts: pl.DataFrame) -> dict[str, int | float]:
    """Totals of one folder; a shard's problems are those of its widest part."""
    by_shard = of_parts.group_by("shard").agg(pl.col("problems").max())
    on_gpu, seconds = pl.col("gpus") > 0, pl.col("seconds")
    totals = of_parts.select(
        parts=pl.len(),
        responses=pl.col("rows").sum(),
        tokens=pl.col("tokens").sum(),
        bytes=pl.col("bytes").sum(),
        gpu_hours=(seconds * pl.col("gpus")).sum() / 3600,
        cpu_hours=seconds.filter(~on_gpu).sum() / 3600,
        unreadable=pl.col("rows").null_count(),
    ).row(0, named=True)
    return {"shards": len(by_shard), "problems": by_shard["problems"].sum(), **totals}


def _graders(
    graded: Sequence[Folder], sums: dict[str, int | float]
) -> tuple[list[dict[str, object]], int]:
    """What each grader has judged (columns of GRADER), and the bytes of all of it."""
    found: list[dict[str, object]] = []
    size = 0
    for folder in graded:
        receipts = [_receipt(folder, part, GradesReceipt) for part in folder.parts]
        rows = sum(receipt.rows for receipt in receipts if receipt)
        size += sum(receipt.bytes for receipt in receipts if receipt)
        share = rows / sums["responses"] if sums["responses"] else 0.0
        values = (folder.grader, len(receipts), rows, share)
        found.append(dict(zip(GRADER, values, strict=True)))
    return found, size


def _receipt(folder: Folder, part: PartName, kind: type[R]) -> R | None:
    try:
        return read_receipt(folder.file(part), kind)
    except PoolError:
        return None
