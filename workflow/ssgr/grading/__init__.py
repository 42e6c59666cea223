"""Grading: was this response correct? One interface for the pool and for every evaluation.

``judge`` takes a bare answer, ``judge_response`` a whole response, both in the calling process
and without a time limit; ``grade`` takes whole tables and judges in child processes that are
killed at a time limit. ``grade`` loads on first use: a child that judges answers needs no tables.
"""

from typing import TYPE_CHECKING, Any

from ssgr.grading.judge import METHODS, Verdict, judge, judge_response

if TYPE_CHECKING:
    from ssgr.grading.tabulate import grade

__all__ = ["METHODS", "Verdict", "grade", "judge", "judge_response"]


def __getattr__(name: str) -> Any:
    """Import ``grade`` when it is first asked for (PEP 562)."""
    if name == "grade":
        from ssgr.grading.tabulate import grade

        return grade
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
