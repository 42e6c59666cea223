"""The shortest candidate (Table 1, Short)."""

from collections.abc import Sequence
from random import Random

from ssgr.selection.length_rules import length_rule


@length_rule("shortest")
def shortest(
    lengths: Sequence[int], limit: int, draws: Sequence[int] = (), rng: Random | None = None
) -> int:
    """Table 1, Short."""
    return 0
