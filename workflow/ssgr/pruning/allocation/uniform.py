"""The same sparsity for every matrix: what every pruner's paper does first."""

from ssgr.pruning.allocation.budget import uniform_zeros
from ssgr.pruning.allocation.method import Task, register


@register("uniform", needs="none")
def uniform(task: Task) -> list[int]:
    """Return the zeros of each matrix: its share of the total."""
    return uniform_zeros(task.sizes, task.sparsity)
