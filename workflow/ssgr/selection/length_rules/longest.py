"""The longest candidate (Table 1, Long)."""

from collections.abc import Sequence
from random import Random

from ssgr.selection.length_rules import length_rule


@length_rule("longest")
def longest(
    lengths: Sequence[int], limit: int, draws: Sequence[int] = (), rng: Random | None = None
) -> int:
    """Table 1, Long."""
    return len(lengths) - 1
