"""Killed at any moment, a run goes on where it was, and the folder is the same to the byte.

``SSGR_KILLS`` is the number of kills at random moments (default 6).
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from ssgr.config import Recipe
from ssgr.config.sparsity import Sparsity
from ssgr.errors import PruningError
from ssgr.pruning import progress
from ssgr.pruning.checkpoint import prune_checkpoint
from ssgr.pruning.objective import CalibrationSequence
from ssgr.pruning.progress import opened
from ssgr.storage import locks
from tiny_decoders import save, tiny, token_sequences

KILLS = int(os.environ.get("SSGR_KILLS", "6"))
DEPTH = 6
KILLED = signal.SIGKILL
MEASURED = ["seconds", "peak_mb"]


class Runs:
    """A process that forks a child for each pruning (pruning_runs.py)."""

    def __init__(self, dense: Path) -> None:
        script = Path(__file__).with_name("pruning_runs.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(dense)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def finish(self, out: Path, **how: Any) -> int:
        """Prune; return the exit status, 0 or that of SIGKILL."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"out": str(out), **how}) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tiny("qwen3", num_hidden_layers=DEPTH).to(torch.bfloat16)
    return save(model, tmp_path_factory.mktemp("resume") / "dense")


@pytest.fixture(scope="module")
def runs(dense: Path) -> Iterator[Runs]:
    made = Runs(dense)
    yield made
    assert made.process.stdin is not None
    made.process.stdin.close()
    assert made.process.wait(60) == 0


@pytest.fixture(scope="module")
def whole(runs: Runs, dense: Path) -> tuple[Path, float]:
    """The folder of a run that nobody killed, and how long it took."""
    out = dense.with_name("whole")
    assert runs.finish(out) == 0  # with imports
    began = time.monotonic()
    assert runs.finish(dense.with_name("again")) == 0
    return out, time.monotonic() - began


def contents(folder: Path) -> dict[str, Any]:
    """Every file's bytes; of tables what was not measured by a clock."""
    found: dict[str, Any] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == ".parquet":
            table = pl.read_parquet(path)
            found[path.name] = table.drop(MEASURED, strict=False).to_dicts()
        else:
            found[path.name] = path.read_bytes()
    return found


def work_of(out: Path) -> Path:
    return out.with_name(f".{out.name}.partial")


def blocks_in(out: Path) -> int:
    return len(list(work_of(out).glob("block-*.json")))


def test_killed_at_random_moments(runs: Runs, whole: tuple[Path, float], tmp_path: Path) -> None:
    """Each run is given a random part of the time that a whole one takes, and then killed."""
    reference, duration = contents(whole[0]), whole[1]
    chance = random.Random(0)
    kills = finished = 0
    while kills < KILLS:
        out = tmp_path / f"out-{finished}"
        if runs.finish(out, seconds=duration * chance.uniform(0, 1.1)) == KILLED:
            kills += 1
            assert not out.exists() or contents(out) == reference
        else:
            assert contents(out) == reference
            assert not work_of(out).exists()
            finished += 1
    out = tmp_path / f"out-{finished}"
    assert runs.finish(out) == 0
    assert contents(out) == reference
    assert not work_of(out).exists()


def test_killed_at_every_renaming(runs: Runs, whole: tuple[Path, float], tmp_path: Path) -> None:
    """Every run is killed in its second renaming, or a later one when blocks bring no more."""
    out = tmp_path / "out"
    renames, kills, blocks = 2, 0, 0
    while runs.finish(out, renames=renames) == KILLED:
        kills += 1
        renames += blocks == blocks_in(out) and kills > 1
        blocks = blocks_in(out)
        assert not out.exists() or contents(out) == contents(whole[0])
    assert blocks in (0, DEPTH)  # none if the last kill came after all was done
    assert kills >= 2 * DEPTH
    assert contents(out) == contents(whole[0])


