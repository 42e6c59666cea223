r"""Mathematical equality, by parts where an answer has parts and by computer algebra elsewhere.

Imports sympy (`ssgr.grading.algebra`), so it is imported late, and in a child process only.
"""

import re

from ssgr.config.conventions import Conventions
from ssgr.grading.algebra import equal, near, parse
from ssgr.grading.bounds import closed_infinities, condition, parse_bounds, split_domain
from ssgr.grading.names import same_named, same_point
from ssgr.grading.notation import read, spelling
from ssgr.grading.numbers import equal_numbers, parse_number
from ssgr.grading.quantities import Quantity, compatible, parse_quantity
from ssgr.grading.rewriting import with_argument, with_case, with_current
from ssgr.grading.structure import (
    Parts,
    last_set,
    parse_parts,
    same_parts,
    sides,
    with_joined_thousands,
)
from ssgr.grading.verdict import VerdictName
from ssgr.grading.words import names_option, with_names

_WORDS = re.compile(r"[a-zA-Z]{2}[a-zA-Z ,.'-]*")
_POINTS = re.compile(r"[A-Z]{3,}")
_ROMAN = re.compile(r"[IVX]+")
_ANGLE = re.compile(r"m?\\angle\s*\{?\s*([A-Z]{3})\s*\}?")
_SEGMENT = re.compile(r"(?:\\overline\s*\{\s*)?([A-Z]{2})\s*\}?")
_RELATION = re.compile(r"[<>]|\\(?:in|le|ge|lt|gt|leq|geq|ne|neq|leqslant|geqslant)(?![a-zA-Z])")

DEEPEST = 4
"""Parts of parts are compared so deep."""


def equality(gold: str, answer: str, conventions: Conventions) -> VerdictName:
    """Judge an answer.

    Raises:
        MemoryError: the process's memory limit was hit before there was a verdict.
    """
    right, given = read(gold, conventions), read(answer, conventions)
    if not right or not (parse(right) or parse_parts(right)):
        return "unparsable-gold"
    same = names_option(right, given) or _same(right, given, conventions, 0)
    joined = with_joined_thousands(right), with_joined_thousands(given)
    if not same and joined != (right, given):
        same = _same(*joined, conventions, 0)
    return "correct" if same else "wrong"


def _same(gold: str, answer: str, conventions: Conventions, depth: int) -> bool:
    """Compare two answers: what stands with their values, then the values."""
    (gold, domain), (answer, stated) = split_domain(gold), split_domain(answer)
    if domain and stated and domain != stated:
        return False
    gold, answer = condition(gold), condition(answer)
    one, other = parse_quantity(gold), parse_quantity(answer)
    if not compatible(one, other, conventions):
        return False
    readings = _readings(one, other, conventions)
    if (one.unit is None) != (other.unit is None):
        readings.append((gold, answer))  # the m of 5 m may be a variable after all
    return any(_same_value(right, given, conventions, depth) for right, given in readings)


def _readings(one: Quantity, other: Quantity, conventions: Conventions) -> list[tuple[str, str]]:
    """The pairs of values that may be equal: a percentage is a hundredth, or bare."""
    bare = (one.value, other.value)
    if one.percent == other.percent:
        return [bare]
    right, given = (
        rf"\frac{{{quantity.value}}}{{100}}" if quantity.percent else quantity.value
        for quantity in (one, other)
    )
    return [(right, given), bare] if conventions.percent_sign == "optional" else [(right, given)]


def _same_value(gold: str, answer: str, conventions: Conventions, depth: int) -> bool:
    right, given = parse_number(gold), parse_number(answer)
    if right and given:
        return equal_numbers(right, given, conventions)
    if (alike := _reads_alike(spelling(gold), spelling(answer))) is not None:
        return alike
    if depth < DEEPEST and (said := _by_names(gold, answer, conventions, depth)) is not None:
        return said
    if _same_bounds(gold, answer, conventions, depth):
        return True
    if depth < DEEPEST and (gold, answer) != (last := (last_set(gold), last_set(answer))):
        return _same(*last, conventions, depth + 1)
    one, other = parse_parts(gold), parse_parts(answer)
    if depth < DEEPEST and (inside := _single(one, other)):
        return _same(inside[0] or gold, inside[1] or answer, conventions, depth + 1)
    if one and other and (right is None or other.opening == "("):  # 100,200 may be a pair
        kept = conventions.order == "kept" and one.opening == other.opening == ""
        if _same_parts(one, other, conventions, depth):
            return True
        if kept or _is_tuple_and_other(one, other):
            return False
    named = with_current(*with_names(gold, answer))
    lettered = with_case(named[0], with_argument(*named))
    return (
        any(equal(x, y, conventions) for x in parse(lettered[0]) for y in parse(lettered[1]))
        or _same_sides(gold, answer, conventions, depth)
        or near(gold, answer, conventions)
    )


