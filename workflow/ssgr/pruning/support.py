"""The best weights on a given mask: a least-squares problem for each row, solved for all at once.

Columns are scaled by the norms of their inputs, so that the Gram matrix has a diagonal of ones:
all that iterates here and in ADMM converges several times as fast (Boza 2024).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ssgr.errors import PruningError
from ssgr.pruning.statistics import InputStatistics

# A row is fitted when its squared residual fell to this share. Curvatures, of a Hessian whose
# diagonal is one, that fp32 cannot tell from zero.
CONVERGED, FLAT = 1e-12, 1e-6
SCALED = "scaled Hessian, damping {}"
"""What the statistics call it."""


@dataclass(frozen=True)
class Scaled:
    """A weight [rows, columns] and its Hessian in scaled columns: W D and D^-1 G D^-1 + damping I.

    D has the norms of the inputs; ``dead`` inputs have 0 there, and ``hessian`` [columns, columns]
    has nothing but the damping.
    """

    original: Tensor
    norms: Tensor
    weights: Tensor
    hessian: Tensor

    def restore(self, weights: Tensor, gone: Tensor) -> Tensor:
        """Return the scaled weights as they were scaled, in their dtype, 0 where ``gone``.

        Dead inputs keep their weights: nothing is known of them.
        """
        inverse = torch.where(self.norms > 0, 1 / self.norms, 0)
        found = torch.where(self.norms > 0, weights * inverse, self.original.float())
        return (found * ~gone).add_(0).to(self.original.dtype)  # adding 0 makes 0 of -0


def scaled(weight: Tensor, statistics: InputStatistics, damping: float) -> Scaled:
    """Return a weight and its Hessian in columns of norm one; the Hessian is made once.

    Raises:
        PruningError: every input is zero.
    """
    if bool(statistics.dead.all()):
        raise PruningError(f"every input of {statistics.name} is zero: there is nothing to fit")
    norms = statistics.squared_norm.sqrt()  # [columns]

    def normalise() -> Tensor:
        inverse = torch.where(norms > 0, 1 / norms, 0)
        hessian = statistics.gram * inverse
        hessian.mul_(inverse[:, None]).diagonal().add_(damping)
        return hessian

    statistics.find("damping", damping)
    hessian = statistics.derived(SCALED.format(damping), normalise)
    return Scaled(weight, norms, weight.float() * norms, hessian)


def scaled_hessian(statistics: InputStatistics, damping: float) -> Tensor | None:
    """Return the Hessian [columns, columns] that ``scaled`` made; None if it made none."""
    found: Tensor | None = statistics.made(SCALED.format(damping))
    return found


def fitting_step(hessian: Tensor, penalty: float) -> Tensor:
    """Return rho (H + rho I)^-1 [columns, columns], rho being the ``penalty`` of ADMM.

    The W that minimises tr((W - W_dense) H (W - W_dense)^T) + rho |W - V|^2 is
    W_dense + (V - W_dense) rho (H + rho I)^-1.
    """
    shifted = hessian.clone()
    shifted.diagonal().add_(penalty)  # so it is positive definite, whatever the inputs
    return penalty * torch.cholesky_inverse(torch.linalg.cholesky(shifted))


def fit(target: Tensor, start: Tensor, gone: Tensor, hessian: Tensor, steps: int) -> Tensor:
    """Return W minimising tr((W - target) H (W - target)^T) with zeros where ``gone``.

    Conjugate gradients from ``start``, for all rows at once, on what is kept of each (as in
    ALPS). ``target``, ``start`` and ``gone`` are [rows, columns], H [columns, columns].
    """
    kept = ~gone
    weights = start * kept
    residual = ((target - weights) @ hessian).mul_(kept)
    direction = residual.clone()
    energy = residual.square().sum(dim=1, keepdim=True)  # [rows, 1]
    least = energy * CONVERGED
    for _ in range(steps):
        image = (direction @ hessian).mul_(kept)
        curvature = (direction * image).sum(dim=1, keepdim=True)
        # a row that is done, or whose curvature is all rounding, stays as it is
        useful = (energy > least) & (curvature > FLAT * direction.square().sum(1, keepdim=True))
        length = torch.where(useful, energy / curvature, 0)
        weights += length * direction
        residual -= length * image
        energy, before = residual.square().sum(dim=1, keepdim=True), energy
        direction = residual + torch.where(useful, energy / before, 0) * direction
    return weights
