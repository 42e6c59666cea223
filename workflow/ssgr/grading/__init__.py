"""Grading: was this response correct? One interface for the pool and for every evaluation.

``judge`` takes a bare answer, ``judge_response`` a whole response, ``grade`` whole tables; all
under the :class:`Conventions` of a benchmark, all within a time limit. ``grade`` loads on first
use, and sympy only in child processes.
"""

from typing import TYPE_CHECKING, Any

from ssgr.config.conventions import PRESETS, Conventions
from ssgr.grading.methods import METHODS
from ssgr.grading.verdict import Verdict
from ssgr.grading.workers import judge, judge_response

if TYPE_CHECKING:
    from ssgr.grading.tabulate import grade

__all__ = [
    "METHODS",
    "PRESETS",
    "Conventions",
    "Verdict",
    "grade",
    "judge",
    "judge_response",
]


def __getattr__(name: str) -> Any:
    """Import ``grade`` when it is first asked for (PEP 562)."""
    if name == "grade":
        from ssgr.grading.tabulate import grade

        return grade
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
