"""Who holds a lock: the record in the lock file, and whether its Snakemake is still there.

A Snakemake that is killed leaves its jobs running. Such a job still does useful work and keeps its
locks; whoever waits for it should read that it is an orphan, and how to end it.

A process is told from a later one of its number by when it started, in seconds since its machine
did: the clocks of two machines need not agree, and that of one may be set. Nobody judges processes
of another machine, or of another container's numbering.
"""

import getpass
import json
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import psutil

SAME_START = 2.0  # seconds by which two readings of one process's start may differ
BOOT = Path("/proc/sys/kernel/random/boot_id")
NUMBERING = Path("/proc/self/ns/pid")


@dataclass(frozen=True)
class Holder:
    """Who holds the lock on ``path``. ``pid`` is 0 if the file does not say.

    ``orphaned``: the Snakemake that started it is gone. None: it runs on another machine, or the
    file does not say who it is. ``left`` are the processes that keep the lock of a ``pid`` that
    has ended.
    """

    path: Path
    what: str
    pid: int
    host: str
    user: str
    since: str
    orphaned: bool | None
    left: tuple[int, ...] = ()

    def __str__(self) -> str:
        """In words, on one line."""
        if not self.pid:
            return "a process that does not say who it is"
        text = f"pid {self.pid} of {self.user} on {self.host} since {self.since} ({self.what})"
        if self.left:
            pids = " ".join(map(str, self.left))
            text += f"; it has ended, but what it started still runs. To end that: kill {pids}"
        elif self.orphaned:
            text += (
                "; an orphan: the Snakemake that started it is gone. What it finishes will be "
                f"used. To end it: kill {self.pid}"
            )
        elif self.orphaned is None:
            text += (
                f"; whether it lives is not to be seen from here. If {self.host} is dead, the file "
                "server frees the lock (NFS 4: after a minute or two)"
            )
        return text


@dataclass(frozen=True)
class Started:
    """A process, told from a later one of its number by its start (seconds since the machine's)."""

    pid: int
    at: float


@dataclass(frozen=True)
class Record:
    """What the holder of a lock writes into its file."""

    pid: int
    host: str
    user: str
    since: str  # ISO 8601, UTC
    what: str
    at: float  # start of the process, seconds since that of the machine
    snakemake: Started | None
    machine: str = ""  # where ``pid`` means this process


def here(what: str) -> Record:
    """The record of this process. Made before it waits: its Snakemake may be gone afterwards."""
    me = psutil.Process()
    return Record(
        pid=me.pid,
        host=socket.gethostname(),
        user=user(),
        since="",
        what=what,
        at=_start(me),
        snakemake=_snakemake(me),
        machine=_machine(),
    )


def user() -> str:
    """The user's name, or number where it has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def write_record(descriptor: int, path: Path, record: Record) -> None:
    """Write ``record``, held from now on, into the locked file ``path``.

    A lock without a record is still a lock: a full disk is said on stderr and no more.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    try:
        os.ftruncate(descriptor, 0)  # never the last holder's name under this one's lock
        os.pwrite(descriptor, json.dumps(asdict(record) | {"since": now}).encode() + b"\n", 0)
    except OSError as error:
        print(f"{path} cannot say who holds it ({error.strerror}).", file=sys.stderr, flush=True)


def read_record(descriptor: int, path: Path) -> Holder:
    """The holder of the lock on ``path``, by the record in the file open at ``descriptor``."""
    try:
        fields = json.loads(os.pread(descriptor, 1 << 16, 0))
        boss = fields["snakemake"]
        record = Record(**fields | {"snakemake": Started(**boss) if boss else None})
    except (ValueError, KeyError, TypeError):
        return Holder(path, "", 0, "", "", "", None)
    orphaned: bool | None = None
    left: tuple[int, ...] = ()
    if (record.host, record.machine) == (socket.gethostname(), _machine()):
        orphaned = record.snakemake is not None and not _lives(record.snakemake)
        if not _lives(Started(record.pid, record.at)):
            left = _with_open(path)
    words = {name: _printable(getattr(record, name)) for name in ("what", "host", "user", "since")}
    return Holder(path=path, pid=record.pid, orphaned=orphaned, left=left, **words)


def _snakemake(process: psutil.Process) -> Started | None:
    """The outermost Snakemake among the ancestors (a job of its own may be one itself)."""
    for ancestor in reversed(process.parents()):
        try:
            if _is_snakemake(ancestor.cmdline()):
                return Started(ancestor.pid, _start(ancestor))
        except psutil.Error:  # ended, or not ours to see
            continue
    return None


def _is_snakemake(command: Sequence[str]) -> bool:
    """Whether a command line is ``snakemake …``, ``python …/snakemake`` or ``-m snakemake``."""
    names = [Path(word).name for word in command[:4]]
    return names[:1] == ["snakemake"] or (
        bool(names) and names[0].startswith("python") and "snakemake" in names
    )


def _start(process: psutil.Process) -> float:
    """Seconds from the machine's start to the process's: no setting of the clock changes it."""
    return process.create_time() - psutil.boot_time()


@cache
def _machine() -> str:
    """The machine since it was started, and the container if it numbers processes itself."""
    try:
        return f"{BOOT.read_text().strip()} {NUMBERING.stat().st_ino}"
    except OSError:  # not Linux: the host's name must do
        return ""


def _lives(started: Started) -> bool:
    try:
        process = psutil.Process(started.pid)
        return (
            abs(_start(process) - started.at) < SAME_START
            and process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return False


def _with_open(path: Path) -> tuple[int, ...]:
    """The processes (of this user; of all for root) that have ``path`` open, without this one."""
    found = []
    for process in psutil.process_iter():
        try:
            opened = {file.path for file in process.open_files()}
        except psutil.Error:
            continue
        if process.pid != os.getpid() and str(path.resolve()) in opened:
            found.append(process.pid)
    return tuple(found)


def _printable(text: object) -> str:
    """``text`` of others on one line: no control characters for the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text)[:500])
