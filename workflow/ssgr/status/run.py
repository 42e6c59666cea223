"""What Snakemake itself says of the last run: its log, its marks of jobs begun, its process.

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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

LOGS = 20  # newest logs that are looked at for the last run
RULES = re.compile(r"(?m)^(\w+) +\d+$")
HEADER = re.compile(r"(?m)^  ([A-Z][\w ()]*): (.*)$")
TIME = re.compile(r"\[(\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4})\]$")
START = re.compile(r"\s*Job (\d+): ")
FAILED_RULE = re.compile(r"\s*Error in rule (\w+)\b|\s{8}rule (\w+):$")
FIELD = re.compile(r"\s{4,16}(message|jobid|output|log|external_jobid): (.*)$")
STEPS = re.compile(r"(\d+) of (\d+) steps ")
SEE_LOG = " (check log file(s) for error details)"
ENDED = ("Complete log(s): ", "Nothing to be done")
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
    """The last run of Snakemake in a folder. Times are seconds since 1970.

    ``alive`` is None where it cannot be told: on another machine, and not known to have ended.
    ``errors`` are the jobs whose last attempt failed, by their first output.
    """

    log: Path | None = None
    header: Mapping[str, str] = field(default_factory=dict)
    started: float | None = None
    heard: float | None = None
    steps: tuple[int, int] | None = None
    errors: Mapping[str, JobError] = field(default_factory=dict)
    failed: bool = False
    ended: bool = False
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


def last_run(directory: Path, stages: frozenset[str]) -> Run:
    """Return the last run in a working directory that had to do with any of these rules.

    Where another workflow uses them as a module, their names may have a prefix.
    """
    pid, locked = _snakemake_in(directory), _locked(directory)
    logs = (directory / ".snakemake" / "log").glob("*.snakemake.log")
    for path in sorted(logs, reverse=True)[:LOGS]:
        try:
            text = path.read_text(errors="replace")
            heard = path.stat().st_mtime
        except OSError:
            continue
        asked = set(RULES.findall(text.partition("\nJob stats:\n")[2].partition("\ntotal ")[0]))
        ours = any(name.endswith(tuple(stages)) for name in asked)
        if ours or "Nothing to be done" in text:
            return _parsed(path, text, heard, pid, locked)
    return Run(alive=pid is not None, pid=pid, started=locked)


def _parsed(path: Path, text: str, heard: float, pid: int | None, locked: float | None) -> Run:
    header = dict(HEADER.findall(text.partition("\nBuilding DAG")[0]))
    ended = any(f"\n{word}" in text or text.startswith(word) for word in ENDED)
    here = header.get("Host", socket.gethostname()) == socket.gethostname()
    unknown = None if locked and not ended and not here else False
    steps = STEPS.findall(text)
    return Run(
        log=path,
        header=header,
        started=locked or _seconds(header.get("Date"), "%Y-%m-%d %H:%M:%S"),
        heard=heard,
        steps=(int(steps[-1][0]), int(steps[-1][1])) if steps else None,
        errors={name: error for error in _errors(text) for name in error.outputs[:1]},
        failed=FAILED in text,
        ended=ended and pid is None,
        alive=True if pid else unknown,
        pid=pid,
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


def _snakemake_in(directory: Path) -> int | None:
    """The outermost Snakemake that runs in this folder on this machine, if we may see it."""
    found = []
    for process in psutil.process_iter():
        try:
            names = [Path(word).name for word in process.cmdline()[:4]]
            ours = names[:1] == ["snakemake"] or (
                "snakemake" in names and names[0].startswith("python")
            )
            if ours and os.path.samefile(process.cwd(), directory):
                found.append((process.create_time(), process.pid))
        except (psutil.Error, OSError):
            continue
    return min(found)[1] if found else None
