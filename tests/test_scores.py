"""Scores against closed forms and a slow simulation."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ssgr.errors import TableError
from ssgr.evaluation.scores import breakdown, score
from ssgr.storage import tables


def grades(correct: dict[str, list[bool]], **columns: Any) -> pl.DataFrame:
    """Grades of responses by problem; other columns as given."""
    rows = [(name, n, right) for name, verdicts in correct.items() for n, right in
            enumerate(verdicts)]  # fmt: skip
    table = pl.DataFrame(rows, schema=["problem_id", "sample", "correct"], orient="row")
    default: dict[str, Any] = {
        "tokens": 10,
        "finished": True,
        "has_thinking": True,
        "verdict": ["correct" if right else "wrong" for right in table["correct"]],
    }
    values = {
        name: pl.Series(value if isinstance(value, list) else [value] * len(table))
        for name, value in (default | columns).items()
    }
    return table.with_columns(**values)


def test_pass_at_1_and_its_clustered_error_have_their_closed_form() -> None:
    row = score(grades({"a": [True] * 4, "b": [False] * 4, "c": [True, True, False, False]}))
    assert row.row(0, named=True)["pass_at_1"] == pytest.approx(0.5)
    # per-problem means 1, 0, 0.5: sample variance 0.25, over N = 3 problems
    assert row["standard_error"][0] == pytest.approx((0.25 / 3) ** 0.5)
    assert row.select("problems", "responses").row(0) == (3, 12)


def test_problems_weigh_the_same_however_many_responses_they_have() -> None:
    row = score(grades({"a": [True], "b": [False] * 3}))
    assert row["pass_at_1"][0] == pytest.approx(0.5)


def test_correlated_responses_do_not_shrink_the_error() -> None:
    once = score(grades({"a": [True], "b": [False], "c": [True]}))
    copied = score(grades({"a": [True] * 50, "b": [False] * 50, "c": [True] * 50}))
    assert copied["standard_error"][0] == pytest.approx(once["standard_error"][0])


def test_lengths_and_shares() -> None:
    row = score(
        grades(
            {"a": [True, False], "b": [False, False]},
            tokens=[10, 20, 30, 60],
            finished=[True, True, True, False],
            has_thinking=[True, False, True, False],
            verdict=["correct", "wrong", "timed-out", "no-answer"],
        )
    ).row(0, named=True)
    assert row["mean_tokens"] == pytest.approx(30)
    assert row["truncated"] == pytest.approx(0.25)
    assert row["with_thinking"] == pytest.approx(0.5)
    assert row["timed_out"] == 1


def test_a_score_passes_its_schema(tmp_path: Path) -> None:
    row = score(grades({"a": [True, True], "b": [True, True]}))
    tables.write(row, tables.Scores, tmp_path / "scores.parquet")
    stored = tables.read(tmp_path / "scores.parquet", tables.Scores)
    assert stored.select("pass_at_1", "standard_error").row(0) == (1.0, 0.0)


def test_one_problem_has_the_largest_possible_error() -> None:
    assert score(grades({"a": [True] * 4}))["standard_error"][0] == 0.5


def test_no_responses_is_an_error() -> None:
    with pytest.raises(TableError, match="no graded responses"):
        score(grades({"a": [True]}).clear())


def test_the_error_is_the_spread_over_repeated_benchmarks() -> None:
    """Draw 300 benchmarks: their scores spread as far as each says of itself, on average."""
    rng = np.random.default_rng(5)
    scores, errors, naive = [], [], []
    for _ in range(300):
        ease = rng.beta(0.5, 0.5, 40)
        right = rng.random((40, 8)) < ease[:, None]
        row = score(grades({f"p{index}": list(verdicts) for index, verdicts in enumerate(right)}))
        scores.append(row["pass_at_1"][0])
        errors.append(row["standard_error"][0])
        naive.append((right.mean() * (1 - right.mean()) / right.size) ** 0.5)
    spread = float(np.std(scores, ddof=1))
    assert float(np.mean(errors)) == pytest.approx(spread, rel=0.12)
    assert float(np.mean(naive)) < 0.6 * spread


def problem_set(**columns: list[str | None]) -> pl.DataFrame:
    """Problems a, b, c, ... with the columns given, and those that a breakdown does not use."""
    count = len(next(iter(columns.values())))
    names = {"problem_id": [chr(ord("a") + n) for n in range(count)], "question": ["?"] * count}
    return pl.DataFrame(names | columns)


def test_a_breakdown_scores_each_group_by_itself() -> None:
    table = grades({"a": [True] * 2, "b": [True, False], "c": [False] * 2, "d": [True] * 2})
    problems = problem_set(level=["10", "9", "9", None], subject=["x", "x", "y", "x"])
    found = breakdown(table, problems, "level")
    assert found["group"].to_list() == ["9", "10", "not given"]  # levels by number
    assert found["problems"].to_list() == [2, 1, 1]
    assert found["responses"].to_list() == [4, 2, 2]
    assert found["pass_at_1"].to_list() == pytest.approx([0.25, 1.0, 1.0])
    # means 0.5 and 0: s^2 = 0.125, over two problems; a single one has the largest error
    assert found["standard_error"].to_list() == pytest.approx([0.25, 0.5, 0.5])
    by_subject = breakdown(table, problems, "subject")
    assert by_subject.select("group", "problems").rows() == [("x", 3), ("y", 1)]


def test_a_breakdown_adds_up_to_the_score() -> None:
    rng = np.random.default_rng(6)
    verdicts = {chr(ord("a") + n): [bool(v) for v in rng.random(4) < 0.6] for n in range(20)}
    levels: list[str | None] = [f"Level {n % 5 + 1}" for n in range(20)]
    found = breakdown(grades(verdicts), problem_set(level=levels), "level")
    assert found["group"].to_list() == [f"Level {n}" for n in range(1, 6)]
    whole = score(grades(verdicts))
    assert found["problems"].sum() == whole["problems"][0]
    assert found["pass_at_1"].mean() == pytest.approx(whole["pass_at_1"][0])


def test_a_breakdown_without_what_it_needs_says_so() -> None:
    table = grades({"a": [True], "z": [True]})
    with pytest.raises(TableError, match=r"1 graded problems are not in the problem set \(z\)"):
        breakdown(table, problem_set(level=["1"]), "level")
    with pytest.raises(TableError, match="no graded responses"):
        breakdown(table.clear(), problem_set(level=["1"]), "level")
    found = breakdown(grades({"a": [True]}), problem_set(subject=[None]), "subject")
    assert found["group"].to_list() == ["not given"]
