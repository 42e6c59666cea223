"""The hand check: a fair sample of verdicts, of a pool or an evaluation, and exact intervals."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from conftest import graded_pool
from experiment import POOL, Experiment
from hand_check_samples import drawn, graded, labels_file, problems_of
from small_pool import SmallPool, rows
from ssgr.__main__ import main
from ssgr.errors import PoolError, TableError
from ssgr.pool import receipts, store
from ssgr.pool.shards import Asked
from ssgr.storage import tables
from ssgr.verification.hand_check import excerpt, page
from ssgr.verification.hand_check.intervals import Count, Rate, rate, upper_limits
from ssgr.verification.hand_check.population import Graded, graded_parts, of_evaluation, of_parts
from ssgr.verification.hand_check.sample import Sample, draw


def ids(sample: Sample) -> list[str]:
    return [item.problem_id for item in sample.items]


def test_the_same_seed_draws_the_same_sample_whatever_the_order_of_rows() -> None:
    known = graded(30, 20)
    problems = problems_of(known.verdicts["problem_id"].to_list())
    turned = Graded(known.verdicts.reverse(), known.responses)
    one, other = (draw(g, problems, title="t", size=10, seed=3) for g in (known, turned))
    assert one == other
    assert one.digest == other.digest
    assert ids(one) != ids(drawn(30, 20, 10, seed=4))


def test_every_verdict_is_drawn_equally_often_and_in_every_place() -> None:
    known = graded(12, 8)
    problems = problems_of(known.verdicts["problem_id"].to_list())
    samples = [ids(draw(known, problems, title="t", size=5, seed=seed)) for seed in range(300)]
    counts = Counter(name for sample in samples for name in sample)
    assert all(len(set(sample)) == 5 for sample in samples)
    assert stats.chisquare([counts[f"p{i:03d}"] for i in range(20)]).pvalue > 1e-4
    first = Counter(sample[0] for sample in samples)
    assert stats.chisquare([first[f"p{i:03d}"] for i in range(20)]).pvalue > 1e-4


@pytest.mark.parametrize(
    ("there", "size", "expected"),
    [((40, 40), 10, (5, 5)), ((90, 2), 10, (8, 2)), ((3, 90), 10, (3, 7)), ((40, 40), 7, (3, 4)),
     ((2, 3), 10, (2, 3)), ((10, 0), 4, (4, 0))],
)  # fmt: skip
def test_one_half_is_drawn_from_either_side(
    there: tuple[int, int], size: int, expected: tuple[int, int]
) -> None:
    for seed in range(5):
        sample = drawn(*there, size, seed=seed, stratified=True)
        sides = Counter(item.verdict for item in sample.items)
        assert (sides["correct"], sides["wrong"]) == expected


def test_of_a_stratified_sample_either_side_comes_first() -> None:
    """Whoever stops early has labelled both, though one is rare."""
    starts = [drawn(200, 20, 20, seed=seed, stratified=True).items[:10] for seed in range(20)]
    rare = [sum(item.verdict == "wrong" for item in start) for start in starts]
    assert 70 <= sum(rare) <= 130  # 100 expected, standard deviation 5
    assert min(rare) > 0


def test_only_some_verdicts() -> None:
    known = graded(30, 20)
    problems = problems_of(known.verdicts["problem_id"].to_list())
    sample = draw(known, problems, title="t", size=10, verdicts=["wrong", "no-answer"])
    assert {item.verdict for item in sample.items} == {"wrong"}
    assert [(cell.verdict, cell.count) for cell in sample.population] == [("wrong", 20)]
    with pytest.raises(TableError, match="no verdict that is timed-out to draw from"):
        draw(known, problems, title="t", size=10, verdicts=["timed-out"])


def test_missing_problems_and_responses_are_named() -> None:
    known = graded(3, 0)
    with pytest.raises(TableError, match=r"1 of the drawn .* first is p002"):
        draw(known, problems_of(["p000", "p001"]), title="t", size=5)
    (responses,) = known.responses(known.verdicts)
    lost = of_evaluation(known.verdicts, responses.head(2))
    with pytest.raises(TableError, match="sample 0 of p002"):
        draw(lost, problems_of(["p000", "p001", "p002"]), title="t", size=5)


@pytest.mark.parametrize("strata", [1, 2])
def test_the_table_of_limits_is_scipys(strata: int) -> None:
    for n in (1, 2, 7, 23, 40):
        limits = upper_limits(n, strata)
        for wrong in range(n + 1):
            known = stats.binomtest(wrong, n).proportion_ci(1 - 0.05 / strata, method="exact")
            assert limits[wrong] == pytest.approx(known.high, abs=1e-9)
            assert 1 - limits[n - wrong] == pytest.approx(known.low, abs=1e-9)


def test_strata_are_weighted_and_their_intervals_combined() -> None:
    strata = [Count(900, 50, 5, 0), Count(100, 50, 20, 0)]
    found = rate(strata)
    assert found.estimate == pytest.approx(0.9 * 0.1 + 0.1 * 0.4)
    parts = [stats.binomtest(k, 50).proportion_ci(0.975, method="exact") for k in (5, 20)]
    assert found.low == pytest.approx(0.9 * parts[0].low + 0.1 * parts[1].low)
    assert found.high == pytest.approx(0.9 * parts[0].high + 0.1 * parts[1].high)
    assert rate([strata[0], Count(0, 0, 0, 0)]) == rate(strata[:1])


def test_the_unsure_ones_widen_the_interval_both_ways() -> None:
    found = rate([Count(1000, 50, 3, 4)])
    assert found.estimate == pytest.approx(3 / 46)
    assert found.low == pytest.approx(stats.binomtest(3, 50).proportion_ci(method="exact").low)
    assert found.high == pytest.approx(stats.binomtest(7, 50).proportion_ci(method="exact").high)
    assert rate([Count(9, 2, 0, 2)]).estimate is None
    assert rate([Count(9, 0, 0, 0)]) == Rate(None, 0, 1)


@pytest.mark.parametrize("stratified", [False, True])
def test_intervals_cover_the_true_rate(stratified: bool) -> None:
    """Samples of a population whose errors are known: at least 95 % of the intervals hold it."""
    rng = np.random.default_rng(0)
    accepted, rejected = np.arange(400) < 12, np.arange(200) < 60
    truth = (12 + 60) / 600
    held = 0
    for _ in range(600):
        if stratified:
            strata = [Count(len(side), 30, int(rng.choice(side, 30, replace=False).sum()), 0)
                      for side in (accepted, rejected)]  # fmt: skip
        else:
            every = np.concatenate([accepted, rejected])
            strata = [Count(600, 60, int(rng.choice(every, 60, replace=False).sum()), 0)]
        found = rate(strata)
        held += found.low <= truth <= found.high
    assert held >= 0.95 * 600


def test_the_excerpt_is_the_end_around_the_answer() -> None:
    before, after = "x" * 9000, "y" * 5000
    text = f"\\boxed{{1}} {before}</think> so \\boxed{{42}} {after}"
    found = excerpt.around_answer(text, "42")
    assert found.marked == "\\boxed{42}"
    assert found.before.endswith("</think> so ")
    assert len(found.before) == excerpt.BEFORE
    assert found.before + found.marked + found.after in text
    assert found.cut_before + len(found.before + found.marked + found.after) + found.cut_after == (
        len(text)
    )


def test_an_answer_is_marked_where_it_was_read() -> None:
    assert excerpt.around_answer("\\boxed{1}, \\boxed{2}.", "1, 2").marked == "\\boxed{2}"
    assert excerpt.around_answer("Answer: B, not ABBA. Bye", "B")[:2] == ("Answer: ", "B")
    assert excerpt.around_answer("nothing here", None) == ("nothing here", "", "", 0, 0)
    assert excerpt.around_answer("nothing here", "7").marked == ""
    far = "\\boxed{5}" + "z" * 2 * excerpt.SEARCHED
    assert excerpt.around_answer(far, "5").cut_before == len(far) - excerpt.BEFORE


def pool_with(tmp_path: Path, source: str = "stories") -> tuple[SmallPool, pl.DataFrame]:
    """Two graded shards of three problems, and their source's table of problems."""
    small = SmallPool(tmp_path / "pool", source=source)
    problems = problems_of([f"p{index:04d}" for index in range(6)])
    for first in (0, 3):
        texts = [f"</think> \\boxed{{{p}}}" for p in range(first, first + 3) for _ in range(4)]
        part = small.draw(f"{first:06d}-{first + 3:06d}", rows(range(first, first + 3)),
                          texts=texts)  # fmt: skip
        graded = pl.read_parquet(small.grade(part, [p % 3 != 0 for p in range(12)]))
        asked = Asked.of(problems.slice(first, 3)).answers
        path = small.grader("11111111") / part.name
        of = store.read_receipt(part, store.ResponsesReceipt).sha256
        store.publish(graded, tables.Grades, path, "{}", store.GradesReceipt, of=of, answers=asked)
    return small, problems


