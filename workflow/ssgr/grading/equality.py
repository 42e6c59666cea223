r"""Mathematical equality by math-verify, the only step that needs computer algebra.

Imports sympy, so it is imported late, and normally in a child process. Both sides go in boxed:
math-verify reads a bare ``3\sqrt{13}`` as 3. Its own time-outs (SIGALRM, which turn a time-out
into "not equal") are off: the pool's hard limit bounds the time and keeps the two apart.
"""

import logging
from functools import lru_cache
from typing import Any

import math_verify

from ssgr.grading.judge import VerdictName

logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its time-outs are off


@lru_cache(maxsize=256)
def _parse(normal: str) -> tuple[Any, ...]:
    """Parse a normalised answer into sympy objects (and, last, its text); empty if it fails."""
    return tuple(math_verify.parse(rf"\boxed{{{normal}}}", parsing_timeout=None))


def equality(gold: str, answer: str) -> VerdictName:
    """Judge two normalised answers.

    Raises:
        MemoryError: the process's memory limit was hit before there was a verdict.
    """
    golds = _parse(gold)
    if not golds:
        return "unparsable-gold"
    same = any(_same(one, other) for one in golds for other in _parse(answer))
    return "correct" if same else "wrong"


def _same(gold: Any, answer: Any) -> bool:
    try:
        return bool(math_verify.verify(gold, answer, timeout_seconds=None, raise_on_error=True))
    except MemoryError:
        raise
    except Exception:  # sympy raises anything on odd input: not shown equal, hence not equal
        return False
