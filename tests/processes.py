"""Processes that tests start, hold at a point, and kill."""

import os
import signal
import socket
import traceback
from collections.abc import Callable
from pathlib import Path


class Forked:
    """A child of this process and a line to it; it ends when the line is closed at this end."""

    def __init__(self, work: Callable[["Line"], None]) -> None:
        ours, its = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            status = 1
            try:
                work(Line(its))
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        its.close()
        self.line = Line(ours)

    def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(self.pid, 0)[1]) == signal.SIGKILL

    def end(self) -> None:
        """Let it go on to its end, which must be a good one."""
        self.line.socket.shutdown(socket.SHUT_WR)
        assert os.waitpid(self.pid, 0)[1] == 0


class Line:
    """A line between two processes."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end

    def say(self, word: str) -> None:
        """Send ``word``."""
        self.socket.sendall(word.encode() + b"\n")

    def hear(self) -> str:
        """The next word; empty when the other end is closed. Waits."""
        word = b""
        while not word.endswith(b"\n"):
            byte = self.socket.recv(1)
            if not byte:
                break
            word += byte
        return word.decode().rstrip("\n")


def without_rights() -> None:
    """Become a user who owns nothing, if this is root."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


def reachable(folder: Path) -> Path:
    """Let every user pass through ``folder`` and the folders of ours above it."""
    for one in (folder, *folder.parents):
        if one != Path("/") and one.stat().st_uid == os.geteuid():
            one.chmod(one.stat().st_mode | 0o755)
    return folder
