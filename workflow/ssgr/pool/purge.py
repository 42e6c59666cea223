"""Deleting from a pool: only what is named exactly, only when nobody draws there, never by default.

Parquet files go before their receipts, grades before the responses that they judge, manifests last:
a purge that is cut off leaves only what the next purge of the same names deletes.
"""

import os
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from ssgr.errors import PoolError
from ssgr.pool.files import KINDS, Folder, folders, kind, shard_in
from ssgr.storage.lock_owner import user
from ssgr.storage.locks import holder, holders, take
from ssgr.storage.permissions import belongs_to, may_write


@dataclass(frozen=True)
class Purge:
    """What goes (``files``, in the order of deletion), or went, and what stays in its folders.

    ``foreign`` are files of nobody's pipeline; the folders that hold them stay too. ``bytes`` is of
    the files of each folder.
    """

    folders: tuple[Path, ...]
    files: tuple[Path, ...]
    foreign: tuple[Path, ...]
    bytes: Mapping[Path, int]


def purge(
    pool: Path,
    *,
    model: str,
    source: str | None = None,
    sampling: str | None = None,
    grader: str | None = None,
    yes: bool = False,
) -> Purge:
    """Find what a pool holds of a model, and with ``yes`` delete it.

    Args:
        pool: the pool's folder.
        model: whose responses and grades; exactly as `ssgr pool list` shows it.
        source: only those to this source.
        sampling: only those of this sampling.
        grader: only this grader's grades, and no responses.
        yes: delete, instead of only looking.

    Raises:
        PoolError: a name matches nothing (lists what there is), somebody draws or grades there at
            the moment, this user may not delete there (says who may), or a file cannot be deleted.
    """
    wanted = {"model": model, "source": source, "sampling": sampling, "grader": grader}
    chosen = _named(pool, {name: value for name, value in wanted.items() if value is not None})
    found = _survey(chosen)
    _refuse_if_held(pool, found.folders)
    if yes:
        _refuse_without_rights(found)
        _delete(found, pool)
    return found


def _named(pool: Path, wanted: dict[str, str]) -> list[Folder]:
    """The folders that are named: grades first, then responses."""
    graded = folders(pool, "grades")
    chosen = graded if "grader" in wanted else [*graded, *folders(pool, "responses")]
    path: list[str] = []
    for name, value in wanted.items():
        there = sorted({str(getattr(folder, name)) for folder in chosen})
        chosen = [folder for folder in chosen if getattr(folder, name) == value]
        if not chosen:
            within = f" of {', '.join(path)}" if path else ""
            near = get_close_matches(value, there, n=1)
            meant = f" (did you mean {near[0]!r}?)" if near else ""
            raise PoolError(
                f"{pool} holds no {name} {value!r}{within}{meant}; there is: "
                f"{', '.join(there) or 'nothing'}. Nothing was deleted."
            )
        path.append(f"{name} {value}")
    return chosen


def _survey(chosen: Sequence[Folder]) -> Purge:
    files: list[Path] = []
    foreign: list[Path] = []
    inside = {folder.path for folder in chosen}
    for folder in chosen:
        kinds = {folder.path / name: kind(folder.path / name) for name in folder.names}
        for of in KINDS:
            files += [path for path, found in kinds.items() if found == of]
        foreign += [path for path, of in kinds.items() if of == "foreign" and path not in inside]
    sizes = Counter({folder.path: 0 for folder in chosen})
    for path in files:
        sizes[path.parent] += path.lstat().st_size
    return Purge(tuple(sizes), tuple(files), tuple(foreign), sizes)


def _delete(found: Purge, pool: Path) -> None:
    """Delete shard by shard, each under its lock, then manifests and folders."""
    by_lock: dict[Path | None, list[Path]] = {}
    for path in found.files:
        by_lock.setdefault(_lock(path), []).append(path)
    without = by_lock.pop(None, [])
    try:
        for lock, files in by_lock.items():
            if lock:
                _delete_under(lock, files)
        for path in without:
            path.unlink(missing_ok=True)
        for folder in found.folders:
            _remove_empty(folder, pool)
    except OSError as error:
        raise PoolError(
            f"{error.filename} cannot be deleted ({error.strerror}): whoever owns its folder must "
            "do it. Run the same purge again for what is left."
        ) from error


def _lock(path: Path) -> Path | None:
    """The lock that is held while a file of a pool is made; none for manifests and partials."""
    of = kind(path)
    if of in ("manifest", "partial"):
        return None
    stem = path.name.removesuffix(path.suffix).lstrip(".")
    is_grade = path.parent.name.startswith("grader=")
    return path.with_name(f".{stem if is_grade else shard_in(stem)}.lock")


def _delete_under(lock: Path, files: Sequence[Path]) -> None:
    descriptor = take(lock)
    if descriptor is None:
        raise PoolError(
            f"{lock} has been taken by {holder(lock)}: that shard and those after it are still "
            "there. Run the same purge again when it has finished."
        )
    try:
        for path in (*files, lock):
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _refuse_if_held(pool: Path, inside: Sequence[Path]) -> None:
    busy = [holder for holder in holders(pool) if holder.path.parent in inside]
    if busy:
        who = "\n".join(f"  {one.path}: {one}" for one in busy)
        raise PoolError(f"somebody works there at the moment; nothing was deleted:\n{who}")


def _refuse_without_rights(found: Purge) -> None:
    """Before anything goes, rather than in the middle: a folder is emptied whole or not at all."""
    refused = [folder for folder in found.folders if not may_write(folder)]
    refused += [file for file in found.files if not _may_delete(file)]
    if refused:
        raise PoolError(
            f"{user()} may not delete {refused[0]}: it belongs to {belongs_to(refused[0])}. "
            "Nothing was deleted. Whoever owns it can purge, or let the group write there."
        )


def _may_delete(file: Path) -> bool:
    """Whether this user owns a file, or its folder, unless that is not sticky."""
    folder = file.parent.stat()
    owners = {0, folder.st_uid, file.lstat().st_uid}
    return not folder.st_mode & stat.S_ISVTX or os.geteuid() in owners


def _remove_empty(folder: Path, pool: Path) -> None:
    """Remove a folder, and those above it up to the pool's stages, as far as they are empty."""
    while folder.parent != pool and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
