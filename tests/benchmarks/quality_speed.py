"""Milliseconds of the quality measures on one response of 32k tokens, against plain Python.

    PYTHONPATH=workflow python tests/benchmarks/quality_speed.py

The other way is a set of n-gram tuples (as open-r1 and trl count them) with a Z-function in Python.
Both are timed in turn in one process, so that a loaded machine slows both down; the least and the
median of the rounds are printed.
"""

import time
from collections.abc import Callable
from statistics import median

import numpy as np
from numpy.typing import NDArray

from ssgr.grading.quality import NGRAM, PERIODS, loop_share, measure, repetition

TOKENS = 32_768
ROUNDS = 15
Ids = NDArray[np.int32]


def responses() -> dict[str, Ids]:
    """Token ids as skewed as text's, without and with loops."""
    generator = np.random.default_rng(0)
    text = (generator.zipf(1.3, TOKENS) % 30_000).astype(np.int32)
    looped = text.copy()
    looped[TOKENS // 4 :] = np.resize(text[:40], TOKENS - TOKENS // 4)
    return {"text": text, "loop of 40": looped, "one token": np.full(TOKENS, 7, np.int32)}


def ngram_set(ids: Ids) -> float:
    """rep-n by a set of tuples."""
    tokens = ids.tolist()
    ngrams = list(zip(*(tokens[start:] for start in range(NGRAM)), strict=False))
    return 1 - len(set(ngrams)) / len(ngrams)


def z_function(ids: Ids) -> float:
    """The longest periodic suffix by the Z-function of the reversed tokens, in Python."""
    tokens: list[int] = ids[::-1].tolist()
    length, agreement, covered = len(tokens), [len(tokens)], 0
    left = right = 0
    for shift in range(1, length // PERIODS + 1):
        matched = min(right - shift, agreement[shift - left]) if shift < right else 0
        while shift + matched < length and tokens[matched] == tokens[shift + matched]:
            matched += 1
        if shift + matched > right:
            left, right = shift, shift + matched
        agreement.append(matched)
        if shift + matched >= PERIODS * shift:
            covered = max(covered, shift + matched)
    return covered / length


WAYS: dict[str, Callable[[Ids], tuple[float, float]]] = {
    "set of tuples + Z-function": lambda ids: (ngram_set(ids), z_function(ids)),
    "ssgr": lambda ids: (repetition(ids), loop_share(ids)),
}


def main() -> None:
    """Measure and print."""
    for name, ids in responses().items():
        results = {way: run(ids) for way, run in WAYS.items()}
        assert np.ptp(list(results.values()), axis=0).max() < 1e-9, results
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(ROUNDS):
            for way, run in WAYS.items():
                start = time.perf_counter()
                run(ids)
                times[way].append(1000 * (time.perf_counter() - start))
        for way, spent in times.items():
            ratio = median(times[way]) / median(times["ssgr"])
            print(f"{name:10} {way:27} {min(spent):7.2f} {median(spent):7.2f} ms = {ratio:5.1f}x")
    thought = "Okay, so I need to work this out. Hmm, wait. " * 3_000 + "</think> It is \\boxed{4}."
    ids, spent = responses()["text"], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        measure(thought, ids, finished=True, has_answer=True)
        spent.append(1000 * (time.perf_counter() - start))
    print(f"all measures, {len(thought):,} characters  {min(spent):7.2f} {median(spent):7.2f} ms")


if __name__ == "__main__":
    main()
