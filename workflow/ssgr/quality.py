"""Measured quality of a response: what selection's thresholds look at.

The columns are facts; what counts as repetitive or as lacking reasoning is decided later (paper
section 4, "low-quality responses"). Repetition is measured on token ids, in linear time (up to one
sort): a reasoning trace may have 32k tokens, and a pool a quarter of a million of traces.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TokenIds = NDArray[np.integer]

NGRAM = 20
PERIODS = 3


@dataclass(frozen=True)
class Quality:
    """The quality columns of a Grades row; shares are in [0, 1]."""

    finished: bool
    has_thinking: bool
    has_answer: bool
    thinking_tokens: int
    rep_20: float
    loop_share: float


def measure(
    text: str,
    token_ids: TokenIds,
    *,
    finished: bool,
    has_answer: bool,
    think_open: str = "<think>",
    think_close: str = "</think>",
) -> Quality:
    """Measure one response.

    Args:
        text: the response, decoded.
        token_ids: [tokens], with the end token if ``finished``.
        finished: it ended by itself, not at the token limit.
        has_answer: grading found an answer in the expected format after ``think_close``.
        think_open: the tag before the thinking; the prompt may have written it already.
        think_close: the tag after the thinking; empty for a model that does not think.
    """
    thinking, closed = _thinking(text, think_close)
    content = thinking.replace(think_open, "") if think_open else thinking
    spoken = token_ids[:-1] if finished else token_ids  # the end token would end a loop
    return Quality(
        finished=finished,
        has_thinking=closed and bool(content.strip()),
        has_answer=has_answer,
        thinking_tokens=thinking_tokens(text, len(token_ids), finished, think_close),
        rep_20=repetition(spoken),
        loop_share=loop_share(spoken),
    )


def _thinking(text: str, think_close: str) -> tuple[str, bool]:
    """Return the text before the last closing tag, and whether there is one."""
    if not think_close:
        return "", False
    thinking, tag, _ = text.rpartition(think_close)
    return thinking, bool(tag)


def thinking_tokens(text: str, tokens: int, finished: bool, think_close: str = "</think>") -> int:
    """Estimate the tokens before ``think_close`` by their share of the characters.

    Without the tag: all tokens if the response was truncated (it was still thinking), none if it
    finished. The share of characters needs no tokenizer, and is exact but for the density of
    tokens, which differs little between a response's thinking and its answer.
    """
    thinking, closed = _thinking(text, think_close)
    if closed:
        return round(tokens * len(thinking) / len(text))
    return 0 if finished or not think_close else tokens


def repetition(token_ids: TokenIds, n: int = NGRAM) -> float:
    """Return rep-n = 1 - unique / total n-grams; 0 with fewer than n tokens.

    The n-grams are compared by a 64-bit hash: of 32k of them, two unlike ones share a hash with
    a probability of about 3e-11.
    """
    total = len(token_ids) - n + 1
    if total < 1:
        return 0.0
    mixed = _mix(token_ids.astype(np.uint64))
    hashes = np.zeros(total, dtype=np.uint64)
    for offset in range(n):  # a polynomial in an odd base, modulo 2^64
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + mixed[offset : offset + total]
    hashes.sort()
    return float(np.count_nonzero(hashes[1:] == hashes[:-1]) / total)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread token ids over 64 bits (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def loop_share(token_ids: TokenIds, periods: int = PERIODS) -> float:
    """Return the share of the tokens in the longest periodic suffix of ``periods`` or more periods.

    0 if there is none. The last period may be incomplete: a loop is cut anywhere.
    """
    reversed_ids: list[int] = token_ids[::-1].tolist()
    length = len(reversed_ids)
    if length < periods:
        return 0.0
    agreement = _agreement(reversed_ids, length // periods)
    covered = (
        period + matched
        for period, matched in enumerate(agreement, start=1)
        if period + matched >= periods * period
    )
    return max(covered, default=0) / length


def _agreement(sequence: list[int], shifts: int) -> list[int]:
    """Return, for each shift of 1..shifts, how many tokens agree with the shifted sequence.

    The Z-function, linear in the length: ``[left, right)`` is the rightmost stretch that is known
    to equal the start, so that agreement inside it is read off instead of compared.
    """
    length = len(sequence)
    agreement = [length]
    left = right = 0
    for shift in range(1, shifts + 1):
        matched = min(right - shift, agreement[shift - left]) if shift < right else 0
        while shift + matched < length and sequence[matched] == sequence[shift + matched]:
            matched += 1
        if shift + matched > right:
            left, right = shift, shift + matched
        agreement.append(matched)
    return agreement[1:]
