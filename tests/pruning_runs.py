"""Prunes in children that may be killed: imports once, then forks for every line of JSON it reads.

    python pruning_runs.py DENSE

A line is {"out": folder} and one of "seconds": t, after which the child is killed (SIGKILL), or
"renames": n, it kills itself in its n-th renaming, before or after it by turns, or "shards": n,
half-way through its n-th shard; and "objective", if not the default. Answers with the exit status.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import safetensors.torch

from ssgr.config import Objective, Recipe
from ssgr.config.sparsity import Sparsity
from ssgr.pruning import progress
from ssgr.pruning.checkpoint import prune_checkpoint
from ssgr.pruning.objective import CalibrationSequence
from tiny_decoders import token_sequences

LENGTHS = (5, 40, 1, 23, 64, 31, 64, 64, 50, 12)


def prune(dense: Path, out: Path, objective: dict[str, Any]) -> None:
    """Prune by SparseGPT with held-back text and hidden states that spill."""
    prune_checkpoint(
        dense,
        out,
        calibration=[CalibrationSequence(ids) for ids in token_sequences(LENGTHS)],
        held_back=token_sequences((30, 17), seed=5),
        recipe=Recipe(method="sparsegpt", objective=Objective(**objective)),
        sparsity=Sparsity.parse("50"),
        device="cpu",
        cap_mb=0,
    )


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_renaming(at: int) -> None:
    """Replace ``os.replace`` by one that kills in its ``at``-th call."""
    genuine, calls = os.replace, 0

    def replace(source: Any, target: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == at and at % 2:
            die()
        genuine(source, target)
        if calls == at:
            die()

    vars(os)["replace"] = replace


def die_writing(at: int) -> None:
    """Replace the writing of shards by one that kills half-way through its ``at``-th."""
    genuine, calls = safetensors.torch.save_file, 0

    def save_file(tensors: Any, path: Path, metadata: Any) -> None:
        nonlocal calls
        calls += 1
        genuine(tensors, path, metadata=metadata)
        if calls == at:
            os.truncate(path, path.stat().st_size // 2)
            die()

    vars(progress)["save_file"] = save_file


def main() -> None:
    """Serve."""
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            die_renaming(asked.get("renames", 0))
            die_writing(asked.get("shards", 0))
            prune(Path(sys.argv[1]), Path(asked["out"]), asked.get("objective", {}))
            os._exit(0)
        if "seconds" in asked:
            time.sleep(asked["seconds"])
            os.kill(child, signal.SIGKILL)  # of no effect if it has ended
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
