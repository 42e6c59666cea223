"""The parent's side of a judging child: start it, ask it, read its answer, stop it.

A question has three limits. Processor time is kept by the kernel, and does not depend on what else
the machine does. A worker that hangs without computing is caught by the clock, from which the time
that it was ready to run but had no processor is taken off. The cap is on the bare clock.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, cast

from ssgr.errors import SsgrError
from ssgr.grading import child
from ssgr.grading.verdict import VerdictName

PACKAGE = Path(__file__).parents[2]
PROGRAM = f"import sys; sys.path.insert(0, sys.argv[1]); from {child.__name__} import main; "
ATTEMPTS = 3
"""How often a question is sent to children that end before they have begun it."""
START_LIMIT = 120.0
"""Seconds that loading sympy may take, on a busy machine with a cold disk."""


class Limits(NamedTuple):
    """What one question may take, in seconds."""

    processor: float
    clock: float
    """Less the time that its worker waited for a processor, where the system tells."""
    cap: float


def processor_wait(process_id: int) -> float | None:
    """Seconds that a process was ready to run but had to wait; None: the system does not tell."""
    try:
        fields = Path(f"/proc/{process_id}/schedstat").read_text().split()
        return int(fields[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return None


class ChildDied(SsgrError):
    """A child ended before it was asked anything."""

    def __init__(self, reason: str) -> None:
        """Say why, and what to look at."""
        super().__init__(
            f"grading: a child process cannot start: {reason}; `python -c 'import math_verify'` "
            "shows whether math-verify is installed whole, and a child needs about 200 MB of memory"
        )


class ChildProcess:
    """One child: see `ssgr.grading.child`. Used by one thread at a time."""

    GRACE = 5.0
    """Seconds after the cap, or after its worker was killed, that a silent child is stopped."""

    def __init__(self, memory_limit: int) -> None:
        """Nothing is started yet."""
        self.memory_limit = memory_limit
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._question: dict[str, Any] = {}
        self._limits = Limits(0.0, 0.0, 0.0)
        self._id = 0
        self._sent = 0
        self._since = 0.0
        self._worker: int | None = None  # that has begun the question
        self._waited: float | None = None  # its `processor_wait` before
        self._killed = False

    def start(self) -> None:
        """Start it unless it runs.

        Raises:
            ChildDied: it ended, or was not ready in time.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self.stop()
        program = f"{PROGRAM}main({self.memory_limit})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, str(PACKAGE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the parent, which then closes the pipe
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        self._buffer = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            if not selector.select(START_LIMIT):
                self.stop()
                raise ChildDied(f"it was not ready after {START_LIMIT:.0f} s")
        while (ready := self._lines()) == []:
            pass
        if ready is None:
            raise ChildDied(f"it ended with status {self._process.wait()} (see the lines above)")

    def fileno(self) -> int:
        """What to wait on for an answer."""
        assert self._process is not None and self._process.stdout is not None
        return self._process.stdout.fileno()

    def ask(self, question: dict[str, Any], limits: Limits) -> None:
        """Send a question (gold, answer, conventions).

        Raises:
            ChildDied: no child lives long enough to read it; `answer` may raise this as well.
        """
        self._question = question | {"processor": limits.processor, "cap": limits.cap}
        self._limits, self._sent = limits, 0
        self._send()

    def time_left(self) -> float:
        """Seconds until the question is overdue, or may be."""
        took = time.monotonic() - self._since
        if self._killed:
            return self.GRACE - took
        left = self._limits.cap + self.GRACE - took
        if self._worker is None or self._waited is None:
            return left
        in_time = self._limits.clock - took
        if in_time <= 0 and (waited := processor_wait(self._worker)) is not None:
            in_time += waited - self._waited
        return min(left, in_time)

    def end_overdue(self) -> bool:
        """Kill the worker, which the child then reports (False), or stop a silent child (True)."""
        assert self._process is not None
        if self._killed or self._worker is None:
            self.stop()
            return True
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(self._worker) == self._process.pid:
                os.kill(self._worker, signal.SIGKILL)
        self._killed, self._since = True, time.monotonic()
        return False

    def answer(self) -> VerdictName | None:
        """Read what there is: the verdict, "timed-out" if the worker died of it, None: not yet."""
        lines = self._lines()
        if lines is None:  # the child itself is gone: this question is not to blame, unless begun
            self.stop()
            if self._worker is not None:
                return "timed-out"
            self._send()
            return None
        for line in lines:
            message = json.loads(line)
            if "died" in message:
                if self._worker is not None:
                    return "timed-out"
                self._send()  # it died between two questions, and may have read this one
            elif message.get("id") == self._id:
                if "verdict" in message:
                    return cast(VerdictName, message["verdict"])
                self._worker, self._since = message["worker"], time.monotonic()
                self._waited = processor_wait(message["worker"])
        return None

    def stop(self) -> None:
        """End it and its worker, at once."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _send(self) -> None:
        if self._sent == ATTEMPTS:
            raise ChildDied(f"{ATTEMPTS} of them ended before they had read a question")
        self.start()
        self._sent += 1
        self._id += 1
        self._worker, self._killed = None, False
        self._since = time.monotonic()
        assert self._process is not None and self._process.stdin is not None
        line = json.dumps({"id": self._id, **self._question}).encode() + b"\n"
        with suppress(BrokenPipeError):  # then reading says so, and it is sent again
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _lines(self) -> list[bytes] | None:
        """Whole lines that have come; None if the child has ended or was stopped."""
        if self._process is None:
            return None
        some = os.read(self.fileno(), 65536)
        if not some:
            return None
        *lines, self._buffer = (self._buffer + some).split(b"\n")
        return lines
