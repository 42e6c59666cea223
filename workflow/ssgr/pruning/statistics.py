"""Statistics of the inputs of a weight matrix, gathered sequence by sequence.

Every token counts once, whatever the length of its sequence, or as much as its weight says;
padding never gets here, because sequences pass one at a time. Matrices that read one input (q, k
and v; gate and up) share one object, and with it whatever a pruner derives from it and finds.
"""

from collections.abc import Callable
from copy import copy
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from ssgr.errors import PruningError
from ssgr.pruning.gram import add_products, mirror, output_energy

# Tokens cast to fp32, or weighted, at a time: what bounds the copies of a long sequence.
TOKENS = 4096
# The share of inputs that are always zero from which on it is worth a warning.
MANY_DEAD = 0.1
Made = TypeVar("Made")


class InputStatistics:
    """Streaming sums over inputs X [tokens, columns] with weights w [tokens], in fp32.

    Args:
        columns: width of the input.
        device: where the sums live; None is torch's default.
        name: the matrix that reads this input, for messages.
        with_gram: also sum X^T diag(w) X, which costs tokens x columns^2 multiplications.
        with_cross: also sum X_dense^T diag(w) X, X_dense being the dense model's inputs.
    """

    def __init__(
        self,
        columns: int,
        device: torch.device | str | None = None,
        *,
        name: str = "a matrix",
        with_gram: bool = True,
        with_cross: bool = False,
    ) -> None:
        self.columns = columns
        self.name = name
        self.tokens = 0  # with a weight above zero
        self.total = 0.0  # sum of the weights
        self.has_gram = with_gram
        self.has_cross = with_cross
        self._squares = torch.zeros(columns, dtype=torch.float32, device=device)
        self._products = _square(columns if with_gram else 0, device)
        self._cross = _square(columns if with_cross else 0, device)
        self._is_mean = False  # whether the matrices are whole and divided by the total
        self._derived: dict[str, Any] = {}
        self._found: dict[str, float] = {}
        self._warnings: list[str] = []

    def update(
        self, inputs: Tensor, weights: Tensor | None = None, dense: Tensor | None = None
    ) -> None:
        """Add one sequence of inputs [..., columns].

        Args:
            inputs: what the matrix reads; all but the last dimension are tokens.
            weights: of the tokens [tokens], at least 0; None is 1 for each.
            dense: what it reads in the dense model, for the same tokens; only ``with_cross``.

        Raises:
            PruningError: NaN or Inf, another width, weights that are none, or no dense inputs.
        """
        rows = self._rows(inputs)  # [tokens, columns]
        scale = self._scale(weights, len(rows))  # [tokens, 1]
        if (dense is not None) != self.has_cross:
            raise PruningError(
                f"{self.name}: the dense model's inputs are {'needed' if self.has_cross else 'not'}"
                " part of these statistics"
            )
        self._multiply_back()
        for start in range(0, len(rows), TOKENS):
            part = slice(start, start + TOKENS)
            some = rows[part].float() if scale is None else rows[part].float() * scale[part]
            self._add(some)
            if dense is not None:
                teacher = self._rows(dense)[part].float()
                if scale is not None:
                    teacher = teacher * scale[part]
                self._cross.addmm_(teacher.T, some)
        self._require_finite()
        self.tokens += len(rows) if weights is None else int((weights > 0).sum())
        self.total += len(rows) if weights is None else float(weights.sum(dtype=torch.float64))
        self._derived.clear()

    def _rows(self, inputs: Tensor) -> Tensor:
        if inputs.shape[-1] != self.columns:
            raise PruningError(
                f"{self.name}: inputs have {inputs.shape[-1]} columns, expected {self.columns}"
            )
        return inputs.detach().reshape(-1, self.columns)

    def _scale(self, weights: Tensor | None, tokens: int) -> Tensor | None:
        """Return the square roots of the weights [tokens, 1]: both factors of X^T X get one."""
        if weights is None:
            return None
        if weights.shape != (tokens,):
            raise PruningError(
                f"{self.name}: weights of shape {list(weights.shape)} for {tokens} tokens"
            )
        if not bool((torch.isfinite(weights) & (weights >= 0)).all()):
            raise PruningError(f"{self.name}: token weights must be finite and at least 0")
        return weights.to(self._squares.device, torch.float32).sqrt()[:, None]

    def _add(self, rows: Tensor) -> None:
        """Add the squares and X^T X."""
        if not self.has_gram:
            self._squares += rows.square().sum(dim=0)
            return
        add_products(self._products, rows)
        self._squares.copy_(self._products.diagonal())

    def _require_finite(self) -> None:
        """Check the diagonals: NaN or Inf in a column of the inputs shows there, and only there."""
        sums = self._squares + self._cross.diagonal() if self.has_cross else self._squares
        bad = torch.nonzero(~torch.isfinite(sums)).flatten().tolist()
        if bad:
            raise PruningError(
                f"the input of {self.name} holds NaN or Inf in {len(bad)} of {self.columns} columns"
                f" (first: column {bad[0]}), seen after {self.tokens} good tokens. The model "
                "overflows in its number format, or its weights are damaged; fp16 models often "
                "work with dtype float32 or bfloat16."
            )

    @property
    def squared_norm(self) -> Tensor:
        """Weighted mean of squares of each column [columns]: ||X_j||^2 / total."""
        return self._squares / self._divisor

    @property
    def dead(self) -> Tensor:
        """Which inputs are always zero [columns]."""
        return self._squares == 0

    @property
    def gram(self) -> Tensor:
        """The Gram matrix X^T diag(w) X / total [columns, columns]; read it, do not write it.

        It is these statistics' own memory, good until the next update.

        Raises:
            PruningError: it was not gathered.
        """
        if not self.has_gram:
            raise PruningError(f"the Gram matrix of the input of {self.name} was not gathered")
        self._divide()
        return self._products

    @property
    def cross(self) -> Tensor:
        """X_dense^T diag(w) X / total [columns, columns], as ``gram``: the dense inputs by these.

        Raises:
            PruningError: it was not gathered.
        """
        if not self.has_cross:
            raise PruningError(f"the dense inputs of {self.name} were not gathered")
        self._divide()
        return self._cross

    @property
    def _divisor(self) -> float:
        return self.total if self.total > 0 else 1.0

    def _divide(self) -> None:
        """Make whole means of the sums, in place: such matrices are large."""
        if not self._is_mean:
            mirror(self._products)
            self._products /= self._divisor
            self._cross /= self._divisor
            self._is_mean = True

    def _multiply_back(self) -> None:
        """Make the means sums again, to add to them."""
        if self._is_mean:
            self._products *= self._divisor
            self._cross *= self._divisor
            self._is_mean = False

    def permuted(self, order: Tensor) -> "InputStatistics":
        """Return these statistics as if the inputs' columns stood in ``order`` [columns]."""
        other = copy(self)
        other._derived, other._found, other._warnings = {}, {}, []
        other._squares = self._squares[order]
        if self.has_gram:
            other._products = self.gram[order][:, order]
        if self.has_cross:
            other._cross = self.cross[order][:, order]
        other._is_mean = self._is_mean
        return other

    def derived(self, key: str, make: Callable[[], Made]) -> Made:
        """Return what ``make`` computes from these statistics, computed once until an update."""
        if key not in self._derived:
            self._derived[key] = make()
        return cast(Made, self._derived[key])

    def made(self, key: str) -> Any:
        """Return what was derived under a key; None if nothing was since the last update."""
        return self._derived.get(key)

    def find(self, key: str, value: float, warning: str = "") -> None:
        """Keep what a pruner found out ("condition", "damping"), and a warning in words if any."""
        self._found[key] = value
        if warning and warning not in self._warnings:
            self._warnings.append(warning)

    @property
    def findings(self) -> dict[str, float]:
        """What was found out: the number of dead inputs, and what pruners found."""
        return {"dead": float(self.dead.sum()), **self._found}

    @property
    def warnings(self) -> list[str]:
        """What a reader of the checkpoint should know, in words."""
        said = []
        dead = int(self.dead.sum())
        if dead >= MANY_DEAD * self.columns and self.tokens:
            said.append(f"{dead} of {self.columns} inputs are always zero")
        if 0 < self.tokens < self.columns:
            said.append(f"only {self.tokens} tokens for {self.columns} inputs")
        return said + self._warnings


def relative_error(weight: Tensor, pruned: Tensor, statistics: InputStatistics) -> float:
    """Return tr(dW G dW^T) / tr(W G W^T): the share of the output's energy that pruning changed.

    ``weight`` and ``pruned`` are [rows, columns]; G is the Gram matrix of the inputs.
    """
    dense = weight.float()
    energy = output_energy(dense, statistics.gram)
    lost = output_energy(pruned.float() - dense, statistics.gram)
    return max(lost, 0.0) / energy if energy > 0 else 0.0


def _square(size: int, device: torch.device | str | None) -> Tensor:
    return torch.zeros((size, size), dtype=torch.float32, device=device)
