"""Grade a table of responses: one verdict and the measured quality of each."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from ssgr.config.conventions import DEFAULT, Conventions
from ssgr.errors import TableError
from ssgr.grading.judge import extract
from ssgr.grading.methods import find_method
from ssgr.grading.quality import measure
from ssgr.grading.verdict import Verdict
from ssgr.grading.workers import Pair, judge_pairs
from ssgr.storage.tables import Grades

SHOWN = 10
"""Problem ids named in an error."""


def grade(
    responses: pl.DataFrame,
    problems: pl.DataFrame,
    *,
    method: str = "math",
    conventions: Conventions | Mapping[str, Any] = DEFAULT,
    think_close: str = "</think>",
    think_open: str = "<think>",
    time_limit: float = 5.0,
    workers: int = 1,
    earlier: Mapping[Pair, Verdict] | None = None,
) -> pl.DataFrame:
    """Grade every response.

    Args:
        responses: a Responses table.
        problems: a Problems table that holds the answer of every problem in ``responses``.
        method: a key of ``ssgr.grading.METHODS``; "math" is the ladder.
        conventions: the benchmark's, also as the fields of `Conventions`.
        think_close: the tag after which the answer stands, which a response must hold; empty for
            a model without thinking.
        think_open: the tag before the thinking, which the prompt may have written already.
        time_limit: seconds of processor time per answer that needs math-verify.
        workers: child processes at most.
        earlier: verdicts of math-verify to take over, see ``ssgr.grading.reuse``.

    Returns:
        A Grades table sorted by problem_id and sample, with one row per response.

    Raises:
        TableError: a response's problem is unknown, or has no answer; names the problems.
        ConfigError: unknown method.
    """
    find_method(method)
    rules = Conventions.model_validate(conventions)
    if responses.is_empty():
        return Grades.create_empty()
    golds = _golds(responses, problems)
    rows = responses.sort("problem_id", "sample").select(
        "problem_id",
        "sample",
        pl.col("prompt_token_ids").list.len().alias("prompt_tokens"),
        "tokens",
        "text",
        "token_ids",
        "finish_reason",
    )
    pairs = [
        (golds[problem_id], extract(text, method, think_close, rules))
        for problem_id, text in rows.select("problem_id", "text").iter_rows()
    ]
    verdicts = judge_pairs(
        pairs,
        method=method,
        conventions=rules,
        time_limit=time_limit,
        workers=workers,
        known=earlier,
    )
    judged = [
        vars(verdicts[pair])
        | vars(
            measure(
                text,
                token_ids.to_numpy(),
                finished=reason == "stop",
                has_answer=pair[1] is not None,
                think_open=think_open,
                think_close=think_close,
                join_boxes=rules.boxes == "joined",
            )
        )
        for pair, text, token_ids, reason in zip(
            pairs, rows["text"], rows["token_ids"], rows["finish_reason"], strict=True
        )
    ]
    graded = pl.concat(
        [rows[:, :4], pl.DataFrame(judged, infer_schema_length=None)], how="horizontal"
    ).with_columns(correct=pl.col("verdict") == "correct")
    return Grades.cast(graded.select(Grades.column_names()))


def _golds(responses: pl.DataFrame, problems: pl.DataFrame) -> dict[str, str]:
    """Return the answer of every problem that has responses."""
    asked = responses["problem_id"].unique().sort().to_list()
    golds: dict[str, str | None] = dict(problems.select("problem_id", "answer").iter_rows())
    unknown = [problem_id for problem_id in asked if problem_id not in golds]
    if unknown:
        raise TableError(
            f"{_named(unknown)} of the responses not in the table of problems: these responses "
            "are of another problem set; grade them with the problems they were sampled from"
        )
    unanswered = [problem_id for problem_id in asked if not (golds[problem_id] or "").strip()]
    if unanswered:
        raise TableError(
            f"{_named(unanswered)} without an answer, so no response can be graded: map the "
            "answer field of the problem set, or drop these problems"
        )
    return {problem_id: golds[problem_id] or "" for problem_id in asked}


def _named(problem_ids: list[str]) -> str:
    shown = ", ".join(problem_ids[:SHOWN]) + (", ..." if len(problem_ids) > SHOWN else "")
    return f"{len(problem_ids)} problem(s) ({shown})"
