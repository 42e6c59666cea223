"""Sparsity patterns: an unstructured percentage, or N zeros in every M neighbouring weights."""

import re
from dataclasses import dataclass
from typing import Self

from ssgr.errors import ConfigError


@dataclass(frozen=True)
class Sparsity:
    """A pattern. ``group`` is None for unstructured, else M; ``zeros`` is N, the number removed."""

    fraction: float
    zeros: int | None = None
    group: int | None = None

    @classmethod
    def parse(cls, text: str | int | float) -> Self:
        """Parse ``50``, ``62.5`` (percent) or ``2:4`` / ``2-4`` (N zeros in every M).

        Raises:
            ConfigError: neither a percentage, 0 or from 1 up to below 100, nor N:M with 0 < N < M.
        """
        written = str(text).strip()
        if match := re.fullmatch(r"(\d+)[:-](\d+)", written):
            zeros, group = int(match[1]), int(match[2])
            if 0 < zeros < group:
                return cls(zeros / group, zeros, group)
            raise ConfigError(f"sparsity {written!r}: N:M needs 0 < N < M, as in '2:4'")
        hint = ""
        if re.fullmatch(r"\d*(\.\d+)?", written) and written and float(written) < 100:
            if not 0 < float(written) < 1:
                return cls(float(written) / 100)
            hint = f" (did you mean {float(written) * 100:g}?)"
        elif match := re.fullmatch(r"(\d+) *[/:] *(\d+)", written):
            hint = f" (did you mean '{match[1]}:{match[2]}'?)"
        elif match := re.fullmatch(r"(\d+(?:\.\d+)?) *%", written):
            hint = f" (did you mean {match[1]}?)"
        if written.isdigit() and int(written) > 60:
            hint = " (YAML reads a bare 2:4 as the number 124: write 2-4 or '2:4')"
        raise ConfigError(
            f"sparsity {written!r}: expected a percentage below 100 such as 50, or N:M such as "
            f"'2:4'{hint}"
        )

    @classmethod
    def exactly(cls, zeros: int, weights: int) -> Self:
        """Return the unstructured pattern that removes ``zeros`` of ``weights``, no more or less.

        Raises:
            ConfigError: not 0 <= zeros < weights.
        """
        if not 0 <= zeros < weights:
            raise ConfigError(f"{zeros} zeros among {weights} weights: expected fewer, at least 0")
        return cls(zeros / weights)  # rounds back to zeros: their error is far below one weight

    @property
    def key(self) -> str:
        """The pattern as a path component: ``50``, ``62.5`` or ``2-4``."""
        if self.group is not None:
            return f"{self.zeros}-{self.group}"
        return f"{round(self.fraction * 100, 6):g}"
