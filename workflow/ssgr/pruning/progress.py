"""The work folder of a checkpoint: which blocks are finished, so that a killed run can go on.

``.{name}.partial/`` lies beside the checkpoint and holds its future folder ``checkpoint/``, one
record of each finished block, and what decides the result (``progress.json``). A block is finished
when its record is there and its shard is as the record says; both are written aside and renamed.
Work of another recipe, calibration, model or code is thrown away. One process at a time.
"""

import contextlib
import json
import os
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ssgr.errors import PruningError
from ssgr.pruning.activations import FULL, no_room
from ssgr.storage import locks

CHUNK = 2**20
Json = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """The open work folder of one checkpoint; ``digest`` is of what decides the result."""

    folder: Path
    digest: str

    @property
    def checkpoint(self) -> Path:
        """The folder that becomes the checkpoint."""
        return self.folder / "checkpoint"

    @property
    def scratch(self) -> Path:
        """A folder for what is needed for a while."""
        path = self.folder / "scratch"
        path.mkdir(exist_ok=True)
        return path

    def recall(self, name: str) -> Json | None:
        """Return what was remembered under a name, or None."""
        try:
            found = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def remember(self, name: str, what: Json) -> None:
        """Keep something under a name until the checkpoint is whole.

        Raises:
            PruningError: it cannot be written.
        """
        write_whole(
            self.folder / f"{name}.json",
            lambda aside: aside.write_text(json.dumps(what), encoding="utf-8"),
        )

    def finish(self, name: str, shard: str, tensors: dict[str, Tensor], row: Json) -> None:
        """Write the tensors of a finished piece to ``shard``, then its record with ``row``.

        Raises:
            PruningError: they cannot be written.
        """
        save(tensors, self.checkpoint / shard)
        self.remember(name, {"shard": shard, **_checksum(self.checkpoint / shard), "row": row})

    def finished(self, name: str) -> tuple[Path, Json] | None:
        """Return the shard and the row of a finished piece; None if it is not, or is damaged."""
        record = self.recall(name)
        if record is None:
            return None
        shard = self.checkpoint / str(record.get("shard"))
        if not shard.is_file() or {**record, **_checksum(shard)} != record:
            say(f"{name} is done again: {shard} is not what was written there")
            return None
        return shard, record["row"]

    def is_empty(self) -> bool:
        """Return whether there is nothing worth keeping."""
        kept = {path.name for path in self.folder.glob("*.json")} - {"progress.json"}
        return not kept and not any(self.folder.glob("scratch/*"))


@contextlib.contextmanager
def opened(out: Path, parts: Mapping[str, str]) -> Iterator[Work]:
    """Hold the work folder of ``out``; what is there is kept if it is of the same ``parts``.

    It is deleted in the end; after an error only if nothing in it is worth keeping.

    Args:
        out: the checkpoint's folder.
        parts: what decides the result, in names and digests.

    Raises:
        PruningError: the folder cannot be written.
        SsgrError: it cannot be locked.
    """
    folder = out.with_name(f".{out.name}.partial")
    with locks.only_one(folder / "prune.lock", f"pruning {out}"):
        work = Work(folder, digest(sorted(parts.items())))
        try:
            before = work.recall("progress")
            if before is None or before.get("parts") != dict(parts):
                _start_anew(work, before, parts)
            elif not work.is_empty():
                say(f"{folder} holds the work of a run that ended early: going on with it")
            yield work
        except Exception:
            if work.is_empty():
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def digest(what: object) -> str:
    """Return a digest of anything that has an exact ``repr``."""
    return blake2b(repr(what).encode(), digest_size=16).hexdigest()


def save(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file, whole or not at all.

    Raises:
        PruningError: it cannot be written.
    """

    def write(aside: Path) -> None:
        save_file(tensors, aside, metadata={"format": "pt"})
        aside.chmod(0o666 & ~_umask())  # written as if it were a secret

    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    write_whole(path, write, size)


def write_whole(path: Path, write: Callable[[Path], object], size: int = 0) -> None:
    """Let ``write`` write a file aside; see it to the disk, then give it its name.

    Raises:
        PruningError: it cannot be written; ``size`` (bytes) is what it would have taken.
    """
    aside = path.with_name(f"{path.name}.aside")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(aside)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        if getattr(error, "errno", None) in FULL or "No space left" in str(error):
            raise no_room(path.parent, size, f"{path.name} of the pruned model") from error
        raise PruningError(
            f"{path} cannot be written ({error}): check the disk and the folder's permissions, and "
            "run again; finished blocks are kept"
        ) from error


def _start_anew(work: Work, before: Json | None, parts: Mapping[str, str]) -> None:
    """Empty the folder, and say why if there was something in it."""
    if before is not None:
        old = before.get("parts", {})
        changed = sorted(name for name in {*old, *parts} if old.get(name) != parts.get(name))
        say(f"{work.folder} holds work with another {', '.join(changed)}: starting anew")
    for path in work.folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "prune.lock":
            path.unlink()
    work.remember("progress", {"parts": dict(parts)})


def _checksum(path: Path) -> dict[str, int]:
    """Return size and checksum of a file: what tells a damaged shard from a whole one."""
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return {"size": path.stat().st_size, "crc32": checksum}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def say(line: str) -> None:
    """Tell the person who waits, on stderr."""
    print(line, file=sys.stderr, flush=True)
