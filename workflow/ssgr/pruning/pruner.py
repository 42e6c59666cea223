"""What a pruner is: a function of one weight matrix and the statistics of its inputs.

A pruner never sees a model. It is registered by name together with the statistics it needs, so
that the walk over the blocks gathers no more than that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from ssgr.config.sparsity import Sparsity
from ssgr.errors import PruningError
from ssgr.pruning.statistics import InputStatistics

Needs = Literal["gram", "norm", "none"]


@dataclass(frozen=True)
class PrunerSettings:
    """Numbers that pruners share.

    ``block_size``: columns whose unstructured mask is fixed together, and that are updated before
    the rest of the matrix is. ``damping``: share of the mean of the Hessian's diagonal added to it.
    ``iterations``: of the pruners that iterate.
    """

    block_size: int = 128
    damping: float = 0.01
    iterations: int = 32

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing."""
        if self.block_size < 1:
            raise PruningError(f"block_size is {self.block_size}: expected at least 1 column")
        if not 0 <= self.damping < float("inf"):
            raise PruningError(f"damping is {self.damping}: expected a number of at least 0")
        if self.iterations < 1:
            raise PruningError(f"iterations is {self.iterations}: expected at least 1")


class PruneFunction(Protocol):
    """A function that prunes one matrix and leaves its arguments as they are."""

    def __call__(
        self,
        weight: Tensor,
        statistics: InputStatistics,
        sparsity: Sparsity,
        settings: PrunerSettings,
    ) -> Tensor:
        """Return the pruned ``weight`` [rows, columns], in the weight's dtype."""
        ...


class PruneTogether(Protocol):
    """A function that prunes matrices of one input and one kind of pattern in one pass."""

    def __call__(
        self,
        weights: Sequence[Tensor],
        statistics: InputStatistics,
        sparsities: Sequence[Sparsity],
        settings: PrunerSettings,
    ) -> list[Tensor]:
        """Return what pruning one after another returns, but for rounding."""
        ...


@dataclass(frozen=True)
class Pruner:
    """A registered pruner: call it as its function; ``needs`` says which statistics it reads."""

    name: str
    needs: Needs
    function: PruneFunction
    in_one_pass: PruneTogether | None = None

    def __call__(
        self,
        weight: Tensor,
        statistics: InputStatistics,
        sparsity: Sparsity,
        settings: PrunerSettings,
    ) -> Tensor:
        """Return the pruned weight [rows, columns] in the weight's dtype."""
        return self.function(weight, statistics, sparsity, settings)

    def together(
        self,
        weights: Sequence[Tensor],
        statistics: InputStatistics,
        sparsities: Sequence[Sparsity],
        settings: PrunerSettings,
    ) -> list[Tensor]:
        """Prune matrices that read one input: in one pass, or else one after another."""
        one_kind = len({(sparsity.zeros, sparsity.group) for sparsity in sparsities}) == 1
        if self.in_one_pass is not None and one_kind:
            return self.in_one_pass(weights, statistics, sparsities, settings)
        return [
            self(weight, statistics, sparsity, settings)
            for weight, sparsity in zip(weights, sparsities, strict=True)
        ]


PRUNERS: dict[str, Pruner] = {}


def register(
    name: str, *, needs: Needs, together: PruneTogether | None = None
) -> Callable[[PruneFunction], PruneFunction]:
    """Register a pruner under the name that the configuration uses.

    ``together`` prunes several matrices that share statistics; only where that is faster.
    """

    def add(function: PruneFunction) -> PruneFunction:
        if name in PRUNERS:
            raise PruningError(f"two pruners are registered as {name!r}")
        PRUNERS[name] = Pruner(name, needs, function, together)
        return function

    return add
