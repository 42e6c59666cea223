"""Judge many answers: quick steps here, math-verify in child processes that can be killed.

Model output is untrusted: a tower of powers keeps sympy busy for hours. So a child has hard
limits on time and memory, and one that is killed costs its own verdict and no other. The limits
are on processor time and on idling (see `ssgr.grading.process`): a verdict does not depend on how
busy the machine is. One that timed out is tried once more with no other child at work before it
stands.
"""

import atexit
import os
import selectors
import time
from collections.abc import Iterable, Mapping
from threading import RLock

from ssgr.config.conventions import DEFAULT, Conventions
from ssgr.grading.judge import extract, judge_quickly
from ssgr.grading.process import ChildProcess, Limits
from ssgr.grading.verdict import Verdict

MEMORY_LIMIT = 2 * 1024**3
"""Address space of a child in bytes, where the system can limit it (Linux)."""
FIRST_SHARE = 0.4
"""Share of the time limit for the first attempt; the rest is for the second, alone."""
CLOCK_FACTOR = 1.15
"""How many times the limit of processor time an answer may take by the clock, less the time that
its worker waited for a processor: both attempts together end within 6 s of the default 5."""
CAP_FACTOR = 20.0
"""How many times it may take on the busiest machine."""
SOONEST = 0.02
"""Seconds between two looks at whether a child is overdue."""

Pair = tuple[str, str | None]


def _limits(seconds: float) -> Limits:
    return Limits(seconds, seconds * CLOCK_FACTOR, seconds * CAP_FACTOR)


def judge_pairs(
    pairs: Iterable[Pair],
    *,
    method: str = "math",
    conventions: Conventions = DEFAULT,
    time_limit: float = 5.0,
    workers: int = 1,
    memory_limit: int = MEMORY_LIMIT,
    known: Mapping[Pair, Verdict] | None = None,
) -> dict[Pair, Verdict]:
    """Judge every distinct (gold, answer) pair once.

    Args:
        pairs: gold and extracted answer (None: there was none).
        method: a key of ``ssgr.grading.METHODS``.
        conventions: what counts as the same answer.
        time_limit: seconds of processor time per pair, both attempts together; by the clock it may
            take `CLOCK_FACTOR` times that and what its workers waited for a processor.
        workers: child processes at most; none starts if the quick steps decide everything.
        memory_limit: bytes of address space per child.
        known: verdicts of math-verify that still hold, see ``ssgr.grading.reuse``.

    Returns:
        A verdict for every pair; "timed-out" where a child ran out of time or memory, twice.

    Raises:
        ConfigError: unknown method.
        SsgrError: child processes cannot start.
    """
    verdicts: dict[Pair, Verdict] = {}
    undecided: list[tuple[str, str]] = []
    for gold, answer in dict.fromkeys(pairs):
        quick = judge_quickly(gold, answer, method, conventions)
        if quick is None and known:
            quick = known.get((gold, answer))
        if quick is not None:
            verdicts[gold, answer] = quick
        elif answer is not None:
            undecided.append((gold, answer))
    if undecided:
        with _LOCK:
            verdicts.update(_in_children(undecided, conventions, time_limit, workers, memory_limit))
    return verdicts


def _in_children(
    pairs: list[tuple[str, str]],
    conventions: Conventions,
    time_limit: float,
    workers: int,
    memory_limit: int,
) -> dict[Pair, Verdict]:
    first, second = FIRST_SHARE * time_limit, (1 - FIRST_SHARE) * time_limit
    crew = _crew(min(max(1, workers), len(pairs)), memory_limit)
    verdicts = _ask(crew, pairs, conventions, _limits(first))
    late = [pair for pair in pairs if verdicts[pair].verdict == "timed-out"]
    again = _ask(crew[:1], late, conventions, _limits(second))
    return verdicts | again


