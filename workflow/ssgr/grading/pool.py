"""Judge many answers: quick steps here, math-verify in child processes that can be killed.

Model output is untrusted: ``2^{2^{2^{2^{100}}}}`` keeps sympy busy for hours. So a child has a
hard limit on time and memory, and one that is killed costs its own verdict and no other. The
limit is on processor time, kept by the kernel: a verdict does not depend on how busy the machine
is, and a child whose parent has died ends as well.
"""

import multiprocessing
import signal
import sys
from collections.abc import Iterable
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from ssgr.errors import SsgrError
from ssgr.grading.judge import Verdict, judge_quickly, judge_slowly

MEMORY_LIMIT = 2 * 1024**3
"""Address space of a child in bytes, where the system can limit it (Linux)."""
TASKS_PER_CHILD = 1000
"""A child is replaced after so many verdicts, before sympy's caches fill its memory."""
POOLS = 3
"""How often a broken pool is built before giving up."""
WALL_FACTOR = 20.0
"""How many times the limit of processor time an answer may take by the clock."""

Pair = tuple[str, str | None]


def judge_pairs(
    pairs: Iterable[Pair],
    *,
    method: str = "math",
    time_limit: float = 5.0,
    workers: int = 1,
    memory_limit: int = MEMORY_LIMIT,
) -> dict[Pair, Verdict]:
    """Judge every distinct (gold, answer) pair once.

    Args:
        pairs: gold and extracted answer (None: there was none).
        method: a key of ``ssgr.grading.METHODS``.
        time_limit: seconds of processor time per pair (by the clock where the system has no such
            timer); a child that needs longer is killed.
        workers: child processes at most; none starts if the quick steps decide everything.
        memory_limit: bytes of address space per child.

    Returns:
        A verdict for every pair; "timed-out" where a child ran out of time or memory.

    Raises:
        ConfigError: unknown method.
        SsgrError: child processes cannot start.
    """
    verdicts: dict[Pair, Verdict] = {}
    undecided: list[tuple[str, str]] = []
    for gold, answer in dict.fromkeys(pairs):
        quick = judge_quickly(gold, answer, method)
        if quick is not None:
            verdicts[gold, answer] = quick
        elif answer is not None:
            undecided.append((gold, answer))
    if undecided:
        verdicts.update(_judge_in_children(undecided, time_limit, workers, memory_limit))
    return verdicts


def _judge_in_children(
    pairs: list[tuple[str, str]], time_limit: float, workers: int, memory_limit: int
) -> dict[Pair, Verdict]:
    """Judge by math-verify. A pool breaks if an idle child is killed: the rest gets a new one."""
    verdicts: dict[Pair, Verdict] = {}
    failure: BrokenProcessPool | None = None
    for _ in range(POOLS):
        rest = [pair for pair in pairs if pair not in verdicts]
        if not rest:
            return verdicts
        try:
            _run_pool(rest, time_limit, min(workers, len(rest)), memory_limit, verdicts)
        except BrokenProcessPool as error:
            failure = error
    if failure is not None and len(verdicts) < len(pairs):
        raise SsgrError(
            f"grading: child processes died {POOLS} times outside any task (see the lines above); "
            "`python -c 'import math_verify'` shows whether math-verify is installed whole, and "
            "a child needs about 200 MB of memory"
        ) from failure
    return verdicts


def _run_pool(
    pairs: list[tuple[str, str]],
    time_limit: float,
    workers: int,
    memory_limit: int,
    verdicts: dict[Pair, Verdict],
) -> None:
    """Judge ``pairs`` in one pool, each verdict put into ``verdicts`` as it comes."""
    with ProcessPool(
        max_workers=max(1, workers),
        max_tasks=TASKS_PER_CHILD,
        initializer=_enter_child,
        initargs=(memory_limit,),
        context=_start_context(),
    ) as pool:
        try:
            for pair, future in _schedule(pool, pairs, time_limit):
                verdicts[pair] = _result(pool, pair[1], future, time_limit)
        except BaseException:
            pool.stop()  # type: ignore[no-untyped-call]
            raise


def _schedule(
    pool: ProcessPool, pairs: list[tuple[str, str]], time_limit: float
) -> list[tuple[tuple[str, str], ProcessFuture[Verdict]]]:
    clock_limit = time_limit * (WALL_FACTOR if hasattr(signal, "setitimer") else 1.0)
    try:
        return [
            (pair, pool.schedule(_judge_in_child, args=(*pair, time_limit), timeout=clock_limit))
            for pair in pairs
        ]
    except RuntimeError as error:  # what schedule() raises once the pool has broken
        raise BrokenProcessPool(str(error)) from error


def _result(
    pool: ProcessPool, answer: str, future: ProcessFuture[Verdict], time_limit: float
) -> Verdict:
    while not wait([future], timeout=1.0).done:
        if not pool.active:  # a broken pool leaves the futures it has not read pending for ever
            raise BrokenProcessPool("the pool stopped before this answer was judged")
    try:
        return future.result()
    except (TimeoutError, ProcessExpired, MemoryError):
        return Verdict(answer, "timed-out", "math-verify", time_limit * 1000)


def _start_context() -> BaseContext:
    """Children fork from a small server that has sympy loaded, else start afresh (spawn).

    Forking this process itself could deadlock: it may hold the threads of torch or polars.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ssgr.grading.equality"])
    return context


def _enter_child(memory_limit: int) -> None:
    """Load sympy outside the time limit, bound the memory, and let SIGTERM kill at once."""
    import ssgr.grading.equality  # noqa: F401

    # a Python handler, as Pebble sets, would wait for the end of a long multiplication
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_limit, memory_limit))


def _judge_in_child(gold: str, answer: str, time_limit: float) -> Verdict:
    """Judge under a timer whose signal, SIGPROF, ends the process."""
    if not hasattr(signal, "setitimer"):
        return judge_slowly(gold, answer)
    signal.setitimer(signal.ITIMER_PROF, time_limit)
    try:
        return judge_slowly(gold, answer)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
