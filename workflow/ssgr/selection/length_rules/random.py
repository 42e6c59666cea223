"""Any candidate (Table 1, Random)."""

from collections.abc import Sequence
from random import Random

from ssgr.selection.length_rules import length_rule


@length_rule("random")
def random(
    lengths: Sequence[int], limit: int, draws: Sequence[int] = (), rng: Random | None = None
) -> int:
    """Table 1, Random."""
    if rng is None:
        raise ValueError("the random length rule needs a random number generator")
    return rng.randrange(len(lengths))
