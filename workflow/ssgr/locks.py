"""One process at a time: locks of the operating system that end with the process that holds them.

`flock` and not a lock of mere existence: the kernel frees it however its holder ends, kill -9
included, and a file system that knows no locks is an error here, never a weaker promise. The lock
file stays for ever (deleting it would let two processes lock two files of one name). Who holds the
lock writes itself into the file; a record in a file that nobody has locked is of the past.

A lock file may be used by whoever may write the folder it lies in, whatever the umask of the one
who happened to make it.
"""

import contextlib
import errno
import fcntl
import os
import random
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from ssgr.errors import SsgrError
from ssgr.holder import Holder, here, read_record, user, write_record

__all__ = ["Holder", "holder", "holders", "only_one", "open_shared", "take", "wait_for"]

T = TypeVar("T")

TELL_AGAIN = 60.0  # seconds between two lines that say who is waited for
LONGEST_PAUSE = 1.0  # seconds between two attempts

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
NO_RIGHTS = (errno.EACCES, errno.EPERM)

_own: set[int] = set()  # descriptors of locks that children must not keep


def _leave_to_the_parent() -> None:
    for descriptor in _own:
        os.close(descriptor)
    _own.clear()


os.register_at_fork(after_in_child=_leave_to_the_parent)


@contextlib.contextmanager
def only_one(path: Path, what: str, waiting: Callable[[], str] | None = None) -> Iterator[None]:
    """Hold the lock on ``path`` (made if missing); wait for it, saying on stderr for whom.

    Children do not keep it: it is free when this process has ended.

    Args:
        path: the lock file, named ``….lock`` for :func:`holders` to find it.
        what: what is done under the lock, for those who wait.
        waiting: says who is waited for; default: who holds this lock.

    Raises:
        SsgrError: no lock is to be had in this folder; says why and the ways out.
    """
    mine = here(what)
    descriptor = wait_for(lambda: take(path), waiting or (lambda: _waiting(path)))
    _own.add(descriptor)
    try:
        write_record(descriptor, path, mine)
        yield
    finally:
        if descriptor in _own:  # else: a forked child, which has closed it
            _own.remove(descriptor)
            os.close(descriptor)


def take(path: Path) -> int | None:
    """Lock ``path`` at once: the descriptor that holds the lock, or None while another does.

    Raises:
        SsgrError: no lock is to be had in this folder.
    """
    descriptor = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = open_shared(path)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(path)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):  # held; or deleted while we opened it
        pass
    except OSError as error:
        if descriptor is not None:
            os.close(descriptor)
        raise _explained(path, error) from error
    if descriptor is not None:
        os.close(descriptor)
    return None


def open_shared(path: Path) -> int:
    """Open a file for reading and writing; a new one is for all who may write its folder."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return os.open(path, flags)
    with contextlib.suppress(PermissionError):  # file systems without modes refuse
        os.fchmod(descriptor, stat.S_IMODE(path.parent.stat().st_mode) & 0o666)
    return descriptor


def wait_for(attempt: Callable[[], T | None], waiting: Callable[[], str]) -> T:
    """Repeat ``attempt`` until it gives something; say at once and every minute what is waited for.

    The pauses grow from 20 ms to 1 s and vary at random, so that many who wait do not march in
    step.
    """
    # Not on the first failure: who looks whether a lock is held, holds it for an instant.
    tell_at, pause = time.monotonic() + 0.01, 0.02
    while (result := attempt()) is None:
        if time.monotonic() >= tell_at:
            print(waiting(), file=sys.stderr, flush=True)
            tell_at = time.monotonic() + TELL_AGAIN
        time.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(LONGEST_PAUSE, pause * 1.5)
    return result


def _waiting(path: Path) -> str:
    return f"Waiting for {path}, held by {holder(path) or 'a process that is just letting go'}."


def holder(path: Path) -> Holder | None:
    """Who holds the lock on ``path``; None if nobody does.

    Raises:
        SsgrError: the lock cannot be looked at.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _explained(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return read_record(descriptor, path)
    except OSError as error:
        raise _explained(path, error) from error
    finally:
        os.close(descriptor)
    return None


def holders(folder: Path) -> list[Holder]:
    """Who holds the locks (``*.lock``) in and below ``folder`` now, sorted by path.

    Raises:
        SsgrError: a lock cannot be looked at.
    """
    files = (Path(inside) / name for inside, _, names in os.walk(folder) for name in names)
    found = (holder(path) for path in sorted(files) if path.suffix == ".lock")
    return [one for one in found if one is not None]


def _explained(path: Path, error: OSError) -> SsgrError:
    """The error in words: what is wrong with the folder, and the ways out."""
    folder = path.parent
    if error.errno in NO_LOCKS:
        reason = (
            f"the file system of {folder} has no locks, and without them two jobs would do the "
            "same work and overwrite each other. Choose a folder on another file system (local, "
            "NFS 4, Lustre mounted with -o flock), or have locks turned on there"
        )
    elif error.errno == errno.EROFS:
        reason = (
            f"{folder} is mounted read-only. Mount it writable, or choose another folder; what is "
            "there already can be used without writing"
        )
    elif error.errno in NO_RIGHTS:
        reason = (
            f"{user()} may not write in {folder}. Its owner can let the group in: chgrp -R GROUP "
            f"{folder}; chmod -R g+rwX {folder}; find {folder} -type d -exec chmod g+s {{}} +"
        )
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = f"there is no space (or quota) left in {folder}. Free some and run again"
    else:
        reason = f"check that {folder} is a folder that {user()} may write in"
    return SsgrError(f"Cannot lock {path} ({error.strerror}): {reason}.")
