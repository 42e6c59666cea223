"""What a job leaves while it runs: the end of its log, its lock, the file of what it took.

Any of these may be missing, half written or not what its name says; then it tells nothing.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ssgr.errors import SsgrError
from ssgr.storage import locks
from ssgr.storage.locks import Holder

END = 32_768  # bytes of a log that are looked at
LONGEST = 500  # characters of a line
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
COUNTED = re.compile(r"\b(\d+)/(\d+) \[")
RESPONSES = re.compile(r"([\d,]+) responses, ([\d,]+) tokens/s")


def last_lines(paths: Sequence[Path], count: int = 12) -> list[str]:
    """Return the last lines of the first of these logs that has any.

    Of a progress bar the last state; without colours and control characters.
    """
    for path in paths:
        lines = [_clean(line.rstrip("\r").rpartition("\r")[2]) for line in _end(path).split("\n")]
        while lines and not lines[-1].strip():
            lines.pop()
        if lines:
            return lines[-count:]
    return []


def progress(log: Path) -> tuple[str, float | None]:
    """Return what a job's progress bar says of it, and the tokens a second that it tells."""
    states = [part for part in re.split(r"[\r\n]", _end(log, 4096)) if part.strip()]
    state = states[-1] if states else ""
    counted, drawn = COUNTED.search(state), RESPONSES.search(state)
    said = [f"{counted[1]} of {counted[2]}"] if counted else []
    said += [f"{drawn[1]} responses"] if drawn else []
    return ", ".join(said), float(drawn[2].replace(",", "")) if drawn else None


def seconds_taken(cost: Path) -> tuple[float, float] | None:
    """Return when a job ended (since 1970) and its wall seconds, of Snakemake's benchmark file."""
    try:
        names, values = cost.read_text().splitlines()[:2]
        seconds = float(dict(zip(names.split("\t"), values.split("\t"), strict=False))["s"])
        return cost.stat().st_mtime, seconds
    except (OSError, ValueError, KeyError):  # missing, half written, or not measured
        return None


def ended_since(costs: Path, since: float) -> list[tuple[float, float]]:
    """Return the same of every job that ended since a moment (since 1970)."""
    files = (Path(inside, name) for inside, _, names in os.walk(costs) for name in names)
    recent = (path for path in files if (modified(path) or 0.0) >= since)
    return [taken for taken in map(seconds_taken, recent) if taken]


def holder(lock: Path) -> Holder | None:
    """Return who holds a lock; None too where that cannot be looked at."""
    try:
        return locks.holder(lock)
    except (SsgrError, OSError):
        return None


def modified(path: Path) -> float | None:
    """Return when a file was last written; None if it is not there."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _end(path: Path, count: int = END) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - count))
            return file.read(count).decode(errors="replace")
    except OSError:
        return ""


def _clean(line: str) -> str:
    text = ESCAPES.sub("", line).expandtabs(4)[:LONGEST]
    return "".join(letter if letter.isprintable() else "?" for letter in text)
