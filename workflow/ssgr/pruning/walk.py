"""The walk over the blocks: statistics of a block, prune its matrices, run it again for the next.

One block is in memory at a time. Its statistics come from the outputs of the pruned blocks before
it and from its own dense weights (SparseGPT, section 4). So a model of any depth is pruned on one
GPU, which must hold a block's weights, its statistics (columns^2 x 4 bytes for each distinct input,
and as much again to factor the largest) and one sequence's activations. For 70B parameters in 80
blocks with 28,672 columns at most that is 1.7 GB of weights in 16 bits and twice 3.3 GB for the
largest statistics. More GPUs or nodes would have nothing to do: run more jobs instead. This module
is the one place that knows in which order a model is pruned; what is done to one block is
`ssgr.pruning.block`.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor
from tqdm import tqdm

from ssgr.config.pruning import Objective
from ssgr.errors import PruningError
from ssgr.pruning.activations import Activations
from ssgr.pruning.block import BlockInputs, prune_block
from ssgr.pruning.gram import full_precision
from ssgr.pruning.matrices import PrunedMatrix, Pruning
from ssgr.pruning.model.decoder import Decoder
from ssgr.pruning.objective import CalibrationSequence
from ssgr.pruning.peak import peak_mb
from ssgr.pruning.perplexity import perplexity, surprise
from ssgr.pruning.pruner import Pruner
from ssgr.pruning.recorder import EXPERT


@dataclass(frozen=True)
class PrunedBlock:
    """A pruned block: its matrices, and a row of the BlockReport schema.

    ``peak_mb`` is the peak of memory when the block was finished, of it and all before.
    """

    matrices: list[PrunedMatrix]
    relative_error: float | None
    seconds: float
    peak_mb: float


@dataclass(frozen=True)
class Pruned:
    """A pruned model: its blocks, and the perplexity on held-back text, if there is any."""

    blocks: list[PrunedBlock]
    dense_perplexity: float | None = None
    pruned_perplexity: float | None = None


Keep = Callable[[int, dict[str, Tensor], PrunedBlock], None]


@dataclass(frozen=True)
class Streams:
    """Hidden states on their way through the model, each list one tensor per sequence.

    ``held_back`` goes through the pruned blocks, ``held_back_dense`` through the dense ones.
    """

    calibration: BlockInputs
    held_back: Activations
    held_back_dense: Activations

    @classmethod
    @contextmanager
    def entering(
        cls,
        decoder: Decoder,
        calibration: Sequence[CalibrationSequence],
        held_back: Sequence[Sequence[int]],
        *,
        with_dense: bool,
        folder: Path,
        cap: int,
    ) -> "Iterator[Streams]":
        """Embed all sequences; ``cap`` bytes are kept in memory, the rest in ``folder``."""
        ids = [sequence.token_ids for sequence in calibration]
        lists = [ids, ids if with_dense else [], held_back, held_back]
        tokens = [sum(map(len, sequences)) for sequences in lists]
        total = max(sum(tokens), 1)
        kept = [Activations(folder, cap * count // total) for count in tokens]
        try:
            for activations, sequences in zip(kept, lists, strict=True):
                for sequence in sequences:
                    activations.append(decoder.embed(sequence))
            weights = [sequence.weights for sequence in calibration]
            yield cls(BlockInputs(kept[0], kept[1], weights), kept[2], kept[3])
        finally:
            for activations in kept:
                activations.close()


def prune_blocks(
    decoder: Decoder,
    calibration: Sequence[CalibrationSequence],
    pruning: Pruning,
    *,
    held_back: Sequence[list[int]] = (),
    finished: Mapping[int, tuple[Path, PrunedBlock]] = MappingProxyType({}),
    keep: Keep = lambda index, tensors, block: None,
    folder: Path = Path(),
    cap: int = 2**32,
) -> Pruned:
    """Prune every block, the first first; finished ones only run.

    Without calibration sequences the pruner must need no statistics, and the report has no errors.

    Args:
        decoder: the dense model; one in memory is pruned in place.
        calibration: sequences that the statistics are gathered on.
        pruning: how.
        held_back: token ids that only the report is measured on.
        finished: shards and reports of blocks that an earlier run finished.
        keep: is handed each block, as its tensors are to be stored.
        folder: where hidden states spill to.
        cap: bytes of hidden states kept in memory.

    Raises:
        PruningError: NaN or Inf in an input or a weight, or a matrix that cannot be pruned, or a
            full disk.
        ModelError: a block's structure is not understood.
    """
    require_calibration(pruning.pruner, pruning.objective, calibration)
    require_same_tokens(decoder, pruning.objective)
    if not held_back and len(finished) == decoder.depth:  # nothing is left to run
        return Pruned([finished[index][1] for index in range(decoder.depth)])
    entering = Streams.entering(
        decoder, calibration, held_back, with_dense=pruning.with_dense, folder=folder, cap=cap
    )
    with torch.no_grad(), full_precision(), entering as streams:
        blocks = []
        label = f"{pruning.pruner.name} {pruning.sparsity.key}"
        progress = tqdm(range(decoder.depth), label, unit="block", mininterval=1.0)
        for index in progress:
            if index in finished:
                shard, block = finished[index]
                _run_finished(decoder, index, streams, shard)
            else:
                block = _prune(decoder, index, streams, pruning, keep)
            blocks.append(block)
            progress.set_postfix_str(_mean_error(blocks[-1]), refresh=False)
        return Pruned(blocks, *_perplexities(decoder, streams, held_back))


def require_calibration(
    pruner: Pruner, objective: Objective, calibration: Sequence[CalibrationSequence]
) -> None:
    """Check that there are sequences if the pruner or the objective needs statistics.

    Raises:
        PruningError: there are none.
    """
    if not calibration and pruner.needs != "none":
        raise PruningError(
            f"{pruner.name} needs calibration sequences and got none; "
            "give a calibration table, or prune by magnitude"
        )
    if not calibration and objective.target == "dense-output":
        raise PruningError(
            "objective.target: dense-output needs calibration sequences and got none; "
            "give a calibration table, or use target: pruned-input"
        )


def require_same_tokens(decoder: Decoder, objective: Objective) -> None:
    """Check that the dense model's outputs can be a target.

    Raises:
        PruningError: a block is a mixture of experts.
    """
    if objective.target == "dense-output":
        for shape in decoder.shapes():
            if EXPERT.search(shape.name):
                raise PruningError(
                    f"{decoder.prefix}.{shape.block} is a mixture of experts, to which the dense "
                    "model sends other tokens than the pruned one: use objective.target: "
                    "pruned-input"
                )


def _prune(
    decoder: Decoder, index: int, streams: Streams, pruning: Pruning, keep: Keep
) -> PrunedBlock:
    """Prune one block, move the hidden states behind it, and keep it."""
    began = time.perf_counter()
    with decoder.block(index):
        _advance(decoder, index, streams.held_back_dense)
        matrices = prune_block(decoder, index, streams.calibration, pruning)
        decoder.round_to_stored(index)
        if index + 1 < decoder.depth:  # nothing reads what leaves the last block
            _advance(decoder, index, streams.calibration.pruned)
        _advance(decoder, index, streams.held_back)
        tensors = decoder.stored(index)
        pruned = PrunedBlock(
            matrices,
            _relative_error(streams),
            time.perf_counter() - began,
            peak_mb(decoder.device),
        )
        keep(index, tensors, pruned)
    return pruned


def _run_finished(decoder: Decoder, index: int, streams: Streams, shard: Path) -> None:
    """Move the hidden states behind a block that an earlier run finished."""
    if len(streams.held_back_dense) or len(streams.calibration.dense):
        with decoder.block(index):
            _advance(decoder, index, streams.held_back_dense)
            _advance(decoder, index, streams.calibration.dense)
    with decoder.block(index, shard):
        if index + 1 < decoder.depth:
            _advance(decoder, index, streams.calibration.pruned)
        _advance(decoder, index, streams.held_back)


def _advance(decoder: Decoder, index: int, states: Activations) -> None:
    for at in range(len(states)):
        states[at] = decoder.run(index, states[at])


def _relative_error(streams: Streams) -> float | None:
    """Return |H - H'|^2 / |H|^2 over all held-back sequences; None if there are none, or NaN."""
    energy = lost = 0.0
    for at in range(len(streams.held_back)):
        dense = streams.held_back_dense[at].double()
        energy += float(dense.square().sum())
        lost += float((streams.held_back[at].double() - dense).square().sum())
    return lost / energy if energy > 0 and math.isfinite(energy + lost) else None


def _perplexities(
    decoder: Decoder, streams: Streams, held_back: Sequence[Sequence[int]]
) -> tuple[float | None, float | None]:
    """Return the perplexity on held-back text, dense and pruned; None if logits are not finite."""
    if not held_back:
        return None, None
    with decoder.head():
        dense, pruned = (
            perplexity([surprise(decoder, states[at], ids) for at, ids in enumerate(held_back)])
            for states in (streams.held_back_dense, streams.held_back)
        )
    return dense if math.isfinite(dense) else None, pruned if math.isfinite(pruned) else None


def _mean_error(block: PrunedBlock) -> str:
    errors = [row.relative_error for row in block.matrices if row.relative_error is not None]
    return f"output error {sum(errors) / len(errors):.4f}" if errors else ""
