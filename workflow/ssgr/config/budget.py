"""`budget`: how much calibration data a pruner sees."""

import re

from pydantic import Field

from ssgr.config.base import Strict
from ssgr.config.calibrations import Calibration


class Budget(Strict):
    """How much calibration data a pruner sees."""

    sequences: int = Field(128, ge=1, description="calibration sequences")
    tokens: int = Field(16384, ge=2, description="l of Equation 1: longest sequence, in tokens")
    seed: int = Field(0, ge=0, description="seed of the draw among the candidates")
    allow_fewer: bool = Field(False, description="go on when fewer candidates are left")
    held_back: int = Field(
        4,
        ge=0,
        description="further sequences, if there are any, that calibrate nothing: the report's "
        "perplexity before and after pruning is theirs",
    )

    @property
    def drawn(self) -> int:
        """Sequences drawn in all: first those that calibrate, then those held back."""
        return self.sequences + self.held_back

    @property
    def key(self) -> str:
        """The budget as a path component, e.g. ``128x16384-s0``."""
        return f"{self.sequences}x{self.tokens}-s{self.seed}"

    def of_key(self, key: str) -> "Budget":
        """Return this budget with what a path component says."""
        sequences, tokens, seed = map(int, re.split("x|-s", key))
        return self.model_copy(update={"sequences": sequences, "tokens": tokens, "seed": seed})

    def of_calibration(self, entry: Calibration) -> "Budget":
        """Return this budget with what a kind of calibration has of its own."""
        own = {"tokens": entry.tokens, "seed": entry.seed}
        return self.model_copy(update={k: v for k, v in own.items() if v is not None})
