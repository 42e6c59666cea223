"""A child process that judges by math-verify, and may die of it without harm.

Started as a program of its own (`python -c`, not by multiprocessing), so that it neither runs the
caller's main module again nor inherits its threads. It loads sympy once, then forks a worker that
reads questions and writes answers, one JSON line each. The kernel kills a worker at its limits of
processor time, time and memory, and the parent one that idles; then a new one is forked, in
milliseconds.
"""

import json
import os
import resource
import signal
import sys
from typing import Any

RENEWED = 4
"""Exit status of a worker that asks to be replaced."""
QUESTIONS = 1000
"""A worker is replaced after so many, before sympy's caches fill its memory."""
HUNGRY = 0.25
"""Share of the free memory whose use makes a "wrong" doubtful: an allocation may have failed."""


def main(memory_limit: int) -> None:
    """Fork workers until the parent closes the pipe of questions."""
    import ssgr.grading.equality  # noqa: F401  (loaded here once, for all workers)

    questions, answers = os.dup(0), os.dup(1)
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(silent, stream)  # what a library prints must not become an answer
    _tell(answers, {"ready": True})
    while True:
        process = os.fork()
        if process == 0:
            os.dup2(silent, 2)
            os._exit(_work(questions, answers, memory_limit))
        _, status = os.waitpid(process, 0)
        if status == 0:
            return
        if os.waitstatus_to_exitcode(status) != RENEWED:
            _tell(answers, {"died": os.waitstatus_to_exitcode(status)})


def _work(questions: int, answers: int, memory_limit: int) -> int:
    """Answer questions until there are no more (0) or a new worker should (not 0)."""
    for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, signal.SIG_DFL)  # kills at once, even in a long multiplication
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (memory_limit, memory_limit))
    before = _peak_memory()
    for _ in range(QUESTIONS):
        question = _read_line(questions)
        if not question:
            return 0
        asked = json.loads(question)
        _tell(answers, {"id": asked["id"], "worker": os.getpid()})
        signal.setitimer(signal.ITIMER_PROF, asked["processor"])
        signal.setitimer(signal.ITIMER_REAL, asked["cap"])
        try:
            verdict = _judge(asked)
        except (MemoryError, RecursionError):
            return 1
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        hungry = _peak_memory() - before > (memory_limit - before) * HUNGRY
        if hungry and verdict != "correct":
            return 1  # sympy may have caught the MemoryError, and gone on to say "not equal"
        _tell(answers, {"id": asked["id"], "verdict": verdict})
        if hungry:
            break
    return RENEWED


def _peak_memory() -> int:
    """The largest address space so far, in bytes; 0 where the system does not tell (or limit)."""
    if sys.platform != "linux":
        return 0
    with open("/proc/self/status") as status:
        peak = next(line for line in status if line.startswith("VmPeak"))
    return int(peak.split()[1]) * 1024


def _judge(asked: dict[str, Any]) -> str:
    from ssgr.config.conventions import Conventions
    from ssgr.grading.equality import equality
    from ssgr.grading.golds import read_gold

    conventions = Conventions.model_validate(asked["conventions"])
    gold, conventions = read_gold(asked["gold"], conventions)
    return equality(gold, asked["answer"], conventions)


def _read_line(stream: int) -> bytes:
    """Read one line, and no byte beyond it (that would be lost with this worker)."""
    line = bytearray()
    while not line.endswith(b"\n"):
        some = os.read(stream, 65536)  # the parent asks one question at a time
        if not some:
            return b""
        line += some
    return bytes(line)


def _tell(stream: int, message: dict[str, Any]) -> None:
    os.write(stream, json.dumps(message).encode() + b"\n")
