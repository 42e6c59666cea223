r"""Intervals and inequalities on one variable, in one form.

``[3,5]``, ``3 \le x \le 5``, ``5 \ge x \ge 3``, ``x \ge 3 \text{ and } x \le 5`` and
``\{x \mid 3 \le x \le 5\}`` say the same, and computer algebra sees it in some of them only.
"""

import re
from typing import NamedTuple

from ssgr.grading.structure import parse_parts

_LESS = r"<|\\(?:lt|leq?|leqslant|leqq)(?![a-zA-Z])"
_MORE = r">|\\(?:gt|geq?|geqslant|geqq)(?![a-zA-Z])"
_SIGN = re.compile(rf"({_LESS}|{_MORE})")
_STRICT = frozenset(("<", ">", "\\lt", "\\gt"))
_VARIABLE = re.compile(r"[a-zA-Z](?:_\{?\w\}?)?|\\(?:alpha|beta|gamma|lambda|mu|theta|phi)")
_BOTH = re.compile(r"\\(?:land|wedge)(?![a-zA-Z])")
_BUILDER = re.compile(
    r"(?:\\left)?\\\{\s*(?P<name>[a-zA-Z])\s*(?:\\in\s*(?:\\mathbb\s*\{?\s*R\s*\}?|\\R)\s*)?"
    r"(?::|\||\\mid(?![a-zA-Z])|\\colon|\\vert|\\(?:middle|big)\|)(?P<condition>(?:(?!\\\}\s*=).)*?)(?:\\right)?\\\}"
)
_ABSOLUTE = re.compile(
    rf"(?:\\[lr]?vert|\|)\s*([a-zA-Z])\s*(?:\\[lr]?vert|\|)\s*({_LESS}|{_MORE})\s*([^<>=|]+)"
)
_DOMAIN = re.compile(
    r"(?P<lead>[,;]?\s*(?:\\q?quad\s*){0,3}\(?\s*"
    r"(?:\\text\s*\{\s*,?\s*\(?(?:where|with|for(?: all| any| every| each)?)?\s*\}"
    r"|\\forall(?![a-zA-Z])|(?<![a-zA-Z])(?:where|with|for(?: all| any| every| each)?)\b)?\s*)"
    r"(?<![a-zA-Z\\])[a-zA-Z](?:\s*,\s*[a-zA-Z]){0,3}\s*(?:\\in(?![a-zA-Z])\s*\\mathbb\s*\{?\s*(?P<set>[CNQRZ])\s*\}?"
    r"(?P<part>[\^_]\{?[^{}\s]{1,5}\}?)?|\\text\s*\{\s*is an(?:y| arbitrary)? integer\s*\})\s*\)?$"
)
_SET_SIGN = r"\\(?:cup|cap|setminus)(?![a-zA-Z])"
_CLOSER = re.compile(rf"\[(?=\s*(?:$|{_SET_SIGN}|=|\\text|,\s*(?:\\left\s*)?\]))|(?<=\\right)\s*\[")
_OPENER = re.compile(
    rf"((?:^|{_SET_SIGN}|\\(?:in|left)(?![a-zA-Z])|=|\),|\\text\s*\{{[^{{}}]*\}})\s*)\]"
)
_CLOSED_INFINITY = re.compile(
    r"\\infty\s*(?:\\right\s*)?(?P<above>\])|\[\s*-\s*(?P<below>\\infty)(?![a-zA-Z])"
)
_INFINITE = "\\infty"


class Bounds(NamedTuple):
    """What lies between two bounds; ``variable`` is None for a bare interval."""

    variable: str | None
    lower: str
    upper: str
    lower_is_in: bool
    upper_is_in: bool


def condition(normal: str) -> str:
    r"""Return the condition of ``\{x : condition\}`` without ``|x|``; any other text as it is."""
    built = _BUILDER.fullmatch(normal)
    text = built["condition"].strip() if built else normal
    absolute = _ABSOLUTE.fullmatch(text)
    if not absolute:
        return text
    name, sign, bound = absolute.groups()
    if re.fullmatch(_LESS, sign):
        return f"-({bound}) {sign} {name} {sign} {bound}"
    turned = "<" if sign in _STRICT else "\\le"
    return f"{name} {turned} -({bound}) \\text{{ or }} {name} {sign} {bound}"


def with_round_brackets(normal: str) -> str:
    """Return ``(2, 3]`` for ``]2, 3]``, as intervals are written in French."""
    if "," not in normal and ";" not in normal:
        return normal
    return _OPENER.sub(r"\1(", _CLOSER.sub(")", normal))


def closed_infinities(normal: str) -> set[str]:
    """Which infinite ends are said to belong to an interval: "above", "below"."""
    return {str(found.lastgroup) for found in _CLOSED_INFINITY.finditer(normal)}


def split_domain(normal: str) -> tuple[str, str | None]:
    r"""Return ``\pi k`` and "Z" of ``\pi k, k \in \mathbb{Z}``; None if no domain is said."""
    match = _DOMAIN.search(normal)
    body = normal[: match.start()].strip() if match and match["lead"].strip() else ""
    if match is None or not body or _SIGN.search(body) or body.endswith(("=", "\\in", "(")):
        return normal, None
    return body, f"{match['set'] or 'Z'}{match['part'] or ''}"


def parse_bounds(normal: str) -> Bounds | None:
    """Parse an interval, a chain of inequalities or two that both hold; None for anything else."""
    text = with_round_brackets(condition(normal))
    parts = parse_parts(_BOTH.sub(" and ", text))
    if parts is None:
        return _relation(text)
    if len(parts.parts) != 2:
        return None
    if parts.opening in ("(", "[") and parts.closing in (")", "]"):
        ends = parts.opening == "[", parts.closing == "]"
        return Bounds(None, *parts.parts, *ends) if not _SIGN.search(text) else None
    if parts.opening == parts.closing == "":
        return _both(*map(_relation, parts.parts))
    return None


def _relation(text: str) -> Bounds | None:
    """Parse ``a < x``, ``x < b`` or ``a < x < b``, or the same turned around."""
    sides = [side.strip() for side in _SIGN.split(text)]
    terms, signs = sides[::2], sides[1::2]
    if not signs or len(signs) > 2 or not all(terms):
        return None
    rising = [bool(re.fullmatch(_LESS, sign)) for sign in signs]
    if not all(rising):
        if any(rising):
            return None
        terms, signs = terms[::-1], signs[::-1]
    is_in = [sign not in _STRICT for sign in signs]
    names = [bool(_VARIABLE.fullmatch(term)) for term in terms]
    if len(terms) == 3:
        return Bounds(terms[1], terms[0], terms[2], *is_in) if names[1] else None
    if names[0] and not names[1]:
        return Bounds(terms[0], f"-{_INFINITE}", terms[1], False, is_in[0])
    if names[1] and not names[0]:
        return Bounds(terms[1], terms[0], _INFINITE, is_in[0], False)
    return None


def _both(one: Bounds | None, other: Bounds | None) -> Bounds | None:
    """Join a lower and an upper bound on the same variable."""
    if one is None or other is None or one.variable != other.variable:
        return None
    if one.lower == f"-{_INFINITE}":
        one, other = other, one
    if one.upper != _INFINITE or other.lower != f"-{_INFINITE}":
        return None
    return Bounds(one.variable, one.lower, other.upper, one.lower_is_in, other.upper_is_in)
