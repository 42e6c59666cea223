"""Thanos: block-wise pruning with joint updates (Ilin & Richtarik 2025, arXiv 2504.05346)."""

import torch
from torch import Tensor

from ssgr.config.sparsity import Sparsity
from ssgr.pruning.factor import inverse_factor
from ssgr.pruning.masks import lowest, lowest_per_group, require_groups, zeros_among
from ssgr.pruning.pruner import PrunerSettings, register
from ssgr.pruning.statistics import InputStatistics

# Numbers held at once in the systems of some rows: 64 MB in fp32.
HELD = 2**24


@register("thanos", needs="gram")
def thanos(
    weight: Tensor, statistics: InputStatistics, sparsity: Sparsity, settings: PrunerSettings
) -> Tensor:
    """Remove all weights of a block of columns jointly, the best update making up for them.

    Per block: the weights to go are those in it of lowest |W_ij| ||X_j||_2 among all columns from
    it on, as many of them as are still to go in the matrix (the paper's global residual mask). If
    q are a row's removed columns and A = (H[block:, block:])^-1, all columns from the block on move
    by -w_q (A_qq)^-1 A_q:, which is the best there is for these q. The paper inverts
    H[block:, block:] anew for each block; with H^-1 = U^T U it is U[block:, block:]^T
    U[block:, block:], which needs no inversion. N:M compares within groups and leaves no row
    dense: the paper's alpha is 0.

    Raises:
        PruningError: no damping makes H positive definite, or the columns do not divide into
            groups of M.
    """
    group = sparsity.group
    if group is not None:
        require_groups(weight.shape[1], group)
    factor = inverse_factor(statistics, settings.damping)  # U [columns, columns]
    norms = statistics.squared_norm.sqrt()  # [columns]
    pruned = weight.float().clone()
    width = settings.block_size if group is None else max(settings.block_size // group, 1) * group
    left = zeros_among(weight.numel(), sparsity.fraction)
    for start in range(0, weight.shape[1], width):
        block = slice(start, start + width)
        if group is None:
            mask = lowest(pruned[:, start:].abs() * norms[start:], left)[:, :width]
            left -= int(mask.sum())
        else:
            scores = pruned[:, block].abs() * norms[block]
            mask = lowest_per_group(scores, sparsity.zeros or 0, group)
        upper = factor[block, block]
        # A[block, block:] = U[block, block]^T U[block, block:]
        errors = _multipliers(pruned[:, block], mask, upper.T @ upper)  # [rows, width]
        pruned[:, start:].addmm_(errors @ upper.T, factor[block, start:], alpha=-1)
        pruned[:, block].mul_(~mask).add_(0)  # adding 0 makes 0 of -0
    return pruned.to(weight.dtype)


def _multipliers(weights: Tensor, mask: Tensor, inverse: Tensor) -> Tensor:
    """Return lambda [rows, width]: w_q (A_qq)^-1 at each row's removed columns q, elsewhere 0.

    ``weights`` and ``mask`` are [rows, width], ``inverse`` is A [width, width]. The systems of
    many rows are solved at once, filled up to one size with rows of the identity.
    """
    multipliers = torch.zeros_like(weights)
    counts = mask.sum(dim=1)  # [rows]
    size = int(counts.max())
    if size == 0:
        return multipliers
    columns = (~mask).to(torch.uint8).argsort(dim=1, stable=True)[:, :size]  # removed ones first
    held = max(HELD // size**2, 1)
    for start in range(0, len(weights), held):
        some = slice(start, start + held)
        at = columns[some]  # [some, size]
        filler = torch.arange(size, device=at.device) >= counts[some, None]
        systems = inverse[at[:, :, None], at[:, None, :]]  # [some, size, size]
        systems.masked_fill_(filler[:, :, None] | filler[:, None, :], 0)
        systems.diagonal(dim1=1, dim2=2).masked_fill_(filler, 1)
        wanted = weights[some].gather(1, at).masked_fill_(filler, 0)
        solved = torch.cholesky_solve(wanted[:, :, None], torch.linalg.cholesky(systems))[..., 0]
        multipliers[some] = torch.zeros_like(weights[some]).scatter_(1, at, solved)
    return multipliers
