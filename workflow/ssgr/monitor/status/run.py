"""What Snakemake itself says of the run at work, or the last one: its log, its marks, its process.

Snakemake marks every output of a job when it starts it (``.snakemake/incomplete``) and takes the
mark away when the job has succeeded; a job that failed keeps it. What failed stands in the log, as
``Error in rule …`` with the outputs and the logs of the job. Nothing here writes or locks.
"""

import base64
import binascii
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ssgr.errors import SsgrError
from ssgr.monitor.status.alive import LOG, alive_in, refusal, second

LOOKS = re.compile(  # options by which Snakemake shows something, and takes no lock
    r"--(dag|rulegraph|filegraph|d3dag|lint|list|list-.*|summary|detailed-summary|report|"
    r"report-.*|print-compilation|version|help)(=.*)?|-[DlS]"
)
LOGS = 20  # newest logs that are looked at for the last run
RULES = re.compile(r"(?m)^(\w+) +\d+$")
HEADER = re.compile(r"(?m)^  ([A-Z][\w ()]*): (.*)$")
TIME = re.compile(r"\[(\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4})\]$")
START = re.compile(r"\s*Job (\d+): ")
FAILED_RULE = re.compile(r"\s*Error in rule (\w+)\b|\s{8}rule (\w+):$")
FIELD = re.compile(r"\s{4,16}(message|jobid|output|log|external_jobid): (.*)$")
STEPS = re.compile(r"(\d+) of (\d+) steps ")
SEE_LOG = " (check log file(s) for error details)"
NOTHING = "Nothing to be done"
ENDED = ("Complete log(s): ", NOTHING)
STOPPED = re.compile(
    r"(?m)^(?:Terminating processes on user request|Will exit after finishing currently running)"
)
BEFORE = 2.0  # seconds by which a mark may be older than its run, as file systems count time
FAILED = "At least one job did not complete successfully."


@dataclass
class JobError:
    """A job that failed: what Snakemake's log says. ``attempts`` failed in this run."""

    rule: str
    at: float | None
    outputs: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    message: str = ""
    job: str = ""
    attempts: int = 1


@dataclass(frozen=True)
class Run:
    """A run of Snakemake in a folder. Times are seconds since 1970.

    ``alive`` is None where it cannot be told: on another machine, and not known to have ended.
    ``asked`` says whether it has any job of ours to do; ``stopped``: it was told to begin no more.
    ``ended`` is false of a run that was killed, too; ``broken``: it was interrupted, and ended with
    jobs left. ``errors`` are the jobs whose last attempt failed, by their first output.
    """

    log: Path | None = None
    header: Mapping[str, str] = field(default_factory=dict)
    started: float | None = None
    heard: float | None = None
    steps: tuple[int, int] | None = None
    errors: Mapping[str, JobError] = field(default_factory=dict)
    failed: bool = False
    stopped: bool = False
    ended: bool = False
    broken: bool = False
    asked: bool = False
    alive: bool | None = False
    pid: int | None = None

    @property
    def command(self) -> str:
        """The command line; Snakemake's log has lost its quotes."""
        words = self.header.get("Command", "").split(" ")
        return " ".join([os.path.basename(words[0]), *words[1:]])


@dataclass(frozen=True)
class Mark:
    """A job that was begun: when, and its number where it was submitted to a cluster."""

    since: float
    external: str | None


def check_alone(directory: Path, arguments: Sequence[str], stages: frozenset[str]) -> list[str]:
    """Refuse to work beside another Snakemake of this folder; to look is free.

    Snakemake would say of the first one's jobs that they are incomplete, and advise to unlock the
    folder or to mark them as complete, which spoils the first.

    Args:
        directory: where this process runs the workflow.
        arguments: of its command line.
        stages: as of `last_run`.

    Returns:
        a warning where a run on another machine may be at work.

    Raises:
        SsgrError: another run is at work on this machine.
    """
    if any(map(LOOKS.fullmatch, arguments)):
        return []
    if other := second(directory, os.getpid()):
        raise SsgrError(refusal(other, directory))
    last = last_run(directory, stages)
    if last.alive is not None:
        return []
    return [
        f"A run on {last.header['Host']}, begun {last.header.get('Date')}, has not ended by its "
        f"log ({last.log}). Whether it runs is not to be seen from this machine: see there (`ssgr "
        "status`). If it does, wait for it or end it: do not unlock the folder, do not clean "
        "metadata"
    ]


def last_run(directory: Path, stages: frozenset[str]) -> Run:
    """Return the run that works in a directory now, else the one that was heard of last.

    Of several at work it is the one begun first that has to do with any of these rules. Where
    another workflow uses them as a module, their names may have a prefix.
    """
    alive = alive_in(directory)
    working = [run for one in alive if (run := _run(one.log, directory, stages, one.pid))]
    if working:
        return next((run for run in working if run.asked), working[0])
    ended = (run for log in _newest(directory) if (run := _run(log, directory, stages)))
    last = next(ended, Run())
    if last.log and not last.asked:  # it had nothing to do: was another killed beside it?
        other = next((run for run in ended if run.asked), last)
        if not other.ended and _has_marks(directory, other.started):
            return other
    return last


