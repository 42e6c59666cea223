r"""Mathematical equality by math-verify, the only step that needs computer algebra.

Imports sympy, so it is imported late, and in a child process only. Both sides go in boxed:
math-verify reads a bare ``3\sqrt{13}`` as 3. Its own time-outs (SIGALRM, which turn a time-out
into "not equal") are off: the child's hard limits bound the time and keep the two apart.
"""

import logging
import re
from functools import lru_cache
from math import log10
from typing import Any

import math_verify
from sympy import Basic, Set  # type: ignore[import-untyped]
from sympy.core.relational import Relational  # type: ignore[import-untyped]

from ssgr.grading.conventions import Conventions
from ssgr.grading.notation import read, spelling
from ssgr.grading.numbers import equal_numbers, parse_number
from ssgr.grading.quantities import Quantity, compatible, parse_quantity
from ssgr.grading.structure import Parts, parse_parts, same_parts, sides
from ssgr.grading.verdict import VerdictName

logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its time-outs are off

_PRODUCT = re.compile(r"(?<=\d)([cdghlmost])$")
"""The m of 5m, which math-verify would drop as a unit if it were not in braces."""
_RELATION = re.compile(r"[<>]|\\(?:le|ge|lt|gt|leq|geq|ne|neq|leqslant|geqslant)(?![a-zA-Z])")

DEEPEST = 4
"""Parts of parts are compared so deep."""


_ONLY_THE_BOX = math_verify.LatexExtractionConfig(
    boxed_match_priority=0, try_extract_without_anchor=False
)


@lru_cache(maxsize=256)
def _parse(normal: str) -> tuple[Any, ...]:
    """Parse a normalised answer into sympy objects (and, last, its text); empty if it fails.

    As a whole: what math-verify would otherwise find somewhere in an answer that it cannot read,
    such as the fraction in a broken matrix, is not the answer.
    """
    product = _PRODUCT.sub(r"{\1}", normal)
    boxed = rf"\boxed{{{product}}}"
    parsed = tuple(math_verify.parse(boxed, [_ONLY_THE_BOX], parsing_timeout=None))
    side, equals, result = normal.rpartition("=")
    if not equals or "," in normal or side[-1:] in ("<", ">", "!") or len(parsed) > 1:
        return parsed
    return _parse(result.strip()) or parsed  # of `17 \bmod 5 = 2`, 2 can be read


def equality(gold: str, answer: str, conventions: Conventions) -> VerdictName:
    """Judge an answer.

    Raises:
        MemoryError: the process's memory limit was hit before there was a verdict.
    """
    right, given = read(gold, conventions), read(answer, conventions)
    if not right or not _parse(right):
        return "unparsable-gold"
    return "correct" if _same(right, given, conventions, 0) else "wrong"


def _same(gold: str, answer: str, conventions: Conventions, depth: int) -> bool:
    """Compare two answers: what stands with their values, then the values."""
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
    if spelling(gold) == spelling(answer):
        return True
    one, other = parse_parts(gold), parse_parts(answer)
    if conventions.order == "kept" and one and other and one.opening == other.opening == "":
        return _same_parts(one, other, conventions, depth)
    return (
        any(_equal(x, y, conventions) for x in _parse(gold) for y in _parse(answer))
        or (one is not None and other is not None and _same_parts(one, other, conventions, depth))
        or _same_sides(gold, answer, conventions, depth)
        or _near(gold, answer, conventions)
    )


def _same_parts(gold: Parts, answer: Parts, conventions: Conventions, depth: int) -> bool:
    alike = (gold.opening, gold.closing) == (answer.opening, answer.closing)
    lists = gold.opening in ("", "{") and answer.opening in ("", "{")
    lists = lists or (conventions.relation_as_interval and _is_union(gold) and _is_union(answer))
    if depth == DEEPEST or not (alike or lists):
        return False
    ordered = not gold.is_set or (
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
        parts.closing == "or" and all(map(_RELATION.search, parts.parts))
    )


def _flat(parts: Parts) -> list[str]:
    r"""The parts of a list, those with ``\pm`` as two."""
    if parts.opening != "":
        return list(parts.parts)
    inner = [parse_parts(part) if "\\pm" in part else None for part in parts.parts]
    return [
        one
        for part, both in zip(parts.parts, inner, strict=True)
        for one in (both.parts if both and both.opening == "" else (part,))
    ]


def _same_sides(gold: str, answer: str, conventions: Conventions, depth: int) -> bool:
    """Compare two equations side by side."""
    one, other = sides(gold), sides(answer)
    if len(one) < 2 or len(one) != len(other) or depth == DEEPEST:
        return False
    return all(_same(x, y, conventions, depth + 1) for x, y in zip(one, other, strict=True))


def _equal(gold: Any, answer: Any, conventions: Conventions) -> bool:
    relations = [isinstance(x, Relational) or _is_conjunction(x) for x in (gold, answer)]
    sets = isinstance(gold, Set) or isinstance(answer, Set)
    if sets and any(relations) and not conventions.relation_as_interval:
        return False
    places = round(-log10(conventions.tolerance)) if conventions.tolerance > 0 else 15
    try:
        return bool(
            math_verify.verify(
                gold,
                answer,
                float_rounding=max(places, 0),
                allow_set_relation_comp=True,
                timeout_seconds=None,
                raise_on_error=True,
            )
        )
    except MemoryError:
        raise
    except Exception:  # sympy raises anything on odd input: not shown equal, hence not equal
        return False


def _is_conjunction(value: Any) -> bool:
    return type(value).__name__ == "And"


def _near(gold: str, answer: str, conventions: Conventions) -> bool:
    """Whether two constants are as near as the conventions allow, where these allow anything."""
    rounded = parse_number(answer) if conventions.rounded_to is not None else None
    width = max(conventions.relative_tolerance, conventions.absolute_tolerance)
    if not width and rounded is None:
        return False
    right, given = _constant(gold), _constant(answer)
    if right is None or given is None:
        return False
    difference = abs(right - given)
    if difference <= max(
        conventions.relative_tolerance * abs(right), conventions.absolute_tolerance
    ):
        return True
    if rounded is None or rounded.places is None or rounded.places < (conventions.rounded_to or 0):
        return False
    return difference <= 0.5 * 10.0**-rounded.places


def _constant(normal: str) -> complex | None:
    expression = next(iter(_parse(normal)), None)
    if not isinstance(expression, Basic) or expression.free_symbols:
        return None
    try:
        return complex(expression.doit().evalf())
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return None
