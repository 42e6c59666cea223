"""SparseGPT: one-shot pruning with weight updates (Frantar & Alistarh 2023, arXiv 2301.00774).

Weights are kept transposed, [columns, rows]: a column of W is then contiguous, and the loop over
columns becomes a forward substitution, by halves, with matrix products for all but a few columns.
Matrices of one input stand side by side in it: their rows do not touch each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from ssgr.config.sparsity import Sparsity
from ssgr.pruning.factor import inverse_factor
from ssgr.pruning.masks import lowest, lowest_along, require_groups, zeros_among
from ssgr.pruning.pruner import PrunerSettings, register
from ssgr.pruning.statistics import InputStatistics

# Columns substituted one by one; more are halved, and a product carries errors across.
STEP = 16


def prune_together(
    weights: Sequence[Tensor],
    statistics: InputStatistics,
    sparsities: Sequence[Sparsity],
    settings: PrunerSettings,
) -> list[Tensor]:
    """Prune matrices [rows, columns] of one input in one pass; each keeps masks of its own."""
    group = sparsities[0].group
    if group is not None:
        require_groups(statistics.columns, group)
    factor = inverse_factor(statistics, settings.damping)  # U [columns, columns]
    stacked = torch.cat([weight.float().T for weight in weights], dim=1)  # [columns, all rows]
    scale = torch.where(statistics.dead, 0, 1 / factor.diagonal())  # dead columns are not salient
    ends = list(accumulate((len(weight) for weight in weights), initial=0))
    rows = [slice(*pair) for pair in pairwise(ends)]  # of each matrix
    width = settings.block_size if group is None else max(settings.block_size // group, 1) * group
    for start in range(0, statistics.columns, width):
        stop = min(start + width, statistics.columns)
        upper = factor[start:stop, start:stop]
        block = _Block(stacked[start:stop], upper, scale[start:stop], rows, sparsities)
        errors = block.prune(start)  # [width, all rows]
        # W[:, stop:] -= E U[start:stop, stop:], one product for the whole block
        stacked[stop:].addmm_(factor[start:stop, stop:].T, errors, alpha=-1)
    return [
        stacked[:, part].T.to(weight.dtype).contiguous()
        for part, weight in zip(rows, weights, strict=True)
    ]


@register("sparsegpt", needs="gram", together=prune_together)
def sparsegpt(
    weight: Tensor, statistics: InputStatistics, sparsity: Sparsity, settings: PrunerSettings
) -> Tensor:
    """Remove weights in order of OBS saliency and let the columns to their right make up for it.

    With H = X^T X and H^-1 = U^T U (U upper triangular), the saliency of w_ij (equation 3) is
    w_ij^2 / U_jj^2 and removing it moves the columns to its right by -(w_ij / U_jj) U_j,j+1: .
    Inputs that are always zero (dead columns) lose their weights first, and move no others.

    Raises:
        PruningError: no damping makes H positive definite, or the columns do not divide into
            groups of M.
    """
    return prune_together([weight], statistics, [sparsity], settings)[0]


@dataclass(frozen=True)
class _Block:
    """Neighbouring columns whose unstructured masks are chosen together; updated in place.

    ``weights`` [width, all rows] is a view of the transposed matrices, which have
    ``rows`` of it; ``factor`` [width, width] is U's diagonal block, ``scale`` [width] 1 / U_jj, and
    0 for dead columns.
    """

    weights: Tensor
    factor: Tensor
    scale: Tensor
    rows: Sequence[slice]
    sparsities: Sequence[Sparsity]

    def prune(self, first: int) -> Tensor:
        """Zero the masked weights, update the rest; return the errors E [width, all rows].

        E_j = mask_j (w_j - sum_{i<j} E_i U_ij) / U_jj, a masked forward substitution. ``first`` is
        the block's first column in the matrix.
        """
        gone = torch.zeros_like(self.weights)  # 1 where a weight is removed
        if self.sparsities[0].group is None:
            self._mask(first, gone)
        errors = torch.empty_like(self.weights)
        lower = self.factor.T.contiguous()  # a row of it is what a column needs
        self._substitute(0, len(self.weights), gone, errors, lower)
        self.weights.mul_(1 - gone).add_(0.0)  # adding 0 makes 0 of -0
        return errors

    def _mask(self, first: int, gone: Tensor) -> None:
        """Mark the lowest saliencies of each matrix in this block, as many as bring it to S."""
        saliency = self._saliency(0, len(self.weights))
        for part, sparsity in zip(self.rows, self.sparsities, strict=True):
            rows = part.stop - part.start
            before = zeros_among(first * rows, sparsity.fraction)
            after = zeros_among((first + len(saliency)) * rows, sparsity.fraction)
            gone[:, part] = lowest(saliency[:, part], after - before)

    def _saliency(self, start: int, stop: int) -> Tensor:
        """Return w_ij^2 / U_jj^2 [columns, all rows] of some columns as they now stand."""
        return (self.weights[start:stop] * self.scale[start:stop, None]).square_()

    def _substitute(
        self, start: int, stop: int, gone: Tensor, errors: Tensor, lower: Tensor
    ) -> None:
        """Find the errors of columns to which all errors of earlier columns were carried."""
        step = self.sparsities[0].group or STEP
        if stop - start > step:
            middle = start + (stop - start + step) // (2 * step) * step
            self._substitute(start, middle, gone, errors, lower)
            self.weights[middle:stop].addmm_(
                lower[middle:stop, start:middle], errors[start:middle], alpha=-1
            )
            self._substitute(middle, stop, gone, errors, lower)
            return
        if self.sparsities[0].group is not None:
            zeros = self.sparsities[0].zeros or 0
            gone[start:stop] = lowest_along(self._saliency(start, stop), zeros, dim=0)
        scale = gone[start:stop] / self.factor.diagonal()[start:stop, None]
        for column in range(start, stop):
            weights = self.weights[column]
            if column > start:
                weights.addmv_(errors[start:column].T, lower[column, start:column], alpha=-1)
            torch.mul(weights, scale[column - start], out=errors[column])
