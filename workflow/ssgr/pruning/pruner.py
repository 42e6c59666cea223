"""What a pruner is: a function of one weight matrix and the statistics of its inputs.

A pruner never sees a model. It is registered by name together with the statistics it needs, so
that the walk over the blocks gathers no more than that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from ssgr.errors import PruningError
from ssgr.pruning.statistics import InputStatistics
from ssgr.sparsity import Sparsity

Needs = Literal["gram", "norm", "none"]


@dataclass(frozen=True)
class PrunerSettings:
    """Numbers that pruners share.

    ``block_size``: columns whose unstructured mask is fixed together, and that are updated before
    the rest of the matrix is. ``damping``: share of the mean of the Hessian's diagonal added to it.
    """

    block_size: int = 128
    damping: float = 0.01

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing."""
        if self.block_size < 1:
            raise PruningError(f"block_size is {self.block_size}: expected at least 1 column")
        if not 0 <= self.damping < float("inf"):
            raise PruningError(f"damping is {self.damping}: expected a number of at least 0")


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


@dataclass(frozen=True)
class Pruner:
    """A registered pruner: call it as its function; ``needs`` says which statistics it reads."""

    name: str
    needs: Needs
    function: PruneFunction

    def __call__(
        self,
        weight: Tensor,
        statistics: InputStatistics,
        sparsity: Sparsity,
        settings: PrunerSettings,
    ) -> Tensor:
        """Return the pruned weight [rows, columns] in the weight's dtype."""
        return self.function(weight, statistics, sparsity, settings)


PRUNERS: dict[str, Pruner] = {}


def register(name: str, *, needs: Needs) -> Callable[[PruneFunction], PruneFunction]:
    """Register a pruner under the name that the configuration uses."""

    def add(function: PruneFunction) -> PruneFunction:
        if name in PRUNERS:
            raise PruningError(f"two pruners are registered as {name!r}")
        PRUNERS[name] = Pruner(name, needs, function)
        return function

    return add
