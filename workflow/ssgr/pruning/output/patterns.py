"""Whether a checkpoint has the zeros that it claims, counted in its files; and torch's 2:4 kernels.

A pruner reports what it did. What counts is what lies on the disk: a 2:4 checkpoint with one wrong
group is slow or wrong on the hardware that it was made for.
"""

from pathlib import Path

import polars as pl
import torch
from torch import Tensor, nn

from ssgr.config.sparsity import Sparsity
from ssgr.errors import ModelError, PruningError
from ssgr.pruning.model.decoder import Decoder
from ssgr.pruning.output.summary import MATRICES
from ssgr.storage import tables

AMPERE = (8, 0)
"""Compute capability from which GPUs have semi-structured kernels."""
KERNEL = Sparsity.parse("2:4")
HALVES = (torch.float16, torch.bfloat16)


def check(folder: Path, pattern: Sparsity, *, trust_remote_code: bool = False) -> pl.DataFrame:
    """Count the zeros of every pruned matrix of a checkpoint, one block in memory at a time.

    Args:
        folder: checkpoint with its ``pruning.parquet``.
        pattern: for N:M, every M neighbours of a row must hold N zeros at least; unstructured, a
            matrix must hold the share that its report says.
        trust_remote_code: run Python code that the folder brings.

    Returns:
        block, matrix, sparsity (as reported), found, and wrong: how many groups of M have fewer
        than N zeros, or how many zeros are missing.

    Raises:
        ModelError: the folder is no model, or lacks a matrix that its report names.
        TableError: the report is missing or of another schema.
    """
    said = tables.read(folder / MATRICES, tables.PruningReport)
    decoder = Decoder.open(folder, device=torch.device("cpu"), trust_remote_code=trust_remote_code)
    rows: list[tuple[object, ...]] = []
    for part in said.sort("block", maintain_order=True).partition_by("block", maintain_order=True):
        block = part["block"][0]
        if block >= decoder.depth:
            raise ModelError(f"{folder} has {decoder.depth} blocks, {MATRICES} names block {block}")
        with decoder.block(block) as linears:
            for matrix, sparsity in part.select("matrix", "achieved_sparsity").iter_rows():
                linear = linears.get(matrix.removeprefix(f"{decoder.prefix}.{block}."))
                if linear is None:
                    raise ModelError(f"{folder} has no {matrix}, which its {MATRICES} names")
                counted = _count(linear.weight.detach(), sparsity, pattern)
                rows.append((block, matrix, sparsity, *counted))
    return pl.DataFrame(rows, schema=FOUND, orient="row")


def _count(weight: Tensor, sparsity: float, pattern: Sparsity) -> tuple[float, int]:
    """The share of zeros in a matrix, and how many groups or zeros are wrong."""
    zeros, weights = int((weight == 0).sum()), weight.numel()
    missing = max(0, round(sparsity * weights) - zeros)
    return zeros / weights, wrong_groups(weight, pattern) if pattern.group else missing


FOUND = {"block": pl.Int32, "matrix": pl.String, "sparsity": pl.Float64, "found": pl.Float64,
         "wrong": pl.Int64}  # fmt: skip


def wrong_groups(weight: Tensor, pattern: Sparsity) -> int:
    """Return how many groups of M neighbours in the rows of a matrix have fewer than N zeros."""
    zeros, group = pattern.zeros, pattern.group
    if zeros is None or group is None:
        raise ValueError(f"{pattern} has no groups")
    rows, columns = weight.shape
    padded = nn.functional.pad((weight != 0).int(), (0, -columns % group))
    values = padded.view(rows, -1, group).sum(dim=2)
    return int((values > group - zeros).sum())


def to_semi_structured(model: nn.Module) -> list[str]:
    """Give the 2:4 linears of a half-precision model on a GPU torch's semi-structured weights.

    In place. Matrix products with many rows (prefill, batches) get faster; what a model of these
    weights answers stays the same up to rounding.

    Returns:
        Names of the linears that were changed.

    Raises:
        PruningError: there is no GPU with such kernels, the model is not on it or not in half
            precision, no linear is 2:4, or torch refuses a shape.
    """
    _require_kernels()
    names = semi_structured(model)
    for name in names:
        linear = model.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        try:
            packed = torch.sparse.to_sparse_semi_structured(linear.weight.detach().contiguous())
        except RuntimeError as error:
            raise PruningError(f"torch has no 2:4 kernel for {name}: {error}") from error
        linear.weight = nn.Parameter(packed, requires_grad=False)
    return names


def semi_structured(model: nn.Module) -> list[str]:
    """Return the names of a model's linears whose weights are 2:4.

    Raises:
        PruningError: there is none, or they are not in half precision.
    """
    linears = {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    found = [name for name, part in linears.items() if not wrong_groups(part.weight, KERNEL)]
    if not found:
        raise PruningError("no linear of this model is 2:4: prune it with sparsity 2:4")
    odd = {linears[name].weight.dtype for name in found} - {*HALVES}
    if odd:
        raise PruningError(
            f"2:4 kernels take float16 or bfloat16, this model is {odd.pop()}: load it with "
            "dtype=torch.bfloat16"
        )
    return found


def _require_kernels() -> None:
    if not torch.cuda.is_available():
        raise PruningError(
            "semi-structured kernels need an NVIDIA GPU, and torch sees none: without one, use "
            "the checkpoint as it is (its zeros are in ordinary dense weights)"
        )
    capability = torch.cuda.get_device_capability()
    if capability < AMPERE:
        raise PruningError(
            f"{torch.cuda.get_device_name()} has compute capability {capability}: semi-structured "
            "kernels begin with 8.0 (Ampere); use the checkpoint as it is"
        )
