"""Scores against closed forms and a slow simulation."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ssgr import tables
from ssgr.errors import TableError
from ssgr.scores import score


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
