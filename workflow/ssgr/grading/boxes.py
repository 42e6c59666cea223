r"""Find ``\boxed{}`` in a text, in time linear in its length.

Prose names the command, too ("I put it within \boxed as asked"): such a mention is no answer.
"""

import re

from ssgr.grading.wrapping import unwrapped

# backslashes may come doubled; a run is looked at once, from its start (else quadratic)
_BOX = r"(?<!\\)\\++(?:begin)?(?:boxed|fbox)"
# an opening box, an escaped character (so that \{ does not count, but \\{ does), or a brace
_BRACES = re.compile(rf"(?P<box>{_BOX}\s*\{{)|\\.|[{{}}]", re.DOTALL)
_BARE_BOX = re.compile(rf"{_BOX}(?![a-zA-Z])\s*(?!\{{)(?P<answer>(?:[^\s${{}}]|\{{[^{{}}]*\}})+)")
_INNER_BOX = re.compile(rf"{_BOX}(?![a-zA-Z])")

_PROSE = re.compile(
    r"above|an|and|answer|around|as|at|because|below|box|by|command|environment|expression|for|form|"
    r"format|formatting|from|here|in|inside|is|it|like|macro|notation|of|on|or|per|required|"
    r"requested|so|style|syntax|tag|that|the|this|to|was|with",
    re.IGNORECASE,
)
"""What follows a bare command that is only named; one letter may as well be what it boxes."""
_QUOTES = "{}`'\"*_()[]<>\u2018\u2019\u201c\u201d,.;:!?\\-"
_WORD = re.compile(r"[a-zA-Z][a-z]+")
_GOES_ON = re.compile(r"\s+[a-z]{2}")
_PLACEHOLDER = re.compile(
    r"(?:\\text\{)?[<\[]?\s*(?:(?:the|your|my)\s+)?(?:final\s+)?answer(?:\s+here)?\s*[>\]]?\}?"
    r"|\.{2,}|\u2026|\\[lc]?dots",
    re.IGNORECASE,
)
_NAMED = re.compile(r"\b(?:in|within|inside|using|uses?|used|with|via|by|an?|the)[\s`\"'$(]*$")
_NAMED_AFTER = re.compile(
    r"[\s`\"'$)]*(?:as|formats?|notation|commands?|environment|macro|tag|style|syntax|is|was)\b"
)
_NEAR = 30  # characters beside a box that say whether it is only named

_JOINING_SPACE = re.compile(r"\$+|\\[()\[\]]|\\q?quad(?![a-zA-Z])|\s+")
_JOINING_WORDS = re.compile(r"[,;&]?(?:(?:\\text\{)?(?:and|or)\}?)?|\\text\{[^{}]*(?:and|or|,)\}")


def find_boxes(text: str, *, unclosed: bool = False) -> list[tuple[int, int, str]]:
    r"""Return every outermost balanced ``\boxed{}`` / ``\fbox{}`` / ``\boxed 2``.

    Each as where it starts and ends (with its braces) and its content, which may be empty.
    ``unclosed``: a last box that lacks its closing brace goes to the end of the text.
    """
    opened: list[tuple[int, int] | None] = []  # per open brace: its box's start and content
    boxes: list[tuple[int, int, str]] = []
    for match in _BRACES.finditer(text):
        if match["box"]:
            opened.append((match.start(), match.end()))
        elif match[0] == "{":
            opened.append(None)
        elif match[0] == "}" and opened and (inside := opened.pop()):
            while boxes and boxes[-1][0] >= inside[0]:  # boxes inside this one
                boxes.pop()
            boxes.append((inside[0], match.end(), text[inside[1] : match.start()]))
    for match in _BARE_BOX.finditer(text, boxes[-1][1] if boxes else 0):
        if not _names(text, match):
            boxes.append((match.start(), match.end(), match["answer"].rstrip(".,;:)]\\")))
    if unclosed and (still := next((inside for inside in reversed(opened) if inside), None)):
        boxes.append((still[0], len(text), text[still[1] :].rstrip(" \n$")))
    read = [(start, end, unwrapped(_INNER_BOX.sub("", inside))) for start, end, inside in boxes]
    answers = [box for box in read if not _may_name(text, *box)]
    return answers if any(content for *_, content in answers) else read


def _names(text: str, bare: re.Match[str]) -> bool:
    """Whether a command without braces is only named, whatever else the text holds."""
    word = bare["answer"].strip(_QUOTES)
    if word in ("a", "I"):
        return bool(_GOES_ON.match(text, bare.end()))
    return not word or bool(_PROSE.fullmatch(word))


def _may_name(text: str, start: int, end: int, content: str) -> bool:
    """Whether a box is likely to be only named, if the text holds another."""
    if not content:
        before, after = text[max(0, start - _NEAR) : start], text[end : end + _NEAR]
        return bool(_NAMED.search(before) or _NAMED_AFTER.match(after))
    if "{" not in text[start:end]:
        return bool(_WORD.fullmatch(content))
    return bool(_PLACEHOLDER.fullmatch(content))


def last_box(text: str) -> str | None:
    r"""Return the content of the last box, the outermost where they nest; None if it is empty."""
    boxes = find_boxes(text)
    return boxes[-1][2] or None if boxes else None


def joined_boxes(text: str, *, unclosed: bool = False) -> str | None:
    """Return the last boxes that belong together, with commas between: see `Conventions.boxes`."""
    boxes = find_boxes(text, unclosed=unclosed)
    if not boxes:
        return None
    first = len(boxes) - 1
    while first and _joins(text[boxes[first - 1][1] : boxes[first][0]]):
        first -= 1
    return ", ".join(content for _, _, content in boxes[first:] if content) or None


def _joins(between: str) -> bool:
    return len(between) < 200 and bool(_JOINING_WORDS.fullmatch(_JOINING_SPACE.sub("", between)))
