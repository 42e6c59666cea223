"""The parent's side of a judging child: start it, ask it, read its answer, stop it."""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from ssgr.errors import SsgrError
from ssgr.grading import child
from ssgr.grading.verdict import VerdictName

PACKAGE = Path(__file__).parents[2]
PROGRAM = f"import sys; sys.path.insert(0, sys.argv[1]); from {child.__name__} import main; "
ATTEMPTS = 3
"""How often a question is sent to children that end before they have begun it."""
START_LIMIT = 120.0
"""Seconds that loading sympy may take, on a busy machine with a cold disk."""


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
    """Seconds after the limits at which a child that still says nothing is stopped from here."""

    def __init__(self, memory_limit: int) -> None:
        """Nothing is started yet."""
        self.memory_limit = memory_limit
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._question: dict[str, Any] = {}
        self._id = 0
        self._sent = 0
        self._begun = False
        self._since = 0.0

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

    def ask(self, question: dict[str, Any]) -> None:
        """Send a question (gold, answer, conventions, processor, clock).

        Raises:
            ChildDied: no child lives long enough to read it; `answer` may raise this as well.
        """
        self._question, self._sent = question, 0
        self._send()

    def asked_for(self) -> float:
        """Seconds since the question was sent."""
        return time.monotonic() - self._since

    def answer(self) -> VerdictName | None:
        """Read what there is: the verdict, "timed-out" if the worker died of it, None: not yet."""
        lines = self._lines()
        if lines is None:  # the child itself is gone: this question is not to blame, unless begun
            self.stop()
            if self._begun:
                return "timed-out"
            self._send()
            return None
        for line in lines:
            message = json.loads(line)
            if "died" in message:
                if self._begun:
                    return "timed-out"
                self._send()  # it died between two questions, and may have read this one
            elif message.get("id") == self._id:
                self._begun = True
                if "verdict" in message:
                    return cast(VerdictName, message["verdict"])
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
        self._begun = False
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
