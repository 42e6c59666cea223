"""Which Snakemakes run in a folder on this machine, told by the logs that they hold open.

Not by Snakemake's lock files: a second run that has nothing to do removes those of the first
(9.27.1). A dry run writes no log and is no run.
"""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

LOG = ".snakemake.log"
READY = 60.0  # seconds within which a Snakemake that has been started opens its log


@dataclass(frozen=True)
class Alive:
    """A Snakemake that runs: its log, its number, and when it was started (seconds since 1970)."""

    log: Path
    pid: int
    since: float


def alive_in(directory: Path) -> list[Alive]:
    """Return the Snakemakes that run in a folder on this machine, the one begun first at the head.

    Nothing is written or locked. A process whose open files may not be seen (another user's) is
    taken for the writer of the first log that was begun after it.
    """
    logs = (directory / ".snakemake" / "log").resolve()
    found: dict[Path, Alive] = {}
    for since, process in sorted(_snakemakes(directory), key=lambda one: (one[0], one[1].pid)):
        log = _log_of(process, since, logs)
        if log and log not in found:  # else it is a child of the one that is there
            found[log] = Alive(log, process.pid, since)
    return list(found.values())


def second(directory: Path, pid: int) -> Alive | None:
    """Return the Snakemake that ran in a folder before the one of this number; None: no other."""
    process = psutil.Process(pid)
    mine = process.create_time(), pid
    family = {one.pid for one in process.parents()}
    earlier = (one for one in alive_in(directory) if one.pid not in family)
    return next((one for one in earlier if (one.since, one.pid) < mine), None)


def refusal(other: Alive, directory: Path) -> str:
    """Return why a second run in a folder is refused, and what to do."""
    try:
        user = psutil.Process(other.pid).username()
    except psutil.Error:  # it has just ended, or its user has no name
        user = "unknown user"
    since = datetime.fromtimestamp(other.since).strftime("%Y-%m-%d %H:%M:%S")
    return (
        f"Snakemake runs in this folder already: pid {other.pid} of {user} on "
        f"{socket.gethostname()}, since {since} (folder {directory.resolve()}, log {other.log}). "
        "A second one would begin the same jobs and remove the first one's locks, even where it "
        "has nothing to do. Nothing is broken: do not unlock, do not clean metadata and do not "
        "rerun incomplete files while it runs. Either wait for it (`ssgr status` says how far it "
        f"is), or end it (Ctrl-C where it runs; `kill {other.pid}` lets its running jobs finish); "
        "then run this command again. Dry runs (-n) work beside it"
    )


def _snakemakes(directory: Path) -> Iterator[tuple[float, psutil.Process]]:
    for process in psutil.process_iter():
        try:
            names = [Path(word).name for word in process.cmdline()[:4]]
            ours = names[:1] == ["snakemake"] or (
                "snakemake" in names and names[0].startswith("python")
            )
            if ours and os.path.samefile(process.cwd(), directory):
                yield process.create_time(), process
        except (psutil.Error, OSError):
            continue


def _log_of(process: psutil.Process, since: float, logs: Path) -> Path | None:
    """The log that a Snakemake writes; None: it writes none, or has ended."""
    try:
        opened = [Path(one.path) for one in process.open_files()]
    except psutil.AccessDenied:
        begun = ((_begun(path), path) for path in logs.glob(f"*{LOG}"))
        after = (one for one in begun if since - 1 <= one[0] <= since + READY)
        return min(after, default=(0.0, None))[1]
    except (psutil.Error, OSError):
        return None
    mine = (path for path in opened if path.name.endswith(LOG) and path.parent == logs)
    return next(mine, None)


def _begun(log: Path) -> float:
    """When a log was begun, by its name, which is local time; 0 of a name that is none."""
    try:
        return datetime.strptime(log.name.removesuffix(LOG), "%Y-%m-%dT%H%M%S.%f").timestamp()
    except ValueError:
        return 0.0
