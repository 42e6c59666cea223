"""Which weights go: the lowest scores of a matrix, of each row, or of each group of M.

All counts are exact and all ties go to the lowest column first, so that a mask depends on
nothing but its scores. A mask is True where a weight is removed.
"""

import math

import torch
from torch import Tensor

from ssgr.errors import PruningError


def zeros_among(weights: int, fraction: float) -> int:
    """Return how many of ``weights`` are removed: the nearest whole number, halves up."""
    return math.floor(weights * fraction + 0.5)


def lowest(scores: Tensor, count: int) -> Tensor:
    """Mask the ``count`` lowest of all scores (any shape)."""
    mask = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    if count > 0:
        flat = scores.flatten()
        threshold = flat.kthvalue(min(count, flat.numel())).values
        mask |= flat < threshold
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
    order = scores.argsort(dim=1, stable=True)
    chosen = torch.arange(columns, device=scores.device) < counts[:, None]  # by rank
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order, chosen)


def lowest_per_group(scores: Tensor, zeros: int, group: int) -> Tensor:
    """Mask the ``zeros`` lowest in every ``group`` neighbours of a row; scores [rows, columns].

    Raises:
        PruningError: the columns do not divide into groups.
    """
    rows, columns = scores.shape
    require_groups(columns, group)
    groups = scores.reshape(rows, columns // group, group)
    order = groups.argsort(dim=2, stable=True)
    mask = torch.zeros_like(groups, dtype=torch.bool)
    return mask.scatter_(2, order[..., :zeros], True).view(rows, columns)


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