def _by_names(gold: str, answer: str, conventions: Conventions, depth: int) -> bool | None:
    """Compare named values, ratios of three or more and ends at infinity; None: go on."""

    def same(one: str, other: str) -> bool:
        return _same(one, other, conventions, depth + 1)

    if not same_point(gold, answer) or closed_infinities(gold) != closed_infinities(answer):
        return False
    one, other = (text.rpartition("=")[2].split(":") for text in (gold, answer))
    if len(one) == len(other) > 2:
        pairs = zip(one[1:], other[1:], strict=True)
        return all(
            same(rf"\frac{{{x}}}{{{one[0]}}}", rf"\frac{{{y}}}{{{other[0]}}}") for x, y in pairs
        )
    return same_named(gold, answer, same)


def _reads_alike(gold: str, answer: str) -> bool | None:
    """Whether both are spelled alike, the case of words and the bar over a segment aside.

    None: the spelling does not tell. Of three points or more, ABC is not the product CBA.
    """
    if gold == answer:
        return True
    if _POINTS.fullmatch(gold) and _POINTS.fullmatch(answer):
        return False
    if _WORDS.fullmatch(gold) and _WORDS.fullmatch(answer) and gold.casefold() == answer.casefold():
        return True
    if _ROMAN.fullmatch(gold) and _ROMAN.fullmatch(answer):
        return False
    if (one := _ANGLE.fullmatch(gold)) and (other := _ANGLE.fullmatch(answer)):
        return other[1] in (one[1], one[1][::-1])
    one, other = _SEGMENT.fullmatch(gold), _SEGMENT.fullmatch(answer)
    if one and other and other[1] in (one[1], one[1][::-1]):
        return True
    return None


def _single(one: Parts | None, other: Parts | None) -> tuple[str, str] | None:
    r"""What is inside if one is ``\{2\}`` and the other no set: "" for the one that is none."""
    alone = [
        bool(side and side.opening == "{" and len(side.parts) == 1 and "empty" not in side.parts[0])
        for side in (one, other)
    ]
    if alone == [True, False] and one and not (other and other.is_set):
        return one.parts[0], ""
    if alone == [False, True] and other and not (one and one.is_set):
        return "", other.parts[0]
    return None


def _is_tuple_and_other(one: Parts, other: Parts) -> bool:
    """Whether one is in brackets and the other a set or list, which math-verify may not mind."""
    openings = {one.opening, other.opening}
    return openings in ({"{", "("}, {"{", "["}, {"", "("}) and len(other.parts) > 1


def _same_bounds(gold: str, answer: str, conventions: Conventions, depth: int) -> bool:
    """Compare two intervals or inequalities on one variable."""
    one, other = parse_bounds(gold), parse_bounds(answer)
    if one is None or other is None or depth == DEEPEST:
        return False
    if (one.lower_is_in, one.upper_is_in) != (other.lower_is_in, other.upper_is_in):
        return False
    if one.variable != other.variable:
        is_interval = one.variable is None or other.variable is None
        if not (is_interval and conventions.relation_as_interval):
            return False
    return _same(one.lower, other.lower, conventions, depth + 1) and _same(
        one.upper, other.upper, conventions, depth + 1
    )


def _same_parts(gold: Parts, answer: Parts, conventions: Conventions, depth: int) -> bool:
    alike = (gold.opening, gold.closing) == (answer.opening, answer.closing)
    bare = {gold.opening, answer.opening} == {"(", ""} and ")" in (gold.closing, answer.closing)
    lists = gold.opening in ("", "{") and answer.opening in ("", "{")
    lists = lists or (conventions.relation_as_interval and _is_union(gold) and _is_union(answer))
    if depth == DEEPEST or not (alike or lists or bare):
        return False
    ordered = not (gold.is_set and answer.is_set) or (
        conventions.order == "kept" and gold.opening == answer.opening == ""
    )
    return same_parts(
        _flat(gold),
        _flat(answer),
        lambda one, other: _same(one, other, conventions, depth + 1),
        ordered=ordered,
    )


def _is_union(parts: Parts) -> bool:
    r"""Whether it is `A \cup B`, or relations joined by `or`."""
    return parts.opening == "union" or (
        parts.closing == "or" and any(_RELATION.search(part) for part in parts.parts)
    )


def _flat(parts: Parts) -> list[str]:
    r"""The parts of a list, those with ``\pm`` as two, and of a union, a set as its points."""
    union = parts.opening == "union"
    if parts.opening not in ("", "{") and not union:
        return list(parts.parts)
    flat: list[str] = []
    for part in parts.parts:
        inner = parse_parts(part) if union or "\\pm" in part else None
        taken_apart = inner and inner.opening == ("{" if union else "")
        flat += inner.parts if inner and taken_apart else (part,)
    return flat


def _same_sides(gold: str, answer: str, conventions: Conventions, depth: int) -> bool:
    """Compare two equations side by side."""
    one, other = sides(gold), sides(answer)
    if len(one) < 2 or len(one) != len(other) or depth == DEEPEST:
        return False
    return all(_same(x, y, conventions, depth + 1) for x, y in zip(one, other, strict=True))
