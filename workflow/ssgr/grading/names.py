r"""Answers that name their values: ``x = 1, y = 2``, ``3 = n``, ``P(3, 4)``, ``x \approx 3.2``.

A name settles which value is meant, so that named values have an order, whatever the order in which
they are written. Linear in the length of the text.
"""

import re
from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

from ssgr.grading.numbers import parse_number
from ssgr.grading.structure import Parts, Same, parse_parts, same_parts, sides

_GREEK = (
    r"\\(?:alpha|beta|gamma|delta|epsilon|theta|lambda|mu|nu|rho|sigma|tau|phi|omega"
    r"|Gamma|Delta|Theta|Lambda|Sigma|Phi|Omega)(?![a-zA-Z])"
)
_FONT = r"\\(?:text|textbf|mathrm|mathbf|mbox|overline|vec|hat|bar)\s*\{[^{}]*\}"
_NAME = (
    rf"(?:(?:m\s*)?\\angle\s*)?(?:{_FONT}|{_GREEK}|[A-Z]{{2,3}}|[a-zA-Z])"
    r"(?:\s*_\s*(?:\w|\{[^{}]*\}))?'*(?:\([^()=]*\))?"
)
_IS_NAME = re.compile(_NAME)
_SUM_OF_NAMES = re.compile(r"\s*[a-zA-Z](?:\s*[+-]\s*[a-zA-Z])+\s*|\s*\|\w+\|\s*")
_LETTER = re.compile(r"[a-zA-Z]")
_CONSTANTS = frozenset(("e", "i"))
_BETWEEN = r"[,;]|(?:\\text\s*\{)?\s*(?:and|or)\s*\}?"
_APPROXIMATED = re.compile(
    rf"(?P<name>(?:^|{_BETWEEN})\s*{_NAME})\s*(?:\\(?:approx(?:eq)?|simeq)(?![a-zA-Z])|≈)"
)
_TURNED = re.compile(rf"\s*(?P<value>[^=<>]+?)\s*=\s*(?P<name>{_NAME})\s*")
_BRACKETS = r"(?:\\left\s*)?\((?:[^()]|\([^()]*\))*+\)"
_POINT = re.compile(
    rf"(?P<lead>(?:^|[{{]|{_BETWEEN})\s*)(?:\\text\s*\{{\s*[Pp]oints?\s*\}}\s*)?"
    rf"(?P<name>[A-Z](?:_\{{?\w\}}?)?'*)\s*(?P<point>{_BRACKETS})"
    r"(?=\s*(?:[,;}]|\\(?:text|\}|\\|q?quad)|and|or|$))"
)
_TUPLE = re.compile(rf"(?<![\w}})])(?<!\\right\)){_BRACKETS}")
_SIGN = re.compile(r"\s*\\(pm|mp)(?![a-zA-Z])\s*")
_SIDES = re.compile(r"\\(?:left|right)(?![a-zA-Z])\s*")
_NAMED_POINT = re.compile(rf"\s*([A-Z](?:_\{{?\w\}}?)?'*)\s*=\s*{_BRACKETS}")
_ALIGNMENT = re.compile(
    r"\\(?:begin|end)\s*\{(?:aligned|align\*?|array|cases|gathered)\}(?:\{[^{}]*\})?"
    r"|\\left\s*\\\{|\\right\s*\.|&"
)
_ROW_END = re.compile(r"\s*[,;.]?\s*(?:\\\\|\\q?quad(?![a-zA-Z]))[\s,]*")
_TUPLE_OF_NAMES = re.compile(r"\(?\s*([a-zA-Z](?:\s*,\s*[a-zA-Z])+)\s*\)?")
_FAMILIES = ("abcdef", "ijk", "mn", "pqrs", "uvw", "xyz")
"""Letters whose order is that of a tuple's components."""
MOST_SIGNS = 4
"""More of them in a tuple are left alone: each doubles the tuples."""


def with_equals_signs(text: str) -> str:
    r"""Return ``x=3`` for ``x \approx 3``, ``n=3`` for ``3 = n``, ``P=(3,4)`` for ``P(3,4)``."""
    if "approx" in text or "≈" in text or "simeq" in text:
        text = _APPROXIMATED.sub(_said_equal, text)
    if "=" in text and (turned := _TURNED.fullmatch(text)) and _is_turned(turned):
        return f"{turned['name']}={turned['value']}"
    value, _, rest = text.partition("=")
    if _SUM_OF_NAMES.fullmatch(rest) and parse_number(value.strip()):
        return f"{rest.strip()}={value.strip()}"
    if "(" in text:
        text = _POINT.sub(_named_point, text)
    return text


def _named_point(match: re.Match[str]) -> str:
    pair = "," in match["point"] or ";" in match["point"]
    return f"{match['lead']}{match['name']}={match['point']}" if pair else match[0]


def _said_equal(match: re.Match[str]) -> str:
    constant = match["name"].strip() in _CONSTANTS
    return match[0] if constant else f"{match['name']}="


def _is_turned(match: re.Match[str]) -> bool:
    name, value = match["name"], match["value"]
    if name in _CONSTANTS or _IS_NAME.fullmatch(value):
        return False
    parts = parse_parts(value) if "," in value else None
    return parts is None or parts.opening != ""


def with_tuples(text: str) -> str:
    r"""Return ``(1,2),(1,-2)`` for ``(1,\pm2)``; ``\pm`` and ``\mp`` go together."""
    if "\\pm" not in text and "\\mp" not in text:
        return text
    return _TUPLE.sub(_expanded, text)


