"""Tokens a second: of shards that are done by their receipts, of those in the making as they grow.

A journal is read from frame to frame, never whole, and on from where the last look ended.
"""

import os
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from ssgr.errors import SsgrError
from ssgr.pool import store
from ssgr.sampling.records import FRAME, MARKER

WINDOW = 120.0  # seconds over which growth is measured
SHORTEST = 5.0  # seconds between two looks that say something
HEAD = 512  # bytes in which the head of a record ends


@dataclass
class Grown:
    """A journal as last seen: what it held, up to which byte, and earlier looks at it."""

    file: int
    end: int = 0
    responses: int = 0
    tokens: int = 0
    looks: deque[tuple[float, int]] = field(default_factory=deque)


class Journals:
    """Looks at journals, again and again: how many tokens they hold and how fast they grow."""

    def __init__(self) -> None:
        """Nothing has been seen yet."""
        self._seen: dict[Path, Grown] = {}

    def look(self, path: Path, now: float | None = None) -> Grown | None:
        """Return what a journal holds by now; None if there is none."""
        try:
            with path.open("rb", buffering=0) as file:
                facts = os.fstat(file.fileno())
                seen = self._seen.get(path)
                if seen is None or seen.file != facts.st_ino or seen.end > facts.st_size:
                    seen = self._seen[path] = Grown(facts.st_ino)
                _read_on(file.fileno(), facts.st_size, seen)
        except OSError:
            self._seen.pop(path, None)
            return None
        at = time.time() if now is None else now
        seen.looks.append((at, seen.tokens))
        while len(seen.looks) > 2 and seen.looks[1][0] <= at - WINDOW:
            seen.looks.popleft()
        return seen

    def rate(self, path: Path) -> float | None:
        """Return by how many tokens a second a journal grew between the looks of late."""
        looks = self._seen[path].looks if path in self._seen else ()
        if not looks or looks[-1][0] - looks[0][0] < SHORTEST:
            return None
        (before, had), (now, has) = looks[0], looks[-1]
        return (has - had) / (now - before) if has > had else None


def _read_on(descriptor: int, size: int, seen: Grown) -> None:
    """Count the whole records after ``seen.end``; the first of a journal is its header."""
    while seen.end + FRAME.size <= size:
        marker, length, _ = FRAME.unpack(os.pread(descriptor, FRAME.size, seen.end))
        after = seen.end + FRAME.size + length
        if marker != MARKER or after > size:  # damaged, foreign, or being written
            return
        if seen.end:
            head = os.pread(descriptor, min(HEAD, length), seen.end + FRAME.size)
            seen.tokens += (length - head.find(b"\n") - 1) // 4  # 32-bit token ids
            seen.responses += 1
        seen.end = after


@dataclass(frozen=True)
class Drawn:
    """Responses that are done: how many, their tokens, and the time of jobs it took."""

    responses: int = 0
    tokens: int = 0
    seconds: float = 0.0
    timed: float = 0.0  # tokens of those whose seconds are known
    units: int = 0  # shards, or checkpoints and benchmarks

    @property
    def speed(self) -> float | None:
        """Tokens a second of a job."""
        return self.timed / self.seconds if self.seconds else None


def of_shards(shards: Iterable[Path]) -> Drawn:
    """Return what the receipts in a pool say of shards; one without a readable receipt is left out.

    Of a part that went on from a journal, the seconds are of the responses drawn since.
    """
    responses = tokens = units = 0
    seconds = timed = 0.0
    for shard in shards:
        try:
            receipts = [store.read_receipt(part, store.ResponsesReceipt)
                        for part in store.parts(shard)]  # fmt: skip
        except (SsgrError, OSError):
            continue
        units += bool(receipts)
        for one in receipts:
            responses, tokens = responses + one.rows, tokens + one.tokens
            seconds += one.seconds
            timed += one.tokens * (1 - one.resumed / one.rows) if one.rows else 0
    return Drawn(responses, tokens, seconds, timed, units)


def of_answers(taken: Mapping[Path, float | None]) -> Drawn:
    """Return what Scores tables say of answers to benchmarks; ``taken``: their jobs' seconds."""
    responses = units = 0
    tokens = seconds = timed = 0.0
    for path, took in taken.items():
        try:
            row = pl.read_parquet(path, columns=["responses", "mean_tokens"], glob=False).row(0)
            count, drawn = int(row[0]), float(row[0]) * float(row[1])
        except (pl.exceptions.PolarsError, OSError, TypeError, IndexError):
            continue
        units, responses, tokens = units + 1, responses + count, tokens + drawn
        if took:
            seconds, timed = seconds + took, timed + drawn
    return Drawn(responses, round(tokens), seconds, timed, units)
