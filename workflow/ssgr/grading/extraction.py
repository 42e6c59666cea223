"""Find the answer in a response.

What a response's answer *is* decides every number of the project, so the rules stand alone here:
only the text after the last closing think tag counts, and there only the last box, unless the
conventions say otherwise. Everything is linear in the length of the text.
"""

import re
from collections import deque

from ssgr.config.conventions import DEFAULT, Conventions
from ssgr.grading.boxes import find_boxes, joined_boxes
from ssgr.grading.boxes import last_box as last_box
from ssgr.grading.characters import CHARACTERS
from ssgr.grading.prose import final_expression

_BOX_BEGINS = re.compile(r"boxed\s*\{")
_WRAPPED_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_BOXED_LETTER = re.compile(r"\(?([A-Za-z])(?:[).:].*)?", re.DOTALL)
# simple-evals' ANSWER_PATTERN_MULTICHOICE, for other numbers of options (not the I of "I think")
_ANSWER_LETTER = re.compile(r"(?i)Answer[ \t*]*:[ \t*$(]*(?!I\b[ \t']*[a-z])([A-Z])\b")
_LED_LETTER = re.compile(
    r"(?i:\b(?:answer|choice|option|letter)(?: is)?)[ \t*:]*[ \t*$(]*([A-Z])\b(?![ \t']+[a-z])"
)
_FIRST_LETTER = re.compile(r"\s*\(?([A-Z])(?:[).:]|\s*$|\s+[A-Z])")
_LONE_LETTER = re.compile(r"(?<![\w'])\(?([A-Z])\b(?!')(?![ \t]+[a-z])")


def after_thinking(
    response: str, think_close: str | None, think_open: str | None = None
) -> str | None:
    """Return the text after the last ``think_close``, None if the tag is absent.

    A prompt may end with the opening tag, so a truncated response holds no tag at all: falling
    back to the whole text would judge its unfinished thoughts. An empty or None ``think_close``
    says that the model does not think: the whole response counts. With ``think_open`` the closing
    tag is required only of a response that holds the opening one.
    """
    if not think_close:
        return response
    _, tag, answer = response.rpartition(think_close)
    if tag:
        return answer
    return response if think_open and think_open not in response else None


def boxed_answer(text: str, conventions: Conventions = DEFAULT) -> str | None:
    """Return a text's answer by the conventions on boxes and on answers without one."""
    unclosed = conventions.unclosed_box
    if conventions.boxes == "joined":
        answer = joined_boxes(text, unclosed=unclosed)
    else:
        boxes = find_boxes(text, unclosed=unclosed)
        answer = boxes[-1][2] or None if boxes else None
        if boxes:
            return answer
    if answer is None and conventions.unboxed == "final" and not _BOX_BEGINS.search(text):
        return final_expression(text)
    return answer


def choice_letter(text: str, conventions: Conventions = DEFAULT) -> str | None:
    """Return the chosen option: the last boxed letter, else one by `Conventions.unboxed_letter`."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: conventions.options]
    box = last_box(text)
    if box is not None:
        bare = _WRAPPED_TEXT.sub(r"\1", box).translate(CHARACTERS).strip("*{}$ .")
        if (match := _BOXED_LETTER.fullmatch(bare)) and match[1].upper() in letters:
            return match[1].upper()
    plain = text.translate(CHARACTERS)
    return _last(_ANSWER_LETTER, plain, letters) or (
        _unmarked_letter(plain, letters) if conventions.unboxed_letter == "anywhere" else None
    )


def _unmarked_letter(text: str, letters: str) -> str | None:
    if led := _last(_LED_LETTER, text, letters):
        return led
    if (first := _FIRST_LETTER.match(text)) and first[1] in letters:
        return first[1]
    return _last(_LONE_LETTER, text, letters)


def _last(pattern: re.Pattern[str], text: str, letters: str) -> str | None:
    found = [letter.upper() for letter in pattern.findall(text)]
    return next((letter for letter in reversed(found) if letter in letters), None)


def find_pattern(text: str, conventions: Conventions = DEFAULT) -> str | None:
    """Return the last match of `Conventions.pattern`, or of its first group."""
    found = deque(re.finditer(conventions.pattern, text), maxlen=1)
    return (found[0][1] if found[0].re.groups else found[0][0]) if found else None
