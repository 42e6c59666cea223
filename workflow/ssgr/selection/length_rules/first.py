"""The candidate that was drawn first (SGR; Table 1, True and False)."""

from collections.abc import Sequence
from random import Random

from ssgr.selection.length_rules import length_rule


@length_rule("first-wrong", among="wrong", first=True)
@length_rule("first", first=True)
def first_drawn(
    lengths: Sequence[int], limit: int, draws: Sequence[int] = (), rng: Random | None = None
) -> int:
    """The first drawn: section 3.1's SGR, and Table 1's True (correct) and False (wrong) sample."""
    return min(range(len(lengths)), key=lambda index: draws[index])
