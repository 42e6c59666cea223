"""Trying pruned matrices inside a block of the dense model, and taking them out again."""

from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from ssgr.config.sparsity import Sparsity
from ssgr.errors import PruningError
from ssgr.pruning.allocation.method import Task
from ssgr.pruning.pruner import PrunerSettings
from ssgr.pruning.pruners import pruner_of
from ssgr.pruning.statistics import InputStatistics


def needs_gram(task: Task) -> bool:
    """Return whether the pruner that searches reads the Gram matrix of inputs."""
    return pruner_of(task.recipe.searched_by).needs == "gram"


def prune(task: Task, weight: Tensor, statistics: InputStatistics | None, zeros: int) -> Tensor:
    """Return a matrix [rows, columns] without ``zeros`` weights, by the pruner that searches.

    A matrix that no token reached (an expert) has no statistics and goes by magnitude.

    Raises:
        PruningError: the matrix cannot be pruned.
    """
    recipe = task.recipe
    settings = PrunerSettings(recipe.block_size, recipe.damping, recipe.iterations)
    reached = statistics is not None and statistics.tokens > 0
    pruner = pruner_of(recipe.searched_by if reached else "magnitude")
    given = statistics or InputStatistics(weight.shape[1], weight.device, with_gram=False)
    try:
        return pruner(weight.detach(), given, Sparsity(zeros / weight.numel()), settings)
    except (PruningError, LinAlgError) as failure:
        raise PruningError(f"allocation {recipe.allocation}: {failure}") from failure
