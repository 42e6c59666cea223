"""The part of a response that a person must see to confirm its verdict."""

import re
from collections import deque
from typing import NamedTuple

from ssgr.grading.boxes import find_boxes

BEFORE = 2500
"""Characters shown before the answer."""
AFTER = 800
"""Characters shown after it."""
SEARCHED = 20_000
"""Characters of the response's end in which its answer is looked for."""


class Excerpt(NamedTuple):
    """The end of a response: ``before`` + ``marked`` + ``after`` is one stretch of it.

    ``marked`` is the answer, or empty. ``cut_before`` and ``cut_after`` count characters left out.
    """

    before: str
    marked: str
    after: str
    cut_before: int
    cut_after: int


def around_answer(response: str, answer: str | None) -> Excerpt:
    """Return the end of a response around the answer that was read in it; else its very end."""
    end = len(response)
    place = _place(response[-SEARCHED:], answer)
    hidden = max(end - SEARCHED, 0)
    first, last = (hidden + place[0], hidden + place[1]) if place else (end, end)
    start, stop = max(first - BEFORE, 0), min(last + AFTER, end)
    return Excerpt(
        response[start:first], response[first:last], response[last:stop], start, end - stop
    )


def _place(text: str, answer: str | None) -> tuple[int, int] | None:
    """Where the answer is: the last box if it ends the answer (boxes may be joined), or a word."""
    if not answer:
        return None
    boxes = find_boxes(text, unclosed=True)
    if boxes and boxes[-1][2] and answer.endswith(boxes[-1][2]):
        return boxes[-1][:2]
    words = deque(re.finditer(rf"(?<!\w){re.escape(answer)}(?!\w)", text), maxlen=1)
    return words[0].span() if words else None
