"""AlphaPruning: blocks whose spectra have heavier tails keep more (Lu et al. 2024, 2410.10912).

A well-trained matrix has a heavy-tailed spectrum: the smaller the exponent alpha of its tail, the
more its block has learned, and the less is taken. Only weights are looked at.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ssgr.pruning.allocation.budget import spread
from ssgr.pruning.allocation.method import Task, register
from ssgr.pruning.allocation.stream import dense_block

# Shares of zeros are mapped to [1 - epsilon, 1 + epsilon], times a common factor.
EPSILON = 0.3
# The tail starts near the fullest of so many bins of the eigenvalues' logarithms (Fix-finger).
BINS = 100
NEAR_PEAK = (0.95, 1.5)  # shares of the peak, as in the authors' code


@register("alphapruning", needs="none")
def alphapruning(task: Task) -> list[int]:
    """Return the zeros of each matrix from the mean PL_Alpha_Hill of its block's matrices."""
    alphas: list[float] = []
    for index in range(task.decoder.depth):
        with dense_block(task.decoder, index) as linears:
            found = [pl_alpha_hill(eigenvalues(one.weight)) for one in linears.values()]
        alphas.append(_mean(found))
    shares = linear_map(_fill_gaps(alphas))
    return spread([shares[s.block] for s in task.shapes], task.sizes, task.sparsity, by="scale")


def eigenvalues(weight: Tensor) -> Tensor:
    """Return the positive eigenvalues of W^T W, ascending, in fp64: squared singular values."""
    singular: Tensor = torch.linalg.svdvals(weight.detach().float()).double().flip(0).cpu()
    noise = torch.finfo(torch.float32).eps * max(weight.shape)
    positive = singular > noise * singular[-1]  # the rest is the rounding of zeros
    return singular[positive].square()


def pl_alpha_hill(values: Tensor) -> float:
    """Return the Hill estimate of the tail's exponent (PL_Alpha_Hill); NaN for under 3 values.

    alpha = 1 + n / (sum_i ln lambda_i - n ln lambda_min) over the n eigenvalues from lambda_min on.
    Of the eigenvalues near the peak of the histogram of ln lambda (Fix-finger), lambda_min is the
    one whose power law fits its tail best in the Kolmogorov-Smirnov sense.

    Args:
        values: positive eigenvalues [N], ascending.
    """
    if len(values) < 3 or values[0] == values[-1]:
        return float("nan")
    best, least = float("nan"), float("inf")
    for start in _near_peak(values):
        tail = values[start:]
        n = len(tail)
        spacing = float((tail.log() - tail[0].log()).sum())
        alpha = 1 + n / spacing if spacing > 0 else float("inf")
        fitted = 1 - (tail / tail[0]) ** (1 - alpha)
        distance = float((fitted - torch.arange(n, dtype=tail.dtype) / n).abs().max())
        if distance < least:
            best, least = alpha, distance
    return best


def _near_peak(values: Tensor) -> list[int]:
    """Return where the tail may start: eigenvalues near the peak, else the first after it.

    The authors compare the lower bound's logarithm with eigenvalues and so hardly have one; here
    both bounds hold.
    """
    logs = values.log10()
    counts = torch.histc(logs, BINS, min=float(logs[0]), max=float(logs[-1]))
    edge = float(logs[0]) + int(counts.argmax()) * float(logs[-1] - logs[0]) / BINS
    low, high = (bound * 10**edge for bound in NEAR_PEAK)
    starts = torch.nonzero((values[:-1] >= low) & (values[:-1] <= high)).flatten().tolist()
    after = int((values[:-1] < low).sum())
    return starts or [min(after, len(values) - 2)]


def linear_map(alphas: Sequence[float]) -> list[float]:
    """Map exponents to shares up to a factor; all 1 if they are equal.

    s = (alpha - min) / (max - min) * (s2 - s1) + s1 with s1, s2 = 1 -+ epsilon, over the blocks.
    """
    low, high = min(alphas), max(alphas)
    if low == high:
        return [1.0] * len(alphas)
    return [1 - EPSILON + 2 * EPSILON * (alpha - low) / (high - low) for alpha in alphas]


def _mean(found: Sequence[float]) -> float:
    """Return the mean of the exponents that exist: a matrix of rank below 3 has none."""
    exist = [alpha for alpha in found if math.isfinite(alpha)]
    return sum(exist) / len(exist) if exist else float("nan")


def _fill_gaps(alphas: Sequence[float]) -> list[float]:
    """Give a block without any exponent the mean of the others."""
    mean = _mean(alphas)
    usual = 1.0 if math.isnan(mean) else mean
    return [usual if math.isnan(alpha) else alpha for alpha in alphas]