def test_the_verdicts_of_a_pool(tmp_path: Path) -> None:
    small, problems = pool_with(tmp_path)
    parts = graded_parts(small.pool, "small", "stories", grader="11111111")
    sample = draw(of_parts(small.pool, parts, problems), problems, title="t", size=100)
    assert len(sample.items) == 24
    assert all(item.marked == f"\\boxed{{{int(item.problem_id[1:])}}}" or item.answer == "1"
               for item in sample.items)  # fmt: skip
    keys = {(item.problem_id, item.sample) for item in sample.items}
    assert keys == {(f"p{p:04d}", s) for p in range(6) for s in range(4)}
    for item in sample.items:
        assert str(int(item.problem_id[1:])) in item.before + item.marked


def test_what_a_pool_lacks_or_has_twice_is_named(tmp_path: Path) -> None:
    small, problems = pool_with(tmp_path)
    with pytest.raises(PoolError, match=r"several grades of model=small(.|\n)*--grader 0a1b2c3d"):
        graded_parts(small.pool, "small", "stories")
    with pytest.raises(PoolError, match=r"no grades of model=big(.|\n)*--model small"):
        graded_parts(small.pool, "big", "stories")
    parts = graded_parts(small.pool, "small", "stories", grader="11111111")
    with pytest.raises(PoolError, match="hold a response twice"):
        of_parts(small.pool, [*parts, parts[0]], problems)
    changed = problems.with_columns(answer=pl.lit("another"))
    with pytest.raises(PoolError, match="judged by other reference answers"):
        of_parts(small.pool, parts, changed)


