"""The journal of a shard in the making: what was drawn before a crash is not drawn again.

One record a response, appended as it arrives: marker, length, checksum, then the response. A
process that is killed loses nothing that `append` has returned for; a loss of power at most what
came after the last fsync, which `append` does every few seconds and `close` at the end. A record
torn by either is recognised by its checksum and cut off when the journal is opened again.

A journal has one writer; a second one at the same time is refused.
"""

import errno
import fcntl
import os
import sys
import time
from pathlib import Path
from typing import BinaryIO

from ssgr.errors import SsgrError
from ssgr.sampling.protocol import Response
from ssgr.sampling.records import FRAME, MARKER, framed, next_payload, packed, unpacked
from ssgr.storage.permissions import open_shared

FORMAT = "ssgr journal 1\n"
SYNC_INTERVAL = 5.0  # seconds

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)


class Journal:
    """Responses drawn so far, safe on disk.

    Attributes:
        path: the file.
        known: what it held when it was opened, each (problem_id, sample) once, in order.
    """

    path: Path
    known: list[Response]

    def __init__(self, path: Path, descriptor: int) -> None:
        """Use `Journal.open`."""
        self.path = path
        self.known = []
        self._descriptor = descriptor
        self._end = 0  # bytes of whole records
        self._kept = 0  # responses in them
        self._synced = 0  # responses that a loss of power leaves
        self._synced_at = time.monotonic()

    @classmethod
    def open(cls, path: Path, header: str) -> "Journal":
        """Continue the journal at ``path``, or begin one.

        A damaged tail is cut off, and a journal with another header is begun afresh; both are
        said on stderr. Reading is linear in the file's size.

        Args:
            path: its folder must exist.
            header: the spec of what is drawn; a journal is only continued under the same.

        Raises:
            SsgrError: the file cannot be opened, read or written, or another process writes it.
        """
        try:
            journal = cls(path, open_shared(path))
        except OSError as error:
            raise _explained(path, error, 0) from error
        try:
            journal._claim()
            journal._read(framed((FORMAT + header).encode()))
        except BaseException:
            os.close(journal._descriptor)
            raise
        return journal

    def append(self, response: Response) -> None:
        """Add one response; it outlives this process when this returns.

        Raises:
            SsgrError: out of space or no rights; the responses before this one stay readable.
        """
        self._write(framed(packed(response)))
        self._kept += 1
        if time.monotonic() - self._synced_at >= SYNC_INTERVAL:
            self._sync()

    def close(self) -> None:
        """Bring everything to the disk and close the file; closing again does nothing.

        Raises:
            SsgrError: the disk refused at the last moment.
        """
        if self._descriptor < 0:
            return
        try:
            self._sync()
        finally:
            os.close(self._descriptor)
            self._descriptor = -1

    def leave(self) -> None:
        """Close the file, and delete it if it holds no response: an attempt that came to nothing.

        Raises:
            SsgrError: as `close` and `remove`.
        """
        if self._kept:
            self.close()
        else:
            self.remove()

    def remove(self) -> None:
        """Delete the file: its responses stand elsewhere now.

        Raises:
            SsgrError: the folder does not allow it.
        """
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise _explained(self.path, error, self._kept) from error

    def _claim(self) -> None:
        """Refuse a second writer. Unlike flock, this lock is not kept by forked children."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise _explained(self.path, error, 0) from error
            raise SsgrError(
                f"The journal {self.path} is being written by another process: a job that a "
                "killed run left behind, perhaps. Wait until it has ended, or end it, and run "
                "again: what it drew is used."
            ) from error

    def _read(self, header: bytes) -> None:
        try:
            size = os.fstat(self._descriptor).st_size
            with open(self._descriptor, "rb", buffering=1 << 20, closefd=False) as file:
                if file.read(len(header)) != header:
                    self._begin(header, size)
                    return
                self._end = len(header)
                found = self._responses(file)
                if self._end < size:
                    self._cut(file, size)
        except OSError as error:
            raise _explained(self.path, error, self._kept) from error
        first: dict[tuple[str, int], Response] = {}
        for one in found:
            first.setdefault((one.problem_id, one.sample), one)
        self.known = list(first.values())
        self._kept = self._synced = len(self.known)

    def _responses(self, file: BinaryIO) -> list[Response]:
        found = []
        while (payload := next_payload(file)) is not None:
            try:
                found.append(unpacked(payload))
            except (ValueError, KeyError, TypeError):  # a whole record, but not a response
                break
            self._end += FRAME.size + len(payload)
        return found

    def _begin(self, header: bytes, size: int) -> None:
        if size:
            _say(
                f"{self.path}: this journal ({size} bytes) was begun for another sampling, or its "
                "header is damaged; it is begun afresh."
            )
            os.ftruncate(self._descriptor, 0)
        self._write(header)
        self._sync()
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the name, too, outlives a loss of power
        finally:
            os.close(folder)

    def _cut(self, file: BinaryIO, size: int) -> None:
        file.seek(self._end)
        damaged = max(1, file.read().count(MARKER))
        os.ftruncate(self._descriptor, self._end)
        _say(
            f"{self.path}: its last {size - self._end} bytes are torn or damaged (up to "
            f"{damaged} responses) and were cut off; those are drawn again."
        )

    def _write(self, data: bytes) -> None:
        """Write at the end of the whole records, over what a failed write may have left there."""
        done = 0
        try:
            while done < len(data):
                done += os.pwrite(self._descriptor, data[done:], self._end + done)
        except OSError as error:
            raise _explained(self.path, error, self._kept) from error
        self._end += len(data)

    def _sync(self) -> None:
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise _explained(self.path, error, self._synced) from error
        self._synced, self._synced_at = self._kept, time.monotonic()


def holds_responses(path: Path) -> bool:
    """Whether a journal holds a response; one that cannot be read is taken to."""
    try:
        with path.open("rb") as file:
            return next_payload(file) is not None and next_payload(file) is not None
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _explained(path: Path, error: OSError, safe: int) -> SsgrError:
    """The error in words: what is safe, and what to do."""
    if error.errno in FULL:
        remedy = "No space is left (or a quota or limit on file sizes is reached): free some"
    elif error.errno in REFUSED:
        remedy = "It cannot be written: make the file and its folder writable for you"
    else:
        remedy = "Check the disk and the folder"
    return SsgrError(
        f"The journal {path} failed ({error.strerror}); {safe} responses are safe in it. "
        f"{remedy}, then run again: it goes on after those."
    )
