"""Every matrix pruned at every level, on disk: a search then only reads what it tries.

It takes as much disk as the model's matrices times the number of levels.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from ssgr.errors import PruningError
from ssgr.pruning.activations import FULL, Activations, no_room, require_room
from ssgr.pruning.allocation.ladder import Ladder
from ssgr.pruning.allocation.method import Task
from ssgr.pruning.allocation.stream import dense_blocks
from ssgr.pruning.allocation.trial import needs_gram, prune
from ssgr.pruning.output.tensor_file import Kind, TensorFile
from ssgr.pruning.statistics import InputStatistics

WHAT = "the pruned matrices of the search"


class Database:
    """Files of one matrix each, with a tensor per level."""

    def __init__(self, task: Task, ladder: Ladder) -> None:
        self.task = task
        self.ladder = ladder
        self.folder = task.scratch / "levels"
        self.positions = {(s.block, s.name): i for i, s in enumerate(task.shapes)}

    def build(self, hidden: Activations) -> None:
        """Prune every matrix at every level, with statistics of the dense model's inputs.

        Files that an interrupted call left are kept. ``hidden`` holds the embedded sequences, and
        in the end what leaves the last dense block.

        Raises:
            PruningError: a matrix cannot be pruned, or the disk is full.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        there = sum(file.stat().st_size for file in self.folder.glob("*.safetensors"))
        require_room(self.folder, self._bytes() - there, WHAT)
        for block in dense_blocks(self.task, hidden, with_gram=needs_gram(self.task)):
            for name, linear in block.linears.items():
                if not self._file(block.index, name).exists():
                    self._add(block.index, name, linear.weight, block.statistics.get(name))

    def _bytes(self) -> int:
        """Return what all matrices at all their levels take."""
        ladder = self.ladder
        levels = (high - low + 1 for low, high in zip(ladder.lowest, ladder.highest, strict=True))
        weights = sum(n * size for n, size in zip(levels, self.task.sizes, strict=True))
        return weights * self.task.decoder.dtype.itemsize

    def _add(
        self, block: int, name: str, weight: Tensor, statistics: InputStatistics | None
    ) -> None:
        """Write a matrix at all its levels, whole or not at all."""
        matrix = self.positions[block, name]
        levels = range(self.ladder.lowest[matrix], self.ladder.highest[matrix] + 1)
        kinds = {str(level): Kind.of(weight) for level in levels}
        needed = sum(kind.bytes for kind in kinds.values())
        require_room(self.folder, needed, WHAT)
        file = self._file(block, name)
        aside = file.with_suffix(".partial")
        try:
            with TensorFile(aside, kinds, {}) as written:
                for level in levels:
                    zeros = self.ladder.zeros(matrix, level)
                    written.write(str(level), prune(self.task, weight, statistics, zeros).cpu())
            os.replace(aside, file)
        except OSError as error:
            if error.errno in FULL:
                raise no_room(self.folder, needed, WHAT) from error
            raise PruningError(f"{file} cannot be written ({error.strerror})") from error

    def read(self, block: int, levels: Mapping[str, int]) -> dict[str, Tensor]:
        """Return matrices of a block at the levels asked for, by name."""
        device = str(self.task.decoder.device)
        matrices = {}
        for name, level in levels.items():
            with safe_open(self._file(block, name), framework="pt", device=device) as file:
                matrices[name] = file.get_tensor(str(level))
        return matrices

    def _file(self, block: int, name: str) -> Path:
        return self.folder / f"{block:05d}.{name}.safetensors"
