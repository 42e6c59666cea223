"""ADMM weight updates on a growing mask (Boza 2024, arXiv 2401.02938)."""

import torch
from torch import Tensor

from ssgr.config.sparsity import Sparsity
from ssgr.pruning.masks import lowest_of
from ssgr.pruning.pruner import PrunerSettings, register
from ssgr.pruning.statistics import InputStatistics
from ssgr.pruning.support import fitting_step, scaled

# The penalty rho, in units of a scaled input's energy, and the share of iterations in which the
# mask grows: 15 of 20 in the paper.
PENALTY = 1.0
GROWING = 0.75


@register("admm", needs="gram")
def admm(
    weight: Tensor, statistics: InputStatistics, sparsity: Sparsity, settings: PrunerSettings
) -> Tensor:
    """Split the weights in two that must agree: one fits the outputs, one has the mask's zeros.

    In columns scaled to norm one, with H the scaled Hessian, per iteration: Z = mask(W + U),
    U += W - Z, W = (H + rho I)^-1 (H W_dense + rho (Z - U)). The mask removes the lowest |W + U|
    of the matrix (at first Wanda's scores), a growing share of them: 1 - (1 - t)^3 up to t = 1.
    Then it is fixed, and Z nears the least-squares fit on it. The paper's grows so as well; its
    published code takes the final share at once where the pattern is unstructured.

    Raises:
        PruningError: every input is zero, or the columns do not divide into groups of M.
    """
    problem = scaled(weight, statistics, settings.damping)
    step = statistics.derived(
        f"ADMM step, damping {settings.damping}", lambda: fitting_step(problem.hessian, PENALTY)
    )
    growing = max(round(GROWING * settings.iterations), 1)
    fitted, dual = problem.weights, torch.zeros_like(problem.weights)  # W, U [rows, columns]
    for iteration in range(1, settings.iterations + 1):
        agreed = fitted + dual
        if iteration <= growing:
            share = 1 - (1 - iteration / growing) ** 3
            gone = lowest_of(agreed.abs(), sparsity, share)
        masked = agreed * ~gone
        dual = agreed - masked
        fitted = torch.addmm(problem.weights, masked - dual - problem.weights, step)
    return problem.restore(fitted + dual, gone)
