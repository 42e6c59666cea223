r"""A value and what stands with it: a unit, a degree or percent sign, the base of a numeral.

Graders differ on whether ``10\text{ cm}`` may be written 10. That 10 cm is not 10 m, and that
``11_2`` is not ``11_3``, they should not: math-verify drops both units and bases unseen, so they
are taken off here, compared by the benchmark's conventions, and the bare values are judged.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from ssgr.config.conventions import Conventions
from ssgr.grading.numbers import parse_number
from ssgr.grading.rewriting import has_trigonometry
from ssgr.grading.units import BARE, CURRENCIES, KNOWN, TEXT, WORD, canonical, is_known, is_symbol

_NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
             "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen")  # fmt: skip

_POWER = r"(?:\s*\^\s*\{?\s*-?\d\s*\}?)?"
_INSIDE = r"[^{}]*(?:\^\s*\{\s*-?\d\s*\}[^{}]*)*"
_FONT_UNIT = re.compile(
    rf"(?P<unit>(?:\s*(?:/|\\cdot)?\s*{TEXT}\{{{_INSIDE}\}}{_POWER})+)$"
    r"|(?P<rm>\s*\{\\rm [^{}]*\})$"
)
_BARE_UNIT = re.compile(
    rf"(?<=[\d}})])(?P<unit>\s*[a-zA-Z]+(?:[ /][a-zA-Z]+){{0,3}}{_POWER}(?: per [a-z]+)?)$"
)
_MONEY_SIGN = re.compile(r"[$€£¥₹¢]|USD|EUR|GBP")
_MONEY = re.compile(
    r"(?P<lead>(?:[^=$€£¥₹]*=)?\s*-?)\s*(?P<sign>\\\$|[€£¥₹]|USD\b|EUR\b|GBP\b)\s*(?P<after>[^$€£¥₹]+)"
    r"|(?P<before>[^$€£¥₹¢\\]*(?:\\(?!\$)[^$€£¥₹¢\\]*)*)(?P<last>\\\$|[€£¥₹¢])"
)
_SIGNS = {"\\$": "$", "USD": "$", "EUR": "€", "GBP": "£", "¢": "cent"}
_WRAPPING = re.compile(rf"{TEXT}(?=\{{)|[(){{}}\s]")
_GROUPED_UNIT = rf"\{{({TEXT}\{{[^{{}}]*\}}{_POWER})\}}"
_FRACTION_OF_UNITS = re.compile(rf"\\[dt]?frac\s*{_GROUPED_UNIT}\s*{_GROUPED_UNIT}$")
_BASE = re.compile(
    rf"(?<=[0-9A-Fa-f)}}])(?:_|\s*(?:{TEXT}\{{)?[\s(]*(?:in )?base)"
    rf"(?:{TEXT}\{{|[\s({{}}-]|base){{0,6}}(?P<base>\d+|[a-z]+)[\s)}}]*$"
)
_TIME = re.compile(
    rf"(?:{TEXT}\{{)?\s*(?P<time>\d{{1,2}}(?::\d\d)?)\s*(?:{TEXT}\{{)?\s*(?P<half>[apAP])\.?\s?[mM]\.?\s*\}}?"
)
_RESIDUE = re.compile(r",?\s*(?:\\pmod\s*(?:\{\s*(?P<modulus>\w+)\s*\}|(?P<other>\w+)))$")
_CONGRUENT = re.compile(r"^[a-zA-Z]\s*\\equiv(?![a-zA-Z])")
_PERCENT = r"\%"
_DEGREE = r"^\circ"


class Quantity(NamedTuple):
    """A normalised answer taken apart; ``unit`` is canonical where it is known.

    ``currency`` is one by its sign or its name; a sign is no unit, and may always be left out.
    """

    value: str
    unit: str | None = None
    degree: bool = False
    percent: bool = False
    currency: str | None = None


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
    if _MONEY_SIGN.search(normal) and ", " not in normal and (match := _MONEY.fullmatch(normal)):
        sign = match["sign"] or match["last"]
        bare = match["before"] or f"{match['lead']}{match['after']}"
        return parse_quantity(bare.strip())._replace(currency=_SIGNS.get(sign, sign))
    match = _FONT_UNIT.search(normal) or _BARE_UNIT.search(normal)
    value = normal[: match.start()].rstrip() if match else ""
    if match is None or not _has_value(value) or value.endswith(("^", "_", "=", "{", "(", ",")):
        return Quantity(normal)
    if match.re is _BARE_UNIT and not _is_bare_unit(match["unit"], value):
        return Quantity(normal)
    unit = canonical(match[0])
    if unit is None:
        return Quantity(normal)
    inner = parse_quantity(value)  # such as 30^\circ \text{ C}
    first = unit.split()[0]
    currency = first if first in CURRENCIES else inner.currency
    return Quantity(inner.value, unit, inner.degree, inner.percent, currency)


def _numeral(normal: str) -> Quantity | None:
    """A numeral with its base: digits, or letters too if the base is above ten."""
    match = _BASE.search(normal)
    if match is None:
        return None
    digits = _WRAPPING.sub("", normal[: match.start()])
    base = match["base"]
    number = _NUMERALS.index(base) if base in _NUMERALS else int(base) if base.isdigit() else 0
    bare = digits.removeprefix("-").replace(".", "", 1)
    if not number or not bare.isalnum() or not (number > 10 or bare.isdigit()):
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
    words = WORD.findall(unit)
    if all(word in BARE for word in words):
        return "=" not in value or parse_number(value.rpartition("=")[2].strip()) is not None
    if parse_number(value) is None:
        return False
    apart = unit[0] == " "  # 5 m, but not 5m, which may be a product
    words = [word for word in words if word != "of"]
    return all(
        len(word) > 2
        or (word in KNOWN and (apart or len(word) > 1))
        or (apart and len(word) > 1 and is_symbol(word))
        for word in words
    )


def compatible(gold: Quantity, answer: Quantity, conventions: Conventions) -> bool:
    """Whether what stands with the two values lets them be the same; says nothing of these."""
    if gold.degree != answer.degree and conventions.degree_sign == "counts":
        return False
    one, other = gold.unit, answer.unit
    if gold.currency and answer.currency:
        if gold.currency != answer.currency:
            return False
        one, other = _without_currency(one), _without_currency(other)
    elif gold.currency or answer.currency:
        if gold.percent or answer.percent:
            return False
        unit = other if gold.currency else one
        is_weight = unit == "lb" and "£" in (gold.currency, answer.currency)  # or the other pound
        if unit and is_known(unit) and unit[0] != "/" and not is_weight:
            return False
        if is_weight:
            one = other = None
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
    if {one, other} in ({"C", "degC"}, {"F", "degF"}):
        return True
    lenient = conventions.unit_may_be_added and conventions.unit_may_be_dropped
    return lenient and not (is_known(one) and is_known(other))


def _without_currency(unit: str | None) -> str | None:
    words = (unit or "").split()
    return " ".join(words[1:] if words and words[0] in CURRENCIES else words) or None
