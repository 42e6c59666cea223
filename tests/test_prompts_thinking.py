"""What grading sees of the thinking, whoever wrote the opening tag: the prompt or the model."""

import polars as pl
import pytest

from chat_families import FAMILIES
from ssgr.config import Model
from ssgr.config.conventions import DEFAULT
from ssgr.grading import judge_response
from ssgr.grading.spec import Judging
from ssgr.grading.tabulate import grade
from ssgr.storage.tables import Grades
from ssgr.storage.tables import Problems as ProblemsSchema

MODELS = {
    "r1-distill": Model(path="org/r1"),
    "r1-distill-early": Model(path="org/r1-early"),
    "qwen3": Model(path="org/qwen3", chat_template_kwargs={"enable_thinking": True}),
    "qwen3-off": Model(path="org/qwen3", chat_template_kwargs={"enable_thinking": False}),
    "llama3": Model(path="org/llama3", think_open="", think_close=""),
}
LONG = "So one and one, which I add up once more to be sure, make \\boxed{3}. No: two. " * 4
ANSWER = "\n\nIt is \\boxed{2}."
GOOD = {"closed": True, "has_thinking": True, "has_answer": True, "correct": True}
OPEN = {"closed": False, "has_thinking": False, "has_answer": False, "correct": False}
DIRECT = {"closed": True, "has_thinking": False, "has_answer": True, "correct": True}
CASES = {
    "the prompt opened it": ("r1-distill", f"{LONG}\n</think>{ANSWER}", "stop", GOOD),
    "and the model once more": ("r1-distill", f"<think>{LONG}</think>{ANSWER}", "stop", GOOD),
    "opened by the prompt, empty": ("r1-distill", f"\n</think>{ANSWER}", "stop", DIRECT),
    "empty, opened twice": ("r1-distill", f"<think>\n\n</think>{ANSWER}", "stop", DIRECT),
    "opened by the prompt, cut off": ("r1-distill", LONG, "length", OPEN),
    "opened by the prompt, never closed": ("r1-distill", LONG, "stop", OPEN),
    "the model opened it": ("r1-distill-early", f"<think>\n{LONG}</think>{ANSWER}", "stop", GOOD),
    "the model did not think": ("r1-distill-early", ANSWER, "stop", OPEN),
    "qwen3": ("qwen3", f"<think>\n{LONG}\n</think>{ANSWER}", "stop", GOOD),
    "qwen3, empty": ("qwen3", f"<think>\n\n</think>{ANSWER}", "stop", DIRECT),
    "qwen3, cut off": ("qwen3", f"<think>\n{LONG}", "length", OPEN),
    "qwen3, closed by the prompt": ("qwen3-off", ANSWER, "stop", DIRECT),
    "llama3": ("llama3", f"{LONG}{ANSWER}", "stop", DIRECT),
    "no thinking, cut off": ("llama3", LONG + "It is \\boxed{4", "length", {"correct": False}),
}
REQUIRED = DEFAULT.model_copy(update={"thinking": "required"})
PROBLEM = {"problem_id": "a", "question": "1+1?", "answer": "2", "solution": None}


def graded(name: str, text: str, finish_reason: str) -> pl.DataFrame:
    own = FAMILIES["qwen3" if name == "qwen3-off" else name].tokenizer()
    ids = own.encode(text, add_special_tokens=False)
    ids += [own.eos_token_id] if finish_reason == "stop" else []
    responses = pl.DataFrame(
        {
            "problem_id": ["a"],
            "sample": [0],
            "prompt_token_ids": [[1]],
            "token_ids": [ids],
            "text": [own.decode(ids, skip_special_tokens=True)],
            "finish_reason": [finish_reason],
            "tokens": [len(ids)],
            "mean_logprob": [None],
        },
        schema_overrides={"token_ids": pl.List(pl.Int32)},
    )
    problems = pl.DataFrame([PROBLEM | {"subject": None, "level": None}])
    judging = Judging(think_open=MODELS[name].think_open, think_close=MODELS[name].think_close)
    grades = grade(responses, ProblemsSchema.validate(problems, cast=True), **judging.model_dump())
    return Grades.validate(grades, cast=True)


@pytest.mark.parametrize("case", CASES)
def test_columns_of_the_grades(case: str) -> None:
    name, text, finish_reason, expected = CASES[case]
    found = graded(name, text, finish_reason).row(0, named=True)
    assert {key: found[key] for key in expected} == expected
    entry = MODELS[name]
    verdict = judge_response(
        "2", text, REQUIRED, think_open=entry.think_open, think_close=entry.think_close
    )
    assert (verdict.verdict == "correct") == expected["correct"]


@pytest.mark.parametrize("case", CASES)
def test_thinking_tokens_are_those_before_the_closing_tag(case: str) -> None:
    name, text, finish_reason, _ = CASES[case]
    found = graded(name, text, finish_reason).row(0, named=True)
    before, closed, _ = text.rpartition("</think>")
    if closed:
        own = FAMILIES[name].tokenizer()
        exact = len(own.encode(before, add_special_tokens=False))
        assert found["thinking_tokens"] == pytest.approx(exact, abs=10)  # the tags are long words
    elif name in ("qwen3-off", "llama3") or finish_reason == "stop":
        assert found["thinking_tokens"] == 0
    else:
        assert found["thinking_tokens"] == found["tokens"]  # it was still at it
