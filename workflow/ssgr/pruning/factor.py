"""The inverse of a damped Hessian as a triangular factor: computed once for matrices of one input.

A Hessian that is not positive definite gets more damping stepwise, then fp64. It never silently
becomes another method; what it took is kept with the statistics and told in the report.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ssgr.errors import PruningError
from ssgr.pruning.statistics import InputStatistics
from ssgr.pruning.support import scaled_hessian

# Triangles up to this size are inverted by one substitution.
BASE = 128
# Lanczos steps: each is one product with a matrix.
STEPS = 10
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Factored:
    """U [columns, columns], upper triangular with H^-1 = U^T U, and the damping H needed.

    ``diagonal`` [columns] is what H has on its diagonal; elsewhere H is the Gram matrix.
    """

    factor: Tensor
    damping: float
    diagonal: Tensor


def inverse_factor(statistics: InputStatistics, damping: float) -> Tensor:
    """Return the upper triangular U with H^-1 = U^T U for the damped H [columns, columns].

    H is the Gram matrix with damping x its mean diagonal added to the diagonal; inputs that are
    always zero have that mean there. The factor is kept with the statistics, and shared: read it.

    Raises:
        PruningError: every input is zero, or no damping made H positive definite.
    """
    return _factored(statistics, damping).factor


def hessian(statistics: InputStatistics, damping: float) -> Tensor:
    """Return H [columns, columns] as ``inverse_factor`` factored it, in new memory.

    Raises:
        PruningError: as ``inverse_factor``.
    """
    factored = _factored(statistics, damping)
    damped = statistics.gram.clone()
    damped.diagonal().copy_(factored.diagonal)
    return damped


def condition(statistics: InputStatistics, damping: float) -> float:
    """Return the condition number of the damped H: its largest over its smallest eigenvalue.

    Of the H that was pruned with: in scaled columns (``support.scaled``) if there is one. Both come
    from a few Lanczos steps, on H and on its inverse: a bound from below, good to some percent. The
    result is also kept among the statistics' findings; infinite is not, as of a scaled H that fp32
    cannot tell from a singular one.

    Raises:
        PruningError: as ``inverse_factor``.
    """
    if (hessian := scaled_hessian(statistics, damping)) is not None:
        alive = ~statistics.dead
        hessian = hessian[alive][:, alive]
        lower, info = torch.linalg.cholesky_ex(hessian)
        if int(info) != 0:
            return math.inf
        largest = _largest(lambda v: hessian @ v, hessian)
        smallest = 1 / _largest(lambda v: torch.cholesky_solve(v[:, None], lower)[:, 0], hessian)
        statistics.find("condition", largest / smallest)
        return largest / smallest
    factored = _factored(statistics, damping)
    gram, factor = statistics.gram, factored.factor
    extra = factored.diagonal - gram.diagonal()
    largest = _largest(lambda v: gram @ v + extra * v, gram)
    smallest = 1 / _largest(lambda v: factor.T @ (factor @ v), gram)
    statistics.find("condition", largest / smallest)
    return largest / smallest


def refit(weight: Tensor, statistics: InputStatistics, damping: float) -> Tensor:
    """Return the weights whose outputs on these inputs come nearest to the dense model's outputs.

    min ||W' X - W X_dense||^2 + ||(W' - W) D||^2, D^2 being what damping added to the diagonal, has
    W' = W + W (C - G) H^-1, with C = X_dense^T X the statistics' ``cross``: where both inputs are
    the same, nothing changes. ``weight`` [rows, columns] keeps its dtype.

    Raises:
        PruningError: as ``inverse_factor``, or the dense inputs were not gathered.
    """
    factor = inverse_factor(statistics, damping)
    dense = weight.float()
    pull = dense @ (statistics.cross - statistics.gram)  # [rows, columns]
    return (dense + (pull @ factor.T) @ factor).to(weight.dtype)


def _factored(statistics: InputStatistics, damping: float) -> Factored:
    return statistics.derived(f"factor, damping {damping}", lambda: _factor(statistics, damping))


def _factor(statistics: InputStatistics, damping: float) -> Factored:
    """Factor H with as much damping as it needs; say so if that is more than was asked for."""
    gram, dead = statistics.gram, statistics.dead
    if bool(dead.all()):
        raise PruningError(f"every input of {statistics.name} is zero: there is nothing to fit")
    mean = float(gram.diagonal()[~dead].mean())
    tried: list[str] = []
    for value, dtype in _attempts(damping):
        diagonal = gram.diagonal().to(dtype).masked_fill(dead, mean) + value * mean
        factor = _invert(gram, diagonal)
        attempt = f"{value:g} in {str(dtype).removeprefix('torch.')}"
        if factor is not None:
            warning = f"damping {', '.join(tried)} failed, used {attempt}" if tried else ""
            if warning:
                LOG.warning("%s: %s", statistics.name, warning)
            statistics.find("damping", value, warning)
            return Factored(factor.float(), value, diagonal.float())
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


def _invert(gram: Tensor, diagonal: Tensor) -> Tensor | None:
    """Return U = R^-1 for H = R R^T, or None if H is not positive definite.

    R is the Cholesky factor of H with rows and columns reversed. H has ``diagonal``, in whose dtype
    all is computed.
    """
    reverse = gram.to(diagonal.dtype).flip(0, 1)
    reverse.diagonal().copy_(diagonal.flip(0))
    lower, info = torch.linalg.cholesky_ex(reverse)
    del reverse
    if int(info) != 0:
        return None
    upper = lower.flip(0, 1)
    del lower
    _invert_triangle(upper)
    return upper if bool(torch.isfinite(upper).all()) else None


def _invert_triangle(upper: Tensor) -> None:
    """Invert an upper triangular matrix in place: [[A, B], [0, C]] by halves."""
    size = len(upper)
    if size <= BASE:
        identity = torch.eye(size, dtype=upper.dtype, device=upper.device)
        upper.copy_(torch.linalg.solve_triangular(upper, identity, upper=True))
        return
    half = size // 2
    first, last, corner = upper[:half, :half], upper[half:, half:], upper[:half, half:]
    _invert_triangle(first)
    _invert_triangle(last)
    torch.mm(first @ corner, last, out=corner)
    corner.neg_()


def _largest(multiply: Callable[[Tensor], Tensor], like: Tensor) -> float:
    """Return about the largest eigenvalue of a positive matrix by Lanczos, given its product."""
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(len(like), generator=generator).to(like)
    basis, images = like.new_zeros(0, len(like)), like.new_zeros(0, len(like))
    for _ in range(min(STEPS, len(like))):
        for _ in range(2):  # once leaves rounding errors
            vector = vector - basis.T @ (basis @ vector)
        vector = torch.nn.functional.normalize(vector, dim=0)
        basis = torch.cat([basis, vector[None]])
        vector = multiply(vector)
        images = torch.cat([images, vector[None]])
    ritz = basis @ images.T  # [steps, steps]
    return float(torch.linalg.eigvalsh((ritz + ritz.T) / 2)[-1])
