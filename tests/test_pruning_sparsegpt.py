"""SparseGPT against a slow oracle that inverts the remaining Hessian anew for every column."""

import pytest
import torch
from torch import Tensor

from layer_inputs import correlated, gathered
from ssgr.config.sparsity import Sparsity
from ssgr.pruning.masks import zeros_among
from ssgr.pruning.pruner import PrunerSettings
from ssgr.pruning.pruners import PRUNERS
from ssgr.pruning.statistics import relative_error


class Oracle:
    """Column by column in fp64: optimal brain surgeon on what lies to the right.

    A choice between saliencies that fp32 cannot tell apart is noted as ``close`` for its rows:
    with N:M, all that follows in the row depends on it.
    """

    def __init__(self, weight: Tensor, inputs: Tensor, settings: PrunerSettings) -> None:
        self.weight = weight.double().clone()
        self.settings = settings
        self.rows, self.columns = weight.shape
        hessian = inputs.double().T @ inputs.double()
        hessian += settings.damping * hessian.diagonal().mean() * torch.eye(self.columns)
        self.inverses = [torch.linalg.inv(hessian[i:, i:]) for i in range(self.columns)]
        self.gone = torch.zeros(self.rows, self.columns, dtype=torch.bool)
        self.close: set[int] = set()

    def prune(self, sparsity: Sparsity) -> Tensor:
        for i in range(self.columns):
            if sparsity.group is None and i % self.settings.block_size == 0:
                end = min(i + self.settings.block_size, self.columns)
                before, after = (zeros_among(self.rows * c, sparsity.fraction) for c in (i, end))
                self._choose(range(self.rows), i, end, after - before)
            if sparsity.group is not None and i % sparsity.group == 0:
                for row in range(self.rows):
                    self._choose(range(row, row + 1), i, i + sparsity.group, sparsity.zeros or 0)
            error = torch.where(self.gone[:, i], self.weight[:, i], 0) / self.inverses[i][0, 0]
            self.weight[:, i:] -= torch.outer(error, self.inverses[i][0])
            self.weight[self.gone[:, i], i] = 0
        return self.weight

    def _choose(self, rows: range, first: int, last: int, count: int) -> None:
        saliency = sorted(
            (float(self.weight[r, c] ** 2 / self.inverses[c][0, 0]), r, c)
            for r in rows
            for c in range(first, last)
        )
        for _, r, c in saliency[:count]:
            self.gone[r, c] = True
        if 0 < count < len(saliency) and saliency[count][0] < 1.0003 * saliency[count - 1][0]:
            self.close |= {r for _, r, _ in saliency[count - 1 : count + 1]}


@pytest.mark.parametrize("sparsity", ["50", "70", "33.3", "2:4", "4:8", "3:5"])
@pytest.mark.parametrize(("rows", "columns"), [(48, 160), (130, 40)])
def test_equals_the_column_by_column_oracle(sparsity: str, rows: int, columns: int) -> None:
    inputs = correlated(columns, tokens=600)
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(9))
    pattern, settings, statistics = Sparsity.parse(sparsity), PrunerSettings(), gathered(inputs)
    fast = PRUNERS["sparsegpt"](weight, statistics, pattern, settings)
    oracle = Oracle(weight, inputs, settings)
    slow = oracle.prune(pattern)
    clear = [row for row in range(rows) if row not in oracle.close]
    assert len(clear) >= 0.9 * rows
    assert float(((fast == 0) == (slow == 0))[clear].float().mean()) >= 0.9999
    assert relative_error(weight[clear], fast[clear], statistics) == pytest.approx(
        relative_error(weight[clear], slow[clear], statistics), rel=2e-3
    )


@pytest.mark.parametrize("block_size", [1, 7, 32, 33, 1000])
def test_the_block_size_is_free(block_size: int) -> None:
    inputs, settings = correlated(70, 300), PrunerSettings(block_size=block_size)
    weight = torch.randn(20, 70, generator=torch.Generator().manual_seed(9))
    for sparsity in (Sparsity.parse("50"), Sparsity.parse("3:7")):
        fast = PRUNERS["sparsegpt"](weight, gathered(inputs), sparsity, settings)
        slow = Oracle(weight, inputs, settings).prune(sparsity)
        torch.testing.assert_close(fast.double(), slow, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("sparsity", ["50", "70", "2:4", "4:8"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_error_is_below_wanda_and_wanda_below_magnitude(sparsity: str, seed: int) -> None:
    statistics = gathered(correlated(192, 2000, seed))
    weight = torch.randn(96, 192, generator=torch.Generator().manual_seed(seed))
    error = {
        name: relative_error(
            weight,
            PRUNERS[name](weight, statistics, Sparsity.parse(sparsity), PrunerSettings()),
            statistics,
        )
        for name in ("sparsegpt", "wanda", "magnitude")
    }
    assert error["sparsegpt"] < error["wanda"] < error["magnitude"]


def test_scale_of_the_inputs_does_not_matter() -> None:
    inputs = correlated(64, 400)
    inputs[:, 5] = 0
    weight = torch.randn(16, 64, generator=torch.Generator().manual_seed(9))
    small, large = (
        PRUNERS["sparsegpt"](
            weight, gathered(inputs * scale), Sparsity.parse("50"), PrunerSettings()
        )
        for scale in (2.0**-12, 2.0**12)
    )
    torch.testing.assert_close(small, large)


def test_fewer_tokens_than_columns_are_enough() -> None:
    inputs = correlated(128, 10)
    weight = torch.randn(32, 128, generator=torch.Generator().manual_seed(9))
    statistics = gathered(inputs)
    pruned = PRUNERS["sparsegpt"](weight, statistics, Sparsity.parse("50"), PrunerSettings())
    assert bool(torch.isfinite(pruned).all())
    assert relative_error(weight, pruned, statistics) < 0.02


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_weights_keep_their_dtype(dtype: torch.dtype) -> None:
    weight = torch.randn(16, 64, generator=torch.Generator().manual_seed(9)).to(dtype)
    pruned = PRUNERS["sparsegpt"](
        weight, gathered(correlated(64, 300)), Sparsity.parse("2:4"), PrunerSettings()
    )
    assert pruned.dtype == dtype
