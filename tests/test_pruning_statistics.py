"""Input statistics against plain sums, whatever the lengths of the sequences."""

import pytest
import torch

from ssgr.errors import PruningError
from ssgr.pruning.statistics import TILE, InputStatistics, relative_error


@pytest.mark.parametrize("columns", [7, TILE, TILE + 100])
def test_statistics_equal_plain_sums_over_all_tokens(columns: int) -> None:
    generator = torch.Generator().manual_seed(0)
    sequences = [torch.randn(1, n, columns, generator=generator) for n in (1, 90, 3, 17, 260)]
    statistics = InputStatistics(columns)
    for sequence in sequences:
        statistics.update(sequence)
    tokens = torch.cat([sequence[0] for sequence in sequences]).double()
    gram = torch.zeros(columns, columns, dtype=torch.float64)
    for token in tokens:
        gram += torch.outer(token, token)
    assert statistics.tokens == 371
    torch.testing.assert_close(statistics.gram.double(), gram / 371, rtol=1e-4, atol=1e-5)
    assert torch.equal(statistics.gram, statistics.gram.T)
    torch.testing.assert_close(
        statistics.squared_norm.double(), tokens.square().mean(dim=0), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_inputs_are_summed_in_fp32(dtype: torch.dtype) -> None:
    inputs = torch.full((4096, 2), 1.5).to(dtype)
    statistics = InputStatistics(2)
    for _ in range(4):
        statistics.update(inputs)
    assert statistics.gram.dtype == torch.float32
    assert statistics.gram.flatten().tolist() == [2.25] * 4


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_nan_or_inf_names_the_matrix_and_the_column(bad: float) -> None:
    statistics = InputStatistics(4, name="model.layers.3.mlp.down_proj")
    statistics.update(torch.ones(5, 4))
    inputs = torch.ones(6, 4)
    inputs[2, 1] = bad
    with pytest.raises(PruningError, match=r"model\.layers\.3\.mlp\.down_proj.*column 1"):
        statistics.update(inputs)


def test_another_width_is_refused() -> None:
    with pytest.raises(PruningError, match="5 columns, expected 4"):
        InputStatistics(4).update(torch.ones(2, 5))


def test_a_gram_matrix_that_was_not_gathered_is_an_error() -> None:
    statistics = InputStatistics(4, with_gram=False)
    statistics.update(torch.ones(2, 4))
    assert statistics.squared_norm.tolist() == [1.0] * 4
    with pytest.raises(PruningError, match="was not gathered"):
        _ = statistics.gram


def test_what_is_derived_lasts_until_the_next_update() -> None:
    statistics = InputStatistics(2)
    statistics.update(torch.ones(1, 2))
    first = statistics.gram
    assert statistics.gram is first
    statistics.update(torch.full((1, 2), 3.0))
    assert statistics.gram.flatten().tolist() == [5.0] * 4


def test_relative_error_is_the_change_of_the_outputs() -> None:
    generator = torch.Generator().manual_seed(2)
    inputs = torch.randn(500, 24, generator=generator) @ torch.randn(24, 24, generator=generator)
    weight = torch.randn(10, 24, generator=generator)
    pruned = weight * (torch.rand(10, 24, generator=generator) > 0.5)
    statistics = InputStatistics(24)
    statistics.update(inputs)
    change = (inputs.double() @ (pruned - weight).double().T).square().sum()
    energy = (inputs.double() @ weight.double().T).square().sum()
    assert relative_error(weight, pruned, statistics) == pytest.approx(
        float(change / energy), rel=1e-4
    )
    assert relative_error(weight, weight, statistics) == 0
    assert relative_error(weight, torch.zeros_like(weight), statistics) == pytest.approx(1)
