r"""Answers as computer algebra sees them: math-verify's parser and its comparison.

Both sides go in boxed: math-verify reads a bare ``3\\sqrt{13}`` as 3. Its own time-outs (SIGALRM,
which turn a time-out into "not equal") are off: the child's hard limits bound the time and keep the
two apart. Imports sympy, so it is imported in a child process only.
"""

import logging
from collections.abc import Callable
from functools import lru_cache
from math import log10
from typing import Any

import math_verify
import math_verify.grader
from latex2sympy2_extended import NormalizationConfig  # type: ignore[import-untyped]
from sympy import (  # type: ignore[import-untyped]
    Basic,
    Eq,
    GreaterThan,
    I,
    Ne,
    Set,
    StrictGreaterThan,
    simplify,
    solve,
)
from sympy.core.relational import Relational  # type: ignore[import-untyped]

from ssgr.config.conventions import Conventions
from ssgr.grading.constants import equal_values, far_apart, same_expression, value_at
from ssgr.grading.numbers import parse_number
from ssgr.grading.rewriting import for_parser

logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its time-outs are off
math_verify.grader.sympy_numeric_eq = equal_values  # whose own takes 2^-60 for 2^-61
math_verify.grader.sympy_symbolic_eq = same_expression

_ONLY_THE_BOX = math_verify.LatexExtractionConfig(
    boxed_match_priority=0,
    try_extract_without_anchor=False,
    normalization_config=NormalizationConfig(
        malformed_operators=True,
        nits=True,
        units=False,  # it would drop the m of 5 m and the ab of 2 ab
    ),
)


@lru_cache(maxsize=256)
def parse(normal: str) -> tuple[Any, ...]:
    """Parse a normalised answer into sympy objects (and, last, its text); empty if it fails.

    As a whole: what math-verify would otherwise find somewhere in an answer that it cannot read,
    such as the fraction in a broken matrix, is not the answer.
    """
    boxed = rf"\boxed{{{for_parser(normal)}}}"
    parsed = tuple(math_verify.parse(boxed, [_ONLY_THE_BOX], parsing_timeout=None))
    side, equals, result = normal.rpartition("=")
    if not equals or "," in normal or side[-1:] in ("<", ">", "!") or len(parsed) > 1:
        return parsed
    return parse(result.strip()) or parsed  # of `17 \bmod 5 = 2`, 2 can be read


def equal(gold: Any, answer: Any, conventions: Conventions) -> bool:
    """Whether two of `parse`'s objects are equal by math-verify.

    Raises:
        MemoryError: as in `ssgr.grading.equality`.
    """
    relations = [isinstance(x, Relational) or _is_conjunction(x) for x in (gold, answer)]
    sets = isinstance(gold, Set) or isinstance(answer, Set)
    if sets and any(relations) and not conventions.relation_as_interval:
        return False
    gold, answer = _with_imaginary_unit(gold), _with_imaginary_unit(answer)
    related = isinstance(gold, Relational) and isinstance(answer, Relational)
    if related and _multiples(gold, answer):
        return True
    if related and isinstance(gold, Eq) and gold != answer and not _has_solution(gold):
        return False
    places = round(-log10(conventions.tolerance)) if conventions.tolerance > 0 else 15
    return _shown(
        lambda: math_verify.verify(
            gold,
            answer,
            float_rounding=max(places, 0),
            allow_set_relation_comp=True,
            timeout_seconds=None,
            raise_on_error=True,
        )
    )


def _shown(question: Callable[[], Any]) -> bool:
    """Whether sympy answers yes: it raises anything on odd input, and then nothing is shown."""
    try:
        return bool(question())
    except MemoryError:
        raise
    except Exception:
        return False


def _multiples(gold: Any, answer: Any) -> bool:
    """Whether one relation is the other times a number, as of 2x > 4 and x > 2."""
    if isinstance(answer, (StrictGreaterThan, GreaterThan)):
        answer = answer.reversed
    if isinstance(gold, (StrictGreaterThan, GreaterThan)):
        gold = gold.reversed
    return type(gold) is type(answer) and _shown(lambda: _is_multiple(gold, answer))


def _is_multiple(gold: Any, answer: Any) -> bool:
    one, other = gold.lhs - gold.rhs, answer.lhs - answer.rhs
    ratio = one / other
    if far_apart(here := value_at(ratio), value_at(ratio, 11)):
        return False
    if here is not None and equal_values(one, other, 15):
        return True
    ratio = simplify(ratio)
    number = not ratio.free_symbols and ratio.is_finite and ratio.is_zero is False
    return bool(number and (isinstance(gold, (Eq, Ne)) or ratio.is_positive))


@lru_cache(maxsize=16)
def _solve(equation: Any, unknowns: frozenset[Any]) -> Any:
    return solve(equation, set(unknowns))


def _solve_once(equation: Any, unknowns: set[Any]) -> Any:
    """Take the place of math-verify's ``solve``: `_has_solution` has solved the gold already."""
    return _solve(equation, frozenset(unknowns))


math_verify.grader.solve = _solve_once


def _has_solution(equation: Any) -> bool:
    """Whether sympy solves it: for math-verify, two without (real) solutions are the same."""
    return _shown(lambda: _solve(equation, frozenset(equation.free_symbols)))


def _with_imaginary_unit(value: Any) -> Any:
    """The value with the imaginary unit for each i, which the parser takes for a variable."""
    named = {symbol: I for symbol in getattr(value, "free_symbols", ()) if symbol.name == "i"}
    if not named:
        return value
    if isinstance(value, Relational):  # of z = 3i, sympy knows that no real z is
        return value.func(*(side.subs(named) for side in value.args), evaluate=False)
    return value.subs(named)


def _is_conjunction(value: Any) -> bool:
    return type(value).__name__ == "And"


def near(gold: str, answer: str, conventions: Conventions) -> bool:
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
    expression = next(iter(parse(normal)), None)
    if not isinstance(expression, Basic) or expression.free_symbols:
        return None
    try:
        return complex(expression.doit().evalf())
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return None
