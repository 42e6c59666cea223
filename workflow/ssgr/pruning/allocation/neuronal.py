"""NeuronAL, block step: how steeply sparsity rises with depth (Cunegatti et al. 2025, 2411.07066).

Deeper blocks lose more, by a straight line whose steepness lambda is the one of several candidates
that leaves the inputs of all matrices most alike, dense and pruned. (The paper's second step
spreads the zeros of a matrix over its rows, which needs pruners that take a share per row.)
"""

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ssgr.pruning.activations import Activations
from ssgr.pruning.allocation.budget import spread
from ssgr.pruning.allocation.method import Task, register
from ssgr.pruning.allocation.stream import dense_block, input_norms, record
from ssgr.pruning.allocation.trial import needs_gram, prune
from ssgr.pruning.model.loading import swapped
from ssgr.pruning.objective import CalibrationSequence

LOG = logging.getLogger(__name__)
# Half the span of the shares. 0 is uniform, which the paper does not try; the rest is the paper's.
LAMBDAS = (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.12, 0.15, 0.2, 0.25)


@dataclass
class Candidate:
    """An allocation, its misalignment so far, and the states that its pruned blocks left."""

    span: float
    zeros: list[int]
    hidden: Activations
    misalignment: float = 0.0


@register("neuronal", needs="sequences")
def neuronal(task: Task) -> list[int]:
    """Return the zeros of each matrix for the lambda of least misalignment.

    Raises:
        PruningError: a matrix cannot be pruned, or inputs are not finite.
    """
    draw = random.Random(task.recipe.search.seed)
    count = min(task.recipe.search.sequences, len(task.sequences))
    sequences = [task.sequences[i] for i in sorted(draw.sample(range(len(task.sequences)), count))]
    candidates = _candidates(task, sequences)
    for index in range(task.decoder.depth):
        with dense_block(task.decoder, index) as linears:
            for candidate in candidates:
                _advance(task, index, linears, sequences, candidate)
    for candidate in candidates:
        candidate.hidden.close()
    best = min(candidates, key=lambda one: one.misalignment)
    LOG.info(
        "neuronal: lambda %g, misalignment %.4g (uniform %.4g)",
        best.span,
        best.misalignment,
        candidates[0].misalignment,
    )
    return best.zeros


def rising(depth: int, span: float, sparsity: float) -> list[float]:
    """Return each block's share of zeros: a line of slope 2 lambda over the depth, mean S."""
    middle = (depth - 1) / 2
    return [sparsity + span * (i - middle) / max(middle, 0.5) for i in range(depth)]


def _candidates(task: Task, sequences: Sequence[CalibrationSequence]) -> list[Candidate]:
    """Return the different allocations of all lambdas, uniform first."""
    candidates: dict[tuple[int, ...], Candidate] = {}
    for span in LAMBDAS:
        shares = rising(task.decoder.depth, span, task.sparsity)
        zeros = spread([shares[shape.block] for shape in task.shapes], task.sizes, task.sparsity)
        if tuple(zeros) not in candidates:
            hidden = task.activations(len(LAMBDAS))
            candidates[tuple(zeros)] = Candidate(span, zeros, hidden)
            for sequence in sequences:
                hidden.append(task.decoder.embed(sequence.token_ids))
    return list(candidates.values())


def _advance(
    task: Task,
    index: int,
    linears: Mapping[str, nn.Linear],
    sequences: Sequence[CalibrationSequence],
    candidate: Candidate,
) -> None:
    """Prune a block as a candidate would, add its misalignment, and run it pruned."""
    hidden, decoder = candidate.hidden, task.decoder
    gram = needs_gram(task)
    dense = record(decoder, index, linears, sequences, hidden, with_gram=gram).statistics
    zeros = {
        shape.name: count
        for shape, count in zip(task.shapes, candidate.zeros, strict=True)
        if shape.block == index
    }
    pruned = {
        name: prune(task, linear.weight, dense.get(name), zeros[name])
        for name, linear in linears.items()
    }
    with swapped(linears, pruned):
        sparse = record(decoder, index, linears, sequences, hidden, with_gram=False).statistics
        for at in range(len(hidden)):
            hidden[at] = decoder.run(index, hidden[at])
    candidate.misalignment += sum(
        misalignment(*(input_norms(found, name, linear) for found in (dense, sparse)))
        for name, linear in linears.items()
    )


def misalignment(dense: Tensor, sparse: Tensor) -> float:
    """Return || a / sum a - a' / sum a' ||_2 / columns, the paper's objective.

    ``dense`` and ``sparse`` are the norms a and a' of each input [columns].
    """
    shares = [one.double() / one.double().sum().clamp_min(1e-300) for one in (dense, sparse)]
    return float((shares[0] - shares[1]).norm()) / len(dense)
