"""ADMM and ALPS against their published algorithms in fp64, and against the exact best weights."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from layer_inputs import correlated, gathered, random_weight
from ssgr.config.sparsity import Sparsity
from ssgr.errors import PruningError
from ssgr.pruning.masks import lowest_of, lowest_per_group, zeros_among
from ssgr.pruning.pruner import PrunerSettings
from ssgr.pruning.pruners import PRUNERS, alps
from ssgr.pruning.statistics import InputStatistics, relative_error
from ssgr.pruning.support import fit, fitting_step, scaled

Matrix = NDArray[np.float64]
DAMPING = 0.01


def in_scaled_columns(weight: Tensor, statistics: InputStatistics) -> tuple[Matrix, Matrix, Matrix]:
    """W D, D^-1 G D^-1 + damping, and D."""
    norms = statistics.squared_norm.double().sqrt().numpy()
    gram = statistics.gram.double().numpy() / norms / norms[:, None]
    return weight.double().numpy() * norms, gram + DAMPING * np.eye(len(gram)), norms


def smallest(scores: Matrix, sparsity: Sparsity, share: float = 1.0) -> NDArray[np.bool_]:
    """The mask of the smallest scores of the matrix, or of each group of M."""
    mask = np.zeros(scores.shape, dtype=bool)
    if sparsity.group is None:
        count = zeros_among(scores.size, sparsity.fraction * share)
        mask.ravel()[np.argsort(scores, axis=None, kind="stable")[:count]] = True
        return mask
    groups = scores.reshape(len(scores), -1, sparsity.group)
    order = np.argsort(groups, axis=2, kind="stable")[..., : sparsity.zeros]
    np.put_along_axis(mask.reshape(groups.shape), order, True, axis=2)
    if share < 1:  # the lowest of those
        count = zeros_among(scores.size, sparsity.fraction * share)
        among = np.where(mask, scores, np.inf)
        mask = np.zeros_like(mask)
        mask.ravel()[np.argsort(among, axis=None, kind="stable")[:count]] = True
    return mask


def literal_admm(
    weight: Tensor, statistics: InputStatistics, sparsity: Sparsity, iterations: int
) -> Tensor:
    """Algorithm 2 of the paper, in its variables: W, Z, U; [inputs, outputs]."""
    scaled_weight, gram, norms = in_scaled_columns(weight, statistics)
    dense = scaled_weight.T
    inverse, products = np.linalg.inv(gram + np.eye(len(gram))), gram @ dense
    growing = round(0.75 * iterations)
    current, dual = dense, np.zeros_like(dense)
    for k in range(1, iterations + 1):
        if k <= growing:
            share = 1 - (1 - k / growing) ** 3
            gone = smallest(np.abs(current + dual).T, sparsity, share).T
        sparse = np.where(gone, 0, current + dual)
        dual = dual + current - sparse
        current = inverse @ (products + sparse - dual)
    return torch.from_numpy(np.where(gone, 0, current + dual).T / norms)


def literal_alps(
    weight: Tensor, statistics: InputStatistics, sparsity: Sparsity, most: int
) -> Tensor:
    """The authors' iteration and schedule with an inverse for each rho; then least squares."""
    dense, gram, norms = in_scaled_columns(weight, statistics)
    identity, rho, risen = np.eye(len(gram)), 0.1, False
    earlier = gone = smallest(np.abs(dense), sparsity)
    sparse, dual = np.where(gone, 0, dense), np.zeros_like(dense)
    for iteration in range(1, most + 1):
        right = dense @ gram - dual + rho * sparse
        current = right @ np.linalg.inv(gram + rho * identity)
        gone = smallest(np.abs(current + dual / rho), sparsity)
        sparse = np.where(gone, 0, current + dual / rho)
        dual = dual + rho * (current - sparse)
        if iteration % 3 == 0:
            changed, kept = int((gone ^ earlier).sum()), int((~gone).sum())
            earlier = gone
            if changed == 0:
                break
            if changed >= 0.005 * kept or risen or rho < 1e-3:
                rho *= 1.3 if changed >= 0.1 * kept else 1.2 if changed >= 0.005 * kept else 1.1
                risen = True
            else:
                rho /= 5
                earlier = gone = smallest(np.abs(dense), sparsity)
                sparse, dual = np.where(gone, 0, dense), np.zeros_like(dense)
    return torch.from_numpy(exact_fit(dense, gone, gram) / norms)