def _newest(directory: Path) -> list[Path]:
    """The logs written to last; one that is begun first may be written to after the others."""
    found = []
    for log in (directory / ".snakemake" / "log").glob(f"*{LOG}"):
        try:
            found.append((log.stat().st_mtime, log))
        except OSError:
            continue
    return [log for _, log in sorted(found, reverse=True)[:LOGS]]


def _has_marks(directory: Path, since: float | None) -> bool:
    begun = (mark.since for mark in marks(directory).values())
    return since is not None and any(at >= since - BEFORE for at in begun)


def _run(log: Path, directory: Path, stages: frozenset[str], pid: int | None = None) -> Run | None:
    """A run, by its log, that has to do with these rules; with a ``pid``: that is at work on it."""
    try:
        text, heard = log.read_text(errors="replace"), log.stat().st_mtime
    except OSError:
        return None
    names = set(RULES.findall(text.partition("\nJob stats:\n")[2].partition("\ntotal ")[0]))
    asked = any(name.endswith(tuple(stages)) for name in names)
    run = replace(_parsed(text), log=log, heard=heard, asked=asked, pid=pid, alive=bool(pid))
    locked = None if run.ended else _locked(directory)
    run = replace(run, started=max(filter(None, (run.started, locked)), default=None))
    if pid:
        reads = not names and "Command" in run.header  # it does not know its jobs yet
        return run if not run.ended and (asked or reads) else None
    if not asked and NOTHING not in text:
        return None
    here = run.header.get("Host", socket.gethostname()) == socket.gethostname()
    held = locked is not None or _has_marks(directory, run.started)
    return replace(run, alive=False if here or run.ended or not held else None)


def _parsed(text: str) -> Run:
    """What a log says by itself. Jobs that fail after an interrupt were broken off by it."""
    header = dict(HEADER.findall(text.partition("\nBuilding DAG")[0]))
    ended = any(f"\n{word}" in text or text.startswith(word) for word in ENDED)
    before, *after = STOPPED.split(text, maxsplit=1)
    steps = [(int(done), int(total)) for done, total in STEPS.findall(text)][-1:]
    whole = not any(done < total for done, total in steps)
    failed = FAILED in text and not after
    return Run(
        header=header,
        started=_seconds(header.get("Date"), "%Y-%m-%d %H:%M:%S"),
        steps=steps[0] if steps else None,
        errors={name: error for error in _errors(before) for name in error.outputs[:1]},
        failed=failed,
        stopped=bool(after),
        ended=ended,
        broken=ended and not failed and not (whole and (steps or not after)),
    )


def _errors(text: str) -> Iterator[JobError]:
    """The jobs whose last attempt failed, in the order in which they did."""
    failed: dict[tuple[str, ...], JobError] = {}
    attempts: dict[tuple[str, ...], int] = {}
    at, current = None, None
    for line in text.splitlines():
        if time_ := TIME.match(line):
            at, current = _seconds(time_[1], "%a %b %d %H:%M:%S %Y"), None
        elif started := START.match(line):  # again, after an attempt that failed
            failed = {key: one for key, one in failed.items() if one.job != started[1]}
            current = None
        elif rule := FAILED_RULE.match(line):
            current = JobError(rule[1] or rule[2], at)
        elif current and (found := FIELD.match(line)):
            _learn(current, found[1], found[2].strip())
            if found[1] == "output":
                attempts[current.outputs] = attempts.get(current.outputs, 0) + 1
                current.attempts = attempts[current.outputs]
                failed[current.outputs] = current
    yield from failed.values()


def _learn(error: JobError, name: str, value: str) -> None:
    if name == "output":
        error.outputs = tuple(value.split(", "))
    elif name == "log":
        error.logs = tuple(value.removesuffix(SEE_LOG).split(", "))
    elif name == "jobid":
        error.job = value
    elif name == "message" and value != "None":
        error.message = value


def _seconds(text: str | None, form: str) -> float | None:
    """Local time, as Snakemake writes it, in seconds since 1970."""
    try:
        return time.mktime(time.strptime(text, form)) if text else None
    except (ValueError, OverflowError):
        return None


def marks(directory: Path) -> dict[str, Mark]:
    """Return the outputs of jobs that were begun and have not succeeded, as Snakemake spells them.

    The name of a mark is the output's path in base64, cut into folders where it is long.
    """
    top = directory / ".snakemake" / "incomplete"
    found = {}
    for inside, _, names in os.walk(top):
        for name in names:
            path = Path(inside, name)
            parts = [part.removeprefix("@") for part in path.relative_to(top).parts]
            try:
                output = base64.urlsafe_b64decode("".join(parts)).decode()
                found[output] = Mark(path.stat().st_mtime, _external(path))
            except (OSError, ValueError, binascii.Error):  # gone meanwhile, or no mark
                continue
    return found


def _external(path: Path) -> str | None:
    number = re.search(r'"external_jobid": *"([^"]*)"', path.read_text(errors="replace"))
    return number[1] if number else None


def _locked(directory: Path) -> float | None:
    """Since when a Snakemake has locked this folder, or left it locked when it was killed."""
    since = []
    for lock in (directory / ".snakemake" / "locks").glob("*.lock"):
        try:
            since.append(lock.stat().st_mtime)
        except OSError:
            continue
    return min(since, default=None)
