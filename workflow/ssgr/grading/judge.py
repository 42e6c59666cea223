"""One verdict: extraction, then the first step of a method that can decide.

The quick steps (microseconds, bounded whatever the input) run in the calling process; what they
leave open is judged by math-verify in a child process that is killed at a time limit.
"""

import re
import time

from ssgr.config.conventions import DEFAULT, Conventions
from ssgr.grading.extraction import after_thinking
from ssgr.grading.golds import read_gold
from ssgr.grading.methods import find_method
from ssgr.grading.verdict import Verdict, VerdictName

LONGEST_RESPONSE = 2_000_000
"""Characters, from the end, that are searched for an answer (32k tokens have about 150,000)."""
LONGEST = 5000
"""Characters of the longest answer that is looked at; a longer one is right only if it is the
gold, letter by letter."""
DEEPEST = 30
"""Brackets in brackets, likewise: computer algebra takes minutes for deeply nested fractions."""


def extract(
    response: str,
    method: str = "math",
    think_close: str | None = "</think>",
    conventions: Conventions = DEFAULT,
    *,
    think_open: str = "<think>",
    thinking: str | None = "required",
) -> str | None:
    """Return the answer in the method's format after the last ``think_close``, or None.

    A response without ``think_close`` has none, unless ``thinking`` is "if-tagged" (None: the
    conventions') and it has no ``think_open`` either.
    """
    required = (thinking or conventions.thinking) == "required"
    text = after_thinking(response, think_close, None if required else think_open)
    if text is None:
        return None
    return find_method(method).extract(text[-LONGEST_RESPONSE:], conventions)


def judge_quickly(
    gold: str, answer: str | None, method: str = "math", conventions: Conventions = DEFAULT
) -> Verdict | None:
    """Judge by the steps that take microseconds; None if only math-verify can decide."""
    start = time.perf_counter()
    decision = _decide(gold, answer, method, conventions)
    if decision is None:
        return None
    return Verdict(answer, *decision, (time.perf_counter() - start) * 1000)


def _decide(
    gold: str, answer: str | None, method: str, conventions: Conventions
) -> tuple[VerdictName, str] | None:
    asked = find_method(method)
    if answer is None or not answer.strip():
        return "no-answer", "extraction"
    gold, conventions = read_gold(gold, conventions)
    if answer == gold and gold.strip() and "exact" in asked.steps and not conventions.integer_range:
        return "correct", "exact"
    if max(len(gold), len(answer)) > LONGEST or _nesting(answer) > DEEPEST:
        return "wrong", "size"
    for name, step in asked.steps.items():
        verdict = step(gold, answer, conventions)
        if verdict is not None:
            return verdict, name
    return None if asked.math_verify else ("wrong", next(reversed(asked.steps)))


def _nesting(text: str) -> int:
    depth = deepest = 0
    for bracket in re.findall(r"[(\[{}\])]", text):
        depth += 1 if bracket in "([{" else -1
        deepest = max(deepest, depth)
    return deepest
