"""From wishes to whole numbers: how many weights each matrix loses, with the total exact."""

from collections.abc import Callable, Sequence
from typing import Literal

from ssgr.errors import ConfigError
from ssgr.pruning.masks import zeros_among

# The largest share of zeros of any matrix: an empty matrix would cut its block in two.
CEILING = 0.99
HALVINGS = 100  # of an interval of doubles: more than any can take


def ceilings(sizes: Sequence[int]) -> list[int]:
    """Return the most zeros that each matrix may have, the CEILING of its size."""
    return [int(CEILING * size) for size in sizes]


def spread(
    wishes: Sequence[float],
    sizes: Sequence[int],
    sparsity: float,
    *,
    by: Literal["shift", "scale"] = "shift",
) -> list[int]:
    """Return the zeros of each matrix: its wish, moved as all others so that the total is met.

    One number t is found such that the shares ``wish + t`` (shift) or ``wish * t`` (scale), cut
    to [0, CEILING], hold the total; then they are rounded by largest remainder.

    Args:
        wishes: wanted shares of zeros; for scale above 0, and only their ratios matter.
        sizes: weights of each matrix.
        sparsity: share of zeros among all weights.
        by: how wishes move.

    Raises:
        ConfigError: the total needs a share above CEILING.
    """
    total, limits = zeros_among(sum(sizes), sparsity), ceilings(sizes)
    if total > sum(limits):
        raise ConfigError(
            f"sparsity {100 * sparsity:g} % takes {total} of {sum(sizes)} weights, but an "
            f"allocation leaves at least {100 * (1 - CEILING):.0f} % of each matrix: choose a "
            "lower sparsity, or the allocation 'uniform'"
        )

    def zeros(t: float) -> list[float]:
        moved = [wish + t if by == "shift" else wish * t for wish in wishes]
        return [
            min(max(one, 0.0) * size, float(limit))
            for one, size, limit in zip(moved, sizes, limits, strict=True)
        ]

    low, high = (-max(wishes), 1 - min(wishes)) if by == "shift" else (0.0, 1 / min(wishes))
    return round_to(zeros(_crossing(lambda t: sum(zeros(t)) < total, low, high)), limits, total)


def _crossing(below: Callable[[float], bool], low: float, high: float) -> float:
    """Return where a condition that holds from ``low`` on stops holding, by bisection."""
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if below(middle):
            low = middle
        else:
            high = middle
    return high


def round_to(zeros: Sequence[float], limits: Sequence[int], total: int) -> list[int]:
    """Round numbers of zeros by largest remainder, within the limits, so that they add up.

    Ties go to the earlier matrix. ``total`` must be between 0 and the sum of the limits.
    """
    counts = [min(int(number), limit) for number, limit in zip(zeros, limits, strict=True)]
    by_remainder = sorted(range(len(counts)), key=lambda i: counts[i] - zeros[i])
    while missing := total - sum(counts):
        step = 1 if missing > 0 else -1
        movable = [i for i in by_remainder if 0 <= counts[i] + step <= limits[i]]
        for i in movable[::step][: abs(missing)]:
            counts[i] += step
    return counts


def uniform_zeros(sizes: Sequence[int], sparsity: float) -> list[int]:
    """Return the zeros of each matrix at the same share, rounded so that the total is exact."""
    total = zeros_among(sum(sizes), sparsity)
    return round_to([sparsity * size for size in sizes], sizes, total)
