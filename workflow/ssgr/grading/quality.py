"""Measured quality of a response: what selection's thresholds look at.

The columns are facts; what counts as repetitive, as lacking reasoning or as malformed is decided
later (paper section 4, "low-quality responses"). Repetition is measured on token ids, in vectors
and in linear time up to one sort: a reasoning trace may have 32k tokens, and a pool a quarter of a
million of traces.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssgr.grading.boxes import find_boxes, joined_boxes
from ssgr.grading.notation import normalise, spelling

TokenIds = NDArray[np.integer]
Hashes = NDArray[np.uint64]

NGRAM = 20
PERIODS = 3
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 2**64)
_MARKUP = " \t\n\r$.*\\)]}"
"""What may close a sentence with a box in it."""


@dataclass(frozen=True)
class Quality:
    """The quality columns of a Grades row; shares are in [0, 1].

    ``closed``: the closing think tag is there (or the model has none).
    ``has_thinking``: something stands before it; an answer without it lacks reasoning.
    ``has_answer``: there is an answer in the expected format after it.
    ``different_boxes``: boxes after it whose contents are spelled unlike, empty ones aside.
    ``tokens_after_box``: estimated, of the text after the last box, closing markup aside; None
    without a box. ``tokens_after_end``: after the first end token, of a finished response.
    ``rep_20``: repeated 20-grams. ``loop_share``: the looping end.
    """

    finished: bool
    closed: bool
    has_thinking: bool
    has_answer: bool
    thinking_tokens: int
    different_boxes: int
    tokens_after_box: int | None
    tokens_after_end: int
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
    join_boxes: bool = False,
) -> Quality:
    """Measure one response.

    Args:
        text: the response, decoded.
        token_ids: [tokens], with the end token if ``finished``.
        finished: it ended by itself, not at the token limit.
        has_answer: grading found an answer in the expected format after ``think_close``.
        think_open: the tag before the thinking; the prompt may have written it already.
        think_close: the tag after the thinking; empty for a model that does not think.
        join_boxes: the last boxes that belong together are one answer, see `Conventions.boxes`.
    """
    thinking, closed = _thinking(text, think_close)
    content = thinking.replace(think_open, "") if think_open else thinking
    answer = text[len(thinking) + len(think_close) :] if closed or not think_close else ""
    spoken = token_ids[:-1] if finished else token_ids  # the end token would end a loop
    return Quality(
        finished=finished,
        closed=closed or not think_close,
        has_thinking=closed and bool(content.strip()),
        has_answer=has_answer,
        thinking_tokens=thinking_tokens(text, len(token_ids), finished, think_close),
        different_boxes=different_boxes(answer, join_boxes),
        tokens_after_box=_tokens_after_box(answer, len(token_ids) / max(len(text), 1)),
        tokens_after_end=_tokens_after_end(token_ids) if finished else 0,
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


def different_boxes(answer: str, join: bool = False) -> int:
    """Return how many boxes differ in more than notation's layout; empty boxes do not count.

    With ``join`` the last boxes count as one where only a comma, `and` or `or` parts them.
    """
    boxes = [content for *_, content in find_boxes(answer) if content]
    if join and (last := joined_boxes(answer)):
        parts, length = 0, -len(", ")
        while length < len(last):
            parts += 1
            length += len(", ") + len(boxes[-parts])
        boxes[-parts:] = [last]
    return len({spelling(normalise(content)) for content in set(boxes)})


def _tokens_after_box(answer: str, tokens_per_character: float) -> int | None:
    boxes = find_boxes(answer)
    if not boxes:
        return None
    return round(len(answer[boxes[-1][1] :].strip(_MARKUP)) * tokens_per_character)


def _tokens_after_end(token_ids: TokenIds) -> int:
    """Count the tokens after the first one that equals the last, the end token."""
    return int(len(token_ids) - 1 - np.argmax(token_ids == token_ids[-1])) if len(token_ids) else 0


def repetition(token_ids: TokenIds, n: int = NGRAM) -> float:
    """Return rep-n = 1 - unique / total n-grams; 0 with fewer than n tokens.

    The n-grams are compared by a 64-bit hash: of 32k of them, two unlike ones share a hash with
    a probability of about 3e-11. A loop whose text varies within every n tokens goes unnoticed.
    """
    total = len(token_ids) - n + 1
    if total < 1:
        return 0.0
    prefixes = _prefix_hashes(token_ids)
    hashes = (prefixes[n:] - prefixes[:-n]) * _powers(_INVERSE, total)
    hashes.sort()
    return float(np.count_nonzero(hashes[1:] == hashes[:-1]) / total)


def loop_share(token_ids: TokenIds, periods: int = PERIODS) -> float:
    """Return the share of the tokens in the longest periodic suffix of ``periods`` or more periods.

    0 if there is none. The last period may be incomplete: a loop is cut anywhere. Hashes find the
    periods at which the end repeats, the tokens themselves say how far back each holds.
    """
    length = len(token_ids)
    if length < periods:
        return 0.0
    longest = 0
    candidates = _periods(token_ids, periods)
    while len(candidates):
        period = int(candidates[0])
        unlike = (token_ids[period:] != token_ids[: length - period])[::-1]
        reach = period + int(unlike.argmax() if unlike.any() else len(unlike))
        if reach >= periods * period:
            longest = max(longest, reach)
        # multiples of a period, inside the stretch that it covers, cover no more
        covered = (candidates % period == 0) & (candidates <= reach)
        candidates = candidates[~covered]
    return longest / length


def _periods(token_ids: TokenIds, periods: int) -> NDArray[np.int64]:
    """Return, ascending, the periods at which the last ``periods`` periods seem to be alike.

    All of them may be multiples of one; of the others there are at most about log2(tokens).
    """
    length = len(token_ids)
    shifts = np.arange(1, length // periods + 1, dtype=np.int64)
    prefixes = _prefix_hashes(token_ids)
    end, start = length - shifts, length - periods * shifts
    last = prefixes[length] - prefixes[start + shifts]
    before = (prefixes[end] - prefixes[start]) * _powers(_BASE, len(shifts) + 1)[1:]
    found: NDArray[np.int64] = shifts[last == before]
    return found


def _prefix_hashes(token_ids: TokenIds) -> Hashes:
    """Return sum over i < k of mixed(token i) * base^i, modulo 2^64, for k = 0 … tokens."""
    terms = _mix(token_ids.astype(np.uint64)) * _powers(_BASE, len(token_ids))
    return np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)])


def _powers(base: int, count: int) -> Hashes:
    """Return base^0 … base^(count - 1), modulo 2^64."""
    powers = np.full(count, base, dtype=np.uint64)
    powers[:1] = 1
    return np.cumprod(powers, dtype=np.uint64)


def _mix(values: Hashes) -> Hashes:
    """Spread token ids over 64 bits (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
