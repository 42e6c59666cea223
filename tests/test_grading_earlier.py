"""Regrading: verdicts of an older grader are taken over where they hold, and nowhere else."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from small_pool import EVERY, JUDGE
from ssgr.__main__ import main
from ssgr.grading import Conventions, Verdict, grade, reuse, workers
from ssgr.grading.reuse import KEY, provenance, reusable
from ssgr.grading.spec import Judging
from ssgr.grading.workers import Pair
from ssgr.pool import receipts, store
from ssgr.pool.shards import Asked
from ssgr.storage.provenance import closure, describe
from ssgr.storage.tables import Grades, Problems, Responses, write
from synthetic_answers import problems_table, responses_table

PROBLEMS = problems_table({"a": "x+1", "b": "7"})
ANSWERS = {"a": ["1+x", "x+2", "x+2"], "b": ["7", "8"]}


def responses() -> pl.DataFrame:
    return responses_table(
        (problem_id, sample, rf"</think>\boxed{{{answer}}}", "stop")
        for problem_id, answers in ANSWERS.items()
        for sample, answer in enumerate(answers)
    )


@pytest.fixture(scope="module")
def first() -> pl.DataFrame:
    return grade(responses(), PROBLEMS)


def spec(grades: pl.DataFrame, judging: Judging) -> str:
    return describe(**{KEY: provenance(grades, PROBLEMS, judging)})


def test_only_what_math_verify_decided_is_taken_over(first: pl.DataFrame) -> None:
    judging = Judging()
    known = reusable(first, spec(first, judging), PROBLEMS, judging)
    assert {pair: v.verdict for pair, v in known.items()} == {
        ("x+1", "1+x"): "correct",
        ("x+1", "x+2"): "wrong",
    }


def test_regrading_asks_no_child_for_what_is_known(
    first: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    judging = Judging()
    known = reusable(first, spec(first, judging), PROBLEMS, judging)

    def no_child(*_: object) -> None:
        raise AssertionError("a child was asked")

    monkeypatch.setattr(workers, "_in_children", no_child)
    again = grade(responses(), PROBLEMS, earlier=known)
    assert Grades.is_valid(again)
    assert again.equals(first.with_columns(milliseconds=again["milliseconds"]))
    with pytest.raises(AssertionError, match="a child was asked"):
        grade(responses(), PROBLEMS, earlier=dict(list(known.items())[:1]))


def test_a_change_of_extraction_or_of_the_quick_steps_keeps_the_verdicts(
    first: pl.DataFrame,
) -> None:
    made = spec(first, Judging())
    other_extraction = Judging(conventions=Conventions(unboxed="final", options=4))
    assert len(reusable(first, made, PROBLEMS, other_extraction)) == 2
    modules = {path.name for path in closure("ssgr.grading.equality")}
    assert "methods.py" not in modules and "answers.py" not in modules
    assert {"equality.py", "notation.py", "structure.py"} <= modules


def test_a_change_of_method_settings_or_golds_does_not(first: pl.DataFrame) -> None:
    made = spec(first, Judging())
    assert reusable(first, made, PROBLEMS, Judging(conventions=Conventions(order="kept"))) == {}
    changed = PROBLEMS.with_columns(answer=pl.Series(["x+2", "7"]))
    assert reusable(first, made, changed, Judging()) == {}
    assert reusable(first, "", PROBLEMS, Judging()) == {}
    assert reusable(first, describe(grade={}), PROBLEMS, Judging()) == {}


def test_another_code_or_library_does_not_keep_them(
    first: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = spec(first, Judging())
    monkeypatch.setattr(reuse, "version", lambda name: f"newer {name}")
    assert reusable(first, made, PROBLEMS, Judging()) == {}


def test_a_time_out_holds_only_if_it_had_the_time() -> None:
    verdicts: dict[Pair, Verdict] = {
        ("x+1", "(x+2)^2"): Verdict("(x+2)^2", "timed-out", "math-verify", 1.0)
    }
    rows = responses().filter(problem_id="a", sample=0)
    rows = rows.with_columns(text=pl.lit(r"</think>\boxed{(x+2)^2}"))
    late = grade(rows, PROBLEMS, earlier=verdicts)
    assert late["verdict"].to_list() == ["timed-out"]
    made = spec(late, Judging(time_limit=5.0))
    assert set(reusable(late, made, PROBLEMS, Judging(time_limit=5.0))) == set(verdicts)
    assert set(reusable(late, made, PROBLEMS, Judging(time_limit=1.0))) == set(verdicts)
    assert reusable(late, made, PROBLEMS, Judging(time_limit=9.0)) == {}


# --- the command ----------------------------------------------------------------------------------


class Regrading:
    """A pool with one part of sampled responses, graded by the command."""

    def __init__(self, folder: Path, text: str) -> None:
        """Of the last response to problem a, ``text`` is the text."""
        self.folder, self.pool = folder, folder / "pool"
        self.key = "model=small/source=sums/sampling=n3"
        write(PROBLEMS, Problems, folder / "problems.parquet", "{}")
        asked = Asked.of(PROBLEMS)
        part = self.pool / "responses" / self.key / "000000.parquet"
        facts = {
            "problems": 2, "tokens": 10, "manifest": "m", "asked": 2, "complete_for": EVERY,
            "questions": asked.questions, "answers": asked.answers, "judge": JUDGE, "seconds": 1.0,
            "resumed": 0, "gpus": 0, "versions": {},
        }  # fmt: skip
        last = (pl.col("problem_id") == "a") & (pl.col("sample") == 2)
        rows = responses().with_columns(text=pl.when(last).then(pl.lit(text)).otherwise("text"))
        store.publish(Responses.cast(rows), Responses, part, "{}", store.ResponsesReceipt, **facts)
        receipt = store.read_receipt(part, store.ResponsesReceipt)
        sampled = receipts.SampledShard(parts=(receipts.refer(self.pool, part, receipt),))
        receipts.write(sampled, folder / "sampled.json")

    def grade(self, judging: Judging) -> pl.DataFrame:
        """Grade the shard by the command; return the grades."""
        grades = self.pool / "grades" / self.key / f"grader={judging.digest}"
        arguments = {
            "--pool": self.pool, "--responses": self.folder / "sampled.json",
            "--problems": self.folder / "problems.parquet", "--first": 0, "--last": 2,
            "--judging": judging.model_dump_json(), "--grades": grades,
            "--out": self.folder / f"{judging.digest}.json",
        }  # fmt: skip
        words = [str(word) for argument in arguments.items() for word in argument]
        assert main(["grade-shard", *words]) == 0
        (part,) = receipts.read(Path(words[-1]), receipts.GradedShard).parts
        return receipts.open_part(self.pool, part.grades, Grades)


def test_regrading_a_shard_judges_only_what_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judged: list[list[Pair]] = []
    in_children = workers._in_children

    def counted(pairs: list[tuple[str, str]], *rest: Any) -> dict[Pair, Verdict]:
        judged.append(list(pairs))
        return in_children(pairs, *rest)

    monkeypatch.setattr(workers, "_in_children", counted)
    regrading = Regrading(tmp_path, r"</think>\boxed{2+x+5}, no: \boxed{1+x+0")

    grades = regrading.grade(Judging())
    assert grades["verdict"].to_list() == ["correct", "wrong", "wrong", "correct", "wrong"]
    assert judged == [[("x+1", "1+x"), ("x+1", "x+2"), ("x+1", "2+x+5")]]
    assert "by math-verify 3, taken over 0" in capsys.readouterr().out

    # by another rule on boxes, one response has another answer: it alone is judged
    judged.clear()
    again = regrading.grade(Judging(conventions=Conventions(unclosed_box=True)))
    assert again["verdict"].to_list() == ["correct", "wrong", "correct", "correct", "wrong"]
    assert judged == [[("x+1", "1+x+0")]]
    assert "by math-verify 1, taken over 2" in capsys.readouterr().out

    # by a method that is none of math-verify's: nothing is
    judged.clear()
    exact = regrading.grade(Judging(method="exact"))
    assert exact["verdict"].to_list() == ["wrong", "wrong", "wrong", "correct", "wrong"]
    assert judged == []

    # by other rules of equality: everything that needs math-verify is
    ordered = regrading.grade(Judging(conventions=Conventions(order="kept")))
    assert ordered["verdict"].to_list() == grades["verdict"].to_list()
    assert [len(pairs) for pairs in judged] == [3]
