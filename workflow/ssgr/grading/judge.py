"""One verdict: the ladder exact -> numeric -> math-verify, or the letter of a choice.

The first step that can decide does. The quick steps (microseconds, bounded whatever the input)
are apart from the slow one, so that the pool spends child processes on the slow one alone.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ssgr.errors import ConfigError
from ssgr.grading.answers import after_thinking, choice_letter, last_box, normalise, spelling
from ssgr.grading.numbers import parse_number

VerdictName = Literal["correct", "wrong", "no-answer", "timed-out", "unparsable-gold"]


@dataclass(frozen=True)
class Verdict:
    """A judgement as data.

    ``method`` names the step that decided (extraction, exact, numeric, math-verify, choice);
    ``milliseconds`` is the time it took when it was made (equal pairs of a pool share one).
    """

    extracted: str | None
    verdict: VerdictName
    method: str
    milliseconds: float


Decision = tuple[VerdictName, str]


@dataclass(frozen=True)
class Method:
    """How a benchmark is judged.

    ``extract`` finds the answer in the text after thinking; ``quick`` decides on (gold, answer)
    or returns None, which leaves the pair to math-verify.
    """

    extract: Callable[[str], str | None]
    quick: Callable[[str, str], Decision | None]


def _quick_math(gold: str, answer: str) -> Decision | None:
    right, given = normalise(gold), normalise(answer)
    if not right:
        return "unparsable-gold", "exact"
    if spelling(right) == spelling(given):
        return "correct", "exact"
    right_number, given_number = parse_number(right), parse_number(given)
    if right_number and given_number:
        return ("correct" if right_number.equals(given_number) else "wrong"), "numeric"
    return None


def _quick_choice(gold: str, answer: str) -> Decision | None:
    right = _letter(gold)
    if right is None:
        return "unparsable-gold", "choice"
    return ("correct" if right == _letter(answer) else "wrong"), "choice"


def _letter(answer: str) -> str | None:
    return choice_letter(answer) or choice_letter(rf"\boxed{{{answer}}}")


METHODS: dict[str, Method] = {
    "math": Method(extract=last_box, quick=_quick_math),
    "choice": Method(extract=choice_letter, quick=_quick_choice),
}


def find_method(name: str) -> Method:
    """Look up a grading method.

    Raises:
        ConfigError: there is none of that name; lists the names.
    """
    if name not in METHODS:
        raise ConfigError(f"unknown grading method {name!r}: expected one of {sorted(METHODS)}")
    return METHODS[name]


def extract(
    response: str, method: str = "math", think_close: str | None = "</think>"
) -> str | None:
    """Return the answer in the method's format after the last ``think_close``, or None."""
    answer_text = after_thinking(response, think_close)
    return None if answer_text is None else find_method(method).extract(answer_text)


def judge_quickly(gold: str, answer: str | None, method: str = "math") -> Verdict | None:
    """Judge by the steps that take microseconds; None if only math-verify can decide."""
    start = time.perf_counter()
    decide = find_method(method).quick
    decision: Decision | None = ("no-answer", "extraction")
    if answer is not None and answer.strip():
        decision = decide(gold, answer)
    if decision is None:
        return None
    return Verdict(answer, *decision, _milliseconds_since(start))


def judge_slowly(gold: str, answer: str) -> Verdict:
    """Judge by math-verify, for pairs that :func:`judge_quickly` left open. Not bounded in time."""
    from ssgr.grading.equality import equality  # imports sympy

    start = time.perf_counter()
    verdict = equality(normalise(gold), normalise(answer))
    return Verdict(answer, verdict, "math-verify", _milliseconds_since(start))


def judge(gold: str, answer: str | None, method: str = "math") -> Verdict:
    """Judge a bare answer in this process, without a time limit (the pool has one).

    Raises:
        ConfigError: unknown method.
    """
    return judge_quickly(gold, answer, method) or judge_slowly(gold, answer or "")


def judge_response(
    gold: str, response: str, method: str = "math", think_close: str | None = "</think>"
) -> Verdict:
    """Judge a whole response by its answer after the last ``think_close``.

    An empty or None ``think_close`` judges a model that does not think by its whole response.

    Raises:
        ConfigError: unknown method.
    """
    return judge(gold, extract(response, method, think_close), method)


def _milliseconds_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000
