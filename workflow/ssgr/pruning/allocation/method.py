"""What an allocation is: a function of a dense model that says how many weights go where."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from ssgr.config.pruning import Recipe
from ssgr.config.sparsity import Sparsity
from ssgr.errors import ConfigError, PruningError
from ssgr.pruning.activations import Activations
from ssgr.pruning.allocation import allocation_names, needs_sequences
from ssgr.pruning.gram import full_precision
from ssgr.pruning.masks import zeros_among
from ssgr.pruning.objective import CalibrationSequence

if TYPE_CHECKING:
    from ssgr.pruning.model.decoder import Decoder, MatrixShape

Needs = Literal["sequences", "none"]


@dataclass(frozen=True)
class Task:
    """What is to be allocated; ``sparsity`` is the share of zeros among all weights."""

    decoder: "Decoder"
    shapes: list["MatrixShape"]
    sequences: Sequence[CalibrationSequence]
    sparsity: float
    recipe: Recipe
    scratch: Path
    cap: int = 2**32  # bytes of hidden states in memory
    spill: Path | None = None  # folder for the others; None is ``scratch``

    @property
    def sizes(self) -> list[int]:
        """Weights of each matrix, in the order of ``shapes``."""
        return [shape.rows * shape.columns for shape in self.shapes]

    def activations(self, parts: int = 1) -> Activations:
        """Return a list for hidden states that keeps one of so many parts of the cap in memory."""
        return Activations(self.spill or self.scratch, self.cap // parts)


Method = Callable[[Task], list[int]]
METHODS: dict[str, Method] = {}


def register(name: str, *, needs: Needs) -> Callable[[Method], Method]:
    """Register an allocation: a function that returns the zeros of each matrix of a task.

    ``needs`` is read from the source, so that names and needs are known without importing torch.
    """

    def add(method: Method) -> Method:
        METHODS[name] = method
        return method

    return add


def check(name: str, sequences: Sequence[CalibrationSequence], sparsity: Sparsity) -> None:
    """Refuse what no allocation can do, before anything is read.

    Raises:
        ConfigError: unknown name, or N:M with another allocation than uniform.
        PruningError: no sequences for an allocation that needs them.
    """
    known = allocation_names()
    if name not in known:
        raise ConfigError(f"unknown allocation {name!r}: expected one of {', '.join(known)}")
    if sparsity.group is not None and name != "uniform":
        raise ConfigError(
            f"allocation {name!r} cannot spread the pattern {sparsity.key}: N:M fixes the share of "
            "zeros of every matrix; use the allocation 'uniform' or an unstructured sparsity"
        )
    if needs_sequences(name) and not sequences:
        raise PruningError(
            f"allocation {name!r} needs calibration sequences and got none; give a calibration "
            "table, or allocate by 'uniform' or 'alphapruning'"
        )


def run(
    name: str,
    decoder: "Decoder",
    sequences: Sequence[CalibrationSequence],
    sparsity: Sparsity,
    recipe: Recipe,
    scratch: Path,
    cap: int,
    spill: Path | None,
) -> dict[tuple[int, str], float]:
    """Run a registered allocation and return its shares; see ``allocate``."""
    task = Task(
        decoder, decoder.shapes(), sequences, sparsity.fraction, recipe, scratch, cap, spill
    )
    scratch.mkdir(parents=True, exist_ok=True)
    with torch.no_grad(), full_precision():
        counts = METHODS[name](task)
    missing = zeros_among(sum(task.sizes), sparsity.fraction) - sum(counts)
    if missing:
        raise PruningError(f"allocation {name!r} is a bug: it is {missing} zeros short")
    return {
        (shape.block, shape.name): share(count, size, sparsity.fraction)
        for shape, count, size in zip(task.shapes, counts, task.sizes, strict=True)
    }


def share(count: int, size: int, usual: float) -> float:
    """Return a share with ``zeros_among(size, share) == count``: the usual one if it fits."""
    return usual if zeros_among(size, usual) == count else count / size