def test_the_commands_on_a_pool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small, problems = pool_with(tmp_path)
    tables.write(problems, tables.Problems, tmp_path / "p.parquet")
    parts = graded_parts(small.pool, "small", "stories", grader="11111111")
    receipts.write(receipts.GradedShard(parts=tuple(parts)), tmp_path / "shard.json")
    (tmp_path / "visited.json").write_text(json.dumps([str(tmp_path / "shard.json")]))
    base = ["hand-check", "--pool", str(small.pool), "--problems", str(tmp_path / "p.parquet")]
    one, other = tmp_path / "one.html", tmp_path / "other.html"
    assert main([*base, "--model", "small", "--source", "stories", "--grader", "11111111",
                 "--size", "9", "--out", str(one)]) == 0  # fmt: skip
    visited = ["--visited", str(tmp_path / "visited.json")]
    assert main([*base, *visited, *visited, "--size", "9", "--title", "small on stories",
                 "--out", str(other)]) == 0  # fmt: skip
    assert one.read_text() == other.read_text()
    sample = page.read(one)
    assert (sample.title, len(sample.items)) == ("small on stories", 9)
    assert "9 of 24 verdicts" in capsys.readouterr().out


def test_the_commands_on_an_evaluation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = graded(30, 20)
    problems = problems_of(known.verdicts["problem_id"].to_list())
    (responses,) = known.responses(known.verdicts)
    grades = graded_pool({f"p{i:03d}": [(5, i < 30)] for i in range(50)})
    for name, table, schema in (("p", problems, tables.Problems), ("g", grades, tables.Grades),
                                ("r", responses, tables.Responses)):  # fmt: skip
        tables.write(table, schema, tmp_path / f"{name}.parquet")
    out, labels = tmp_path / "page.html", tmp_path / "labels.json"
    assert main(["hand-check", "--responses", str(tmp_path / "r.parquet"), "--grades",
                 str(tmp_path / "g.parquet"), "--problems", str(tmp_path / "p.parquet"),
                 "--size", "20", "--stratified", "--out", str(out)]) == 0  # fmt: skip
    sample = page.read(out)
    given = ["wrong" if item.verdict == "wrong" and i < 6 else "right"
             for i, item in enumerate(sample.items)]  # fmt: skip
    labels_file(labels, sample, given)
    capsys.readouterr()
    assert main(["hand-checked", "--page", str(out), "--labels", str(labels)]) == 0
    said = capsys.readouterr().out
    assert "20 of 20 labelled" in said
    assert re.search(r"^accepted \(false accepts\) +30 +10 +0 +0 +0\.0% +0\.0% to 30\.8%$", said,
                     re.MULTILINE)  # fmt: skip
    cases = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert len(cases) == given.count("wrong")
    assert all(case["expected"] for case in cases)
    labels_file(labels, sample, given, sample_digest="f" * 16)
    assert main(["hand-checked", "--page", str(out), "--labels", str(labels)]) == 1
    assert "they do not belong together" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    [[], ["--pool", "p"], ["--pool", "p", "--model", "m"], ["--responses", "r"],
     ["--pool", "p", "--responses", "r", "--grades", "g"],
     ["--pool", "p", "--model", "m", "--source", "s", "--visited", "v"],
     ["--responses", "r", "--grades", "g", "--source", "s"]],
)  # fmt: skip
def test_flags_that_name_nothing_or_two_things_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    tables.write(problems_of(["p"]), tables.Problems, tmp_path / "p.parquet")
    out = tmp_path / "page.html"
    assert main(["hand-check", *flags, "--problems", str(tmp_path / "p.parquet"),
                 "--out", str(out)]) == 1  # fmt: skip
    assert "in one of three ways" in capsys.readouterr().err
    assert not out.exists()


def test_the_workflow_has_a_target_for_it(root: Path, tmp_path: Path) -> None:
    """Of what the calibrations visited; no checkpoint and no score is made for it."""
    experiment = Experiment(root, tmp_path / "run")
    experiment.configure({"pool": {**POOL, "path": str(tmp_path / "pool")}})
    planned = experiment.plan("hand_check")
    assert planned["hand_check_page"] == 1
    assert {"select", "grade"} <= set(planned)
    assert not {"prune", "score", "report"} & set(planned)
