"""The walk over the blocks: statistics of a block, prune its matrices, run it again for the next.

The statistics of a block come from the outputs of the pruned blocks before it and from its own
dense weights (SparseGPT, section 4). Only the running block's statistics are kept. This module is
the one place that knows in which order a model is pruned; streaming blocks from disk, or spilling
activations, replaces `Decoder` and the list of hidden states, and nothing else.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ssgr.errors import PruningError
from ssgr.pruning.blocks import Decoder, InputRecorder
from ssgr.pruning.pruner import Pruner, PrunerSettings
from ssgr.pruning.statistics import InputStatistics, relative_error
from ssgr.sparsity import Sparsity


@dataclass(frozen=True)
class PrunedMatrix:
    """What pruning did to one matrix: a row of the PruningReport schema."""

    block: int
    matrix: str
    rows: int
    columns: int
    sparsity: float
    relative_error: float | None
    seconds: float


@dataclass(frozen=True)
class Pruning:
    """How every matrix is pruned."""

    pruner: Pruner
    sparsity: Sparsity
    settings: PrunerSettings


def prune_blocks(
    decoder: Decoder, sequences: Sequence[Sequence[int]], pruning: Pruning
) -> list[PrunedMatrix]:
    """Prune every linear of every block in place, the first block first.

    ``sequences`` are token ids; without any, the pruner must need no statistics and the report has
    no errors.

    Raises:
        PruningError: NaN or Inf in an input or a weight, or a matrix that cannot be pruned.
        ModelError: a block's structure is not understood.
    """
    if not sequences and pruning.pruner.needs != "none":
        raise PruningError(
            f"{pruning.pruner.name} needs calibration sequences and got none; "
            "give a calibration table, or prune by magnitude"
        )
    report: list[PrunedMatrix] = []
    label = f"{pruning.pruner.name} {pruning.sparsity.key}"
    with torch.no_grad(), _full_precision():
        hidden = [decoder.embed(sequence) for sequence in sequences]
        progress = tqdm(range(len(decoder.blocks)), label, unit="block", mininterval=1.0)
        for index in progress:
            recorder = _gather(decoder, index, sequences, hidden)
            rows = _prune_linears(decoder, index, recorder, pruning)
            progress.set_postfix_str(_mean_error(rows), refresh=False)
            report += rows
            if index + 1 < len(decoder.blocks):
                for at, sequence in enumerate(sequences):
                    hidden[at] = decoder.run(index, sequence, hidden[at])
    return report


def _gather(
    decoder: Decoder, index: int, sequences: Sequence[Sequence[int]], hidden: list[Tensor]
) -> InputRecorder:
    """Run all sequences through one dense block and return the statistics of its linears.

    The Gram matrix is gathered for every pruner: the report's output error needs it.
    """
    recorder = InputRecorder(
        decoder.linears(index), f"{decoder.prefix}.{index}", with_gram=bool(sequences)
    )
    for sequence, states in zip(sequences, hidden, strict=True):
        with recorder.recording():
            decoder.run(index, sequence, states)
    if sequences:
        recorder.require_all()
    return recorder


def _prune_linears(
    decoder: Decoder, index: int, recorder: InputRecorder, pruning: Pruning
) -> list[PrunedMatrix]:
    report = []
    for name, linear in recorder.linears.items():
        full_name = f"{decoder.prefix}.{index}.{name}"
        # popped, so that the statistics of a matrix are freed as soon as nothing needs them
        statistics = recorder.statistics.pop(name, None)
        report.append(_prune_linear(linear, full_name, statistics, pruning, block=index))
    return report


def _prune_linear(
    linear: nn.Linear,
    name: str,
    statistics: InputStatistics | None,
    pruning: Pruning,
    *,
    block: int,
) -> PrunedMatrix:
    """Prune one matrix in place and measure what that did."""
    began = time.perf_counter()
    dense = linear.weight.detach()
    if not bool(torch.isfinite(dense).all()):
        raise PruningError(f"the weight of {name} holds NaN or Inf: the checkpoint is damaged")
    given = statistics or InputStatistics(linear.in_features, dense.device, name=name)
    try:
        pruned = pruning.pruner(dense, given, pruning.sparsity, pruning.settings)
    except PruningError as failure:
        raise PruningError(f"{name}: {failure}") from failure
    error = relative_error(dense, pruned, statistics) if statistics else None
    linear.weight.copy_(pruned)
    return PrunedMatrix(
        block=block,
        matrix=name,
        rows=linear.out_features,
        columns=linear.in_features,
        sparsity=float((pruned == 0).double().mean()),
        relative_error=error,
        seconds=time.perf_counter() - began,
    )


def _mean_error(rows: list[PrunedMatrix]) -> str:
    errors = [row.relative_error for row in rows if row.relative_error is not None]
    return f"output error {sum(errors) / len(errors):.4f}" if errors else ""


@contextmanager
def _full_precision() -> Iterator[None]:
    """Multiply fp32 matrices in fp32, not in TF32, which a Gram matrix does not survive."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
