"""What a pruned checkpoint says of itself, written into its folder."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import polars as pl

from ssgr.pruning.matrices import PrunedMatrix
from ssgr.pruning.names import SUMMARY
from ssgr.pruning.output.summary import BLOCKS, MATRICES, Summary
from ssgr.pruning.progress import write_whole
from ssgr.pruning.walk import PrunedBlock
from ssgr.storage import tables

TOLD = 20  # warnings in the summary; the table of matrices has all


def write(folder: Path, blocks: Sequence[PrunedBlock], summary: Summary, spec: str) -> None:
    """Write ``pruning.parquet``, ``blocks.parquet`` and ``pruning.json``.

    Raises:
        TableError: a table cannot be written, or breaks its schema.
        PruningError: the summary cannot be written.
    """
    matrices = [asdict(row) for block in blocks for row in block.matrices]
    tables.write(
        pl.DataFrame(matrices, infer_schema_length=None).rename({"sparsity": "achieved_sparsity"}),
        tables.PruningReport,
        folder / MATRICES,
        spec,
    )
    rows = [
        {
            "block": index,
            "relative_error": block.relative_error,
            "seconds": block.seconds,
            "peak_mb": block.peak_mb,
        }
        for index, block in enumerate(blocks)
    ]
    tables.write(
        pl.DataFrame(rows, infer_schema_length=None), tables.BlockReport, folder / BLOCKS, spec
    )
    text = summary.model_dump_json(indent=2) + "\n"
    write_whole(folder / SUMMARY, lambda aside: aside.write_text(text, encoding="utf-8"))


def warnings(blocks: Sequence[PrunedBlock]) -> list[str]:
    """Return the warnings of matrices in words, the first ``TOLD`` of them."""
    rows: list[PrunedMatrix] = [row for block in blocks for row in block.matrices if row.warnings]
    said = [f"{row.matrix}: {row.warnings}" for row in rows]
    more = [f"and {len(said) - TOLD} more matrices, see {MATRICES}"] if len(said) > TOLD else []
    return said[:TOLD] + more
