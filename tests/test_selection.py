"""Selection against a plain restatement of section 4 and Equation 1."""

from math import floor
from random import Random
from statistics import median

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import graded_pool
from ssgr.config import Budget, Filters
from ssgr.errors import SelectionError
from ssgr.selection.length_rules import LENGTH_RULES
from ssgr.selection.rules import Tally, choose, draw, merge, tally

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=16).map(sorted)


def select(
    graded: pl.DataFrame, length: str, tau: str, filters: Filters, budget: Budget
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The whole selection from one table: what is chosen, and the funnel."""
    chosen, funnel = choose(tally(graded, length, tau, filters, budget), budget)
    return chosen.select("problem_id", "sample", "correctness_ratio"), funnel


def equation_1(lengths: list[int], limit: int) -> int:
    """The length that Equation 1 chooses, branch by branch as printed (m counted from 0)."""
    median = lengths[floor(len(lengths) / 2)]
    if median <= limit:
        return median
    if any(length <= limit for length in lengths):
        return max(length for length in lengths if length <= limit)
    return min(lengths)


@given(LENGTHS, st.integers(-10, 70))
def test_median_is_equation_1(lengths: list[int], limit: int) -> None:
    index = LENGTH_RULES["median"](lengths, limit)
    assert lengths[index] == equation_1(lengths, limit)


@pytest.mark.parametrize(
    ("lengths", "limit", "expected"),
    [
        ([7], 7, 0),  # n' = 1, fits
        ([7], 6, 0),  # n' = 1, does not fit: the shortest there is
        ([5, 7], 9, 1),  # n' = 2: floor(2 / 2) counted from 0 is the second
        ([5, 7], 6, 0),  # the median is too long, the other fits
        ([3, 3, 3, 9], 3, 2),  # ties: the last that fits
        ([8, 9, 10], 7, 0),  # every response longer than l'
        ([8, 9, 10], -4, 0),  # the question alone fills the budget: l_q >= l
    ],
)
def test_median_edge_cases(lengths: list[int], limit: int, expected: int) -> None:
    assert LENGTH_RULES["median"](lengths, limit) == expected


@given(LENGTHS, st.data())
def test_the_other_rules(lengths: list[int], data: st.DataObject) -> None:
    draws = data.draw(st.permutations(range(len(lengths))))
    assert lengths[LENGTH_RULES["shortest"](lengths, 0)] == min(lengths)
    assert lengths[LENGTH_RULES["longest"](lengths, 0)] == max(lengths)
    for name in ("first", "first-wrong"):
        assert draws[LENGTH_RULES[name](lengths, 0, draws)] == 0
    chosen = {LENGTH_RULES["random"](lengths, 0, draws, Random(seed)) for seed in range(200)}
    assert chosen <= set(range(len(lengths)))
    assert len(chosen) == len(lengths) or len(lengths) > 8


RESPONSES = st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=4, max_size=4)
POOLS = st.dictionaries(st.text("abc", min_size=1, max_size=3), RESPONSES, min_size=1, max_size=8)


@given(POOLS, st.sampled_from(["0.25", "0.50", "0.75", "1.00", "0.50..0.99"]), st.integers(5, 60))
def test_select_is_section_4(
    pool: dict[str, list[tuple[int, bool]]], tau: str, tokens: int
) -> None:
    """Problem by problem: the ratio, the threshold, the correct ones, Equation 1."""
    low, high = {"0.50..0.99": (0.5, 0.99)}.get(tau, (0.0, float(tau[-4:])))
    expected = {}
    for problem_id, responses in pool.items():
        ratio = sum(correct for _, correct in responses) / 4
        lengths = sorted(length for length, correct in responses if correct)
        if low <= ratio <= high and lengths:
            expected[problem_id] = (ratio, equation_1(lengths, tokens - 10))
    budget = Budget(sequences=99, tokens=tokens, allow_fewer=True)
    if not expected:
        with pytest.raises(SelectionError, match="good quality"):
            select(graded_pool(pool), "median", tau, Filters(), budget)
        return
    chosen = select(graded_pool(pool), "median", tau, Filters(), budget)[0]
    assert {row[0]: (row[2], pool[row[0]][row[1]][0]) for row in chosen.iter_rows()} == expected
    assert all(pool[row[0]][row[1]][1] for row in chosen.iter_rows())


def test_first_wrong_takes_the_first_incorrect_response() -> None:
    pool = {"a": [(5, True), (6, False), (7, False)], "b": [(5, True), (6, True), (7, True)]}
    budget = Budget(sequences=1, tokens=50)
    chosen = select(graded_pool(pool), "first-wrong", "1.00", Filters(), budget)[0]
    assert chosen.rows() == [("a", 1, 1 / 3)]


@pytest.mark.parametrize(
    ("column", "bad", "switch"),
    [
        ("rep_20", 0.21, {"max_rep_20": 0.3}),
        ("loop_share", 0.21, {"max_loop_share": 0.3}),
        ("finished", False, {"require_finished": False}),
        ("closed", False, {"require_closed": False}),
        ("has_thinking", False, {"require_thinking": False}),
        ("has_answer", False, {"require_answer": False}),
        ("different_boxes", 2, {"max_different_boxes": None}),
        ("different_boxes", 3, {"max_different_boxes": 3}),
        ("tokens_after_end", 1, {"max_tokens_after_end": None}),
    ],
)
def test_each_quality_filter_drops_and_can_be_relaxed(
    column: str, bad: object, switch: dict[str, object]
) -> None:
    pool = graded_pool({"a": [(5, True)]}, **{column: bad})
    budget = Budget(sequences=1, tokens=50)
    with pytest.raises(SelectionError) as error:
        select(pool, "median", "1.00", Filters(), budget)
    assert "1 calibration sequences are wanted, 0 are left" in str(error.value)
    relaxed = Filters.model_validate(switch)
    assert len(select(pool, "median", "1.00", relaxed, budget)[0]) == 1


def test_tokens_after_the_box_are_limited_only_on_request_and_without_a_box_never() -> None:
    budget = Budget(sequences=1, tokens=50)
    far = graded_pool({"a": [(5, True)]}, tokens_after_box=40)
    assert len(select(far, "median", "1.00", Filters(), budget)[0]) == 1
    with pytest.raises(SelectionError):
        select(far, "median", "1.00", Filters(max_tokens_after_box=39), budget)
    letter = far.with_columns(tokens_after_box=pl.lit(None, dtype=pl.Int32))
    limited = Filters(max_tokens_after_box=39)
    assert len(select(letter, "median", "1.00", limited, budget)[0]) == 1


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=1, max_size=9),
       st.floats(0.01, 1))  # fmt: skip
def test_short_thinking_is_measured_against_the_median_of_all_responses(
    responses: list[tuple[int, bool]], share: float
) -> None:
    """Of all of the problem's, wrong ones too, before anything is dropped."""
    pool = graded_pool({"a": [(5, right) for _, right in responses], "b": [(5, True)]})
    thinking = [tokens for tokens, _ in responses]
    pool = pool.with_columns(thinking_tokens=pl.Series([*thinking, 1000]))
    kept = tally(pool, "median", "1.00", Filters(min_thinking_share=share), Budget(tokens=50))
    expected = sum(right and tokens >= share * median(thinking) for tokens, right in responses)
    assert kept.counts.row(by_predicate=pl.col("step") == "good quality")[2] == expected + 1


def test_a_timed_out_response_is_neither_correct_nor_wrong() -> None:
    pool = graded_pool({"a": [(5, False), (6, True)]}).with_columns(
        verdict=pl.Series(["timed-out", "correct"])
    )
    budget = Budget(sequences=1, tokens=50)
    assert select(pool, "first", "0.50", Filters(), budget)[0]["sample"].to_list() == [1]
    with pytest.raises(SelectionError):
        select(pool, "first-wrong", "1.00", Filters(), budget)


def test_too_few_candidates_show_the_funnel() -> None:
    pool = graded_pool({"easy": [(5, True)] * 4, "hard": [(5, True), (5, False)] * 2})
    with pytest.raises(SelectionError) as error:
        select(pool, "median", "0.75", Filters(), Budget(sequences=2, tokens=50))
    message = str(error.value)
    for line in ("pool", "c <= 0.75", "correct", "good quality", "drawn", "allow_fewer"):
        assert line in message
    fewer = Budget(sequences=2, tokens=50, allow_fewer=True)
    chosen, funnel = select(pool, "median", "0.75", Filters(), fewer)
    assert chosen["problem_id"].to_list() == ["hard"]
    assert funnel["problems"].to_list() == [2, 1, 1, 1, 1, 1]
    assert funnel["responses"].to_list() == [8, 4, 2, 2, 1, 1]


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 5))
def test_a_larger_draw_holds_a_smaller_one(one: int, other: int, seed: int) -> None:
    candidates = pl.DataFrame({"problem_id": [f"p{i}" for i in range(40)]})
    small, large = sorted((one, other))
    drawn = [
        draw(
            candidates.sample(fraction=1, shuffle=True), Budget(sequences=n, seed=seed, held_back=0)
        )
        for n in (small, large)
    ]
    assert drawn[0]["problem_id"].to_list() == drawn[1]["problem_id"].to_list()[:small]


