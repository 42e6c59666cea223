"""RIA's scores, of which its pruner makes masks and the channel permutation its order."""

import torch
from torch import Tensor

from ssgr.pruning.statistics import InputStatistics

# The exponent a of the input's norm that the paper found best.
POWER = 0.5


def relative_importance(weight: Tensor, statistics: InputStatistics) -> Tensor:
    """Return the scores RIA_ij [rows, columns] of a weight.

    RIA_ij = (|W_ij| / sum_i |W_ij| + |W_ij| / sum_j |W_ij|) * ||X_j||_2^a

    A weight counts by its share of all that leaves its input and of all that reaches its output,
    so that no input and no output loses all its weights; a = 0.5.
    """
    size = weight.float().abs()
    tiny = torch.finfo(size.dtype).tiny  # a row or column of zeros has shares of zero
    shares = 1 / size.sum(dim=0, keepdim=True).clamp_min(tiny)  # [1, columns]
    shares = shares + 1 / size.sum(dim=1, keepdim=True).clamp_min(tiny)  # [rows, columns]
    return shares.mul_(size).mul_(statistics.squared_norm.pow(POWER / 2))
