"""What lies in a pool's folders, by name: parts, receipts, and what a broken run leaves."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from ssgr.errors import PoolError
from ssgr.pool.store import MANIFEST, numbered
from ssgr.storage.locks import Holder
from ssgr.storage.permissions import STAGES, unreadable

SHARD = r"\d{6,}-\d{6,}"
PART = rf"(?P<shard>{SHARD})(?:\.(?P<number>[1-9]\d*))?"
Kind = Literal["part", "receipt", "journal", "partial", "manifest", "lock", "foreign"]
KINDS: dict[Kind, str] = {
    "part": rf"{PART}\.parquet",
    "receipt": rf"{PART}\.json",
    "journal": rf"\.{PART}\.journal",
    "partial": r"\..*\.partial",
    "manifest": re.escape(MANIFEST),
    "lock": rf"\.{PART}\.lock",
}
"""Names of a pool's files, in the order in which a purge may delete them."""


def kind(path: Path) -> Kind:
    """Return what a file in a pool's folder is; ``foreign`` if it is not the pool's.

    A link is the pool's if it is to a file of its own name, as one into a pool that it extends.
    """
    if path.is_dir() or (path.is_symlink() and path.readlink().name != path.name):
        return "foreign"
    return next((kind for kind, form in KINDS.items() if re.fullmatch(form, path.name)), "foreign")


def shard_in(name: str) -> str | None:
    """Return the shard that a file's name speaks of."""
    match = re.search(SHARD, name)
    return match[0] if match else None


@dataclass(frozen=True, order=True)
class PartName:
    """A part of a shard: ``000000-000080`` is its part 0, ``000000-000080.1`` its part 1."""

    shard: str
    number: int = 0

    @classmethod
    def parse(cls, name: str) -> "PartName | None":
        """Return the part whose Parquet file has this name; None if none has."""
        match = re.fullmatch(KINDS["part"], name)
        return cls(match["shard"], int(match["number"] or 0)) if match else None


def parts_among(names: Iterable[str]) -> list[PartName]:
    """Return the parts whose Parquet files have these names, shard by shard, in order."""
    return sorted(part for name in names if (part := PartName.parse(name)))


@dataclass(frozen=True)
class Folder:
    """A folder of responses, or of grades (``grader`` is set), of one (model, source, sampling)."""

    path: Path
    model: str
    source: str
    sampling: str
    grader: str | None = None

    @property
    def key(self) -> dict[str, str]:
        """Model, source and sampling, by these names."""
        return {"model": self.model, "source": self.source, "sampling": self.sampling}

    @cached_property
    def names(self) -> dict[str, None]:
        """Names of what is in it, sorted; looked up once.

        Raises:
            PoolError: this user may not look.
        """
        try:
            return dict.fromkeys(sorted(os.listdir(self.path)))
        except PermissionError as error:
            raise unreadable(self.path, error) from error

    @cached_property
    def parts(self) -> dict[PartName, None]:
        """The parts that have a Parquet file, shard by shard, in order."""
        return dict.fromkeys(parts_among(self.names))

    def journals(self) -> list[str]:
        """The shards that have a journal."""
        found = (re.fullmatch(rf"\.({SHARD})\.journal", name) for name in self.names)
        return [match[1] for match in found if match]

    def file(self, part: PartName) -> Path:
        """Where a part's Parquet is."""
        return numbered(self.path / f"{part.shard}.parquet", part.number)

    def engine(self) -> str | None:
        """The engine that its manifest names; None if that is not readable."""
        try:
            return str(json.loads((self.path / MANIFEST).read_bytes())["engine"])
        except (OSError, ValueError, TypeError, KeyError):
            return None


def folders(pool: Path, stage: str) -> list[Folder]:
    """Return the folders of one stage of a pool: ``responses`` or ``grades``.

    Raises:
        PoolError: there is no such pool.
    """
    if not pool.is_dir():
        raise PoolError(f"there is no pool {pool}: name the folder that pool.path names")
    return list(_folders(pool / stage, STAGES.index(stage)))


def _folders(top: Path, graded: int) -> Iterator[Folder]:
    pattern = "model=*/source=*/sampling=*" + "/grader=*" * graded
    for path in sorted(top.glob(pattern)):
        keys = [part.partition("=")[2] for part in path.relative_to(top).parts]
        if path.is_dir():
            yield Folder(path, *keys)


def held(folder: Folder, busy: Sequence[Holder]) -> dict[str, Holder]:
    """Return which shards of a folder somebody holds, and who."""
    mine = (
        (shard_in(holder.path.name), holder) for holder in busy if holder.path.parent == folder.path
    )
    return {shard: holder for shard, holder in mine if shard}
