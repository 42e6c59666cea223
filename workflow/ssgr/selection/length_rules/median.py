"""The median length (Equation 1)."""

from collections.abc import Sequence
from random import Random

from ssgr.selection.length_rules import length_rule


@length_rule("median")
def median(
    lengths: Sequence[int], limit: int, draws: Sequence[int] = (), rng: Random | None = None
) -> int:
    """Equation 1: the median; if too long, the longest that fits; if none fits, the shortest.

    m = floor(n'/2) is counted from 0: counted from 1, as printed, it is undefined for n' = 1.
    """
    middle = len(lengths) // 2
    if lengths[middle] <= limit:
        return middle
    fitting = [index for index, length in enumerate(lengths) if length <= limit]
    return fitting[-1] if fitting else 0
