"""Wanda: pruning by weights and activations (Sun et al. 2024, arXiv 2306.11695, equation 1)."""

from torch import Tensor

from ssgr.config.sparsity import Sparsity
from ssgr.pruning.masks import lowest_per_group, lowest_per_row, removed
from ssgr.pruning.pruner import PrunerSettings, register
from ssgr.pruning.statistics import InputStatistics


@register("wanda", needs="norm")
def wanda(
    weight: Tensor, statistics: InputStatistics, sparsity: Sparsity, settings: PrunerSettings
) -> Tensor:
    """Remove the weights of lowest S_ij = |W_ij| * ||X_j||_2, compared within an output row.

    N:M compares within each group of M of a row. The weights that stay are not changed.

    Raises:
        PruningError: the columns do not divide into groups of M.
    """
    scores = weight.float().abs() * statistics.squared_norm.sqrt()  # [rows, columns]
    if sparsity.zeros is not None and sparsity.group is not None:
        mask = lowest_per_group(scores, sparsity.zeros, sparsity.group)
    else:
        mask = lowest_per_row(scores, sparsity.fraction)
    return removed(weight, mask)
