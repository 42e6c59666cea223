"""Verdicts per second of the ladder, against math-verify called on each whole response.

    PYTHONPATH=workflow python tests/benchmarks/grading_speed.py

What is measured, on one core each: short numeric answers judged for the first time and again
(from caches), both by the quick steps; math-verify's own `parse` and `verify` on the responses of
the same answers; and answers that need the child process.
"""

import logging
import random
import time
from collections.abc import Callable

import math_verify

from ssgr.grading import judge_response
from ssgr.grading.judge import extract
from ssgr.grading.workers import judge_pairs

COUNT = 20_000
BY_MATH_VERIFY = 300
THOUGHT = "Okay, so I need to work this out. Let me set up the quantities first. Hmm, wait. " * 10


def responses(generator: random.Random) -> list[tuple[str, str]]:
    """Golds, and responses whose answer is a short number in some notation."""
    made = []
    for _ in range(COUNT):
        value = generator.randrange(2, 5000)
        given = value if generator.random() < 0.6 else value + generator.randrange(1, 9)
        forms = (f"{given}", f"{given:,}", f"{given}.0", f"{2 * given}/2", rf"{given}\text{{ cm}}")
        made.append(
            (f"{value}", f"{THOUGHT}</think>\nSo it is \\boxed{{{generator.choice(forms)}}}.")
        )
    return made


def rate(count: int, run: Callable[[], object]) -> float:
    """Return how many a second."""
    start = time.perf_counter()
    run()
    return count / (time.perf_counter() - start)


def by_math_verify(made: list[tuple[str, str]]) -> list[bool]:
    """What one would do without this package."""
    return [
        math_verify.verify(math_verify.parse(f"${gold}$"), math_verify.parse(response))
        for gold, response in made
    ]


def main() -> None:
    """Measure and print."""
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    made = responses(random.Random(0))
    pairs = [(gold, extract(response)) for gold, response in made]
    first = rate(COUNT, lambda: judge_pairs(pairs))
    again = rate(COUNT, lambda: judge_pairs(pairs))
    whole = rate(COUNT, lambda: [judge_response(gold, response) for gold, response in made])
    by_math_verify(made[:5])  # sympy loads
    theirs = rate(BY_MATH_VERIFY, lambda: by_math_verify(made[:BY_MATH_VERIFY]))
    algebra = [(f"x+{k}", f"{k}+x") for k in range(200)]
    judge_pairs([("x", "1+x")])  # the child starts
    slow = rate(len(algebra), lambda: judge_pairs(algebra))
    print(f"pairs (gold, answer), first time   {first:10,.0f} /s")
    print(f"pairs (gold, answer), again        {again:10,.0f} /s")
    print(f"whole responses (extract + judge)  {whole:10,.0f} /s = {whole / theirs:.0f}x")
    print(f"math-verify on each response       {theirs:10,.0f} /s")
    print(f"pairs that need math-verify        {slow:10,.0f} /s (one child)")


if __name__ == "__main__":
    main()
