r"""A value and what stands with it: a unit, a degree or percent sign, the base of a numeral.

Graders differ on whether ``10\text{ cm}`` may be written 10. That 10 cm is not 10 m, and that
``11_2`` is not ``11_3``, they should not: math-verify drops both units and bases unseen, so they
are taken off here, compared by the benchmark's conventions, and the bare values are judged.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from ssgr.grading.conventions import Conventions
from ssgr.grading.numbers import parse_number
from ssgr.grading.rewriting import has_trigonometry

_SYNONYMS = {
    "mm": "millimeter millimetre",
    "cm": "centimeter centimetre",
    "m": "meter metre",
    "km": "kilometer kilometre",
    "in": "inch inches",
    "ft": "foot feet",
    "yd": "yard",
    "mi": "mile",
    "mg": "milligram",
    "g": "gram gm",
    "kg": "kilogram",
    "lb": "pound lbs",
    "oz": "ounce",
    "ml": "milliliter millilitre mL",
    "l": "liter litre L",
    "gal": "gallon",
    "ms": "millisecond",
    "s": "second sec",
    "min": "minute",
    "h": "hour hr",
    "day": "days",
    "week": "weeks",
    "month": "months",
    "year": "years yr",
    "$": "dollar USD",
    "cent": "cents",
    "€": "euro EUR",
    "N": "newton",
    "J": "joule",
    "W": "watt",
    "V": "volt",
    "Pa": "pascal",
    "Hz": "hertz",
    "K": "kelvin",
    "mph": "mph",
    "rad": "radian radians",
    "a.m.": "am AM",
    "p.m.": "pm PM",
}
_KNOWN = {
    form: unit
    for unit, names in _SYNONYMS.items()
    for name in (unit, *names.split())
    for form in (name, f"{name}s")
} | {"in": "in"}
_BARE = {name for name in _KNOWN if len(name) > 1} | {"N"}
"""What may follow a number without a font command: one letter could be a variable."""
_NOT_UNITS = frozenset(
    {"hundred", "thousand", "million", "billion", "trillion", "dozen", "half", "percent", "pi"}
    | {"or", "and", "mod", "where", "with", "for", "if", "is", "not", "to"}
    | {"sin", "cos", "tan", "log", "ln", "exp", "sqrt", "frac", "infinity", "inf"}
)

_NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

_TEXT = r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mathit|mbox|hbox)\s*"
_POWER = r"(?:\s*\^\s*\{?\s*-?\d\s*\}?)?"
_FONT_UNIT = re.compile(
    rf"(?P<unit>(?:\s*(?:/|\\cdot)?\s*{_TEXT}\{{[^{{}}]*\}}{_POWER})+)$"
    r"|(?P<rm>\s*\{\\rm [^{}]*\})$"
)
_BARE_UNIT = re.compile(
    rf"(?<=[\d}})])(?P<unit>\s*[a-zA-Z]+(?:[ /][a-zA-Z]+){{0,3}}{_POWER}(?: per [a-z]+)?)$"
)
_CURRENCY = re.compile(
    rf"(?:{_TEXT}\{{\s*)?(?P<sign>[€£¥])\s*\}}?\s*(?P<before>[^€£¥]+)|(?P<after>[^€£¥]+)(?P<last>[€£¥])"
)
_WRAPPING = re.compile(rf"{_TEXT}(?=\{{)|[(){{}}\s]")
_GROUPED_UNIT = rf"\{{({_TEXT}\{{[^{{}}]*\}})\}}"
_FRACTION_OF_UNITS = re.compile(rf"\\[dt]?frac\s*{_GROUPED_UNIT}\s*{_GROUPED_UNIT}$")
_BASE = re.compile(
    rf"(?<=[0-9A-Fa-f)}}])_\s*\{{?\s*(?:{_TEXT}\{{)?\s*(?P<base>\d+|[a-z]+)\s*\}}?\s*\}}?$"
)
_TIME = re.compile(
    rf"(?:{_TEXT}\{{)?\s*(?P<time>\d{{1,2}}(?::\d\d)?)\s*(?:{_TEXT}\{{)?\s*(?P<half>[apAP])\.?\s?[mM]\.?\s*\}}?"
)
_RESIDUE = re.compile(r",?\s*(?:\\pmod\s*(?:\{\s*(?P<modulus>\w+)\s*\}|(?P<other>\w+)))$")
_CONGRUENT = re.compile(r"^[a-zA-Z]\s*\\equiv(?![a-zA-Z])")
_PLAIN_WORD = re.compile(r"[a-zA-Z]+")
_COMMAND = re.compile(rf"{_TEXT}|\\rm|\\cdot|[{{}}\s^.,]+")
_PERCENT = r"\%"
_DEGREE = r"^\circ"


class Quantity(NamedTuple):
    """A normalised answer taken apart; ``unit`` is canonical where it is known."""

    value: str
    unit: str | None = None
    degree: bool = False
    percent: bool = False


@lru_cache(maxsize=8192)
def parse_quantity(normal: str) -> Quantity:
    """Take unit, degree and percent sign off a normalised answer."""
    normal = _FRACTION_OF_UNITS.sub(r"\1/\2", normal)
    if normal.endswith(_PERCENT):
        return Quantity(normal.removesuffix(_PERCENT).rstrip(), percent=True)
    if normal.endswith(_DEGREE) and not has_trigonometry(normal):
        return Quantity(normal.removesuffix(_DEGREE).rstrip(), degree=True)
    if normal.startswith(("(", "[", "\\{", "{")) and normal.endswith((")", "]")):
        return Quantity(normal)
    if special := _numeral(normal) or _time_of_day(normal) or _residue(normal):
        return special
    if match := _CURRENCY.fullmatch(normal):
        return Quantity(match["before"] or match["after"], match["sign"] or match["last"])
    match = _FONT_UNIT.search(normal) or _BARE_UNIT.search(normal)
    value = normal[: match.start()].rstrip() if match else ""
    if match is None or not _has_value(value) or value.endswith(("^", "_", "=", "{", "(", ",")):
        return Quantity(normal)
    if match.re is _BARE_UNIT and not _is_bare_unit(match["unit"], value):
        return Quantity(normal)
    unit = _canonical(match[0])
    if unit is None:
        return Quantity(normal)
    inner = parse_quantity(value)  # such as 30^\circ \text{ C}
    return Quantity(inner.value, unit, inner.degree, inner.percent)


def _numeral(normal: str) -> Quantity | None:
    """A numeral with its base: digits, or letters too if the base is above ten."""
    match = _BASE.search(normal)
    if match is None:
        return None
    digits = _WRAPPING.sub("", normal[: match.start()])
    base = match["base"]
    number = _NUMERALS.index(base) if base in _NUMERALS else base
    is_high = base.isdigit() and int(base) > 10
    if not digits.isalnum() or not (is_high or digits.isdigit()):
        return None
    return Quantity(digits, f"base {number}")


def _time_of_day(normal: str) -> Quantity | None:
    """``9:30 a.m.``, in a font or not."""
    match = _TIME.fullmatch(normal)
    return Quantity(match["time"], f"{match['half'].lower()}.m.") if match else None


def _residue(normal: str) -> Quantity | None:
    r"""``3 \pmod 5`` or ``x \equiv 3 \pmod 5``."""
    match = _RESIDUE.search(normal)
    value = _CONGRUENT.sub("", normal[: match.start()]).strip() if match else ""
    if match is None or not value or "equiv" in value:
        return None
    return Quantity(value, f"mod {match['modulus'] or match['other']}")


def _has_value(text: str) -> bool:
    return any(character.isdigit() for character in text) or "\\pi" in text


def _is_bare_unit(unit: str, value: str) -> bool:
    words = _PLAIN_WORD.findall(unit)
    if all(word in _BARE for word in words):
        return "=" not in value or parse_number(value.rpartition("=")[2].strip()) is not None
    if parse_number(value) is None:
        return False
    apart = unit[0] == " "  # 5 m, but not 5m, which may be a product
    words = [word for word in words if word != "of"]
    return all(len(word) > 2 or (word in _KNOWN and (apart or len(word) > 1)) for word in words)


def _canonical(unit: str) -> str | None:
    """Return the unit's usual name; None for words that are no unit."""
    if (half_day := "".join(_PLAIN_WORD.findall(_COMMAND.sub("", unit))).lower()) in ("am", "pm"):
        return f"{half_day[0]}.m."
    words = _COMMAND.sub(" ", unit).replace("/", " / ").split()
    if not words or any(word.lower() in _NOT_UNITS for word in words):
        return None
    power = unit.rpartition("^")[2].strip(" {}") if "^" in unit else ""
    words = [word for word in words if word != power]
    for word, exponent in (("square", "2"), ("sq", "2"), ("cubic", "3"), ("cu", "3")):
        if len(words) > 1 and words[0].lower() == word:
            words, power = words[1:], exponent
    known = [_KNOWN.get(word) or _KNOWN.get(word.lower()) or word.lower() for word in words]
    name = " ".join("/" if word == "per" else word for word in known)
    if not name:
        return None
    return f"{name}^{power}" if power else name


def compatible(gold: Quantity, answer: Quantity, conventions: Conventions) -> bool:
    """Whether what stands with the two values lets them be the same; says nothing of these."""
    if gold.degree != answer.degree and conventions.degree_sign == "counts":
        return False
    one, other = gold.unit, answer.unit
    if (gold.degree and other == "rad") or (answer.degree and one == "rad"):
        return False
    if one is not None and one.startswith("mod ") and other is None:
        return False  # a class of numbers, and one of them
    if one is None or other is None:
        added, dropped = one is None and other is not None, one is not None and other is None
        return not (
            (added and not conventions.unit_may_be_added)
            or (dropped and not conventions.unit_may_be_dropped)
        )
    if one == other or one.removesuffix("s") == other.removesuffix("s"):
        return True
    lenient = conventions.unit_may_be_added and conventions.unit_may_be_dropped
    return lenient and not (_is_known(one) and _is_known(other))


def _is_known(unit: str) -> bool:
    parts = unit.partition("^")[0].split()
    return parts[:1] in (["base"], ["mod"]) or all(
        part in _SYNONYMS or part == "/" for part in parts
    )
