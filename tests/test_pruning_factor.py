"""The factored Hessian: its inverse, condition and damping, and the refit to dense outputs."""

import logging

import pytest
import torch

from layer_inputs import correlated, gathered, random_weight
from ssgr.errors import PruningError
from ssgr.pruning.factor import BASE, condition, hessian, inverse_factor, refit
from ssgr.pruning.statistics import InputStatistics


@pytest.mark.parametrize("columns", [1, 40, BASE + 1, 3 * BASE + 5])
def test_the_factor_is_the_one_of_the_inverse_hessian(columns: int) -> None:
    statistics = gathered(correlated(columns, 4 * columns))
    factor = inverse_factor(statistics, 0.01).double()
    damped = statistics.gram.double()
    damped += 0.01 * damped.diagonal().mean() * torch.eye(columns)
    assert torch.equal(factor, factor.triu())
    torch.testing.assert_close(hessian(statistics, 0.01).double(), damped)
    torch.testing.assert_close(
        factor.T @ factor @ damped, torch.eye(columns, dtype=torch.float64), rtol=0, atol=2e-4
    )


def test_the_factor_is_computed_once_until_an_update() -> None:
    inputs = correlated(20, 100)
    statistics = gathered(inputs)
    first = inverse_factor(statistics, 0.01)
    assert inverse_factor(statistics, 0.01) is first
    assert inverse_factor(statistics, 0.1) is not first
    statistics.update(3 * inputs)
    assert not torch.allclose(inverse_factor(statistics, 0.01), first)


@pytest.mark.parametrize("columns", [2, 30, 200])
@pytest.mark.parametrize("damping", [0.01, 1.0])
def test_the_condition_is_that_of_the_damped_hessian(columns: int, damping: float) -> None:
    inputs = correlated(columns, 50 + columns)
    inputs[:, 1] = 0
    statistics = gathered(inputs)
    exact = float(torch.linalg.cond(hessian(statistics, damping).double()))
    assert condition(statistics, damping) == pytest.approx(exact, rel=0.1)
    assert statistics.findings["condition"] == condition(statistics, damping)


def test_dead_inputs_are_found_and_have_the_mean_on_the_diagonal() -> None:
    inputs = correlated(8, 100)
    inputs[:, [2, 5]] = 0
    statistics = gathered(inputs)
    damped = hessian(statistics, 0.01)
    mean = statistics.squared_norm.sum() / 6
    assert damped[2, 2] == pytest.approx(1.01 * float(mean))
    assert damped[2].count_nonzero() == 1
    assert statistics.findings == {"dead": 2.0, "damping": 0.01}
    assert statistics.warnings == ["2 of 8 inputs are always zero"]


def test_a_singular_hessian_gets_more_damping_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    statistics = gathered(correlated(128, 10))  # rank 10 at most
    with caplog.at_level(logging.WARNING):
        factor = inverse_factor(statistics, 0.0)
    assert bool(torch.isfinite(factor).all())
    assert "the matrix" in caplog.text and "0 in float32" in caplog.text
    few, damped = statistics.warnings
    assert few == "only 10 tokens for 128 inputs"
    assert damped.startswith("damping 0 in float32 failed, used 0.001 in float32")
    assert statistics.findings["damping"] == 0.001


def test_fp64_is_tried_when_no_damping_helps_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = torch.linalg.cholesky_ex

    def exact_only(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        lower, info = genuine(matrix)
        return lower, info + int(matrix.dtype == torch.float32)

    statistics, same = gathered(correlated(16, 100)), gathered(correlated(16, 100))
    expected = inverse_factor(same, 0.01)
    monkeypatch.setattr(torch.linalg, "cholesky_ex", exact_only)
    factor = inverse_factor(statistics, 0.01)
    assert factor.dtype == torch.float32
    torch.testing.assert_close(factor, expected, rtol=1e-3, atol=1e-5)
    assert statistics.warnings == [
        "damping 0.01 in float32, 0.1 in float32, 1 in float32 failed, used 0.01 in float64"
    ]


def test_a_hessian_that_no_damping_cures_is_an_error() -> None:
    statistics = gathered(correlated(32, 10))
    statistics._products.fill_(1e30).fill_diagonal_(1.0)  # far from positive definite
    with pytest.raises(PruningError, match=r"the matrix is not positive definite.*10 tokens"):
        inverse_factor(statistics, 0.01)


def test_inputs_that_are_all_zero_are_an_error() -> None:
    with pytest.raises(PruningError, match="every input of the matrix is zero"):
        inverse_factor(gathered(torch.zeros(10, 8)), 0.01)


def both(inputs: torch.Tensor, dense: torch.Tensor) -> InputStatistics:
    statistics = InputStatistics(inputs.shape[1], with_cross=True)
    statistics.update(inputs, None, dense)
    return statistics


def test_refit_is_the_least_squares_fit_to_the_dense_outputs() -> None:
    dense = correlated(24, 300).double()
    inputs = dense + 0.2 * correlated(24, 300, seed=7).double()
    weight = random_weight(6, 24).double()
    best = torch.linalg.lstsq(inputs, dense @ weight.T).solution.T
    found = refit(weight.float(), both(inputs, dense), 0.0)
    torch.testing.assert_close(found.double(), best, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_refit_changes_nothing_where_the_inputs_are_the_dense_ones(dtype: torch.dtype) -> None:
    inputs = correlated(24, 300)
    inputs[:, 3] = 0
    weight = random_weight(6, 24).to(dtype)
    found = refit(weight, both(inputs, inputs), 0.01)
    assert found.dtype == dtype
    torch.testing.assert_close(found, weight, rtol=1e-3, atol=1e-4)
