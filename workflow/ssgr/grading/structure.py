r"""Answers with parts: lists, tuples, sets, intervals, unions, matrices, equations.

Which parts there are, and whether their order counts, is settled here and by the conventions;
the parts themselves are judged as answers of their own. Linear in the length of the text.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

MOST_PARTS = 200
"""A longer list is compared in order only: matching any order takes the square of its length."""

_TOKEN = re.compile(
    r"\\begin\s*\{[a-zA-Z*]+\}(?:\{[^{}]*\})?|\\end\s*\{[a-zA-Z*]+\}|\\\\|\\[{}]"
    r"|\\(?:left|right|bigl?|bigr|Bigl?|Bigr)(?![a-zA-Z])|\\cup(?![a-zA-Z])|\\[lr]angle(?![a-zA-Z])"
    r"|(?P<word>,?\s*\\(?:text|mathrm|textrm|mbox)\s*\{,?\s*(?:and|or),?\s*\}"
    r"|,?\s*(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z]))"
    r"|\\[a-zA-Z]+|[()\[\]{},;&=]"
)
_LIST_GROUP = re.compile(r"(?<![\d,.])[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d)")
_TIGHT_LIST = re.compile(r",(?! )")
_OPENERS = {"(": "(", "[": "[", "{": "{", "\\{": "{", "\\langle": "("}
_CLOSERS = {")": ")", "]": "]", "}": "}", "\\}": "}", "\\rangle": ")"}
_LISTS = frozenset(("", "(", "[", "{"))
_SEPARATORS = dict.fromkeys(_LISTS, (",", ";")) | {
    "union": ("\\cup",),
    "matrix": ("\\\\",),
    "row": ("&",),
    "=": ("=",),
}
_ASSIGNED = re.compile(
    r"\s*[a-zA-Z](?:_\{?\w\}?)?(?:\([a-zA-Z]\))?\s*(?:=|\\in(?![a-zA-Z]))\s*(?!=)"
)
_WHOLE_TEXT = re.compile(r"\\(?:text|mathrm|textrm|mbox)\s*\{([^{}]*)\}")
_ALTERNATIVES = re.compile(r"(?:(?!\band\b)[^,;])*\bor\b(?:(?!\band\b)[^,;])*")
_BRACKETED = re.compile(r"[(\[][^()\[\]]*[)\]]")
_PLUS_OR_MINUS = re.compile(r"\\pm(?![a-zA-Z])")


class Parts(NamedTuple):
    """The parts of an answer; ``opening`` and ``closing`` are brackets, or name what joins them."""

    opening: str
    parts: tuple[str, ...]
    closing: str

    @property
    def is_set(self) -> bool:
        """A list without brackets, or with braces."""
        return self.opening in ("", "{", "union")


def parse_parts(normal: str) -> Parts | None:
    r"""Take a normalised answer apart; None for one that has no parts.

    ``2, 3`` has opening and closing "", ``2 \text{ or } 3`` closing "or", ``[0, 1)`` has "[" and
    ")", a matrix "matrix" and how long its rows are, ``A \cup B`` "union".
    """
    whole = _WHOLE_TEXT.fullmatch(normal)
    text = whole[1] if whole else normal
    while assigned := _ASSIGNED.match(text):
        rest = text[assigned.end() :]
        if "=" in rest:
            break
        text = rest
    outer = _outer(text)
    if outer is not None:
        opening, inside, closing = outer
        if opening == "matrix":
            rows = [_split(row, "row") for row in _split(inside, "matrix")]
            if r"\begin{cases}" in text and all(len(row) == 1 for row in rows):
                return Parts("", tuple(row[0].rstrip(" ,;") for row in rows), "")  # all hold
            cells = tuple(cell for row in rows for cell in row)
            return Parts(opening, cells, f"rows of {[len(row) for row in rows]}")
        parts = _split(inside, opening)
        if len(parts) > 1 or opening == "{":
            return Parts(opening, parts, closing)
        return parse_parts(inside) if opening == "(" else None
    if len(united := _split(text, "union")) > 1:
        return Parts("union", united, "union")
    if len(parts := _split(text, "")) > 1:
        return Parts("", parts, "or" if _ALTERNATIVES.fullmatch(_BRACKETED.sub("", text)) else "")
    if len(both := _PLUS_OR_MINUS.split(text)) == 2:
        return Parts("", (f"{both[0]}+{both[1]}", f"{both[0]}-{both[1]}"), "")
    return None


def _outer(text: str) -> tuple[str, str, str] | None:
    """The brackets or environment around the whole text, and what is inside."""
    depth, start, opening = 0, -1, ""
    for match in _TOKEN.finditer(text):
        token = match[0]
        opens = token in _OPENERS or token.startswith("\\begin")
        if depth == 0 and not opens and not token.startswith(("\\left", "\\big", "\\Big")):
            return None
        if opens:
            if depth == 0:
                if "vmatrix" in token:  # a determinant is a number
                    return None
                if text[: match.start()].replace("\\left", "").strip() or start >= 0:
                    return None
                start, opening = match.end(), _OPENERS.get(token, "matrix")
            depth += 1
        elif token in _CLOSERS or token.startswith("\\end"):
            depth -= 1
            if depth == 0:
                inside = text[start : match.start()].removesuffix("\\right")
                whole = not text[match.end() :].strip()
                return (opening, inside, _CLOSERS.get(token, "matrix")) if whole else None
    return None


def _split(text: str, kind: str) -> tuple[str, ...]:
    """Split at the separators of the kind that are in no bracket of the text."""
    if kind not in ("matrix", "row") and re.search(r",\s", text):
        text = _LIST_GROUP.sub(lambda group: group[0].replace(",", ""), text)
    parts: list[str] = []
    depth = start = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in _OPENERS or token.startswith("\\begin"):
            depth += 1
        elif token in _CLOSERS or token.startswith("\\end"):
            depth -= 1
        elif depth == 0 and (token in _SEPARATORS[kind] or (match["word"] and kind in _LISTS)):
            parts.append(text[start : match.start()].strip())
            start = match.end()
    parts.append(text[start:].strip())
    return tuple(part for part in parts if part)


def with_joined_thousands(text: str) -> str:
    """Return an answer without the commas between thousands: ``1234x`` for ``1,234x``.

    A comma may also part a list: where others do without a space, in a bracket that holds nothing
    else, as (100,200), and where the whole answer is one, nothing is joined.
    """
    if "," not in text or _TIGHT_LIST.search(_LIST_GROUP.sub("", text)):
        return text

    def joined(match: re.Match[str]) -> str:
        before, after = text[: match.start()].rstrip()[-1:], text[match.end() :].lstrip()[:1]
        pair = before in ("(", "[", "{") and after in (")", "]", "\\") and ",0" not in match[0]
        return match[0] if pair else match[0].replace(",", "")

    return _LIST_GROUP.sub(joined, text)


def without_braces(text: str) -> str:
    """Return a text that is grouped as a whole without its braces; a list in braces is a set."""
    while text.startswith("{") and (outer := _outer(text)) and outer[0] == "{":
        if len(_split(outer[1], "{")) > 1:
            break
        text = outer[1].strip()
    return text


def sides(equation: str) -> tuple[str, ...]:
    """Return the sides of an equation, one for an expression."""
    return _split(equation, "=")


def last_set(text: str) -> str:
    """Return the last side of a chain of equal sets or tuples; any other text as it is."""
    if "=" not in text or len(chain := sides(text)) < 2 or len(_split(text, "")) > 1:
        return text
    last = parse_parts(chain[-1])
    return chain[-1] if last and last.opening in ("{", "[", "(", "union") else text


Same = Callable[[str, str], bool]


def same_parts(gold: Sequence[str], answer: Sequence[str], same: Same, *, ordered: bool) -> bool:
    """Whether the parts are the same, each once, by ``same``."""
    if len(gold) != len(answer):
        return False
    if ordered or len(gold) > MOST_PARTS:
        return all(map(same, gold, answer))
    rest = list(answer)
    for part in gold:
        found = next((index for index, other in enumerate(rest) if same(part, other)), None)
        if found is None:
            return False
        del rest[found]
    return True
