"""Magnitude pruning: the smallest weights go, whatever their inputs (Han et al. 2015)."""

from torch import Tensor

from ssgr.config.sparsity import Sparsity
from ssgr.pruning.masks import lowest_of, removed
from ssgr.pruning.pruner import PrunerSettings, register
from ssgr.pruning.statistics import InputStatistics


@register("magnitude", needs="none")
def magnitude(
    weight: Tensor, statistics: InputStatistics, sparsity: Sparsity, settings: PrunerSettings
) -> Tensor:
    """Remove the weights of smallest |W|: of the whole matrix, or of each group of M.

    Raises:
        PruningError: the columns do not divide into groups of M.
    """
    return removed(weight, lowest_of(weight.float().abs(), sparsity))
