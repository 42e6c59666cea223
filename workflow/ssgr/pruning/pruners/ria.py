"""RIA: relative importance and activations (Zhang et al. 2024, "Plug-and-Play", ICLR 2024)."""

from torch import Tensor

from ssgr.config.sparsity import Sparsity
from ssgr.pruning.importance import relative_importance
from ssgr.pruning.masks import lowest_of, removed
from ssgr.pruning.pruner import PrunerSettings, register
from ssgr.pruning.statistics import InputStatistics


@register("ria", needs="norm")
def ria(
    weight: Tensor, statistics: InputStatistics, sparsity: Sparsity, settings: PrunerSettings
) -> Tensor:
    """Remove the weights of lowest relative importance: of the matrix, or of each group of M.

    The weights that stay are not changed. `ssgr.pruning.permutation` is the paper's other half.

    Raises:
        PruningError: the columns do not divide into groups of M.
    """
    return removed(weight, lowest_of(relative_importance(weight, statistics), sparsity))
