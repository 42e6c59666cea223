"""Files and folders that several users share: who may use them is what their folder says.

A umask belongs to whoever happens to make a file, the rights in a pool to the pool. So what is made
in a folder takes its permissions and its group after the folder, whatever the umask: in one with
2775 everybody reads and the group writes, in one with 0750 the owner writes and the group reads.
Folders named key=value, and a pool's stages, take after the folder they lie in; any other folder,
as a pool's own, is made as the user's umask says.
"""

import grp
import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ssgr.errors import PoolError
from ssgr.storage.lock_owner import user

STAGES = ("responses", "grades")
PERMISSIONS = 0o777
WRITABLE = 0o666
"""What a file may have of its folder's permissions; see also ``ssgr.pool.store.READ_ONLY``."""


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless they are there.

    Raises:
        OSError: one of them cannot be made, or is no folder.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    if "=" not in folder.name and folder.name not in STAGES:
        folder.mkdir(exist_ok=True)
        return
    above = folder.parent.stat()
    try:
        with _no_umask():
            folder.mkdir(above.st_mode & PERMISSIONS)
    except FileExistsError:  # another was first
        folder.mkdir(exist_ok=True)
        return
    _to_group(folder, folder.stat(), above.st_gid)


def open_shared(path: Path) -> int:
    """Open a file for reading and writing; a new one is for all who may write its folder.

    One of this user's own that is not, made under other rules, is let be so now.

    Raises:
        OSError: it cannot be made or opened, or is a link.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    folder = path.parent.stat()
    try:
        with _no_umask():  # never for a moment less: another user may open it right away
            descriptor = os.open(
                path, flags | os.O_CREAT | os.O_EXCL, folder.st_mode & WRITABLE | 0o600
            )
    except FileExistsError:
        descriptor = os.open(path, flags)
    if os.fstat(descriptor).st_uid == os.geteuid():
        take_after_folder(path, descriptor)
    return descriptor


def take_after_folder(path: Path, descriptor: int | None = None, mask: int = WRITABLE) -> None:
    """Give a file of this user's own the permissions, within ``mask``, and group of its folder.

    Args:
        path: the file.
        descriptor: of it, if it is open.
        mask: permissions that it may have at most.

    Raises:
        OSError: the file or the folder is gone.
    """
    file = path if descriptor is None else descriptor
    found, folder = os.stat(file), path.parent.stat()
    _to_group(file, found, folder.st_gid)
    wanted = folder.st_mode & mask
    if stat.S_IMODE(found.st_mode) != wanted:
        with suppress(PermissionError):  # file systems without modes refuse
            os.chmod(file, wanted)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a new empty file beside ``path`` to be filled, and deleted unless it was moved.

    Its name is nobody else's: process numbers of two machines may be the same.

    Raises:
        OSError: it cannot be made.
    """
    descriptor, name = tempfile.mkstemp(".partial", f".{path.name}.", path.parent)
    aside = Path(name)
    try:
        os.close(descriptor)
        yield aside
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a small file of UTF-8 text whole or not at all; it takes after its folder.

    Raises:
        PoolError: it cannot be written (read-only, disk full); names the file.
    """
    try:
        with whole_file(path) as aside:
            aside.write_text(text, encoding="utf-8")
            take_after_folder(aside)
            os.replace(aside, path)
    except OSError as error:
        raise unwritable(path, error) from error


def link(target: Path, path: Path) -> None:
    """Make ``path`` a symbolic link to ``target``, in place of what is there.

    Raises:
        PoolError: it cannot be made.
    """
    try:
        with whole_file(path) as aside:
            aside.unlink()
            aside.symlink_to(target.absolute())
            os.replace(aside, path)
    except OSError as error:
        raise unwritable(path, error) from error


def may_write(folder: Path) -> bool:
    """Whether this user may make files in a folder, or the folder itself if it is missing."""
    return os.access(_there(folder), os.W_OK | os.X_OK)


def no_rights(path: Path) -> str:
    """Return in words why this user may not write a file in its folder, and who can change that."""
    folder = _there(path.parent)
    if may_write(folder) and os.path.lexists(path):
        return (
            f"{user()} may write in {folder}, but not this file: it belongs to {belongs_to(path)}. "
            f"Ask for: chmod g+rw {path} (and do not delete it: another may hold it)"
        )
    return (
        f"{user()} may not write in {folder}: it belongs to {belongs_to(folder)}. Ask for the work "
        f"to be done there, or for the group to be let in: chgrp -R GROUP {folder}; chmod -R g+rX "
        f"{folder}; find {folder} -type d -exec chmod g+ws {{}} +; find {folder} -type f -name "
        "'.*' -exec chmod g+w {} +"
    )


def check_rights(made: Path, pool: Path) -> None:
    """Refuse to make a file of the pool where this user may only read.

    Raises:
        PoolError: says who owns the folder, and the ways out.
    """
    if not may_write(made.parent):
        raise PoolError(
            f"{made} is missing, or lacks something that this run asks for, and {no_rights(made)}. "
            "Or go on in a folder of your own, which takes over what there is and gets what is "
            f"made: pool: {{path: {pool}, extend: FOLDER}}"
        )


def unreadable(path: Path, error: OSError) -> PoolError:
    """Return the error of a file or folder of the pool that this user may not read."""
    return PoolError(
        f"{user()} may not read {path} ({error.strerror}): it belongs to {belongs_to(path)}. Ask "
        f"for: chmod -R g+rX {path.parent}"
    )


def unwritable(path: Path, error: OSError) -> PoolError:
    """Return the error of a file of the pool that cannot be written: what is wrong, what to do."""
    denied = isinstance(error, PermissionError)
    remedy = no_rights(path) if denied else "make room, or mount it writable"
    return PoolError(f"{path} cannot be written ({error.strerror or error}): {remedy}")


def belongs_to(path: Path) -> str:
    """Return whose a file is: its owner, and in brackets its group and permissions."""
    try:
        found = os.lstat(path)
    except OSError as error:
        return f"somebody ({error.strerror})"
    mode = stat.filemode(found.st_mode)
    return f"{_name(found.st_uid)} (group {_group(found.st_gid)}, {mode})"


def _name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _there(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(one for one in (folder, *folder.absolute().parents) if os.path.exists(one))


def _to_group(file: int | Path, found: os.stat_result, group: int) -> None:
    if found.st_gid != group:
        with suppress(OSError):  # the user is not in it, or it has no name in this container
            os.chown(file, -1, group)


@contextmanager
def _no_umask() -> Iterator[None]:
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)
