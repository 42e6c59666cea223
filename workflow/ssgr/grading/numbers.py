r"""Plain numbers: parsed exactly and compared without any computer algebra.

Most answers are a number such as ``-1,250.5``, ``3/4``, ``\frac{3}{4}`` or ``2\frac{1}{2}``; to
decide these takes microseconds here and milliseconds (and a child process) in math-verify.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import gcd

from ssgr.config.conventions import Conventions

LONGEST = 80
"""Characters of the longest text read as a number; a longer one is left to math-verify."""

_WHOLE = r"(?:[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d{0,2}(?: \d{3})+|\d+)"
_POWER = (
    r"(?:\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*"
    r"(?:\{\s*(?P<braced>[+-]?\d{1,2})\s*\}|(?P<bare>-?\d{1,2}))|[eE](?P<e>[+-]?\d{1,2}))"
)
_DECIMAL = re.compile(rf"(?P<whole>{_WHOLE})?(?:\.(?P<decimals>\d*))?{_POWER}?")
_RATIO = re.compile(
    r"(?P<whole>\d+)??\s*(?:(?P<top>\d+)\s*/\s*(?P<bottom>\d+)"
    r"|\\[dtc]?frac\s*(?:\{\s*(?P<brace_top>-?\d+)\s*\}|(?P<digit_top>\d))"
    r"\s*(?:\{\s*(?P<brace_bottom>\d+)\s*\}|(?P<digit_bottom>\d)))"
)
_REPEATING = re.compile(
    r"(?P<whole>\d*)\.(?P<fixed>\d*)\\(?:overline|bar|dot)\s*(?:\{\s*(?P<period>\d+)\s*\}|(?P<digit>\d))"
)
_CONTINUED = re.compile(r"(?P<whole>\d*)\.(?P<decimals>\d+)\s*\\dots")
_WRAPPED = re.compile(
    r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}\\]*)\}|\{([^{}\\]*)\}|\(([^(),\\]*)\)"
)


@dataclass(frozen=True)
class Number:
    """An exact value and how it was written: ``places`` after a point, None if without one."""

    value: Fraction
    places: int | None = None
    reduced: bool = True


@lru_cache(maxsize=64)
def _exact(tolerance: float) -> Fraction:
    return Fraction(str(tolerance))


def equal_numbers(gold: Number, answer: Number, conventions: Conventions) -> bool:
    """Equal exactly, or as near as the conventions allow where a side is a decimal."""
    difference, size = abs(gold.value - answer.value), abs(gold.value)
    if not (conventions.unreduced or answer.reduced or not gold.reduced):
        return False
    if difference == 0:
        return True
    anyway = _exact(conventions.relative_tolerance) * size, _exact(conventions.absolute_tolerance)
    if difference <= max(anyway):
        return True
    if gold.places is None and answer.places is None:
        return False
    if difference <= _exact(conventions.tolerance) * min(Fraction(1), size):
        return True
    least, places = conventions.rounded_to, answer.places
    if least is None or places is None or places < least:
        return False
    return 2 * difference <= Fraction(1, 10**places)


@lru_cache(maxsize=8192)
def parse_number(normal: str) -> Number | None:
    """Parse a normalised answer that is one plain number; None for anything else."""
    if not normal or len(normal) > LONGEST or not normal.isascii():
        return None
    if wrapped := _WRAPPED.fullmatch(normal):
        return parse_number(next(part for part in wrapped.groups() if part is not None).strip())
    sign = -1 if normal[0] == "-" else 1
    magnitude = normal[1:].lstrip() if normal[0] in "+-" else normal
    if match := _DECIMAL.fullmatch(magnitude):
        return _decimal(sign, match.groupdict())
    if match := _RATIO.fullmatch(magnitude):
        return _ratio(sign, match.groupdict())
    if match := _REPEATING.fullmatch(magnitude):
        return _repeating(sign, match["whole"], match["fixed"], match["period"] or match["digit"])
    if match := _CONTINUED.fullmatch(magnitude):
        return _continued(sign, match["whole"], match["decimals"])
    return None


def _decimal(sign: int, part: dict[str, str | None]) -> Number | None:
    whole, decimals = part["whole"], part["decimals"]
    if not (whole or decimals):
        return None
    digits = (whole or "0").replace(",", "").replace(" ", "")
    value = Fraction(f"{digits}.{decimals}" if decimals else digits)
    power = int(part["braced"] or part["bare"] or part["e"] or 0)
    places = len(decimals) - power if decimals else None
    if power:
        value *= Fraction(10) ** power
    return Number(sign * value, None if places is None else max(places, 0))


def _ratio(sign: int, part: dict[str, str | None]) -> Number | None:
    top = int(part["top"] or part["brace_top"] or part["digit_top"] or 0)
    bottom = int(part["bottom"] or part["brace_bottom"] or part["digit_bottom"] or 0)
    whole = part["whole"]
    if bottom == 0 or (whole is not None and top < 0):
        return None
    value = sign * (int(whole or 0) + Fraction(top, bottom))
    return Number(value, reduced=bottom > 1 and gcd(top, bottom) == 1)


def _repeating(sign: int, whole: str, fixed: str, period: str) -> Number:
    r"""The exact value of ``0.1\overline{6}``."""
    shift = 10 ** len(fixed)
    value = Fraction(int(f"0{whole}{fixed}"), shift)
    return Number(sign * (value + Fraction(int(period), shift * (10 ** len(period) - 1))))


def _continued(sign: int, whole: str, decimals: str) -> Number | None:
    r"""The value of ``0.1666\dots``: a digit thrice at the end, or more digits twice, go on."""
    for length in range(1, len(decimals) // 2 + 1):
        period, times = decimals[-length:], 3 if length == 1 else 2
        if decimals.endswith(period * times):
            return _repeating(sign, whole, decimals[:-length], period)
    return None
