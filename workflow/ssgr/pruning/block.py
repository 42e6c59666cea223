"""One block: in which order its matrices are pruned, and on statistics of which inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from ssgr.config.sparsity import Sparsity
from ssgr.pruning.activations import Activations
from ssgr.pruning.importance import relative_importance
from ssgr.pruning.matrices import Alike, PrunedMatrix, Pruning, prune_alike, require_finite
from ssgr.pruning.model.decoder import Decoder
from ssgr.pruning.model.loading import swapped
from ssgr.pruning.permutation import Exchange, best_order, exchangeable, permute_channels
from ssgr.pruning.recorder import Gather, InputRecorder, captured, execution_groups

# Tokens that output errors are measured on where no Gram matrix is gathered.
SAMPLE = 512


@dataclass(frozen=True)
class BlockInputs:
    """What enters a block: hidden states behind pruned and (if needed) behind dense blocks.

    ``weights`` are of the tokens of each sequence. ``dense`` moves on to the next block.
    """

    pruned: Activations
    dense: Activations
    weights: list[Tensor | None]

    @property
    def tokens(self) -> int:
        """Tokens of all sequences."""
        return sum(self.pruned.shape(at)[1] for at in range(len(self.pruned)))


def prune_block(
    decoder: Decoder, index: int, inputs: BlockInputs, pruning: Pruning
) -> list[PrunedMatrix]:
    """Prune the matrices of the block that is in memory, in place.

    All statistics are of the dense block, or with the objective's ``true_sequential`` of the block
    with those matrices pruned that run before.

    Raises:
        PruningError: NaN or Inf in an input or a weight, or a matrix that cannot be pruned.
        ModelError: the block's structure is not understood.
    """
    linears = decoder.linears(index)
    for name, linear in linears.items():
        require_finite(f"{decoder.prefix}.{index}.{name}", linear.weight)
    groups = _groups(decoder, index, linears, inputs, pruning)
    originals: dict[str, Tensor] = {}  # of what is pruned, if the dense block runs again
    rows: list[PrunedMatrix] = []
    for group in groups:
        some = {name: linears[name] for name in group}
        final = group is groups[-1]
        recorder = _gather(decoder, index, some, inputs, pruning, originals, final)
        if pruning.permutes:
            parameters = [name for name, _ in decoder.blocks[index].named_parameters()]
            found = exchangeable(linears, parameters)
            _permute_channels(linears, found, recorder, pruning.sparsity)
        if pruning.with_dense and not final:
            originals |= {name: linear.weight.detach().clone() for name, linear in some.items()}
        rows += _prune_recorded(index, recorder, pruning)
    place = {name: at for at, name in enumerate(linears)}
    return sorted(
        rows, key=lambda row: place[row.matrix.removeprefix(f"{decoder.prefix}.{index}.")]
    )


def _groups(
    decoder: Decoder,
    index: int,
    linears: Mapping[str, nn.Linear],
    inputs: BlockInputs,
    pruning: Pruning,
) -> list[list[str]]:
    """Return which matrices are pruned at a time, in order."""
    if not pruning.objective.true_sequential or len(inputs.pruned) == 0:
        return [list(linears)]
    with captured(linears) as called:
        decoder.run(index, inputs.pruned[0])
    return execution_groups(called, linears)


def _gather(
    decoder: Decoder,
    index: int,
    linears: Mapping[str, nn.Linear],
    inputs: BlockInputs,
    pruning: Pruning,
    originals: Mapping[str, Tensor],
    final: bool,
) -> InputRecorder:
    """Run all sequences through the block and return the statistics of some of its linears."""
    gram = pruning.pruner.needs == "gram" or pruning.with_dense
    gather = Gather(gram, pruning.with_dense, 0 if gram else max(inputs.tokens // SAMPLE, 1))
    recorder = InputRecorder(
        linears, f"{decoder.prefix}.{index}", gather, partial(decoder.tokens_of, index)
    )
    for at, weights in enumerate(inputs.weights):
        dense = None
        if pruning.with_dense:
            with swapped(decoder.linears(index), originals), captured(linears) as dense:
                after = decoder.run(index, inputs.dense[at])
            if final:
                inputs.dense[at] = after
        with recorder.recording(weights, dense):
            decoder.run(index, inputs.pruned[at])
    if inputs.weights:
        recorder.require_all()
    return recorder


def _permute_channels(
    linears: Mapping[str, nn.Linear],
    exchanges: Sequence[Exchange],
    recorder: InputRecorder,
    sparsity: Sparsity,
) -> None:
    """Put the inner channels of MLPs in the order of which N:M keeps most (RIA, section 4).

    Only those whose last matrix is about to be pruned; its statistics are put in order, too.
    """
    for exchange in exchanges:
        statistics = recorder.statistics.get(exchange.consumer)
        if exchange.consumer not in recorder.linears or statistics is None:
            continue
        consumer = linears[exchange.consumer].weight
        scores = relative_importance(consumer, statistics)
        order = best_order(scores, sparsity.zeros or 0, sparsity.group or 1)
        producers = [linears[name] for name in exchange.producers]
        moved = [part for linear in producers for part in (linear.weight, linear.bias)]
        parameters = [part for part in moved if part is not None]
        rows, columns = permute_channels(parameters, consumer, order)
        for parameter, permuted in zip([*parameters, consumer], [*rows, columns], strict=True):
            parameter.copy_(permuted)
        recorder.permute(exchange.consumer, order)


def _prune_recorded(index: int, recorder: InputRecorder, pruning: Pruning) -> list[PrunedMatrix]:
    """Prune the linears of a recorder, those of one input together."""
    alike: dict[int | str, dict[str, nn.Linear]] = {}
    for name, linear in recorder.linears.items():
        key = id(recorder.statistics[name]) if name in recorder.statistics else name
        alike.setdefault(key, {})[name] = linear
    rows: list[PrunedMatrix] = []
    for linears in alike.values():
        sample = recorder.sample(next(iter(linears)))
        # popped, so that the statistics of an input are freed as soon as nothing needs them
        found = [recorder.statistics.pop(name, None) for name in linears]
        rows += prune_alike(Alike(index, recorder.prefix, linears, found[0], sample), pruning)
        del found
    return rows