def exact_fit(dense: Matrix, gone: NDArray[np.bool_], gram: Matrix) -> Matrix:
    fitted = np.zeros_like(dense)
    for row, weights in enumerate(dense):
        kept = np.flatnonzero(~gone[row])
        wanted = (gram @ weights)[kept]
        fitted[row, kept] = np.linalg.solve(gram[np.ix_(kept, kept)], wanted)
    return fitted


@pytest.mark.parametrize("sparsity", ["50", "70", "33.3", "2:4", "4:8"])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("iterations", [1, 5, 32])
def test_admm_equals_the_published_algorithm(sparsity: str, seed: int, iterations: int) -> None:
    statistics, weight = gathered(correlated(96, 500, seed)), random_weight(40, 96, seed)
    pattern = Sparsity.parse(sparsity)
    settings = PrunerSettings(iterations=iterations)
    fast = PRUNERS["admm"](weight, statistics, pattern, settings)
    slow = literal_admm(weight, statistics, pattern, max(iterations, 1))
    assert float(((fast == 0) == (slow == 0)).float().mean()) >= 0.999
    assert relative_error(weight, fast, statistics) == pytest.approx(
        relative_error(weight, slow, statistics), rel=1e-2
    )


@pytest.mark.parametrize("sparsity", ["50", "70", "33.3", "2:4", "4:8", "0.1"])
@pytest.mark.parametrize("seed", [0, 1])
def test_alps_equals_the_published_algorithm(sparsity: str, seed: int) -> None:
    """Of few zeros (0.1 %) rho is too high at first, and falls."""
    statistics, weight = gathered(correlated(96, 500, seed)), random_weight(40, 96, seed)
    pattern = Sparsity(0.001) if sparsity == "0.1" else Sparsity.parse(sparsity)
    fast = PRUNERS["alps"](weight, statistics, pattern, PrunerSettings())
    slow = literal_alps(weight, statistics, pattern, 320)
    assert float(((fast == 0) == (slow == 0)).float().mean()) >= 0.97
    assert relative_error(weight, fast, statistics) == pytest.approx(
        relative_error(weight, slow, statistics), rel=5e-2
    )


