"""Statistics against closed forms, a slow plain bootstrap, and experiments repeated many times."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from statistics import stdev

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy import stats

from ssgr.errors import TableError
from ssgr.evaluation.scores import score
from ssgr.evaluation.significance import adjust, average, difference, estimate, outcomes

Array = NDArray[np.float64]
EASE = {"easy": (9.0, 1.0), "medium": (2.0, 1.0), "hard": (0.3, 3.0)}


def table(scores: Mapping[str, Array]) -> pl.DataFrame:
    """Outcomes of each benchmark's (N,) or (N, D) array."""
    parts = []
    for benchmark, values in scores.items():
        array = values.reshape(len(values), -1)
        count, draws = array.shape
        parts.append(
            pl.DataFrame(
                {
                    "benchmark": [benchmark] * array.size,
                    "problem_id": np.repeat([f"p{n:04}" for n in range(count)], draws),
                    "draw": np.tile(np.arange(draws), count),
                    "score": array.ravel(),
                }
            )
        )
    return pl.concat(parts)


def one(values: Array | list[float] | list[list[float]]) -> pl.DataFrame:
    """Outcomes of one benchmark."""
    return table({"medium": np.asarray(values, dtype=float)})


def twice(
    rng: np.random.Generator, counts: Mapping[str, int], draws: int = 1, spread: float = 0.0
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two checkpoints of the same ability on the same problems, four responses each.

    Each draw moves the ability by a normal number with deviation ``spread``, most where a problem
    is of middling ease: on average over draws, and so in truth, the two do not differ.
    """
    luck = rng.normal(0, spread, (2, 1, draws))
    sides: tuple[dict[str, Array], dict[str, Array]] = ({}, {})
    for name, count in counts.items():
        ease = rng.beta(*EASE[name], count)[:, None]
        for side, moved in zip(sides, luck, strict=True):
            chance = np.clip(ease + moved * 4 * ease * (1 - ease), 0, 1)  # (N, D)
            side[name] = rng.binomial(4, chance) / 4
    return table(sides[0]), table(sides[1])


def test_outcomes_are_the_means_over_the_responses_to_a_problem() -> None:
    grades = pl.DataFrame({
        "problem_id": ["b", "b", "a", "a"],
        "correct": [True, False, True, True],
        "tokens": [10, 30, 5, 5],
    })  # fmt: skip
    made = outcomes(grades, "hard", draw=3)
    assert made.rows() == [("hard", "b", 3, 0.5), ("hard", "a", 3, 1.0)]
    assert outcomes(grades, "hard", of="tokens")["score"].to_list() == [20.0, 5.0]


def test_an_estimate_of_single_responses_is_wilsons_interval() -> None:
    found = estimate(one([1.0] * 270 + [0.0] * 730))
    exact = stats.binomtest(270, 1000).proportion_ci(method="wilson")
    assert found.value == pytest.approx(0.27)
    assert found.standard_error == pytest.approx((0.27 * 0.73 / 999) ** 0.5)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=2e-4)


def test_an_estimate_of_many_problems_is_that_of_normal_theory() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.1, 5000).clip(0, 1)
    found = estimate(one(values))
    error = stdev(values) / 5000**0.5
    assert found.standard_error == pytest.approx(error)
    ends = (found.value - 1.96 * error, found.value + 1.96 * error)
    assert (found.low, found.high) == pytest.approx(ends, abs=0.02 * error)


def test_an_estimate_has_the_error_of_the_scores_table() -> None:
    rng = np.random.default_rng(2)
    right = rng.random((30, 4)) < rng.random((30, 1))
    grades = pl.DataFrame({
        "problem_id": np.repeat([f"p{n}" for n in range(30)], 4),
        "correct": right.ravel(), "tokens": 1, "finished": True, "has_thinking": True,
        "verdict": "wrong",
    })  # fmt: skip
    row, found = score(grades).row(0, named=True), estimate(outcomes(grades, "easy"))
    assert found.value == pytest.approx(row["pass_at_1"])
    assert found.standard_error == pytest.approx(row["standard_error"])


def test_none_of_sixty_is_not_taken_for_certain() -> None:
    found = estimate(one([0.0] * 60))
    quantile = stats.t.ppf(0.975, 59)
    assert (found.value, found.standard_error, found.low) == (0.0, 0.0, 0.0)
    assert found.high == pytest.approx(quantile**2 / (60 + quantile**2))  # Wilson's at p = 0
    assert estimate(one([1.0] * 60)).low == pytest.approx(1 - found.high)


def test_one_problem_says_next_to_nothing() -> None:
    found = estimate(one([1.0]))
    assert (found.value, found.standard_error, found.low, found.high) == (1.0, 0.5, 0.0, 1.0)
    gap = difference(one([1.0]), one([0.0]))
    assert (gap.value, gap.standard_error, gap.low, gap.high) == (1.0, 1.0, -1.0, 1.0)
    assert not gap.significant
    assert gap.p_value == pytest.approx(0.5)  # t of 1 with one degree of freedom


def test_benchmarks_weigh_the_same_in_the_average_however_large() -> None:
    rng = np.random.default_rng(3)
    both, _ = twice(rng, {"easy": 300, "hard": 50})
    easy, hard = (estimate(both.filter(benchmark=name)) for name in ("easy", "hard"))
    found = average(both)
    assert found.value == pytest.approx((easy.value + hard.value) / 2)
    error = (easy.standard_error**2 + hard.standard_error**2) ** 0.5 / 2
    assert found.standard_error == pytest.approx(error)
    assert found.high - found.value == pytest.approx(
        ((easy.high - easy.value) ** 2 + (hard.high - hard.value) ** 2) ** 0.5 / 2
    )
    with pytest.raises(TableError, match=r"of 2 benchmarks \(easy, hard\)"):
        estimate(both)


def test_a_difference_has_the_p_value_and_interval_of_the_paired_t_test() -> None:
    rng = np.random.default_rng(4)
    first = rng.random(400)
    second = (first + rng.normal(0.02, 0.15, 400)).clip(0, 1)
    found, exact = difference(one(first), one(second)), stats.ttest_rel(first, second)
    assert found.p_value == pytest.approx(exact.pvalue)
    assert found.value / found.standard_error == pytest.approx(exact.statistic)
    ends, error = exact.confidence_interval(), found.standard_error
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), abs=0.2 * error)
    fine = difference(one(first), one(second), resamples=40_000)
    assert (fine.low, fine.high) == pytest.approx((ends.low, ends.high), abs=0.05 * error)


def test_pairing_matters() -> None:
    rng = np.random.default_rng(5)
    ease = rng.random(300)
    first, second = one(ease), one((ease - 0.02 + rng.normal(0, 0.05, 300)).clip(0, 1))
    found = difference(first, second)
    unpaired = (estimate(first).standard_error ** 2 + estimate(second).standard_error ** 2) ** 0.5
    assert found.standard_error < 0.25 * unpaired
    assert found.significant
    assert abs(found.value) < unpaired
    again = second.with_columns(pl.Series("score", rng.permutation(second["score"].to_numpy())))
    assert not difference(first, again).significant


def test_the_difference_of_averages_is_stratified() -> None:
    first, second = twice(np.random.default_rng(6), {"easy": 200, "medium": 90, "hard": 40})
    found = difference(first, second)
    parts = [
        difference(first.filter(benchmark=name), second.filter(benchmark=name)) for name in EASE
    ]
    assert found.value == pytest.approx(sum(part.value for part in parts) / 3)
    errors = sum(part.standard_error**2 for part in parts) ** 0.5 / 3
    assert found.standard_error == pytest.approx(errors)
    assert found.value == pytest.approx(average(first).value - average(second).value)


def test_a_plain_bootstrap_gives_the_same_interval() -> None:
    """Resample problem by problem, benchmark by benchmark, one resample at a time."""
    first, second = twice(np.random.default_rng(7), {"medium": 80, "hard": 50})
    rng, means = np.random.default_rng(0), []
    for _ in range(4000):
        total = 0.0
        for name in ("medium", "hard"):
            left = first.filter(benchmark=name)["score"].to_numpy()
            right = second.filter(benchmark=name)["score"].to_numpy()
            drawn = rng.integers(0, len(left), len(left))
            total += sum(left[n] - right[n] for n in drawn) / len(drawn) / 2
        means.append(total)
    found = difference(first, second, resamples=9999)
    low, high = np.quantile(means, [0.025, 0.975])
    assert found.standard_error == pytest.approx(stdev(means), rel=0.05)
    # the plain one knows neither N - 1 nor Student's t: about 2 % narrower here
    assert found.high - found.low == pytest.approx(high - low, rel=0.08)
    assert (found.low + found.high) / 2 == pytest.approx((low + high) / 2, abs=0.1 * (high - low))


@pytest.mark.parametrize(("draws", "spread"), [(1, 0.0), (3, 0.0), (3, 0.03)])
def test_intervals_cover_in_repeated_experiments(draws: int, spread: float) -> None:
    """A 95 % interval holds the truth 95 times in 100, and the p value errs 5 times."""
    rng, covered, small, errors, values = np.random.default_rng(8), 0, 0, [], []
    repeats = 300
    for seed in range(repeats):
        sides = twice(rng, {"medium": 90, "hard": 60}, draws, spread)
        found = difference(*sides, resamples=499, seed=seed)
        covered += found.low <= 0 <= found.high
        small += found.p_value < 0.05
        errors.append(found.standard_error**2)
        values.append(found.value)
    error = (0.05 * 0.95 / repeats) ** 0.5  # Monte-Carlo
    assert covered / repeats > 0.95 - 3 * error
    assert small / repeats < 0.05 + 3 * error
    if draws == 1:
        assert covered / repeats < 0.95 + 3 * error
        assert float(np.mean(errors)) == pytest.approx(np.var(values), rel=0.25)
    else:  # V_draws is never taken below 0, so with three draws it errs to the wide side
        assert 0.75 < float(np.mean(errors) / np.var(values)) < 1.65


def test_a_single_draw_says_nothing_of_the_next_one() -> None:
    """What several draws are for: the interval of one draw misses the mean over draws."""
    rng, of_one, of_four = np.random.default_rng(9), 0, 0
    for seed in range(100):
        first, second = twice(rng, {"medium": 300}, 4, 0.06)
        alone = difference(first.filter(draw=0), second.filter(draw=0), resamples=199, seed=seed)
        together = difference(first, second, resamples=199, seed=seed)
        of_one += alone.low <= 0 <= alone.high
        of_four += together.low <= 0 <= together.high
    assert of_one < 70
    assert of_four > 88


def test_averages_cover_in_repeated_experiments() -> None:
    rng, covered, repeats = np.random.default_rng(10), 0, 300
    truth = float(np.mean([first / (first + second) for first, second in EASE.values()]))
    for _ in range(repeats):
        found = average(twice(rng, {"easy": 80, "medium": 60, "hard": 40})[0])
        covered += found.low <= truth <= found.high
    error = (0.05 * 0.95 / repeats) ** 0.5
    assert abs(covered / repeats - 0.95) < 3 * error


def test_the_dense_model_has_one_draw_against_several() -> None:
    first, second = twice(np.random.default_rng(11), {"medium": 100}, 3, 0.05)
    alone = difference(first.filter(draw=0), second)
    assert alone.value == pytest.approx(
        first.filter(draw=0)["score"].mean() - second["score"].mean()  # type: ignore[operator]
    )
    assert alone.low < alone.value < alone.high


def test_draws_that_differ_more_make_the_error_larger() -> None:
    base = np.random.default_rng(12).random((200, 1)).repeat(3, axis=1) * 0.5
    second = one(base)
    apart = one(base + np.array([0.0, 0.1, 0.3]))
    found = difference(apart, second)
    # nothing but the draws varies: s / sqrt(3) and Student's t with 2 degrees of freedom
    assert found.standard_error == pytest.approx(stdev([0.0, 0.1, 0.3]) / 3**0.5)
    assert found.p_value == pytest.approx(stats.ttest_1samp([0.0, 0.1, 0.3], 0).pvalue)
    assert not found.significant
    # 1 in 27 resamples has the extreme draw three times: the percentiles are known
    widened = stdev([0.0, 0.1, 0.3]) / 3**0.5 * stats.t.ppf(0.975, 2) / stats.norm.ppf(0.975)
    score_of = (np.array([0.0, 0.3]) - 0.4 / 3) / np.std([0.0, 0.1, 0.3])
    ends = 0.4 / 3 + score_of * widened * 3**0.5
    assert (found.low, found.high) == pytest.approx(tuple(ends))


def test_problems_and_draws_add_their_variances() -> None:
    rng = np.random.default_rng(17)
    problems, draws = rng.random(80) * 0.5, rng.random(4) * 0.5
    found = average(one(problems[:, None] + draws))
    variance = stdev(problems) ** 2 / 80 + stdev(draws) ** 2 / 4
    assert found.standard_error == pytest.approx(variance**0.5)
    alone = estimate(one(problems + draws.mean()))
    reach = stats.t.ppf(0.975, 3) * stdev(draws) / 2
    ends = np.hypot([alone.value - alone.low, alone.high - alone.value], reach)
    assert (found.value - found.low, found.high - found.value) == pytest.approx(tuple(ends))


def test_what_neither_problem_nor_draw_explains_counts_once() -> None:
    """The analysis of variance of a 3 by 2 table, by hand."""
    found = difference(one([[0.9, 0.4], [0.7, 0.4], [0.5, 0.3]]), one([0.1, 0.3, 0.2]))
    # problems, draws averaged: gaps 0.55, 0.25, 0.2; draws: means 0.7 and 0.3667, 1 / 6 off
    # residuals of the first: +-(0.25, 0.15, 0.1) -+ 1 / 6, twice each, on 2 x 1 degrees
    of_problems = stdev([0.55, 0.25, 0.2]) ** 2 / 3
    between = 2 * (1 / 6) ** 2 / 2
    residual = 2 * sum((half - 1 / 6) ** 2 for half in (0.25, 0.15, 0.1)) / 2 / 6
    variance = of_problems + between - residual
    assert found.standard_error == pytest.approx(variance**0.5)
    degrees = variance**2 / (of_problems**2 / 2 + between**2 / 1)  # Satterthwaite
    exact = 2 * stats.t.sf(found.value / variance**0.5, degrees)
    assert found.p_value == pytest.approx(exact)


def test_a_checkpoint_does_not_differ_from_itself() -> None:
    first, _ = twice(np.random.default_rng(13), {"medium": 60})
    found = difference(first, first)
    assert (found.value, found.standard_error, found.p_value) == (0.0, 0.0, 1.0)
    reach = 1 - 0.025 ** (1 / 60)  # at most so many may differ if 60 do not
    assert (found.low, found.high) == pytest.approx((-reach, reach))
    assert not found.significant


def test_problems_that_all_differ_by_the_same_are_judged_by_their_number() -> None:
    few, many = (difference(one([0.75] * n), one([0.25] * n)) for n in (3, 40))
    assert few.p_value == pytest.approx(0.25)  # 3 signs of 3 the same: 2 in 8
    assert not few.significant
    assert many.p_value == pytest.approx(2.0**-39)
    assert many.significant


def test_the_order_of_rows_and_sides_does_not_matter_and_a_seed_repeats() -> None:
    first, second = twice(np.random.default_rng(14), {"easy": 50, "medium": 40}, 2, 0.02)
    found = difference(first, second)
    assert difference(first.sample(fraction=1, shuffle=True, seed=1), second.reverse()) == found
    assert difference(first, second, seed=1) != found
    turned = difference(second, first)
    assert turned.value == pytest.approx(-found.value)
    assert turned.p_value == pytest.approx(found.p_value)


def test_lengths_are_estimated_like_scores_of_the_longest() -> None:
    first, second = twice(np.random.default_rng(15), {"easy": 50, "medium": 40})
    longer = [side.with_columns(pl.col("score") * 512) for side in (first, second)]
    for found, scaled in (
        (average(first), average(longer[0], most=512)),
        (difference(first, second), difference(longer[0], longer[1], most=512)),
    ):
        for name, value in vars(found).items():
            factor = 1 if name == "p_value" else 512
            assert getattr(scaled, name) == pytest.approx(factor * value), name


def plain_adjustment(values: list[float]) -> list[float]:
    """Benjamini and Hochberg's step-up as they wrote it."""
    order = sorted(values)
    return [
        min(1.0, *(len(values) * order[rank] / (rank + 1) for rank in range(len(values))
                   if order[rank] >= value), 1.0)
        for value in values
    ]  # fmt: skip


def test_adjustment_is_benjamini_and_hochbergs() -> None:
    values = [0.01, 0.8, 0.02, 0.03, 0.5, 0.5]
    assert adjust(values) == pytest.approx(plain_adjustment(values))
    assert adjust(values)[0] == pytest.approx(0.06)
    assert adjust([]) == []
    assert adjust([0.04]) == [0.04]
    for wrong in (float("nan"), -0.1, 1.2):
        with pytest.raises(TableError, match=r"\[0, 1\]"):
            adjust([0.1, wrong])


def test_adjustment_keeps_the_share_of_false_marks() -> None:
    """Of 20 true nulls with 10 real differences, at most 5 % of the marks are false."""
    rng, shares = np.random.default_rng(16), []
    for _ in range(400):
        null, real = rng.random(20), stats.norm.sf(rng.normal(3.5, 1, 10)) * 2
        marked = np.array(adjust([*null, *real.clip(0, 1)])) <= 0.05
        shares.append(marked[:20].sum() / max(1, marked.sum()))
    assert float(np.mean(shares)) < 0.05 + 3 * stdev(shares) / 20


def changed(column: str, value: float | str | None) -> pl.DataFrame:
    good = one([0.5, 0.25, 1.0])
    first = pl.col("problem_id") == "p0001"
    return good.with_columns(pl.when(first).then(pl.lit(value)).otherwise(column).alias(column))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (changed("score", float("nan")), r"medium: outcomes must lie in \[0, 1\].* p0001"),
        (changed("score", None), r"medium: outcomes must lie in \[0, 1\].* p0001"),
        (changed("score", 1.5), r"medium: outcomes must lie in \[0, 1\].* p0001"),
        (changed("problem_id", "p0000"), r"medium: there are two rows of one draw for p0000"),
        (one([0.5]).clear(), "are empty"),
        (one([0.5]).drop("draw"), r"lack the columns \['draw'\]"),
        (one(np.ones((4, 2)))[:-1], r"medium: not every draw of \[0, 1\] has .* p0003"),
        (
            table({"easy": np.ones((2, 2)), "hard": np.ones((7, 1))}),
            r"hard: not every draw of \[0, 1\] has the problems p0000, .* p0004 and 2 more",
        ),
    ],
)
def test_bad_outcomes_are_refused_and_named(bad: pl.DataFrame, message: str) -> None:
    judges: list[Callable[[], object]] = [
        lambda: average(bad),
        lambda: difference(bad, one([0.5, 0.25, 1.0])),
        lambda: difference(one([0.5, 0.25, 1.0]), bad),
    ]
    for judge in judges:
        with pytest.raises(TableError, match=message):
            judge()


def test_other_problems_or_benchmarks_cannot_be_compared() -> None:
    with pytest.raises(TableError, match=r"medium: the problems .* p0002 only in the first\."):
        difference(one([0.5, 0.5, 0.5]), one([0.5, 0.5]))
    other = one([0.5, 0.5]).with_columns(pl.col("problem_id").str.replace("p", "q"))
    with pytest.raises(TableError, match=r"p0000, p0001 only in the first and q0000, q0001 only"):
        difference(one([0.5, 0.5]), other)
    with pytest.raises(TableError, match=r"the benchmarks .* hard only in the second"):
        difference(one([0.5]), table({"medium": np.ones(1), "hard": np.ones(1)}))


def test_scores_and_outcomes_need_no_scipy() -> None:
    """The sampling environments have none."""
    code = (
        "import sys, ssgr.evaluation.scores, ssgr.evaluation.per_problem\n"
        "import ssgr.sampling, ssgr.commands\n"
        "raise SystemExit('scipy' in sys.modules or 'ssgr.evaluation.significance' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