def _expanded(match: re.Match[str]) -> str:
    pieces = _SIGN.split(_SIDES.sub("", match[0]))
    written, signs = pieces[::2], pieces[1::2]
    if "," not in match[0] or not 1 <= len(signs) <= MOST_SIGNS:
        return match[0]
    if "mp" in signs:
        choices = [["+-"[sign == other] for sign in signs] for other in ("mp", "pm")]
    else:
        choices = [list(choice) for choice in product("+-", repeat=len(signs))]
    return ",".join(_with_signs(written, choice) for choice in choices)


def _with_signs(written: list[str], signs: list[str]) -> str:
    text = written[0]
    for sign, after in zip(signs, written[1:], strict=True):
        text += after if sign == "+" and text.endswith(("(", ",")) else f"{sign}{after}"
    return text


class Named(NamedTuple):
    """Values and their names, which are the same in every solution."""

    names: tuple[str, ...]
    solutions: tuple[tuple[str, ...], ...]


def parse_named(text: str) -> Named | None:
    r"""Parse ``x = 1, y = 2``, ``(x, y) = (1, 2)`` or several such; None without two names."""
    if text.count("=") > 1 and "matrix" not in text and ("\\\\" in text or "quad" in text):
        text = _ROW_END.sub(", ", _ALIGNMENT.sub("", text)).strip(" ,")
    parts = parse_parts(text)
    if parts is None or parts.opening not in ("", "{"):
        return _tuples_of_names(text)
    names, values = [], []
    for part in parts.parts:
        both = sides(with_equals_signs(part))
        if len(both) != 2 or not _LETTER.search(both[0]):
            return _tuples_of_names(text)
        names.append(both[0].replace(" ", ""))
        values.append(both[1])
    each = len(set(names))
    if each < 2:
        return None
    solutions = [
        dict(zip(names[start : start + each], values[start : start + each], strict=True))
        for start in range(0, len(names), each)
    ]
    if any(set(solution) != set(names) for solution in solutions):
        return Named(tuple(names), (tuple(values),))
    first = tuple(solutions[0])
    return Named(first, _by_sign(tuple(one[name] for name in first) for one in solutions))


def _tuples_of_names(text: str) -> Named | None:
    both = sides(text)
    if len(both) > 2 and all(map(_IS_NAME.fullmatch, both[:-1])) and parse_parts(both[-1]) is None:
        return Named(both[:-1], ((both[-1],) * (len(both) - 1),))  # x = y = 2
    names = _TUPLE_OF_NAMES.fullmatch(both[0]) if len(both) == 2 else None
    if names is None:
        return None
    split = tuple(name.strip() for name in names[1].split(","))
    solutions = _solutions(parse_parts(both[1]), len(split))
    return Named(split, solutions) if solutions else None


def _by_sign(solutions: Iterable[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    r"""The solutions, one with a ``\pm`` as two."""
    found: list[tuple[str, ...]] = []
    for values in solutions:
        written = f"({','.join(values)})"
        both = parse_parts(with_tuples(written)) if _SIGN.search(written) else None
        tuples = [parse_parts(part) for part in both.parts] if both and not both.opening else []
        found += [one.parts for one in tuples if one] or [values]
    return tuple(found)


def _solutions(
    parts: Parts | None, each: int, count: int = 0
) -> tuple[tuple[str, ...], ...] | None:
    """The tuples in an answer without names; a list of so many values is one, if one is wanted."""
    if parts is None or parts.opening not in ("", "{", "("):
        return None
    single = _by_sign([parts.parts]) if len(parts.parts) == each else None
    tuples = [parse_parts(part) for part in parts.parts]
    if (count != 1 or not single) and all(
        one and one.opening == "(" and len(one.parts) == each for one in tuples
    ):
        return tuple(one.parts for one in tuples if one)
    return single


def same_point(gold: str, answer: str) -> bool:
    """Whether two points, if both are named, have the same name."""
    if "=" not in gold or "=" not in answer:
        return True
    one, other = _NAMED_POINT.fullmatch(gold), _NAMED_POINT.fullmatch(answer)
    return not (one and other) or one[1] == other[1]


def same_named(gold: str, answer: str, same: Same) -> bool | None:
    """Compare two answers of which one names its values; None: none does, or that does not tell."""
    one, other = parse_named(gold), parse_named(answer)
    if one and other:
        if set(one.names) != set(other.names) or len(set(one.names)) < len(one.names):
            return None
        return _same_solutions(one.solutions, _in_order(other, one.names), same)
    named = one or other
    if named is None or (other and len({name.partition("_")[0] for name in other.names}) == 1):
        return None  # x_1 and x_2 are any two roots
    parts = parse_parts(answer if one else gold)
    bare = _solutions(parts, len(named.names), len(named.solutions))
    if bare is None or parts is None:
        return None
    if one is None and parts.opening != "(" and bare == (parts.parts,):
        return None  # a gold without names or brackets has no order
    known = any(set(named.names) <= set(family) for family in _FAMILIES)
    as_written = not known or (one and parts.opening != "(" and len(named.solutions) == 1)
    values = _in_order(named, named.names if as_written else tuple(sorted(named.names)))
    return _same_solutions(values, bare, same) if one else _same_solutions(bare, values, same)


def _in_order(named: Named, names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    places = [named.names.index(name) for name in names]
    return tuple(tuple(values[place] for place in places) for values in named.solutions)


def _same_solutions(
    one: tuple[tuple[str, ...], ...], other: tuple[tuple[str, ...], ...], same: Same
) -> bool:
    rest = list(other)
    for values in one:
        found = next((v for v in rest if same_parts(values, v, same, ordered=True)), None)
        if found is None:
            return False
        rest.remove(found)
    return not rest
