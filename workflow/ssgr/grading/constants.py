"""Equality of two values in computer algebra: exact ones exactly, others as near as is allowed.

math-verify takes two constants for equal if they differ by less than 1e-15, whatever their size, so
that 2^-60 is 2^-61 to it. Here exact values are equal only if they are the same value, and a
tolerance counts only where a side holds a decimal. Imports sympy, so it is imported in a child
process only.
"""

import cmath
from math import log10
from typing import Any

from math_verify import grader
from sympy import (  # type: ignore[import-untyped]
    Add,
    Expr,
    Float,
    Integer,
    Integral,
    Limit,
    MatrixBase,
    Pow,
    Product,
    Rational,
    Sum,
    expand,
    factorial,
    log,
)
from sympy.matrices import MatrixExpr  # type: ignore[import-untyped]

ROUNDED = Rational(1, 10**4)
"""A decimal with all its places right is at most so far off, relative to the size of the gold."""
SURE = 40
"""Digits to which irrational constants must agree, beyond those of the integers in them."""
MOST_DIGITS = 20_000
"""Constants that would have to agree to more digits are compared to those that are SURE."""
LONGEST = 200_000
"""Digits of the longest integer that a power or factorial is written out as."""
ROUNDING = Rational(1, 10**14)
"""How far factors of letters may differ, relative to their size, that decimals were read into."""

CLEARLY = 1e-6
"""Values that differ by more, relative to the gold if that is above 1, are not the same."""

_LAZY = (Integral, Limit, Product, Sum)
_simplify_alike = grader.sympy_symbolic_eq


def equal_values(gold: Any, answer: Any, places: int, precision: int = 0) -> bool:
    """Take the place of math-verify's ``sympy_numeric_eq``; False: not shown equal.

    Args:
        gold: an expression or matrix of sympy.
        answer: another.
        places: decimals to which a decimal must agree; of a gold below 1, significant digits.
        precision: not used; math-verify passes it.
    """
    whole = [grader.get_pct_val(side, side) for side in (gold, answer)]
    if whole != [gold, answer] and all(isinstance(side, Integer) for side in whole):
        return bool(whole[0] == whole[1])  # 9 % may be 9
    gold, answer = _evaluated(gold), _evaluated(answer)
    if isinstance(gold, MatrixBase) and isinstance(answer, MatrixBase):
        pairs = zip(gold.flat(), answer.flat(), strict=False)
        return gold.shape == answer.shape and all(equal_values(x, y, places) for x, y in pairs)
    if isinstance(gold, (MatrixBase, MatrixExpr)) or isinstance(answer, (MatrixBase, MatrixExpr)):
        return False
    decimals = gold.has(Float) or answer.has(Float)
    if gold.free_symbols or answer.free_symbols:
        return _same_decimals(gold, answer) if decimals else _is_zero_sum(gold - answer)
    return _near(gold, answer, places) if decimals else _same(gold, answer)


def _evaluated(value: Any) -> Any:
    """The value with its operations carried out, unless that makes an integer of no use."""
    if isinstance(value, MatrixBase):
        return value
    return value if _digits_of_powers(value) > LONGEST else grader.safe_sympy_doit(value)


def _digits_of_powers(value: Any) -> int:
    """How many digits the powers and factorials in a value have together, roughly."""
    digits = 0
    for power in value.atoms(Pow, factorial) if hasattr(value, "atoms") else ():
        base, times = power.args if isinstance(power, Pow) else (power.args[0], power.args[0])
        size = (times * log(base, 10)).evalf(5)
        digits += int(abs(size)) if size.is_number and size.is_finite else 0
    return digits


def _near(gold: Any, answer: Any, places: int) -> bool:
    """Whether two constants of which one holds a decimal are as near as is allowed."""
    right, given = _number(gold), _number(answer)
    if right is None or given is None:
        return False
    off, size, place = abs(right - given), abs(right), Rational(1, 10**places)
    return bool(off <= place * min(1, size) or off <= min(place / 2, ROUNDED * size))


def _same(gold: Any, answer: Any) -> bool:
    """Whether two exact constants are the same."""
    difference = gold - answer
    if difference.is_Rational:
        return bool(difference == 0)
    digits = SURE + _digits(difference) + _digits_of_powers(difference)
    right, given = _number(gold), _number(answer)
    if right is None or given is None:
        return False
    if digits > MOST_DIGITS:
        if any(value.has(Add) for value in (gold, answer)):
            return False  # what is added may be too small to be seen
        digits = SURE
    value = _number(difference, 2 * digits)
    size = max(abs(right), abs(given))
    return value is not None and bool(abs(value) <= size * Rational(1, 10**digits))


def same_expression(gold: Any, answer: Any) -> bool:
    """Take the place of math-verify's ``sympy_symbolic_eq``: simplify what may be equal only.

    Expressions differ if they do where their letters are positive numbers.
    """
    both = isinstance(gold, Expr) and isinstance(answer, Expr)
    if both and far_apart(value_at(gold), value_at(answer)):
        return False
    return bool(_simplify_alike(gold, answer))


def far_apart(one: complex | None, other: complex | None) -> bool:
    """Whether two values differ by more than what was rounded, also in a sum that is zero."""
    return one is not None and other is not None and abs(one - other) > CLEARLY * (1 + abs(one))


def value_at(expression: Any, first: int = 7) -> complex | None:
    """The value of an expression at one point; None if it is not a finite number there."""
    names = sorted(expression.free_symbols, key=str)
    point = {name: Rational(first + 4 * index, 5 + index) for index, name in enumerate(names)}
    if expression.has(*_LAZY) or _digits_of_powers(expression) > LONGEST:
        return None
    try:
        value = complex(expression.evalf(30, subs=point))
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return None
    return value if cmath.isfinite(value) else None


def _is_zero_sum(difference: Any) -> bool:
    """Whether the factors of each product of letters cancel in an exact difference."""
    return all(_same(number, Integer(0)) for number in _terms(difference).values())


def _same_decimals(gold: Any, answer: Any) -> bool:
    """Compare expressions with letters and decimals: of each product of letters, the factors."""
    one, other = _terms(gold.evalf(30)), _terms(answer.evalf(30))
    return one.keys() == other.keys() and all(
        abs(one[key] - other[key]) <= ROUNDING * abs(one[key]) for key in one
    )


def _terms(expression: Any) -> dict[Any, Any]:
    """The numbers in front of each product of letters, in the expanded sum."""
    found: dict[Any, Any] = {}
    for term in Add.make_args(expand(expression)):
        number, letters = term.as_independent(*expression.free_symbols)
        found[letters] = found.get(letters, 0) + number
    return {letters: number for letters, number in found.items() if number != 0}


def _number(constant: Any, digits: int = 30) -> Any:
    """A constant as a number, of which so many digits may be computed; None if it is none."""
    value = constant.evalf(15, maxn=digits)
    return value if value.is_number and value.is_finite else None


def _digits(constant: Any) -> int:
    """How many digits the rational numbers in a constant have together."""
    parts = [part for one in constant.atoms(Rational) for part in (one.p, one.q)]
    return sum(int(log10(abs(part) + 1)) + 1 for part in parts)
