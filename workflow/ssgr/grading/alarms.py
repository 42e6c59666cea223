"""Warnings about a whole table of responses, for a job's log: what cannot be chance."""

import sys
from collections.abc import Iterable

import polars as pl

from ssgr.grading.spec import Judging


def unclosed(responses: pl.DataFrame, think_close: str) -> list[str]:
    """Return a warning if no response holds the tag that closes its thinking, else nothing.

    Args:
        responses: a Responses table.
        think_close: the configured tag; empty for a model without thinking.
    """
    if not think_close or responses.is_empty():
        return []
    if responses["text"].str.contains(think_close, literal=True).any():
        return []
    cut_off = int((responses["finish_reason"].cast(pl.String) == "length").sum())
    return [_unclosed(len(responses), cut_off, think_close)]


def unanswered(grades: pl.DataFrame, judging: Judging) -> list[str]:
    """Return warnings if no response closes its thinking, or none has an answer.

    Args:
        grades: a Grades table.
        judging: how it was judged.
    """
    if grades.is_empty() or grades["has_answer"].any():
        return []
    if not grades["closed"].any():
        cut_off = int(grades["finished"].not_().sum())
        return [_unclosed(len(grades), cut_off, judging.think_close)]
    return [
        f"none of {len(grades)} responses has an answer that the method {judging.method!r} finds, "
        "so all count as wrong. Read some of their texts: the prompt must ask for the form that "
        "is looked for (\\boxed{} by `math`), and the answer must stand after the thinking, which "
        f"ends with {judging.think_close!r} (think_close in the model's entry)."
    ]


def say(warnings: Iterable[str]) -> None:
    """Print warnings where a job's log and its reader are."""
    for warning in warnings:
        print(f"WARNING: {warning}", file=sys.stderr, flush=True)


def _unclosed(count: int, cut_off: int, think_close: str) -> str:
    why = f" {cut_off} of them were cut off at max_tokens." if cut_off else ""
    return (
        f"none of {count} responses closes its thinking: none holds {think_close!r}.{why} An "
        "answer is looked for after that tag, so none is found. Hold think_open and think_close "
        "in the model's entry against a response's text and the model's chat template; a model "
        'that does not think has "" for both.'
    )