def _ask(
    crew: list[ChildProcess],
    pairs: list[tuple[str, str]],
    conventions: Conventions,
    limits: Limits,
) -> dict[Pair, Verdict]:
    """Have every pair judged once, each child one at a time."""
    verdicts: dict[Pair, Verdict] = {}
    waiting = iter(pairs)
    asked: dict[ChildProcess, tuple[tuple[str, str], float]] = {}
    settings = conventions.model_dump()

    def next_question(child: ChildProcess) -> None:
        if (pair := next(waiting, None)) is not None:
            asked[child] = pair, time.perf_counter()
            child.ask({"gold": pair[0], "answer": pair[1], "conventions": settings}, limits)

    try:
        for child in crew:
            next_question(child)
        while asked:
            for child in _ready(asked):
                name = child.answer()
                if name is None:  # not yet
                    continue
                (gold, answer), start = asked.pop(child)
                took = (time.perf_counter() - start) * 1000
                verdicts[gold, answer] = Verdict(answer, name, "math-verify", took)
                next_question(child)
    except BaseException:  # answers still on their way must not be taken for later ones
        close()
        raise
    return verdicts


def _ready(asked: Iterable[ChildProcess]) -> list[ChildProcess]:
    """Wait until a child has written, or was stopped since it is overdue."""
    soon = max(SOONEST, min(child.time_left() for child in asked))
    with selectors.DefaultSelector() as selector:
        for child in asked:
            selector.register(child, selectors.EVENT_READ)
        ready = [key.fileobj for key, _ in selector.select(timeout=soon)]
    children = [child for child in ready if isinstance(child, ChildProcess)]
    for child in asked:
        if child not in children and child.time_left() <= 0 and child.end_overdue():
            children.append(child)
    return children


_LOCK = RLock()
_CREW: list[ChildProcess] = []
_OWNER = os.getpid()


def _crew(workers: int, memory_limit: int) -> list[ChildProcess]:
    """Return so many children, kept between calls: to load sympy takes a second."""
    global _OWNER
    if os.getpid() != _OWNER:  # a fork of the process that has them
        _CREW.clear()
        _OWNER = os.getpid()
    if any(child.memory_limit != memory_limit for child in _CREW):
        close()
    while len(_CREW) < workers:
        _CREW.append(ChildProcess(memory_limit))
    for child in _CREW[:workers]:
        child.start()
    return _CREW[:workers]


def close() -> None:
    """End the child processes; the next verdict that needs one starts it."""
    with _LOCK:
        while _CREW:
            _CREW.pop().stop()


atexit.register(close)


def judge(
    gold: str,
    answer: str | None,
    conventions: Conventions = DEFAULT,
    *,
    method: str = "math",
    time_limit: float = 5.0,
) -> Verdict:
    """Judge a bare answer.

    Args:
        gold: the reference answer (several, a unit, a tolerance: see `ssgr.grading.golds`).
        answer: what is judged; None: there was none.
        conventions: what counts as the same answer.
        method: a key of ``ssgr.grading.METHODS``; "math" is the ladder exact, numeric, math-verify.
        time_limit: seconds by the clock for math-verify, which runs in a child process that is
            kept for the next call; then the verdict is "timed-out".

    Raises:
        ConfigError: unknown method.
        SsgrError: a child process cannot start.
    """
    quick = judge_quickly(gold, answer, method, conventions)
    if quick is not None:
        return quick
    pair = gold, answer or ""
    limits = Limits(time_limit, time_limit, time_limit)
    with _LOCK:
        return _ask(_crew(1, MEMORY_LIMIT), [pair], conventions, limits)[pair]


def judge_response(
    gold: str,
    response: str,
    conventions: Conventions = DEFAULT,
    *,
    method: str = "math",
    think_open: str = "<think>",
    think_close: str | None = "</think>",
    time_limit: float = 5.0,
) -> Verdict:
    """Judge a whole response by its answer after the last ``think_close``.

    Whether a response must hold that tag is said by ``conventions.thinking``. An empty or None
    ``think_close`` judges a model that does not think by its whole response.

    Raises:
        ConfigError: unknown method.
        SsgrError: a child process cannot start.
    """
    answer = extract(
        response, method, think_close, conventions, think_open=think_open, thinking=None
    )
    return judge(gold, answer, conventions, method=method, time_limit=time_limit)