def test_another_seed_draws_others() -> None:
    candidates = pl.DataFrame({"problem_id": [f"p{i}" for i in range(40)]})
    drawn = [set(draw(candidates, Budget(sequences=10, seed=s))["problem_id"]) for s in range(4)]
    assert len({frozenset(ids) for ids in drawn}) == 4


@given(st.lists(st.integers(0, 4), min_size=8, max_size=8), st.integers(1, 9))
def test_tallies_of_parts_merge_into_that_of_the_whole(cuts: list[int], sequences: int) -> None:
    """Whatever the parts; and no more than the budget is kept of any."""
    responses = {f"p{i}": [(5 + (i * j) % 7, (i + j) % 3 > 0) for j in range(4)] for i in range(20)}
    graded = graded_pool(responses)
    budget = Budget(sequences=sequences, tokens=99, held_back=2)
    rules = ("median", "0.75", Filters(), budget)
    whole = tally(graded, *rules)
    merged: Tally | None = None
    parts = [cuts[i % len(cuts)] for i in range(20)]
    for part in sorted(set(parts)):
        ids = [f"p{i}" for i in range(20) if parts[i] == part]
        found = tally(graded.filter(pl.col("problem_id").is_in(ids)), *rules)
        assert len(found.candidates) <= sequences + 2
        merged = merge(merged, found, budget) if merged else found
    assert merged is not None
    assert merged.candidates.equals(whole.candidates)
    assert merged.counts.equals(whole.counts)


def test_a_problem_that_was_not_drawn_whole_has_no_ratio() -> None:
    graded = graded_pool({"a": [(5, True), (6, False)], "b": [(5, True)]})
    found = tally(graded, "first", "1.00", Filters(), Budget(sequences=2, tokens=50), n=2)
    ratios = dict(found.candidates.select("problem_id", "correctness_ratio").iter_rows())
    assert ratios == {"a": 0.5, "b": None}
