"""Matrices that read one input: prune them, and measure what that did to each."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from ssgr.config.pruning import Objective
from ssgr.config.sparsity import Sparsity
from ssgr.errors import PruningError
from ssgr.pruning.factor import condition, refit
from ssgr.pruning.pruner import Pruner, PrunerSettings
from ssgr.pruning.pruners import PRUNERS
from ssgr.pruning.sample import InputSample
from ssgr.pruning.statistics import InputStatistics, relative_error

UNREACHED = "no calibration token reached it: pruned by magnitude"
BLIND = "all its inputs are zero on the calibration text: pruned by magnitude"


@dataclass(frozen=True)
class PrunedMatrix:
    """What pruning did to one matrix: a row of the PruningReport schema."""

    block: int
    matrix: str
    rows: int
    columns: int
    sparsity: float
    relative_error: float | None
    seconds: float
    condition: float | None = None
    damping: float | None = None
    dead_inputs: int = 0
    tokens: int = 0
    warnings: str = ""


@dataclass(frozen=True)
class Pruning:
    """How every matrix is pruned; ``fractions`` by (block, matrix) are an allocation's."""

    pruner: Pruner
    sparsity: Sparsity
    settings: PrunerSettings
    objective: Objective = field(default_factory=Objective)
    fractions: Mapping[tuple[int, str], float] = field(default_factory=dict)
    channel_permutation: bool = False

    @property
    def with_dense(self) -> bool:
        """Whether the dense model's outputs are the target."""
        return self.objective.target == "dense-output"

    @property
    def permutes(self) -> bool:
        """Whether channels are put in another order: only a group of M cares for its neighbours."""
        return self.channel_permutation and self.sparsity.group is not None

    def sparsity_of(self, block: int, name: str) -> Sparsity:
        """Return the pattern of one matrix."""
        fraction = self.fractions.get((block, name), self.sparsity.fraction)
        return self.sparsity if self.sparsity.group else replace(self.sparsity, fraction=fraction)


@dataclass(frozen=True)
class Alike:
    """Linears of block ``index`` (named ``prefix``) that read one input, by name within it.

    ``statistics`` are None if no token reached them, or none was asked for.
    """

    index: int
    prefix: str
    linears: Mapping[str, nn.Linear]
    statistics: InputStatistics | None
    sample: InputSample | None

    def names(self) -> list[str]:
        """Return their names in the model."""
        return [f"{self.prefix}.{name}" for name in self.linears]

    def weights(self) -> list[Tensor]:
        """Return their weights [rows, columns]."""
        return [linear.weight.detach() for linear in self.linears.values()]

    def given(self) -> InputStatistics:
        """Return the statistics, or empty ones."""
        if self.statistics is not None:
            return self.statistics
        weight = self.weights()[0]
        return InputStatistics(
            weight.shape[1], weight.device, name=self.names()[0], with_gram=False
        )


def prune_alike(alike: Alike, pruning: Pruning) -> list[PrunedMatrix]:
    """Prune matrices that read one input, in place.

    Matrices that no calibration token reached, or only with inputs of zero, are pruned by
    magnitude, and the report says so.

    Raises:
        PruningError: a matrix cannot be pruned.
    """
    began = time.perf_counter()
    given, weights = alike.given(), alike.weights()
    uninformed = _uninformed(given) if pruning.pruner.needs != "none" else ""
    try:
        pruned = _pruned(alike, given, pruning, bool(uninformed))
    except (PruningError, LinAlgError) as failure:
        raise PruningError(f"{alike.names()[0]}: {failure}") from failure
    errors = [
        _error(weight, result, given, alike.sample)
        for weight, result in zip(weights, pruned, strict=True)
    ]
    for weight, result in zip(weights, pruned, strict=True):
        weight.copy_(result)
    share = (time.perf_counter() - began) / sum(weight.numel() for weight in weights)
    said = [uninformed] if uninformed else given.warnings if pruning.pruner.needs != "none" else []
    return [
        PrunedMatrix(
            block=alike.index,
            matrix=name,
            rows=weight.shape[0],
            columns=weight.shape[1],
            sparsity=1 - int(weight.count_nonzero()) / weight.numel(),
            relative_error=error,
            seconds=share * weight.numel(),
            condition=given.findings.get("condition"),
            damping=given.findings.get("damping"),
            dead_inputs=int(given.findings["dead"]) if given.tokens else 0,
            tokens=given.tokens,
            warnings="; ".join(said),
        )
        for name, weight, error in zip(alike.names(), weights, errors, strict=True)
    ]


def _uninformed(given: InputStatistics) -> str:
    """Return why these statistics say nothing of the inputs, in words; empty if they do."""
    if given.tokens == 0:
        return UNREACHED
    return BLIND if bool(given.dead.all()) else ""


def _pruned(
    alike: Alike, given: InputStatistics, pruning: Pruning, by_magnitude: bool
) -> list[Tensor]:
    """Return the pruned weights."""
    targets = alike.weights()
    if by_magnitude:
        pruner = PRUNERS["magnitude"]
    else:
        pruner = pruning.pruner
        if pruning.with_dense:
            targets = [refit(weight, given, pruning.settings.damping) for weight in targets]
    sparsities = [pruning.sparsity_of(alike.index, name) for name in alike.linears]
    pruned = pruner.together(targets, given, sparsities, pruning.settings)
    if "damping" in given.findings:
        condition(given, pruning.settings.damping)
    return pruned


def _error(
    weight: Tensor, pruned: Tensor, given: InputStatistics, sample: InputSample | None
) -> float | None:
    """Return the share of the output's energy that pruning changed; None without inputs."""
    if given.tokens and given.has_gram:
        return relative_error(weight, pruned, given)
    return sample.relative_error(weight, pruned) if sample else None


def require_finite(name: str, weight: Tensor) -> None:
    """Check a weight by its name in the model.

    Raises:
        PruningError: it holds NaN or Inf.
    """
    # a sum in fp32 holds what any of its terms holds, and needs no second matrix
    if not bool(torch.isfinite(weight.sum(dtype=torch.float32))):
        raise PruningError(f"the weight of {name} holds NaN or Inf: the checkpoint is damaged")
