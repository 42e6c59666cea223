"""Input statistics against plain sums, whatever the lengths of the sequences."""

import pytest
import torch

from layer_inputs import correlated
from ssgr.errors import PruningError
from ssgr.pruning.gram import TILE, TILES
from ssgr.pruning.statistics import TOKENS, InputStatistics, relative_error


@pytest.mark.parametrize("columns", [7, TILE, 2 * TILE + 100, TILE * TILES + 7])
def test_statistics_equal_plain_sums_over_all_tokens(columns: int) -> None:
    generator = torch.Generator().manual_seed(0)
    sequences = [torch.randn(1, n, columns, generator=generator) for n in (1, 90, 3, 17, 260)]
    statistics = InputStatistics(columns)
    for sequence in sequences:
        statistics.update(sequence)
    tokens = torch.cat([sequence[0] for sequence in sequences]).double()
    gram = tokens.T @ tokens
    assert statistics.tokens == 371
    torch.testing.assert_close(statistics.gram.double(), gram / 371, rtol=1e-4, atol=1e-5)
    assert torch.equal(statistics.gram, statistics.gram.T)
    torch.testing.assert_close(
        statistics.squared_norm.double(), tokens.square().mean(dim=0), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("columns", [5, TILE + 20])
def test_token_weights_count_tokens_as_often_as_they_say(columns: int) -> None:
    inputs = correlated(columns, 30)
    weights = torch.tensor([0.0, 1.0, 3.0, 2.0, 1.0] * 6)
    weighted, repeated = InputStatistics(columns), InputStatistics(columns)
    weighted.update(inputs[:20], weights[:20])
    weighted.update(inputs[20:], weights[20:])
    repeated.update(inputs.repeat_interleave(weights.long(), dim=0))
    assert (weighted.tokens, weighted.total) == (24, 42.0)
    assert (repeated.tokens, repeated.total) == (42, 42.0)
    torch.testing.assert_close(weighted.gram, repeated.gram, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(weighted.squared_norm, repeated.squared_norm)


def test_cross_products_are_of_the_dense_inputs_with_these() -> None:
    inputs, dense = correlated(6, 40), correlated(6, 40, seed=1)
    weights = torch.rand(40, generator=torch.Generator().manual_seed(0))
    statistics = InputStatistics(6, with_cross=True)
    for part in (slice(0, 15), slice(15, 40)):
        statistics.update(inputs[None, part], weights[part], dense[None, part])
        expected = dense[: part.stop].T @ (weights[: part.stop, None] * inputs[: part.stop])
        torch.testing.assert_close(statistics.cross, expected / weights[: part.stop].sum())


def test_long_sequences_are_summed_in_parts() -> None:
    inputs = correlated(4, 2 * TOKENS + 3)
    weights = torch.rand(len(inputs), generator=torch.Generator().manual_seed(0))
    statistics = InputStatistics(4, with_cross=True)
    statistics.update(inputs, weights, 2 * inputs)
    gram = (inputs.double().T * weights) @ inputs.double() / weights.double().sum()
    torch.testing.assert_close(statistics.gram.double(), gram, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(statistics.cross.double(), 2 * gram, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.ones(3), r"shape \[3\] for 5 tokens"),
        (torch.tensor([1.0, 1, -1, 1, 1]), "at least 0"),
        (torch.tensor([1.0, 1, float("nan"), 1, 1]), "finite"),
    ],
)
def test_weights_that_are_none_are_refused(weights: torch.Tensor, message: str) -> None:
    with pytest.raises(PruningError, match=message):
        InputStatistics(2).update(torch.ones(5, 2), weights)


def test_dense_inputs_come_if_and_only_if_asked_for() -> None:
    inputs = torch.ones(5, 2)
    with pytest.raises(PruningError, match="needed"):
        InputStatistics(2, with_cross=True).update(inputs)
    with pytest.raises(PruningError, match="not part"):
        InputStatistics(2).update(inputs, None, inputs)
    with pytest.raises(PruningError, match="were not gathered"):
        _ = InputStatistics(2).cross
    with pytest.raises(PruningError, match="column 1"):
        poisoned = torch.tensor([[1.0, float("inf")]])
        InputStatistics(2, with_cross=True).update(torch.ones(1, 2), None, poisoned)


@pytest.mark.parametrize("with_gram", [True, False])
def test_tokens_without_weight_are_as_if_never_seen(with_gram: bool) -> None:
    statistics = InputStatistics(3, with_gram=with_gram)
    statistics.update(torch.ones(4, 3), torch.zeros(4))
    assert (statistics.tokens, statistics.total) == (0, 0.0)
    assert statistics.squared_norm.tolist() == [0.0] * 3
    assert statistics.warnings == []


def test_many_dead_inputs_and_few_tokens_are_told() -> None:
    inputs = torch.ones(5, 20)
    inputs[:, :2] = 0
    statistics = InputStatistics(20)
    statistics.update(inputs)
    assert statistics.findings == {"dead": 2.0}
    assert statistics.warnings == [
        "2 of 20 inputs are always zero",
        "only 5 tokens for 20 inputs",
    ]
    statistics.find("damping", 0.1, "more damping")
    statistics.find("damping", 0.1, "more damping")
    assert statistics.findings["damping"] == 0.1
    assert statistics.warnings[2:] == ["more damping"]


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


def test_permuted_statistics_are_those_of_permuted_inputs() -> None:
    inputs, dense = correlated(9, 50), correlated(9, 50, seed=1)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    statistics, expected = (InputStatistics(9, with_cross=True) for _ in range(2))
    statistics.update(inputs, None, dense)
    expected.update(inputs[:, order], None, dense[:, order])
    permuted = statistics.permuted(order)
    torch.testing.assert_close(permuted.gram, expected.gram, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(permuted.cross, expected.cross, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(permuted.squared_norm, expected.squared_norm)
    permuted.update(inputs[:, order], None, dense[:, order])
    assert (permuted.tokens, statistics.tokens) == (100, 50)
    torch.testing.assert_close(permuted.gram, expected.gram, rtol=1e-4, atol=1e-5)
    norms = InputStatistics(9, with_gram=False)
    norms.update(inputs)
    assert torch.equal(norms.permuted(order).squared_norm, norms.squared_norm[order])
