"""Hidden states between blocks: in memory up to a cap, the rest in one file.

A calibration set of 128 sequences x 16k tokens at width 8192 is 32 GiB in bf16. Its place in the
file is reserved when a sequence is appended, so that a full disk is met before the first block is
pruned; a sequence is written over in place, block after block. The file has no name and is gone
with the process, however it ends.
"""

import errno
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ssgr.errors import PruningError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MB = 2**20


@dataclass(frozen=True)
class _Slot:
    """Where a sequence lies in the file (bytes), and what it is."""

    offset: int
    size: int
    shape: torch.Size
    dtype: torch.dtype


class Activations:
    """A list of tensors, such as the hidden states [1, tokens, width] of each sequence.

    Args:
        folder: where the file is made, when the cap is reached.
        cap: bytes to keep in memory.
    """

    def __init__(self, folder: Path, cap: int) -> None:
        self.folder = folder
        self.cap = cap
        self.in_memory = 0  # bytes
        self.in_file = 0  # bytes
        self._entries: list[Tensor | _Slot] = []
        self._device = torch.device("cpu")
        self._file: int | None = None

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self._entries)

    def append(self, states: Tensor) -> None:
        """Add the states of one more sequence.

        Raises:
            PruningError: the file cannot grow (disk full) or be written.
        """
        size = states.numel() * states.element_size()
        self._device = states.device
        if self.in_memory + size <= self.cap:
            self.in_memory += size
            self._entries.append(_own(states))
            return
        slot = _Slot(self.in_file, size, states.shape, states.dtype)
        self._reserve(slot)
        self.in_file += size
        self._entries.append(slot)
        self._write(slot, states)

    def __getitem__(self, index: int) -> Tensor:
        """Return the states of a sequence, on the device they came from; do not write them.

        Raises:
            PruningError: the file cannot be read.
        """
        entry = self._entries[index]
        states = self._read(entry) if isinstance(entry, _Slot) else entry
        return states.to(self._device)

    def tokens(self, index: int, start: int, stop: int) -> Tensor:
        """Return some tokens of a sequence's states [1, tokens, width]; the others are not read.

        Raises:
            PruningError: the file cannot be read.
        """
        entry = self._entries[index]
        if not isinstance(entry, _Slot):
            return entry[:, start:stop].to(self._device)
        count = len(range(*slice(start, stop).indices(entry.shape[1])))
        each = entry.size // entry.shape[1]
        shape = torch.Size((1, count, *entry.shape[2:]))
        part = _Slot(entry.offset + start * each, count * each, shape, entry.dtype)
        return self._read(part).to(self._device)

    def __setitem__(self, index: int, states: Tensor) -> None:
        """Replace the states of a sequence by others of the same shape and dtype.

        Raises:
            PruningError: the file cannot be written.
        """
        entry = self._entries[index]
        if (states.shape, states.dtype) != (entry.shape, entry.dtype):
            raise PruningError(
                f"a block turned hidden states {list(entry.shape)} {entry.dtype} into "
                f"{list(states.shape)} {states.dtype}: its structure is not understood"
            )
        if isinstance(entry, _Slot):
            self._write(entry, states)
        else:
            self._entries[index] = _own(states)

    def shape(self, index: int) -> torch.Size:
        """Return the shape of a sequence's states, without reading them."""
        return self._entries[index].shape

    def close(self) -> None:
        """Let go of the memory and the file."""
        self._entries.clear()
        self.in_memory = self.in_file = 0
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _descriptor(self) -> int:
        """Return the file, made at first use; it has no name, or loses it at once."""
        if self._file is None:
            with tempfile.TemporaryFile(dir=self.folder) as file:
                self._file = os.dup(file.fileno())
        return self._file

    def _reserve(self, slot: _Slot) -> None:
        try:
            descriptor = self._descriptor()
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, slot.offset, slot.size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # cannot reserve: fills later
                raise self._failed(error, slot) from error

    def _write(self, slot: _Slot, states: Tensor) -> None:
        data = _bytes(states.detach().cpu().contiguous())
        done = 0
        try:
            while done < slot.size:
                done += os.pwrite(self._descriptor(), data[done:], slot.offset + done)
        except OSError as error:
            raise self._failed(error, slot) from error

    def _read(self, slot: _Slot) -> Tensor:
        states = torch.empty(slot.shape, dtype=slot.dtype)
        data = _bytes(states)
        done = 0
        try:
            while done < slot.size:
                count = os.preadv(self._descriptor(), [data[done:]], slot.offset + done)
                if count == 0:
                    raise OSError(errno.EIO, "it is shorter than what was written")
                done += count
        except OSError as error:
            raise self._failed(error, slot) from error
        return states

    def _failed(self, error: OSError, slot: _Slot) -> PruningError:
        if error.errno in FULL:
            return no_room(self.folder, self.in_file + slot.size, "the hidden states")
        return PruningError(
            f"the file of hidden states in {self.folder} failed ({error.strerror}): check the disk "
            "and run again; finished blocks are kept"
        )


def require_room(folder: Path, needed: int, what: str) -> None:
    """Check that ``needed`` bytes are free on the disk of ``folder``.

    Raises:
        PruningError: they are not, or there is no such folder.
    """
    if not folder.is_dir():
        raise PruningError(f"{folder}, for {what}, is no folder: make it, or name another")
    if needed > shutil.disk_usage(folder).free:
        raise no_room(folder, needed, what)


def no_room(folder: Path, needed: int, what: str) -> PruningError:
    """Return the error of a full disk: how much is needed and free, and the ways out."""
    free = shutil.disk_usage(folder).free
    return PruningError(
        f"the disk of {folder} has no room for {what}: {needed / MB:,.0f} MB are needed, "
        f"{free / MB:,.0f} MB are free. Free some and run again (finished blocks are kept), keep "
        "more hidden states in memory (cap_mb), or use fewer or shorter calibration sequences."
    )


def _own(states: Tensor) -> Tensor:
    """Return the states in main memory, without the rest of a larger tensor they are a part of."""
    kept = states.detach().cpu().contiguous()
    if kept.untyped_storage().nbytes() > kept.numel() * kept.element_size():
        return kept.clone()
    return kept


def _bytes(states: Tensor) -> memoryview:
    return states.view(-1).view(torch.uint8).numpy().data
