"""Thanos against the published algorithm, literally: a fresh inverse and a system for every row."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from layer_inputs import correlated, gathered, random_weight
from ssgr.config.sparsity import Sparsity
from ssgr.pruning.factor import hessian
from ssgr.pruning.masks import zeros_among
from ssgr.pruning.pruner import PrunerSettings
from ssgr.pruning.pruners import PRUNERS, thanos
from ssgr.pruning.statistics import relative_error

Matrix = NDArray[np.float64]


def literal(
    weight: Matrix, damped: Matrix, norms: Matrix, sparsity: Sparsity, block_size: int
) -> Matrix:
    """Algorithms 1 (unstructured) and 2 (N:M, alpha = 0) of the paper."""
    weight = weight.copy()
    rows, columns = weight.shape
    left = zeros_among(weight.size, sparsity.fraction)
    for start in range(0, columns, block_size):
        stop = min(start + block_size, columns)
        inverse = np.linalg.inv(damped[start:, start:])
        metric = np.abs(weight[:, start:]) * norms[start:]
        mask = np.zeros_like(metric, dtype=bool)
        if sparsity.group is None:
            mask.ravel()[np.argsort(metric, axis=None, kind="stable")[:left]] = True
        else:
            for first in range(0, stop - start, sparsity.group):
                group = metric[:, first : first + sparsity.group]
                order = np.argsort(group, axis=1, kind="stable")[:, : sparsity.zeros]
                np.put_along_axis(mask[:, first : first + sparsity.group], order, True, axis=1)
        mask = mask[:, : stop - start]
        left -= int(mask.sum())
        for row in range(rows):
            q = np.flatnonzero(mask[row])
            multipliers = np.linalg.solve(inverse[np.ix_(q, q)].T, weight[row, start + q])
            weight[row, start:] -= multipliers @ inverse[q]
            weight[row, start + q] = 0
    return weight


@pytest.mark.parametrize("sparsity", ["50", "70", "33.3", "2:4", "4:8"])
@pytest.mark.parametrize(("rows", "columns"), [(24, 160), (50, 40)])
@pytest.mark.parametrize("block_size", [16, 128])
def test_equals_the_published_algorithm(
    sparsity: str, rows: int, columns: int, block_size: int
) -> None:
    statistics = gathered(correlated(columns, tokens=600))
    weight, pattern = random_weight(rows, columns), Sparsity.parse(sparsity)
    fast = PRUNERS["thanos"](weight, statistics, pattern, PrunerSettings(block_size=block_size))
    slow = torch.from_numpy(
        literal(
            weight.double().numpy(),
            hessian(statistics, 0.01).double().numpy(),
            statistics.squared_norm.double().sqrt().numpy(),
            pattern,
            block_size,
        )
    )
    assert int((fast == 0).sum()) == zeros_among(weight.numel(), pattern.fraction)
    assert float(((fast == 0) == (slow == 0)).float().mean()) >= 0.999
    assert relative_error(weight, fast, statistics) == pytest.approx(
        relative_error(weight, slow, statistics), rel=5e-3
    )


def test_the_update_of_one_block_is_the_best_for_its_mask() -> None:
    """With all columns in one block nothing is better than the least-squares fit on the mask."""
    inputs = correlated(48, 500)
    weight, statistics = random_weight(10, 48), gathered(inputs)
    settings = PrunerSettings(block_size=48, damping=0.0)
    pruned = PRUNERS["thanos"](weight, statistics, Sparsity.parse("60"), settings)
    exact = inputs.double()
    for row, dense in zip(pruned.double(), weight.double(), strict=True):
        kept = torch.nonzero(row).flatten()
        best = torch.linalg.lstsq(exact[:, kept], exact @ dense).solution
        torch.testing.assert_close(row[kept], best, rtol=1e-2, atol=1e-2)


def test_rows_are_solved_in_parts_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, statistics = random_weight(31, 64), gathered(correlated(64, 300))
    arguments = (weight, statistics, Sparsity.parse("50"), PrunerSettings())
    whole = PRUNERS["thanos"](*arguments)
    monkeypatch.setattr(thanos, "HELD", 1)  # one row at a time
    torch.testing.assert_close(PRUNERS["thanos"](*arguments), whole, rtol=1e-3, atol=1e-4)


def test_a_block_without_zeros_changes_nothing() -> None:
    weight = random_weight(6, 32)
    weight[:, :16] = 100.0  # all zeros fall on the second block
    settings = PrunerSettings(block_size=16)
    statistics = gathered(torch.randn(400, 32, generator=torch.Generator().manual_seed(0)))
    pruned = PRUNERS["thanos"](weight, statistics, Sparsity.parse("25"), settings)
    assert torch.equal(pruned[:, :16], weight[:, :16])
    assert int((pruned == 0).sum()) == 48