def test_killed_within_a_shard(runs: Runs, whole: tuple[Path, float], tmp_path: Path) -> None:
    out = tmp_path / "out"
    for before in (0, 2):
        assert blocks_in(out) == before
        assert runs.finish(out, shards=3) == KILLED
        assert list((work_of(out) / "checkpoint").glob("*.aside"))
    assert runs.finish(out) == 0
    assert contents(out) == contents(whole[0])


def test_the_dense_model_runs_along_again(runs: Runs, tmp_path: Path) -> None:
    how = {"objective": {"target": "dense-output", "true_sequential": True}}
    assert runs.finish(tmp_path / "out", shards=4, **how) == KILLED
    assert blocks_in(tmp_path / "out") == 3
    for name in ("out", "whole"):
        assert runs.finish(tmp_path / name, **how) == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_damaged_block_is_done_again(
    runs: Runs, whole: tuple[Path, float], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert runs.finish(out, shards=5) == KILLED
    shards = sorted((work_of(out) / "checkpoint").glob("*.safetensors"))
    assert len(shards) == 4
    data = bytearray(shards[1].read_bytes())
    data[-7] ^= 1
    shards[1].write_bytes(data)  # one bit
    shards[2].write_bytes(shards[2].read_bytes()[:-1])
    shards[3].unlink()
    assert runs.finish(out) == 0
    assert contents(out) == contents(whole[0])


def prune(dense: Path, out: Path, seed: int = 0, method: str = "wanda") -> None:
    prune_checkpoint(
        dense,
        out,
        calibration=[CalibrationSequence(ids) for ids in token_sequences(seed=seed)],
        recipe=Recipe(method=method),
        sparsity=Sparsity.parse("50"),
        device="cpu",
    )


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch, dense: Path, tmp_path: Path) -> Path:
    """A checkpoint of which three blocks were finished when the disk was full."""
    genuine, calls = save_file, 0

    def full(*args: Any, **more: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise OSError(28, "No space left on device")
        genuine(*args, **more)

    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(progress, "save_file", full)
        with pytest.raises(PruningError, match=r"no room for model-00004-of-00007.*are kept"):
            prune(dense, out)
    assert blocks_in(out) == 3
    assert not out.exists()
    return out


def test_after_a_full_disk_it_goes_on(
    interrupted: Path, dense: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prune(dense, interrupted)
    assert "going on with it" in capsys.readouterr().err
    prune(dense, interrupted.with_name("other"))
    for path in interrupted.glob("*.safetensors"):
        assert path.read_bytes() == (interrupted.with_name("other") / path.name).read_bytes()


@pytest.mark.parametrize(
    ("changed", "told"),
    [({"seed": 1}, "another calibration"), ({"method": "magnitude"}, "another code, recipe")],
)
def test_other_work_is_thrown_away_and_it_says_so(
    interrupted: Path,
    dense: Path,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, Any],
    told: str,
) -> None:
    prune(dense, interrupted, **changed)
    assert f"{told}: starting anew" in capsys.readouterr().err
    prune(dense, interrupted.with_name("other"), **changed)
    for path in interrupted.glob("*.safetensors"):
        assert path.read_bytes() == (interrupted.with_name("other") / path.name).read_bytes()


def test_a_changed_model_is_other_work(
    interrupted: Path, dense: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = dense / "model.safetensors"
    before = weights.read_bytes()
    tensors = load_file(weights)
    tensors["model.layers.0.mlp.up_proj.weight"][0, 0] += 1
    try:
        progress.save(tensors, weights)
        prune(dense, interrupted)
    finally:
        weights.write_bytes(before)
    assert "another model: starting anew" in capsys.readouterr().err


def test_one_process_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with opened(out, {"model": "one"}):
        assert locks.take(work_of(out) / "prune.lock") is None
        (holder,) = locks.holders(work_of(out))
        assert holder.what == f"pruning {out}"
    assert not work_of(out).exists()
