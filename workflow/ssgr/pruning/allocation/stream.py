"""One pass of the calibration sequences through the dense model, a block in memory at a time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssgr.pruning.activations import Activations
from ssgr.pruning.allocation.method import Task
from ssgr.pruning.matrices import require_finite
from ssgr.pruning.model.decoder import Decoder
from ssgr.pruning.objective import CalibrationSequence
from ssgr.pruning.recorder import Gather, InputRecorder
from ssgr.pruning.statistics import InputStatistics


@dataclass(frozen=True)
class DenseBlock:
    """A dense block in memory, and the statistics of the inputs of its linears by name.

    Experts that no token was routed to have none.
    """

    index: int
    linears: Mapping[str, nn.Linear]
    statistics: Mapping[str, InputStatistics]


def embedded(task: Task, parts: int = 1) -> Activations:
    """Return what enters the first block, for every sequence; ``parts`` share the cap."""
    hidden = task.activations(parts)
    for sequence in task.sequences:
        hidden.append(task.decoder.embed(sequence.token_ids))
    return hidden


@contextmanager
def dense_block(decoder: Decoder, index: int) -> Iterator[dict[str, nn.Linear]]:
    """Hold a block in memory and yield its linears by name, once their weights are seen to be good.

    Raises:
        PruningError: NaN or Inf in a weight.
    """
    with decoder.block(index) as linears:
        for name, linear in linears.items():
            require_finite(f"{decoder.prefix}.{index}.{name}", linear.weight)
        yield linears


def dense_blocks(task: Task, hidden: Activations, *, with_gram: bool) -> Iterator[DenseBlock]:
    """Yield every block of the dense model with its statistics, the first block first.

    ``hidden`` holds what is embedded; in the end, what leaves the last block.
    """
    decoder = task.decoder
    for index in range(decoder.depth):
        with dense_block(decoder, index) as linears:
            recorder = record(decoder, index, linears, task.sequences, hidden, with_gram=with_gram)
            yield DenseBlock(index, linears, recorder.statistics)
            for at in range(len(hidden)):
                hidden[at] = decoder.run(index, hidden[at])


def record(
    decoder: Decoder,
    index: int,
    linears: Mapping[str, nn.Linear],
    sequences: Sequence[CalibrationSequence],
    hidden: Activations,
    *,
    with_gram: bool,
) -> InputRecorder:
    """Run sequences through a block in memory and return what its linears were given.

    Raises:
        PruningError: NaN or Inf in an input.
        ModelError: no token reached a linear that is not an expert's.
    """
    recorder = InputRecorder(
        linears,
        f"{decoder.prefix}.{index}",
        Gather(gram=with_gram),
        lambda name: decoder.tokens_of(index, name),
    )
    for at, sequence in enumerate(sequences):
        with recorder.recording(sequence.weights):
            decoder.run(index, hidden[at])
    recorder.require_all()
    return recorder


def input_norms(statistics: Mapping[str, InputStatistics], name: str, linear: nn.Linear) -> Tensor:
    """Return ||X_j||_2 of the inputs of a linear [columns], per token; 0 if none reached it."""
    if name not in statistics:
        return torch.zeros(linear.in_features, device=linear.weight.device)
    return statistics[name].squared_norm.sqrt()
