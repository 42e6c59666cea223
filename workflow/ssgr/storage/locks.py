"""One process at a time: locks of the operating system that end with the process that holds them.

`flock` and not a lock of mere existence: the kernel frees it however its holder ends, kill -9
included, and a file system that knows no locks is an error here, never a weaker promise. The lock
file stays for ever (deleting it would let two processes lock two files of one name). Who holds the
lock writes itself into the file; a record in a file that nobody has locked is of the past.

A lock file may be used by whoever may write the folder it lies in, whatever the umask of the one
who happened to make it (`ssgr.storage.permissions`). Nothing here looks at a clock to
tell whether a lock is held: those of two machines need not agree, and a lock that has been held
for a month is held.
"""

import contextlib
import errno
import fcntl
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from ssgr.errors import SsgrError
from ssgr.storage.lock_owner import Holder, here, read_record, user, write_record
from ssgr.storage.permissions import make_folder, no_rights, open_shared

__all__ = ["Holder", "holder", "holders", "only_one", "take", "wait_for"]

T = TypeVar("T")

TELL_AGAIN = 60.0  # seconds between two lines that say who is waited for
LONGEST_PAUSE = 1.0  # seconds between two attempts
MOST_DELETIONS = 20  # of a lock file while it is being opened: no purge is as busy as that

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
    deletions = 0
    while True:
        try:
            return _take(path)
        except FileNotFoundError as error:  # a purge deleted it while we opened it
            deletions += 1
            if deletions == MOST_DELETIONS:
                raise _explained(path, error) from error
        except OSError as error:
            raise _explained(path, error) from error


def _take(path: Path) -> int | None:
    make_folder(path.parent)
    descriptor = open_shared(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(path)):
            return descriptor
        raise FileNotFoundError(errno.ENOENT, "it is deleted and made again and again")
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise


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
    """Who holds the lock on ``path``; None if nobody does. Nothing is written.

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

    Nothing is written, and whoever may only look gets what is to be seen: locks that cannot be
    looked at (no rights, a file system without locks) are said on stderr, in one line for all.
    """
    files = (Path(inside) / name for inside, _, names in os.walk(folder) for name in names)
    found, hidden = [], []
    for path in sorted(files):
        try:
            one = holder(path) if path.suffix == ".lock" else None
        except SsgrError as error:
            hidden.append(error)
        else:
            found += [one] if one else []
    if hidden:
        print(
            f"{len(hidden)} locks in {folder} cannot be looked at, so somebody may be at work "
            f"there unseen. The first: {hidden[0]}",
            file=sys.stderr,
            flush=True,
        )
    return found


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
        reason = no_rights(path)
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = f"there is no space (or quota) left in {folder}. Free some and run again"
    else:
        reason = f"check that {folder} is a folder that {user()} may write in"
    return SsgrError(f"Cannot lock {path} ({error.strerror}): {reason}.")
