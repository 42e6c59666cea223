"""Magnitude pruning: the smallest weights go, whatever their inputs (Han et al. 2015)."""

from torch import Tensor

from ssgr.pruning.masks import lowest, lowest_per_group, zeros_among
from ssgr.pruning.pruner import PrunerSettings, register
from ssgr.pruning.statistics import InputStatistics
from ssgr.sparsity import Sparsity


@register("magnitude", needs="none")
def magnitude(
    weight: Tensor, statistics: InputStatistics, sparsity: Sparsity, settings: PrunerSettings
) -> Tensor:
    """Remove the weights of smallest |W|: of the whole matrix, or of each group of M.

    Raises:
        PruningError: the columns do not divide into groups of M.
    """
    scores = weight.float().abs()
    if sparsity.zeros is not None and sparsity.group is not None:
        mask = lowest_per_group(scores, sparsity.zeros, sparsity.group)
    else:
        mask = lowest(scores, zeros_among(weight.numel(), sparsity.fraction))
    return weight.masked_fill(mask, 0)
