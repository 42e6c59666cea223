r"""Find ``\boxed{}`` in a text, in time linear in its length."""

import re

# backslashes may come doubled; a run is looked at once, from its start (else quadratic)
_BOX = r"(?<!\\)\\++(?:begin)?(?:boxed|fbox)"
# an opening box, an escaped character (so that \{ does not count, but \\{ does), or a brace
_BRACES = re.compile(rf"(?P<box>{_BOX}\s*\{{)|\\.|[{{}}]", re.DOTALL)
_BARE_BOX = re.compile(rf"{_BOX}(?![a-zA-Z])\s*(?!\{{)(?P<answer>(?:[^\s${{}}]|\{{[^{{}}]*\}})+)")
_INNER_BOX = re.compile(rf"{_BOX}(?![a-zA-Z])")

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
        boxes.append((match.start(), match.end(), match["answer"].rstrip(".,;:)]\\")))
    if unclosed and (still := next((inside for inside in reversed(opened) if inside), None)):
        boxes.append((still[0], len(text), text[still[1] :].rstrip(" \n$")))
    return [(start, end, _INNER_BOX.sub("", content).strip()) for start, end, content in boxes]


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
