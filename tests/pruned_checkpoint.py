"""A pruned checkpoint as `ssgr prune` leaves it, made by magnitude without the pruning engine."""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import torch
import yaml
from safetensors.torch import load_file, save_file

from ssgr.config import Model
from ssgr.config.sparsity import Sparsity
from ssgr.pruning import masks
from ssgr.pruning.names import SUMMARY
from ssgr.pruning.output.summary import BLOCKS, MATRICES
from ssgr.publish.cards.facts import origin_of
from ssgr.storage import tables

WEIGHTS = "model.safetensors"
FUNNEL = [("pool", 96, 1536), ("c <= 0.75", 71, 1136), ("correct", 66, 611), ("drawn", 48, 48)]
PERPLEXITY = {"dense": 1.3125, "pruned": 1.75, "tokens": 1536}
WARNINGS = ["model.layers.2.mlp.down_proj: needed extra damping"]


def prune(
    dense: Path,
    out: Path,
    sparsity: str = "50",
    dtype: torch.dtype = torch.float32,
    calibration: Path | None = None,
    **summary: Any,
) -> Path:
    """Write ``out``: the folder ``dense`` with the smallest weights of every block matrix gone."""
    pattern = Sparsity.parse(sparsity)
    left = shutil.ignore_patterns("README.md", "LOG.md", "*.parquet", "recipe")
    shutil.copytree(dense, out, ignore=left)
    tensors = {
        name: tensor.to(dtype).contiguous() for name, tensor in load_file(dense / WEIGHTS).items()
    }
    rows = [
        _prune_one(name, tensors[name], pattern)
        for name in tensors
        if ".layers." in name and tensors[name].ndim == 2
    ]
    save_file(tensors, out / WEIGHTS, metadata={"format": "pt"})
    _write_reports(out, rows)
    origin = origin_of(Model(path=str(dense)), dense, calibration, out)
    said = {
        "spec": json.dumps({"prune": {"pruner": "magnitude"}, **origin}),
        "recipe": {"method": "magnitude", "allocation": "uniform"},
        "sparsity": pattern.key,
        "perplexity": PERPLEXITY,
        "warnings": WARNINGS,
        "versions": {"ssgr": "0.1.0", "torch": "2.9.1"},
        "device": "cpu",
    }
    (out / SUMMARY).write_text(json.dumps(said | summary))
    return out


def _prune_one(name: str, weight: torch.Tensor, pattern: Sparsity) -> dict[str, Any]:
    scores = weight.float().abs()
    mask = (
        masks.lowest_per_group(scores, pattern.zeros or 0, pattern.group)
        if pattern.group
        else masks.lowest_per_row(scores, pattern.fraction)
    )
    weight[mask] = 0
    return {
        "block": int(name.split(".")[2]), "matrix": name.removesuffix(".weight"),
        "rows": weight.shape[0], "columns": weight.shape[1],
        "achieved_sparsity": int(mask.sum()) / mask.numel(), "relative_error": 0.0125,
        "seconds": 0.25, "condition": 1234.5, "damping": 0.01, "dead_inputs": 0, "tokens": 9000,
        "warnings": "",
    }  # fmt: skip


def _write_reports(out: Path, rows: list[dict[str, Any]]) -> None:
    matrices = pl.DataFrame(rows, infer_schema_length=None)
    tables.write(matrices, tables.PruningReport, out / MATRICES)
    blocks = [
        {"block": block, "relative_error": 0.02 * (block + 1), "seconds": 1.5, "peak_mb": 321.0}
        for block in sorted({row["block"] for row in rows})
    ]
    tables.write(pl.DataFrame(blocks), tables.BlockReport, out / BLOCKS)


def front_matter(card: str) -> dict[str, Any]:
    """What a card says before its text."""
    assert card.startswith("---\n")
    found = yaml.safe_load(card.split("---\n")[1])
    assert isinstance(found, dict)
    return found


def calibration_set(folder: Path, sequences: int = 48) -> Path:
    """Write a calibration set with its funnel; return the set's file."""
    table = pl.DataFrame(
        {
            "sequence": range(sequences),
            "problem_id": [f"p{index}" for index in range(sequences)],
            "sample": [0] * sequences,
            "question": [f"What is {index} times 7?" for index in range(sequences)],
            "response": [f"<think> 7 </think> It is {7 * index}." for index in range(sequences)],
            "token_ids": [[5, 6, 7, *range(10, 30 + index)] for index in range(sequences)],
            "prompt_tokens": [3] * sequences,
            "response_tokens": [20 + index for index in range(sequences)],
            "correctness_ratio": [0.5, None] * (sequences // 2),
        }
    )
    steps = pl.DataFrame(FUNNEL, schema=["step", "problems", "responses"], orient="row")
    tables.write(steps, tables.Funnel, folder / "funnel.parquet")
    tables.write(table, tables.Calibration, folder / "calibration.parquet")
    return folder / "calibration.parquet"
