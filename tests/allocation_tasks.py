"""Tasks for allocations on tiny models, and what hooks on the whole model say of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ssgr.config import Recipe, Search
from ssgr.config.sparsity import Sparsity
from ssgr.pruning.allocation import allocate
from ssgr.pruning.allocation.method import Task
from ssgr.pruning.model.decoder import Decoder
from ssgr.pruning.objective import CalibrationSequence
from ssgr.pruning.statistics import InputStatistics
from tiny_decoders import token_sequences


def task_of(model: Any, scratch: Path, method: str = "wanda", **search: int) -> Task:
    decoder = Decoder.of(model)
    sequences = [CalibrationSequence(ids) for ids in token_sequences()]
    recipe = Recipe(method=method, allocation="evopress", search=Search(**search))
    return Task(decoder, decoder.shapes(), sequences, 0.6, recipe, scratch)


def run(name: str, task: Task) -> dict[tuple[int, str], float]:
    recipe = task.recipe.model_copy(update={"allocation": name})
    sparsity = Sparsity(task.sparsity)
    return allocate(name, task.decoder, task.sequences, sparsity, recipe, task.scratch)


def mean_share(shares: dict[tuple[int, str], float], block: int) -> float:
    found = [share for (index, _), share in shares.items() if index == block]
    return sum(found) / len(found)


def linears_of(model: Any, index: int) -> dict[str, nn.Linear]:
    block = model.model.layers[index]
    return {name: one for name, one in block.named_modules() if isinstance(one, nn.Linear)}


def statistics_of(model: Any, index: int, sequences: Sequence[list[int]]) -> dict[str, Any]:
    """The statistics of one block's inputs, by hooks on the whole model."""
    found, handles = {}, []
    for name, linear in linears_of(model, index).items():
        found[name] = InputStatistics(linear.in_features)

        def hook(_: nn.Module, args: tuple[Tensor], to: InputStatistics = found[name]) -> None:
            to.update(args[0])

        handles.append(linear.register_forward_pre_hook(hook))
    with torch.no_grad():
        for ids in sequences:
            model(input_ids=torch.tensor([ids]))
    for handle in handles:
        handle.remove()
    return found
