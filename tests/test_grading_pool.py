"""Grading of many answers: children that can be killed, and the table of grades."""

import os
import signal
import sys
from multiprocessing import get_context
from typing import Any

import polars as pl
import pytest

from ssgr.errors import SsgrError, TableError
from ssgr.grading import grade, pool
from ssgr.grading.judge import Verdict
from ssgr.grading.pool import judge_pairs
from ssgr.tables import Grades

HANG = r"2^{2^{2^{2^{100}}}}"


# --- child processes ----------------------------------------------------------------------------


def test_a_hanging_answer_times_out_and_costs_no_other() -> None:
    pairs = [("1", HANG), ("x+1", "1+x"), ("x+2", "1+x")]
    verdicts = judge_pairs(pairs, time_limit=1.5)
    assert [verdicts[pair].verdict for pair in pairs] == [
        "timed-out",
        "correct",
        "wrong",
    ]
    assert verdicts["1", HANG].milliseconds == 1500


def _judge_or_die(gold: str, answer: str, time_limit: float) -> Verdict:
    if answer == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if answer == "no memory":
        raise MemoryError
    return Verdict(answer, "correct", "math-verify", 0.0)


def test_a_killed_child_costs_its_own_verdict_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_judge_in_child", _judge_or_die)
    answers = ["a", "die", "b", "no memory", "c"]
    verdicts = judge_pairs([("x", answer) for answer in answers], time_limit=30.0)
    assert {answer: verdicts["x", answer].verdict for answer in answers} == {
        "a": "correct",
        "die": "timed-out",
        "b": "correct",
        "no memory": "timed-out",
        "c": "correct",
    }


def _refuse_to_start(memory_limit: int) -> None:
    raise ImportError("no math-verify here")


def test_children_that_cannot_start_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_enter_child", _refuse_to_start)
    with pytest.raises(SsgrError, match="math-verify"):
        judge_pairs([("x+1", "1+x")])


def test_no_child_starts_for_quick_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(**_: Any) -> None:
        raise AssertionError("a child started")

    monkeypatch.setattr(pool, "ProcessPool", start)
    pairs = [("42", "42"), ("42", "41"), ("42", None)]
    verdicts = judge_pairs(pairs)
    assert [verdicts[pair].verdict for pair in pairs] == ["correct", "wrong", "no-answer"]
    with pytest.raises(AssertionError, match="a child started"):
        judge_pairs([("x+1", "1+x")])


def test_equal_pairs_are_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str | None] = []

    def count(gold: str, answer: str | None, method: str) -> Verdict:
        judged.append(answer)
        return Verdict(answer, "correct", method, 0.0)

    monkeypatch.setattr(pool, "judge_quickly", count)
    judge_pairs([("1", "1"), ("1", "2"), ("1", "1")])
    assert judged == ["1", "2"]


def _allocate_after_limit(limit: int) -> None:
    pool._enter_child(limit)
    try:
        bytearray(limit)
    except MemoryError:
        os._exit(7)
    os._exit(0)


def test_a_child_cannot_take_more_memory_than_its_limit() -> None:
    child = get_context("spawn").Process(target=_allocate_after_limit, args=(2**30,))
    child.start()
    child.join()
    assert child.exitcode == (7 if sys.platform == "linux" else 0)  # elsewhere: no such limit


# --- tables -------------------------------------------------------------------------------------


def problems_table(answers: dict[str, str | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "problem_id": list(answers),
            "question": ["?"] * len(answers),
            "answer": list(answers.values()),
        }
    )


def responses_table(rows: list[tuple[str, int, str, str]]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "problem_id": problem_id,
                "sample": sample,
                "prompt_token_ids": [1],
                "token_ids": list(range(len(text))),
                "text": text,
                "finish_reason": reason,
                "tokens": len(text),
                "mean_logprob": None,
            }
            for problem_id, sample, text, reason in rows
        ]
    )


def test_grade_gives_one_valid_row_per_response_in_order() -> None:
    responses = responses_table(
        [
            ("b", 1, r"hm</think>\boxed{x+1}", "stop"),
            ("b", 0, r"hm</think>\boxed{1+x}", "stop"),
            ("a", 2, r"hm \boxed{4", "length"),
            ("a", 0, r"<think> </think>\boxed{5}", "stop"),
            ("a", 1, r"hm</think>\boxed{4.0}", "stop"),
        ]
    )
    grades = grade(responses, problems_table({"a": "4", "b": "x+1", "c": None}))
    assert Grades.is_valid(grades)
    assert grades.select("problem_id", "sample").rows() == [
        ("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1),
    ]  # fmt: skip
    assert grades["verdict"].to_list() == ["wrong", "correct", "no-answer", "correct", "correct"]
    assert grades["correct"].to_list() == [False, True, False, True, True]
    assert grades["method"].to_list() == [
        "numeric", "numeric", "extraction", "math-verify", "exact",
    ]  # fmt: skip
    assert grades["extracted"].to_list() == ["5", "4.0", None, "1+x", "x+1"]
    assert grades["finished"].to_list() == [True, True, False, True, True]
    assert grades["has_thinking"].to_list() == [False, True, False, True, True]
    assert grades["has_answer"].to_list() == [True, True, False, True, True]
    assert grades["tokens"].to_list() == responses.sort("problem_id", "sample")["tokens"].to_list()


def test_grade_by_letter_and_of_nothing() -> None:
    responses = responses_table([("a", 0, "hm</think>Answer: C", "stop")])
    grades = grade(responses, problems_table({"a": "C"}), method="choice")
    assert grades["correct"].to_list() == [True]
    assert grade(responses.clear(), problems_table({"a": "C"})).schema == grades.schema


def test_a_problem_without_an_answer_is_named() -> None:
    responses = responses_table([("a", 0, "", "stop"), ("lost", 0, "", "stop")])
    with pytest.raises(TableError, match=r"1 problem\(s\) \(lost\) without an answer"):
        grade(responses, problems_table({"a": "4", "lost": None}))


def test_a_response_of_an_unknown_problem_is_named() -> None:
    responses = responses_table([("a", 0, "", "stop"), ("stray", 0, "", "stop")])
    with pytest.raises(TableError, match=r"\(stray\).*not in the table of problems"):
        grade(responses, problems_table({"a": "4"}))
