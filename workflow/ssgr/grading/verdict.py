"""A judgement as data."""

from dataclasses import dataclass
from typing import Literal

VerdictName = Literal["correct", "wrong", "no-answer", "timed-out", "unparsable-gold"]


@dataclass(frozen=True)
class Verdict:
    """A judgement.

    ``method`` names the step that decided: extraction, exact, numeric, pattern, math-verify,
    choice, or size (too long or too deeply nested to be an answer). ``milliseconds`` is the time
    it took when it was made (equal pairs of a pool share one).
    """

    extracted: str | None
    verdict: VerdictName
    method: str
    milliseconds: float