def test_the_penalty_of_alps_falls_no_further_than_fp32_can_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A singular Hessian without damping, and masks that never seem to change enough."""
    statistics, weight = gathered(correlated(96, 12)), random_weight(40, 96)
    seen: list[float] = []

    def watched(hessian: Tensor, penalty: float) -> Tensor:
        seen.append(penalty)
        return fitting_step(hessian, penalty)

    monkeypatch.setattr(alps, "fitting_step", watched)
    monkeypatch.setattr(alps, "RISES", ((10.0, 1.3), (0.0, 1.1)))
    settings = PrunerSettings(damping=0.0)
    pruned = PRUNERS["alps"](weight, statistics, Sparsity.parse("50"), settings)
    assert bool(torch.isfinite(pruned).all())
    assert seen[:5] == pytest.approx([0.1, 0.02, 0.004, 0.0008, 0.00088])


def best_on_the_mask(pruned: Tensor, weight: Tensor, statistics: InputStatistics) -> Tensor:
    dense, gram, norms = in_scaled_columns(weight, statistics)
    return torch.from_numpy(exact_fit(dense, (pruned == 0).numpy(), gram) / norms)


@pytest.mark.parametrize("sparsity", ["50", "70", "2:4"])
@pytest.mark.parametrize(("name", "iterations"), [("admm", 3000), ("alps", 300)])
def test_the_weights_are_the_best_on_their_mask(name: str, iterations: int, sparsity: str) -> None:
    """Given time; ALPS polishes them, plain ADMM nears them slowly."""
    statistics, weight = gathered(correlated(64, 500)), random_weight(16, 64)
    settings = PrunerSettings(iterations=iterations)
    pruned = PRUNERS[name](weight, statistics, Sparsity.parse(sparsity), settings).double()
    best = best_on_the_mask(pruned, weight, statistics)
    torch.testing.assert_close(pruned, best, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("sparsity", ["50", "70", "2:4", "4:8"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_errors_fall_from_wanda_to_sparsegpt_to_admm(sparsity: str, seed: int) -> None:
    statistics, weight = gathered(correlated(192, 2000, seed)), random_weight(96, 192, seed)
    error = {
        name: relative_error(
            weight,
            PRUNERS[name](weight, statistics, Sparsity.parse(sparsity), PrunerSettings()),
            statistics,
        )
        for name in ("wanda", "sparsegpt", "thanos", "admm", "alps")
    }
    assert error["wanda"] > error["sparsegpt"] > error["thanos"] > error["admm"]
    assert error["sparsegpt"] > error["alps"]


@pytest.mark.parametrize("name", ["admm", "alps"])
def test_fewer_tokens_than_columns_are_enough(name: str) -> None:
    statistics, weight = gathered(correlated(128, 10)), random_weight(32, 128)
    pruned = PRUNERS[name](weight, statistics, Sparsity.parse("50"), PrunerSettings(damping=0.0))
    assert bool(torch.isfinite(pruned).all())
    assert relative_error(weight, pruned, statistics) < 0.02
    with pytest.raises(PruningError, match="every input of the matrix is zero"):
        PRUNERS[name](weight, gathered(torch.zeros(4, 128)), Sparsity(0.5), PrunerSettings())


@pytest.mark.parametrize("name", ["admm", "alps"])
def test_nothing_removed_is_nothing_changed(name: str) -> None:
    statistics, weight = gathered(correlated(48, 300)), random_weight(16, 48)
    kept = PRUNERS[name](weight, statistics, Sparsity(0.0), PrunerSettings())
    torch.testing.assert_close(kept, weight, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("damping", [0.0, 0.01])
def test_a_fit_is_the_least_squares_solution_of_each_row(damping: float) -> None:
    statistics, weight = gathered(correlated(40, 400)), random_weight(8, 40)
    gone = torch.rand(8, 40, generator=torch.Generator().manual_seed(0)) < 0.5
    gone[0], gone[1] = True, False  # a row with nothing left, and one with everything
    problem = scaled(weight, statistics, damping)
    fitted = fit(problem.weights, problem.weights, gone, problem.hessian, steps=80)
    exact = exact_fit(
        problem.weights.double().numpy(), gone.numpy(), problem.hessian.double().numpy()
    )
    torch.testing.assert_close(fitted.double(), torch.from_numpy(exact), rtol=1e-2, atol=1e-3)
    assert torch.equal(fitted == 0, gone)


def test_each_step_of_a_fit_lowers_the_error() -> None:
    statistics, weight = gathered(correlated(40, 400)), random_weight(8, 40)
    problem = scaled(weight, statistics, DAMPING)
    gone = lowest_of(problem.weights.abs(), Sparsity(0.6))
    errors = [
        relative_error(weight, problem.restore(fitted, gone), statistics)
        for steps in range(8)
        for fitted in [fit(problem.weights, problem.weights, gone, problem.hessian, steps)]
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.5 * errors[0]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99, 1.0])
def test_part_of_a_pattern_is_the_lowest_of_what_it_will_mask(share: float) -> None:
    scores = torch.rand(6, 16, generator=torch.Generator().manual_seed(0))
    whole = lowest_per_group(scores, 3, 4)
    mask = lowest_of(scores, Sparsity.parse("3:4"), share)
    assert not bool((mask & ~whole).any())
    assert int(mask.sum()) == zeros_among(96, 0.75 * share)
    if 0 < share < 1:
        assert float(scores[mask].max()) <= float(scores[whole & ~mask].min())
