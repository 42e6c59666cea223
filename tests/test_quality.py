"""Quality columns: repetition against slow restatements, planted loops, thinking."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ssgr.grading.quality import different_boxes, loop_share, measure, repetition, thinking_tokens

few_tokens = st.lists(st.integers(0, 2), max_size=60)


def ids(tokens: list[int]) -> NDArray[np.int32]:
    return np.array(tokens, dtype=np.int32)


def random_tokens(length: int, seed: int = 0) -> list[int]:
    """Draw tokens as skewed as text: a few are very common."""
    return [int(token) for token in np.random.default_rng(seed).zipf(1.3, length) % 30_000]


@given(few_tokens, st.integers(1, 6))
def test_repetition_is_the_share_of_repeated_ngrams(tokens: list[int], n: int) -> None:
    ngrams = [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]
    expected = 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0
    assert repetition(ids(tokens), n) == pytest.approx(expected)


@given(few_tokens)
def test_loop_share_is_the_longest_suffix_of_three_periods(tokens: list[int]) -> None:
    def has_period(suffix: list[int], period: int) -> bool:
        return all(suffix[i] == suffix[i + period] for i in range(len(suffix) - period))

    covered = [
        length
        for length in range(1, len(tokens) + 1)
        for period in range(1, length // 3 + 1)
        if has_period(tokens[len(tokens) - length :], period)
    ]
    expected = max(covered, default=0) / len(tokens) if tokens else 0.0
    assert loop_share(ids(tokens)) == pytest.approx(expected)


@pytest.mark.parametrize("period", [1, 2, 7, 40, 300])
@pytest.mark.parametrize("cut", [0, 1, 5])
def test_a_planted_loop_is_caught(period: int, cut: int) -> None:
    text, loop = random_tokens(2_000), random_tokens(period, seed=1)
    planted = ids(text + (loop * (2_000 // period))[cut:])
    assert loop_share(planted) > 0.45
    assert repetition(planted) > 0.35


def test_a_long_text_without_loops_is_not_suspected() -> None:
    text = ids(random_tokens(32_768))
    assert loop_share(text) < 0.01
    assert repetition(text) < 0.01


def test_a_loop_in_the_middle_shows_in_the_repetition_only() -> None:
    loop = random_tokens(40, seed=1) * 20
    tokens = ids(random_tokens(800) + loop + random_tokens(800, seed=2))
    assert loop_share(tokens) < 0.01
    assert repetition(tokens) > 0.2


def test_no_hash_is_taken_for_a_loop() -> None:
    """Thue and Morse's sequence defeats polynomial hashes modulo 2^64, and holds no cube."""
    steps = np.arange(2**14, dtype=np.uint16)
    assert loop_share(np.bitwise_count(steps).astype(np.int32) % 2) < 0.01


@given(st.lists(st.integers(0, 1), max_size=6), st.lists(st.integers(0, 1), min_size=1, max_size=9))
def test_loops_in_loops_cover_as_much_as_the_longest(start: list[int], loop: list[int]) -> None:
    tokens = start + loop * 7
    assert loop_share(ids(tokens)) * len(tokens) >= 7 * len(loop) - 1e-9


def test_short_responses_measure_zero() -> None:
    assert repetition(ids([5] * 19)) == 0.0
    assert repetition(ids([5] * 21)) == 0.5
    assert loop_share(ids([])) == 0.0
    assert loop_share(ids([5, 5])) == 0.0
    assert loop_share(ids([5, 5, 5])) == 1.0


def test_the_end_token_does_not_hide_a_loop() -> None:
    looped = ids([7, 8] * 50 + [2])
    text = "so so so"
    assert measure(text, looped, finished=True, has_answer=False).loop_share == 1.0
    assert measure(text, looped, finished=False, has_answer=False).loop_share == 0.0


@pytest.mark.parametrize(
    ("text", "thinks"),
    [
        ("2 + 2 = 4</think>4", True),
        ("<think>2 + 2 = 4</think>4", True),
        ("<think>\n\n</think>4", False),
        ("</think>4", False),
        ("2 + 2 = 4", False),
    ],
)
def test_has_thinking(text: str, thinks: bool) -> None:
    quality = measure(text, ids([1, 2, 3]), finished=True, has_answer=True)
    assert quality.has_thinking is thinks
    assert quality.finished and quality.has_answer


def test_thinking_tokens_follow_the_share_of_the_text() -> None:
    assert thinking_tokens("x" * 72 + "</think>" + "y" * 20, 50, finished=True) == 36
    assert thinking_tokens("never closed", 50, finished=False) == 50
    assert thinking_tokens("never thought", 50, finished=True) == 0
    assert thinking_tokens("no tags at all", 50, finished=False, think_close="") == 0


@pytest.mark.parametrize(
    ("answer", "different", "joined"),
    [
        ("no box", 0, 0),
        (r"it is \boxed{4}. So \boxed{ 4 }", 1, 1),
        (r"\boxed{\dfrac{1}{2}}, that is \boxed{\frac{1}{2}}", 1, 1),
        (r"\boxed{4}. Wait, \boxed{5}", 2, 2),
        (r"\boxed{} and \boxed{5}", 1, 1),
        (r"the roots are \boxed{3} and \boxed{-3}", 2, 1),
        (r"(a) \boxed{7}, (b) \boxed{3}, \boxed{5} and \boxed{-3}", 4, 2),
        (r"\boxed{1}, " * 3000 + r"\boxed{2}", 2, 1),
    ],
)
def test_different_boxes(answer: str, different: int, joined: int) -> None:
    assert different_boxes(answer) == different
    assert different_boxes(answer, join=True) == joined


@pytest.mark.parametrize(
    ("text", "think_close", "closed", "boxes"),
    [
        (r"try \boxed{1}, \boxed{2}</think>\boxed{3}", "</think>", True, 1),
        (r"try \boxed{1}, \boxed{2}", "</think>", False, 0),
        (r"\boxed{1}, so \boxed{2}", "", True, 2),
    ],
)
def test_only_boxes_after_the_thinking_count(
    text: str, think_close: str, closed: bool, boxes: int
) -> None:
    quality = measure(text, ids([1]), finished=closed, has_answer=closed, think_close=think_close)
    assert (quality.closed, quality.different_boxes) == (closed, boxes)
    assert (quality.tokens_after_box is None) == (boxes == 0)


def test_text_after_the_box_and_after_the_end() -> None:
    thought = "x" * 79 + "</think>"
    closed = measure(thought + r"$$\boxed{3}$$.", ids([1] * 9), finished=True, has_answer=True)
    assert closed.tokens_after_box == 0
    text = thought + r"\boxed{3} " + "y" * 103
    going_on = measure(text, ids([1] * 50 + [2]), finished=True, has_answer=True)
    assert going_on.tokens_after_box == round(51 * 103 / len(text))
    assert going_on.tokens_after_end == 0
    over = ids([4, 5, 2, 7, 8, 9, 2])
    assert measure("t", over, finished=True, has_answer=True).tokens_after_end == 4
    assert measure("t", over, finished=False, has_answer=True).tokens_after_end == 0
    assert measure("", ids([]), finished=True, has_answer=False).tokens_after_end == 0
