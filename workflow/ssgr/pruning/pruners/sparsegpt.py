"""SparseGPT: one-shot pruning with weight updates (Frantar & Alistarh 2023, arXiv 2301.00774).

Weights are kept transposed, [columns, rows]: a column of W is then contiguous, and the loop over
columns becomes a forward substitution with matrix products for all but the last few columns.
"""

import logging
from dataclasses import dataclass

import torch
from torch import Tensor

from ssgr.errors import PruningError
from ssgr.pruning.masks import lowest, lowest_per_group, require_groups, zeros_among
from ssgr.pruning.pruner import PrunerSettings, register
from ssgr.pruning.statistics import InputStatistics
from ssgr.sparsity import Sparsity

# Columns substituted one by one before a matrix product carries their errors on.
STEP = 32
LOG = logging.getLogger(__name__)


@register("sparsegpt", needs="gram")
def sparsegpt(
    weight: Tensor, statistics: InputStatistics, sparsity: Sparsity, settings: PrunerSettings
) -> Tensor:
    """Remove weights in order of OBS saliency and let the columns to their right make up for it.

    With H = X^T X and H^-1 = U^T U (U upper triangular), the saliency of w_ij (equation 3) is
    w_ij^2 / U_jj^2 and removing it moves the columns to its right by -(w_ij / U_jj) U_j,j+1: .
    Inputs that are always zero (dead columns) lose their weights first.

    Raises:
        PruningError: no damping makes H positive definite, or the columns do not divide into
            groups of M.
    """
    if sparsity.group is not None:
        require_groups(weight.shape[1], sparsity.group)
    factor = statistics.derived(
        f"inverse factor, damping {settings.damping}", lambda: inverse_factor(statistics, settings)
    )  # U [columns, columns]
    columns_first = weight.float().T.contiguous()  # [columns, rows]
    columns_first[statistics.squared_norm == 0] = 0
    width = _block_width(settings.block_size, sparsity.group)
    columns, rows = columns_first.shape
    for start in range(0, columns, width):
        stop = min(start + width, columns)
        count = zeros_among(stop * rows, sparsity.fraction) - zeros_among(
            start * rows, sparsity.fraction
        )
        block = _Block(columns_first[start:stop], factor[start:stop, start:stop], sparsity, count)
        errors = block.prune()  # [width, rows]
        # W[:, stop:] -= E U[start:stop, stop:], one product for the whole block
        columns_first[stop:].addmm_(factor[start:stop, stop:].T, errors, alpha=-1)
    return columns_first.T.to(weight.dtype).contiguous()


def inverse_factor(statistics: InputStatistics, settings: PrunerSettings) -> Tensor:
    """Return the upper triangular U with H^-1 = U^T U for the damped H [columns, columns].

    If R is upper triangular with H = R R^T, then U = R^-1; R is the Cholesky factor of H with
    rows and columns reversed. A failure raises the damping stepwise, then goes to fp64, and is
    logged.

    Raises:
        PruningError: every input is zero, or no damping helped.
    """
    gram = statistics.gram
    dead = statistics.squared_norm == 0
    if bool(dead.all()):
        raise PruningError(f"every input of {statistics.name} is zero: there is nothing to fit")
    mean = gram.diagonal()[~dead].mean()
    tried: list[str] = []
    for damping, dtype in _attempts(settings.damping):
        hessian = gram.to(dtype, copy=True)
        hessian.diagonal().masked_fill_(dead, float(mean)).add_(damping * float(mean))
        factor = _invert(hessian)
        attempt = f"{damping:g} in {str(dtype).removeprefix('torch.')}"
        if factor is not None:
            if tried:
                LOG.warning("%s: %s failed as damping, used %s", statistics.name, tried, attempt)
            return factor.float()
        tried.append(attempt)
    raise PruningError(
        f"the Hessian of {statistics.name} is not positive definite with damping {', '.join(tried)}"
        f" (shares of its mean diagonal); it saw {statistics.tokens} tokens for "
        f"{statistics.columns} columns. More calibration tokens or a higher damping may help."
    )


def _attempts(damping: float) -> list[tuple[float, torch.dtype]]:
    """Return what is tried in turn: the damping asked for, then higher ones; fp32, then fp64."""
    floor = max(damping, 1e-4)
    dampings = (damping, 10 * floor, 100 * floor)
    return [(value, dtype) for dtype in (torch.float32, torch.float64) for value in dampings]


def _invert(hessian: Tensor) -> Tensor | None:
    """Return U = R^-1 for H = R R^T, or None if H is not positive definite."""
    lower, info = torch.linalg.cholesky_ex(hessian.flip(0, 1))
    if int(info) != 0:
        return None
    identity = torch.eye(len(hessian), dtype=hessian.dtype, device=hessian.device)
    factor = torch.linalg.solve_triangular(lower.flip(0, 1), identity, upper=True)
    return factor if bool(torch.isfinite(factor).all()) else None


def _block_width(block_size: int, group: int | None) -> int:
    """Return the block size, made a multiple of M so that no group spans two blocks."""
    return block_size if group is None else max(block_size // group, 1) * group


@dataclass(frozen=True)
class _Block:
    """Neighbouring columns whose unstructured mask is chosen together, and updated in place.

    ``weights`` [width, rows] is a view of the transposed matrix; ``factor`` [width, width] is U's
    diagonal block; ``count`` weights go if the pattern is unstructured.
    """

    weights: Tensor
    factor: Tensor
    sparsity: Sparsity
    count: int

    def prune(self) -> Tensor:
        """Zero the masked weights, update the rest; return the errors E [width, rows].

        E_j = mask_j (w_j - sum_{i<j} E_i U_ij) / U_jj, a masked forward substitution.
        """
        group = self.sparsity.group
        mask = torch.zeros_like(self.weights, dtype=torch.bool)
        if group is None:
            mask = lowest(self._saliency(0, len(self.weights)), self.count)
        errors = torch.zeros_like(self.weights)
        step = _block_width(STEP, group)
        for start in range(0, len(self.weights), step):
            stop = min(start + step, len(self.weights))
            self.weights[start:stop].addmm_(
                self.factor[:start, start:stop].T, errors[:start], alpha=-1
            )
            for column in range(start, stop):
                if group is not None and column % group == 0:
                    mask[column : column + group] = self._group_mask(column)
                self._substitute(column, stop, mask, errors)
        self.weights.masked_fill_(mask, 0)
        return errors

    def _saliency(self, start: int, stop: int) -> Tensor:
        """Return w_ij^2 / U_jj^2 [columns, rows] of some columns as they now stand."""
        diagonal = self.factor.diagonal()[start:stop, None]
        return (self.weights[start:stop] / diagonal).square()

    def _group_mask(self, column: int) -> Tensor:
        """Mask the N least salient of the M columns from ``column`` on [M, rows]."""
        zeros, group = self.sparsity.zeros or 0, self.sparsity.group or 1
        return lowest_per_group(self._saliency(column, column + group).T, zeros, group).T

    def _substitute(self, column: int, stop: int, mask: Tensor, errors: Tensor) -> None:
        """Find the error of one column and take it off the columns up to ``stop``."""
        error = (self.weights[column] / self.factor[column, column]).mul_(mask[column])
        errors[column] = error
        self.weights[column + 1 : stop].addr_(
            self.factor[column, column + 1 : stop], error, alpha=-1
        )
