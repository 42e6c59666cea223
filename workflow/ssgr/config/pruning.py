"""How a model is pruned: the method for one matrix, how sparsity is spread, what counts."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from ssgr.config.base import Strict

Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Method = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$|\.py$")]

SEARCHES = frozenset({"evopress", "neuronal"})
"""The allocations that prune candidates to see what they lose."""


class Objective(Strict):
    """What the statistics of a matrix's inputs count. The defaults are what every paper does."""

    tokens: Literal["all", "thinking", "answer", "decode", "inverse-frequency"] = Field(
        "all",
        description="whose inputs weigh more: thinking or answer tokens, all generated ones "
        "(decode), or each by the inverse of its token's frequency",
    )
    token_weight: float = Field(
        4.0, gt=0, description="weight of those tokens, the others have 1; not inverse-frequency"
    )
    true_sequential: bool = Field(
        False,
        description="prune a block's matrices in the order they run, each seeing the ones before "
        "it pruned (GPTQ's true-sequential)",
    )
    target: Literal["pruned-input", "dense-output"] = Field(
        "pruned-input",
        description="what a pruned matrix imitates: its dense self on the pruned model's inputs, "
        "or on the dense model's",
    )


class Search(Strict):
    """How the allocations evopress and neuronal search, and with what budget."""

    generations: int = Field(20, ge=1, description="EvoPress: generations")
    offspring: int = Field(16, ge=1, description="EvoPress: candidates of a generation")
    sequences: int = Field(
        8, ge=1, description="calibration sequences that candidates are tried on"
    )
    method: Word | None = Field(
        None,
        description="the pruner that candidates are pruned with, a shipped one: a fast one spares "
        "the search of a slow one; null is the recipe's own",
    )
    seed: int = Field(0, ge=0, description="seed of the search")


class Constants(Strict):
    """What the pruners share."""

    allocation: Word = Field(
        "uniform",
        description="how sparsity is spread over the matrices: uniform, owl, alphapruning, "
        "neuronal, evopress; the total is the same",
    )
    objective: Objective = Field(Objective(), description="what the statistics count")
    channel_permutation: bool = Field(
        False, description="N:M: permute a block's inner channels first, as RIA does"
    )
    block_size: int = Field(128, ge=1, description="columns pruned together (SparseGPT, Thanos)")
    damping: float = Field(
        0.01, gt=0, description="share of the mean diagonal that is added to the Hessian"
    )
    iterations: int = Field(
        32, ge=1, description="iterations of ADMM; ALPS takes up to ten times as many, then a third"
    )
    search: Search = Field(Search(), description="how the allocations that search do it")


class Recipe(Constants):
    """A way of pruning with a name of its own: a method, and what differs from `pruning`."""

    method: Method = Field(
        description="how one matrix is pruned: sparsegpt, wanda, ria …; or a pruner of your own, "
        "by the path of its Python file"
    )

    @property
    def searched_by(self) -> str:
        """The pruner of the allocation's candidates; the method itself if it does not search."""
        other = self.search.method if self.allocation in SEARCHES else None
        return other or self.method
