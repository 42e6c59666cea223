"""Hidden states come back bit by bit, from memory and file; a full disk is told in words."""

import errno
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ssgr.errors import PruningError
from ssgr.pruning.activations import Activations, require_room

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def states(seed: int, tokens: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, tokens, 8, generator=generator).to(dtype)


@pytest.mark.parametrize("cap", [0, 1000, 5000, 2**30])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_read_is_what_was_written_last(
    tmp_path: Path, cap: int, dtype: torch.dtype
) -> None:
    lengths = (5, 64, 1, 40, 7, 130)
    kept = Activations(tmp_path, cap)
    expected = [states(at, tokens, dtype) for at, tokens in enumerate(lengths)]
    for one in expected:
        kept.append(one)
    sizes = [8 * tokens * dtype.itemsize for tokens in lengths]
    assert kept.in_memory + kept.in_file == sum(sizes)
    assert kept.in_memory <= cap
    shuffled = random.Random(0)
    for step in range(40):
        at = shuffled.randrange(len(lengths))
        if step % 2:
            expected[at] = states(100 + step, lengths[at], dtype)
            kept[at] = expected[at]
        assert torch.equal(kept[at], expected[at])
        assert kept.shape(at) == (1, lengths[at], 8)
        start, stop = sorted(shuffled.choices(range(140), k=2))
        assert torch.equal(kept.tokens(at, start, stop), expected[at][:, start:stop])
    assert [torch.equal(kept[at], one) for at, one in enumerate(expected)] == [True] * 6
    kept.close()


def test_the_file_has_no_name_and_takes_what_is_beyond_the_cap(tmp_path: Path) -> None:
    kept = Activations(tmp_path, 1000)
    for at in range(5):
        kept.append(states(at, 30))  # 960 bytes each
    assert (kept.in_memory, kept.in_file) == (960, 4 * 960)
    assert list(tmp_path.iterdir()) == []
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else None
    kept.close()
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before - 1


def test_a_view_does_not_keep_the_whole(tmp_path: Path) -> None:
    whole = states(0, 1000)
    kept = Activations(tmp_path, 2**20)
    kept.append(whole[:, :10])
    assert kept[0].untyped_storage().nbytes() == 10 * 8 * 4


def test_another_shape_is_not_understood(tmp_path: Path) -> None:
    kept = Activations(tmp_path, 0)
    kept.append(states(0, 4))
    with pytest.raises(PruningError, match=r"\[1, 4, 8\].*\[1, 5, 8\].*not understood"):
        kept[0] = states(0, 5)


def test_a_full_disk_is_said_before_anything_is_computed(tmp_path: Path) -> None:
    with pytest.raises(PruningError, match=r"no room for the model: 1,048,576,000 MB are needed, "):
        require_room(tmp_path, 1000 * 2**40, "the model")
    require_room(tmp_path, 1, "the model")


FULL = """
import resource, signal, sys, torch
from pathlib import Path
from ssgr.errors import PruningError
from ssgr.pruning.activations import Activations
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
kept = Activations(Path(sys.argv[1]), 2000)
try:
    for _ in range(20):
        kept.append(torch.ones(1, 30, 8))
except PruningError as error:
    print(len(kept), error)
"""


def test_a_file_that_cannot_grow_is_an_error_in_words(tmp_path: Path) -> None:
    """A real limit of the kernel's, in a process of its own: EFBIG where a full disk has ENOSPC."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    count, _, message = done.stdout.partition(" ")
    assert int(count) == 12  # two in memory, ten in 10,000 bytes of file
    assert f"the disk of {tmp_path} has no room for the hidden states" in message
    assert "cap_mb" in message
    assert "finished blocks are kept" in message


def test_a_disk_that_fills_later_is_the_same_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where space cannot be reserved (copy on write), writing over may fail."""
    kept = Activations(tmp_path, 0)
    kept.append(states(0, 30))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(PruningError, match=r"has no room for the hidden states"):
        kept[0] = states(1, 30)
