"""Find the answer in a response and bring its notation to one form.

What a response's answer *is* decides every number of the project, so the rules stand alone here:
only the text after the last closing think tag counts, there only the last box, and in it only
notation (not value) is changed. Everything is linear in the length of the text.
"""

import re
import unicodedata
from functools import lru_cache

# backslashes may come doubled; a run is looked at once, from its start (else quadratic)
_BOX = r"(?<!\\)\\++(?:boxed|fbox)"
# an opening box, an escaped character (so that \{ does not count, but \\{ does), or a brace
_BRACES = re.compile(rf"(?P<box>{_BOX}\s*\{{)|\\.|[{{}}]", re.DOTALL)
_BARE_BOX = re.compile(rf"{_BOX}(?![a-zA-Z])\s*(?!\{{)(?P<answer>(?:[^\s${{}}]|\{{[^{{}}]*\}})+)")
_INNER_BOX = re.compile(rf"{_BOX}(?![a-zA-Z])")

_TEXT_COMMAND = r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox)\s*"
_WRAPPED_TEXT = re.compile(rf"{_TEXT_COMMAND}\{{([^{{}}]*)\}}")
_THOUSANDS_GAP = re.compile(r"(?<=\d)(?:\{,\}|,\\!|\\[,;:! ]|~)(?=\d{3}(?!\d))")
_DELIMITER = re.compile(r"(?<!\\)(?:\$+|\\[()\[\]])|\\\$")
_THIN_SPACE = re.compile(r"(?<!\\)\\[,;: ]|~")
_DOUBLED_BACKSLASH = re.compile(r"\\\\(?=[a-zA-Z])")

_BOXED_LETTER = re.compile(r"\(?([A-Ja-j])(?:[).:].*)?", re.DOTALL)
# simple-evals' ANSWER_PATTERN_MULTICHOICE, for up to ten options (not the I of "I think"), in bold
_ANSWER_LETTER = re.compile(r"(?i)Answer[ \t*]*:[ \t*$(]*(?!I\b[ \t']*[a-z])([A-J])\b")

_SYMBOLS = {
    "\N{DEGREE SIGN}": r"^\circ ",
    "\N{SUPERSCRIPT TWO}": "^{2}",
    "\N{SUPERSCRIPT THREE}": "^{3}",
    "\N{GREEK SMALL LETTER PI}": r"\pi ",
    "\N{MULTIPLICATION SIGN}": r"\times ",
    "\N{MIDDLE DOT}": r"\cdot ",
    "\N{INFINITY}": r"\infty ",
    "\N{LESS-THAN OR EQUAL TO}": r"\le ",
    "\N{GREATER-THAN OR EQUAL TO}": r"\ge ",
    "\N{NOT EQUAL TO}": r"\ne ",
    "\N{UNION}": r"\cup ",
}


def _character_table() -> dict[int, str]:
    """Unicode look-alikes of plain LaTeX: full-width forms, spaces, minus signs, fractions."""
    table = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    table |= dict.fromkeys(map(ord, "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad"), "")
    table |= dict.fromkeys([0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " ")
    table |= dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212"), "-")
    for character in "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞":
        top, bottom = unicodedata.normalize("NFKC", character).split("\u2044")
        table[ord(character)] = rf"\frac{{{top}}}{{{bottom}}}"
    return table | {ord(character): latex for character, latex in _SYMBOLS.items()}


_CHARACTERS = _character_table()


def after_thinking(response: str, think_close: str | None) -> str | None:
    """Return the text after the last ``think_close``, None if the tag is absent.

    A prompt may end with the opening tag, so a truncated response holds no tag at all: falling
    back to the whole text would judge its unfinished thoughts. An empty or None ``think_close``
    says that the model does not think: the whole response counts.
    """
    if not think_close:
        return response
    _, tag, answer = response.rpartition(think_close)
    return answer if tag else None


def last_box(text: str) -> str | None:
    r"""Return the content of the last balanced ``\boxed{}`` / ``\fbox{}`` / ``\boxed 2``.

    The outermost one where boxes nest. None if there is no box or it is empty.
    """
    opened: list[int | None] = []  # per open brace: where its box's content starts, if it is one
    start = end = -1
    for match in _BRACES.finditer(text):
        if match["box"]:
            opened.append(match.end())
        elif match[0] == "{":
            opened.append(None)
        elif match[0] == "}" and opened:
            inside = opened.pop()
            if inside is not None:
                start, end = inside, match.start()
    content = text[start:end] if end >= 0 else ""
    for match in _BARE_BOX.finditer(text, max(end, 0)):
        content = match["answer"].rstrip(".,;:)]\\")
    return _INNER_BOX.sub("", content).strip() or None


def choice_letter(text: str) -> str | None:
    """Return the chosen option: the last boxed letter, else the last ``Answer: LETTER``."""
    box = last_box(text)
    if box is not None:
        bare = normalise(_WRAPPED_TEXT.sub(r"\1", box)).strip("*{} ")
        if match := _BOXED_LETTER.fullmatch(bare):
            return match[1].upper()
    letters = _ANSWER_LETTER.findall(text.translate(_CHARACTERS))
    return letters[-1].upper() if letters else None


@lru_cache(maxsize=4096)
def normalise(answer: str) -> str:
    r"""Return the same value in plain LaTeX: no look-alike characters, no ``$``, no thin spaces.

    If the text holds a box (some golds do), its content. Thousands written ``27\,648`` or
    ``10{,}000`` are joined; commas stay, since ``(100,200)`` is a pair.
    """
    text = answer.translate(_CHARACTERS)
    text = last_box(text) or text
    if r"\begin" not in text:  # there \\ ends a row
        text = _DOUBLED_BACKSLASH.sub(r"\\", text)
    text = _THOUSANDS_GAP.sub("", text)
    text = _DELIMITER.sub("", text).replace(r"\!", "")
    text = _THIN_SPACE.sub(" ", text).replace("{,}", ",")
    return text.strip().removesuffix(".").rstrip()


_LAYOUT = re.compile(r"\\(?:left|right|displaystyle|bigl?|bigr)(?![a-zA-Z])")
_FRACTION = re.compile(r"\\[dtc]frac(?![a-zA-Z])")
_SPACE = re.compile(r"(?<![0-9a-zA-Z]) | (?![0-9a-zA-Z])")
_WHOLE_TEXT = re.compile(rf"{_TEXT_COMMAND}\{{\s*([^{{}}]*?)\s*\}}")


def spelling(normal: str) -> str:
    r"""Return a normalised answer without layout: two answers spelled alike are equal.

    Layout is ``\left``, the size of a fraction, ``\text{}`` around the whole, and spaces, except
    between two letters or digits (``1 1/2`` is not ``11/2``).
    """
    text = _FRACTION.sub(r"\\frac", _LAYOUT.sub("", normal))
    text = _SPACE.sub("", " ".join(text.split()))
    whole = _WHOLE_TEXT.fullmatch(text)
    return whole[1] if whole else text
