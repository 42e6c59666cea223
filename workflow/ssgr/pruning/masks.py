"""Which weights go: the lowest scores of a matrix, of each row, or of each group of M.

All counts are exact and all ties go to the lowest column first, so that a mask depends on
nothing but its scores. A mask is True where a weight is removed.
"""

import math

import torch
from torch import Tensor

from ssgr.config.sparsity import Sparsity
from ssgr.errors import PruningError

# Scores sampled to find a threshold among many.
SAMPLE = 2048
# Neighbours that are sorted; fewer are compared one by one.
MANY = 16


def zeros_among(weights: int, fraction: float) -> int:
    """Return how many of ``weights`` are removed: the nearest whole number, halves up."""
    return math.floor(weights * fraction + 0.5)


def lowest_of(scores: Tensor, sparsity: Sparsity, share: float = 1.0) -> Tensor:
    """Mask the lowest scores [rows, columns] of the matrix, or of each group of M.

    ``share`` < 1 is a share of the way there: the lowest of those that would be masked.

    Raises:
        PruningError: the columns do not divide into groups of M.
    """
    count = zeros_among(scores.numel(), sparsity.fraction * share)
    if sparsity.zeros is None or sparsity.group is None:
        return lowest(scores, count)
    mask = lowest_per_group(scores, sparsity.zeros, sparsity.group)
    if share < 1:
        mask &= lowest(scores.masked_fill(~mask, float("inf")), count)
    return mask


def lowest(scores: Tensor, count: int) -> Tensor:
    """Mask the ``count`` lowest of all scores (any shape)."""
    mask = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    if count > 0:
        flat = scores.flatten()
        threshold = _kth_lowest(flat, min(count, flat.numel()))
        torch.lt(flat, threshold, out=mask)
        ties = torch.nonzero(flat == threshold).flatten()
        mask[ties[: count - int(mask.sum())]] = True
    return mask.view(scores.shape)


def lowest_per_row(scores: Tensor, fraction: float) -> Tensor:
    """Mask the same share of each row of scores [rows, columns].

    Where columns x fraction is no whole number, rows get its floor or ceiling in turn, so that
    the whole matrix has ``zeros_among(rows * columns)``.
    """
    rows, columns = scores.shape
    ends = [zeros_among(row * columns, fraction) for row in range(rows + 1)]
    counts = torch.tensor(ends, device=scores.device).diff()  # [rows]
    mask = torch.zeros_like(scores, dtype=torch.bool)
    for count in sorted(set(counts.tolist())):  # the floor, the ceiling
        if count > 0:
            chosen = counts == count
            mask[chosen] = _lowest_of_each(scores[chosen], count)
    return mask


def lowest_per_group(scores: Tensor, zeros: int, group: int) -> Tensor:
    """Mask the ``zeros`` lowest in every ``group`` neighbours of a row; scores [rows, columns].

    Raises:
        PruningError: the columns do not divide into groups.
    """
    rows, columns = scores.shape
    require_groups(columns, group)
    groups = scores.reshape(rows, columns // group, group)
    return lowest_along(groups, zeros, dim=2).view(rows, columns)


def lowest_along(scores: Tensor, zeros: int, dim: int) -> Tensor:
    """Mask the ``zeros`` lowest along one short dimension of scores."""
    size = scores.shape[dim]
    if size > MANY:
        order = scores.argsort(dim=dim, stable=True).narrow(dim, 0, zeros)
        return torch.zeros_like(scores, dtype=torch.bool).scatter_(dim, order, True)
    rank = torch.zeros_like(scores, dtype=torch.uint8)  # how many come before
    for at in range(size):
        one = scores.narrow(dim, at, 1)
        rank.narrow(dim, 0, at).add_(one < scores.narrow(dim, 0, at))
        later = size - at - 1
        rank.narrow(dim, at + 1, later).add_(one <= scores.narrow(dim, at + 1, later))
    return rank < zeros


def _kth_lowest(flat: Tensor, rank: int) -> Tensor:
    """Return the value of that rank (from 1) among scores [n].

    A sorted sample brackets it, and only what lies between is searched; a bracket that misses
    costs time and nothing else.
    """
    if flat.numel() < 32 * SAMPLE:
        return flat.kthvalue(rank).values
    sample = flat[:: flat.numel() // SAMPLE | 1].sort().values
    at, margin = rank * len(sample) // flat.numel(), 2 * math.isqrt(len(sample))
    low, high = sample[max(at - margin, 0)], sample[min(at + margin, len(sample) - 1)]
    between = flat[(flat >= low) & (flat <= high)]
    rank_between = rank - int((flat < low).sum())
    if 1 <= rank_between <= between.numel():
        return between.kthvalue(rank_between).values
    return flat.kthvalue(rank).values


def _lowest_of_each(scores: Tensor, count: int) -> Tensor:
    """Mask the ``count`` > 0 lowest of each row of scores [rows, columns]."""
    threshold = scores.kthvalue(count, dim=1, keepdim=True).values
    mask, ties = scores < threshold, scores == threshold
    missing = count - mask.sum(dim=1)  # [rows], at least 1
    torn = torch.nonzero(ties.sum(dim=1) > missing).flatten()  # rows with ties to spare
    ties[torn] &= ties[torn].cumsum(dim=1) <= missing[torn, None]
    return mask | ties


def removed(weight: Tensor, mask: Tensor) -> Tensor:
    """Return a finite weight with zeros where the mask is True; the rest and the dtype stay."""
    return (weight * ~mask).add_(0)  # adding 0 makes 0 of -0; filling takes several times as long


def require_groups(columns: int, group: int) -> None:
    """Check that columns divide into groups of M.

    Raises:
        PruningError: they do not.
    """
    if columns % group:
        raise PruningError(
            f"{columns} columns do not divide into groups of {group}: "
            "choose another N:M pattern, or an unstructured sparsity"
        )
