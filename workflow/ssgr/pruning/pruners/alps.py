"""ALPS: ADMM that searches the mask, then a fit on it (Meng et al. 2024, arXiv 2406.07831)."""

import torch
from torch import Tensor

from ssgr.config.sparsity import Sparsity
from ssgr.pruning.masks import lowest_of
from ssgr.pruning.pruner import PrunerSettings, register
from ssgr.pruning.statistics import InputStatistics
from ssgr.pruning.support import Scaled, fit, fitting_step, scaled

# The penalty rho at first, in units of a scaled input's energy, and iterations between its changes.
PENALTY, EVERY = 0.1, 3
# By how much rho rises if at least this share of the kept weights changed since the last rise; if
# so few changed before its first rise, it was too high: it falls, and all starts again, as long as
# fp32 can tell it from zero.
RISES = ((0.1, 1.3), (0.005, 1.2), (0.0, 1.1))
FALL, LEAST = 5.0, 1e-3
# ADMM iterations, at most, for each of the settings' (a search ends by itself after about 30), and
# of how many of them one is a step of the final fit: the paper takes 10 steps.
SEARCH, FIT = 10, 3


@register("alps", needs="gram")
def alps(
    weight: Tensor, statistics: InputStatistics, sparsity: Sparsity, settings: PrunerSettings
) -> Tensor:
    """Minimise the output error over weights and masks together, under the number of zeros.

    In columns scaled to norm one, per iteration: W = (H + rho I)^-1 (H W_dense - V + rho D),
    D = the largest of W + V / rho, V += rho (W - D). rho rises while D's mask still changes, and
    the search ends when it does not. Then the weights on the mask are fitted by conjugate
    gradients. An inverse for each rho stands in for the authors' spectrum of H: it costs less.

    Raises:
        PruningError: every input is zero, or the columns do not divide into groups of M.
    """
    problem = scaled(weight, statistics, settings.damping)
    found, gone = _search(problem, sparsity, SEARCH * settings.iterations)
    steps = max(settings.iterations // FIT, 1)
    fitted = fit(problem.weights, found, gone, problem.hessian, steps)
    return problem.restore(fitted, gone)


def _search(problem: Scaled, sparsity: Sparsity, most: int) -> tuple[Tensor, Tensor]:
    """Return the scaled weights and the mask that ADMM ends with, both [rows, columns]."""
    dense, penalty, risen = problem.weights, PENALTY, False
    first = lowest_of(dense.abs(), sparsity)
    gone, sparse, dual = first, dense * ~first, torch.zeros_like(dense)  # D, V / rho
    for start in range(0, most, EVERY):
        earlier, step = gone, fitting_step(problem.hessian, penalty)
        for _ in range(min(EVERY, most - start)):
            agreed = torch.addmm(dense, sparse - dual - dense, step).add_(dual)
            gone = lowest_of(agreed.abs(), sparsity)
            sparse = agreed * ~gone
            dual = agreed - sparse
        changed = int((gone ^ earlier).sum())
        if changed == 0:
            break
        rise = _rise(changed / max(int((~gone).sum()), 1))
        if risen or rise > RISES[-1][1] or penalty < LEAST:
            penalty, dual, risen = penalty * rise, dual / rise, True
        else:
            penalty /= FALL
            gone, sparse, dual = first, dense * ~first, torch.zeros_like(dense)
    return sparse, gone


def _rise(share: float) -> float:
    """Return by how much rho rises when that share of the kept weights changed."""
    return next(factor for least, factor in RISES if share >= least)
