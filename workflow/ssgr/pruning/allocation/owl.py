"""OWL: blocks with more outliers keep more (Yin et al. 2024, arXiv 2310.05175)."""

from collections.abc import Sequence
from contextlib import closing

import torch
from torch import Tensor

from ssgr.pruning.allocation.budget import spread
from ssgr.pruning.allocation.method import Task, register
from ssgr.pruning.allocation.stream import dense_blocks, embedded, input_norms

# An outlier is M times the block's mean. 5 is the paper's and its README's; the code defaults to 3.
M = 5.0
# Half the span of the shares (lambda).
LAMBDA = 0.08


@register("owl", needs="sequences")
def owl(task: Task) -> list[int]:
    """Return the zeros of each matrix from its block's share of outliers.

    A_ij = ||X_j||_2 |W_ij| in the dense model, D = share of the block's A above M times their
    mean.
    """
    with closing(embedded(task)) as hidden:
        outliers = [
            outlier_share(
                [
                    (linear.weight, input_norms(block.statistics, name, linear))
                    for name, linear in block.linears.items()
                ]
            )
            for block in dense_blocks(task, hidden, with_gram=False)
        ]
    wishes = owl_shares(outliers, task.sparsity)
    return spread([wishes[shape.block] for shape in task.shapes], task.sizes, task.sparsity)


def outlier_share(block: Sequence[tuple[Tensor, Tensor]], m: float = M) -> float:
    """Return D = sum 1(A_ij > M mean A) / count, over all A of a block.

    ``block`` holds the weight [rows, columns] and the input norms [columns] of each matrix.
    """
    count = sum(weight.numel() for weight, _ in block)
    mean = sum(float(_scores(*one).sum(dtype=torch.float64)) for one in block) / count
    return sum(int((_scores(*one) > m * mean).sum()) for one in block) / count


def _scores(weight: Tensor, norms: Tensor) -> Tensor:
    """Return A_ij = |W_ij| ||X_j||_2 [rows, columns]."""
    return weight.detach().float().abs() * norms


def owl_shares(outliers: Sequence[float], sparsity: float, span: float = LAMBDA) -> list[float]:
    """Return each block's share of zeros: S - r + mean r, r being outliers mapped to [0, 2 lambda].

    All are S if the blocks have equally many outliers.
    """
    low, high = min(outliers), max(outliers)
    if low == high:
        return [sparsity] * len(outliers)
    kept_more = [2 * span * (one - low) / (high - low) for one in outliers]
    mean = sum(kept_more) / len(kept_more)
    return [sparsity - one + mean for one in kept_more]
