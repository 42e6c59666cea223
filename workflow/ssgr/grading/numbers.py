r"""Plain numbers: parsed exactly and compared without any computer algebra.

Most answers are a number such as ``-1,250.5``, ``3/4``, ``\frac{3}{4}`` or ``2\frac{1}{2}``; to
decide these takes microseconds here and milliseconds (and a child process) in math-verify.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

LONGEST = 80
"""Characters of the longest text read as a number; a longer one is left to math-verify."""
TOLERANCE = Fraction(1, 10**6)

_WHOLE = r"(?:[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d{0,2}(?: \d{3})+|\d+)"
_DECIMAL = re.compile(rf"(?P<whole>{_WHOLE})?(?:\.(?P<decimals>\d*))?")
_RATIO = re.compile(
    r"(?P<whole>\d+)??\s*(?:(?P<top>\d+)\s*/\s*(?P<bottom>\d+)"
    r"|\\[dtc]?frac\s*(?:\{\s*(?P<brace_top>-?\d+)\s*\}|(?P<digit_top>\d))"
    r"\s*(?:\{\s*(?P<brace_bottom>\d+)\s*\}|(?P<digit_bottom>\d)))"
)


@dataclass(frozen=True)
class Number:
    """An exact value, and whether it was written with a decimal point (hence maybe rounded)."""

    value: Fraction
    decimal: bool

    def equals(self, other: "Number") -> bool:
        """Equal exactly, or within 1e-6 (relative below 1) where one side is a decimal."""
        difference = abs(self.value - other.value)
        if not (self.decimal or other.decimal):
            return difference == 0
        return difference <= TOLERANCE * min(Fraction(1), abs(self.value))


@lru_cache(maxsize=4096)
def parse_number(normal: str) -> Number | None:
    """Parse a normalised answer that is one plain number; None for anything else."""
    if not normal or len(normal) > LONGEST or not normal.isascii():
        return None
    sign = -1 if normal[0] == "-" else 1
    magnitude = normal[1:].lstrip() if normal[0] in "+-" else normal
    if match := _DECIMAL.fullmatch(magnitude):
        return _decimal(sign, match["whole"], match["decimals"])
    if match := _RATIO.fullmatch(magnitude):
        return _ratio(sign, match.groupdict())
    return None


def _decimal(sign: int, whole: str | None, decimals: str | None) -> Number | None:
    if not (whole or decimals):
        return None
    digits = (whole or "0").replace(",", "").replace(" ", "")
    value = Fraction(f"{digits}.{decimals}" if decimals else digits)
    return Number(sign * value, bool(decimals))


def _ratio(sign: int, part: dict[str, str | None]) -> Number | None:
    top = int(part["top"] or part["brace_top"] or part["digit_top"] or 0)
    bottom = int(part["bottom"] or part["brace_bottom"] or part["digit_bottom"] or 0)
    whole = part["whole"]
    if bottom == 0 or (whole is not None and top < 0):
        return None
    return Number(sign * (int(whole or 0) + Fraction(top, bottom)), False)
