"""Masks and the pruners that use nothing else: exact counts, exact patterns, ties, dead inputs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from layer_inputs import correlated, gathered, random_weight
from ssgr.config.sparsity import Sparsity
from ssgr.errors import ConfigError, PruningError
from ssgr.pruning import needs_calibration, pruner_names
from ssgr.pruning.masks import (
    MANY,
    SAMPLE,
    lowest,
    lowest_along,
    lowest_per_group,
    lowest_per_row,
    zeros_among,
)
from ssgr.pruning.pruner import PrunerSettings, register
from ssgr.pruning.pruners import PRUNERS
from ssgr.pruning.statistics import InputStatistics

ALL = sorted(PRUNERS)
PATTERNS = ["1:2", "2:4", "4:8", "3:5", "1:16"]


def inputs_of(columns: int) -> InputStatistics:
    return gathered(correlated(columns, tokens=200))


def pruned_by(
    name: str, weight: Tensor, statistics: InputStatistics, sparsity: str | Sparsity
) -> Tensor:
    return PRUNERS[name](
        weight,
        statistics,
        Sparsity.parse(sparsity) if isinstance(sparsity, str) else sparsity,
        PrunerSettings(),
    )


def test_every_pruner_is_found_without_importing_it() -> None:
    assert (
        set(pruner_names())
        == set(PRUNERS)
        == {
            "admm",
            "alps",
            "magnitude",
            "ria",
            "sparsegpt",
            "thanos",
            "wanda",
        }
    )
    for name, pruner in PRUNERS.items():
        assert needs_calibration(name) == (pruner.needs != "none")


def test_a_name_is_registered_once() -> None:
    with pytest.raises(PruningError, match="wanda"):
        register("wanda", needs="norm")(PRUNERS["wanda"].function)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 300),
    percent=st.integers(0, 990).map(lambda permille: permille / 10),
)
def test_any_ratio_removes_an_exact_count(
    name: str, rows: int, columns: int, percent: float
) -> None:
    weight = random_weight(rows, columns)
    pruned = pruned_by(name, weight, inputs_of(columns), Sparsity(percent / 100))
    assert int((pruned == 0).sum()) == zeros_among(rows * columns, percent / 100)
    assert pruned.dtype == weight.dtype and pruned.is_contiguous()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("pattern", PATTERNS)
@settings(max_examples=5, deadline=None)
@given(rows=st.integers(1, 20), groups=st.integers(1, 40))
def test_n_of_m_removes_exactly_n_in_every_group(
    name: str, pattern: str, rows: int, groups: int
) -> None:
    zeros, group = map(int, pattern.split(":"))
    columns = groups * group
    pruned = pruned_by(name, random_weight(rows, columns), inputs_of(columns), pattern)
    counts = (pruned == 0).view(rows, groups, group).sum(dim=2)
    assert bool((counts == zeros).all())


@pytest.mark.parametrize("name", ALL)
def test_groups_that_do_not_divide_the_columns_are_refused(name: str) -> None:
    with pytest.raises(PruningError, match="30 columns do not divide into groups of 4"):
        pruned_by(name, random_weight(4, 30), inputs_of(30), "2:4")


@pytest.mark.parametrize("name", ALL)
def test_pruners_leave_their_arguments_alone(name: str) -> None:
    weight, statistics = random_weight(8, 16), inputs_of(16)
    before, gram = weight.clone(), statistics.gram.clone()
    pruned_by(name, weight, statistics, "50")
    assert torch.equal(weight, before)
    assert torch.equal(statistics.gram, gram)


def test_wanda_compares_within_a_row() -> None:
    weight = random_weight(6, 64)
    statistics = inputs_of(64)
    pruned = pruned_by("wanda", weight, statistics, "62.5")
    for row in range(6):
        scores = [
            (abs(float(weight[row, j])) * float(statistics.squared_norm[j]) ** 0.5, j)
            for j in range(64)
        ]
        gone = {j for _, j in sorted(scores)[:40]}
        assert {j for j in range(64) if pruned[row, j] == 0} == gone
    kept = pruned != 0
    assert torch.equal(pruned[kept], weight[kept])


def test_magnitude_compares_across_the_matrix() -> None:
    weight = random_weight(6, 50)
    pruned = pruned_by("magnitude", weight, InputStatistics(50), "30")
    assert float(weight[pruned == 0].abs().max()) < float(pruned[pruned != 0].abs().min())


def test_wanda_spreads_a_remainder_over_rows() -> None:
    mask = lowest_per_row(random_weight(3, 10), 0.25)  # 2.5 a row
    assert mask.sum(dim=1).tolist() == [3, 2, 3]


def test_ties_go_to_the_lowest_index() -> None:
    scores = torch.tensor([[1.0, 0.0, 1.0, 1.0, 2.0, 1.0]])
    assert lowest(scores, 3).tolist() == [[True, True, True, False, False, False]]
    assert lowest_per_row(scores, 0.5).tolist() == [[True, True, True, False, False, False]]
    assert lowest_per_group(scores, 1, 3).tolist() == [[False, True, False, True, False, False]]


@pytest.mark.parametrize("name", sorted(set(ALL) - {"magnitude"}))
def test_dead_inputs_lose_their_weights_first(name: str) -> None:
    columns, dead = 32, [0, 7, 31]
    inputs = torch.randn(300, columns, generator=torch.Generator().manual_seed(3))
    inputs[:, dead] = 0
    statistics = InputStatistics(columns)
    statistics.update(inputs)
    for sparsity in ("50", "2:4"):
        pruned = pruned_by(name, random_weight(8, columns), statistics, sparsity)
        assert bool((pruned[:, dead] == 0).all())
        assert float((pruned == 0).float().mean()) == 0.5


@pytest.mark.parametrize("name", ALL)
def test_more_dead_inputs_than_zeros_change_no_count_and_no_dead_weight(name: str) -> None:
    inputs = correlated(32, 300)
    inputs[:, 8:24] = 0
    weight, statistics = random_weight(8, 32), gathered(inputs)
    pruned = pruned_by(name, weight, statistics, "25")
    assert int((pruned == 0).sum()) == 64
    kept = pruned[:, 8:24] != 0
    assert torch.equal(pruned[:, 8:24][kept], weight[:, 8:24][kept])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("sparsity", ["37", "2:4"])
def test_pruners_keep_the_dtype(name: str, dtype: torch.dtype, sparsity: str) -> None:
    weight, statistics = random_weight(12, 64).to(dtype), inputs_of(64)
    pruned = pruned_by(name, weight, statistics, sparsity)
    assert pruned.dtype == dtype and bool(torch.isfinite(pruned).all())
    fraction = Sparsity.parse(sparsity).fraction
    assert int((pruned == 0).sum()) == zeros_among(12 * 64, fraction)
    single = pruned_by(name, weight.float(), statistics, sparsity)
    torch.testing.assert_close(pruned, single.to(dtype), rtol=0, atol=0)


@pytest.mark.parametrize("name", ALL)
def test_zeros_are_positive(name: str) -> None:
    """-0.0 has bits that are not zero: a compressed checkpoint would have to keep it."""
    pruned = pruned_by(name, random_weight(12, 64), inputs_of(64), "50")
    assert not bool(torch.signbit(pruned[pruned == 0]).any())


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("sparsity", ["50", "1:4"])
def test_together_is_one_after_another(name: str, sparsity: str) -> None:
    weights = [random_weight(rows, 96, seed=rows) for rows in (40, 8, 1)]
    patterns = [Sparsity.parse(sparsity)] * 3
    if sparsity == "50":
        patterns = [Sparsity(fraction) for fraction in (0.5, 0.3141, 0.0)]
    statistics, pruner = inputs_of(96), PRUNERS[name]
    found = pruner.together(weights, statistics, patterns, PrunerSettings())
    for pruned, weight, pattern in zip(found, weights, patterns, strict=True):
        assert int((pruned == 0).sum()) == zeros_among(weight.numel(), pattern.fraction)
        alone = pruner(weight, statistics, pattern, PrunerSettings())
        assert float(((alone == 0) == (pruned == 0)).float().mean()) >= 0.999
        torch.testing.assert_close(pruned, alone, rtol=1e-2, atol=1e-3)


def test_patterns_of_two_kinds_are_pruned_one_after_another() -> None:
    weights = [random_weight(4, 16), random_weight(4, 16)]
    patterns = [Sparsity.parse("2:4"), Sparsity.parse("25")]
    found = PRUNERS["sparsegpt"].together(weights, inputs_of(16), patterns, PrunerSettings())
    assert [int((pruned == 0).sum()) for pruned in found] == [32, 16]


@pytest.mark.parametrize("count", [1, 2, 999, 40_000, 79_998, 80_000])
@pytest.mark.parametrize("kind", ["random", "ties", "periodic", "constant", "outliers"])
def test_the_lowest_of_very_many_are_those_a_sort_finds(count: int, kind: str) -> None:
    assert 32 * SAMPLE <= 80_000  # else no sample is taken
    generator = torch.Generator().manual_seed(0)
    scores = {
        "random": torch.rand(80_000, generator=generator),
        "ties": torch.randint(0, 5, (80_000,), generator=generator).float(),
        "periodic": (torch.arange(80_000) % (80_000 // SAMPLE | 1)).float(),
        "constant": torch.full((80_000,), 3.0),
        "outliers": torch.rand(80_000, generator=generator).pow(-30),
    }[kind]
    expected = torch.zeros(80_000, dtype=torch.bool)
    expected[scores.argsort(stable=True)[:count]] = True
    assert torch.equal(lowest(scores.view(200, 400), count).flatten(), expected)


@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("size", [1, 4, 7, MANY + 1])
def test_the_lowest_along_a_dimension_are_those_a_stable_sort_finds(dim: int, size: int) -> None:
    shape = [5, 6, 7]
    shape[dim] = size
    scores = torch.randint(0, 4, shape, generator=torch.Generator().manual_seed(size)).float()
    for zeros in {0, 1, size // 2, size}:
        rank = scores.argsort(dim=dim, stable=True).argsort(dim=dim, stable=True)
        assert torch.equal(lowest_along(scores, zeros, dim), rank < zeros)


@given(
    columns=st.integers(1, 40),
    rows=st.integers(1, 12),
    fraction=st.floats(0, 0.999),
    levels=st.integers(1, 9),
)
@settings(max_examples=60, deadline=None)
def test_the_lowest_of_each_row_are_those_a_stable_sort_finds(
    columns: int, rows: int, fraction: float, levels: int
) -> None:
    generator = torch.Generator().manual_seed(columns * rows)
    scores = torch.randint(0, levels, (rows, columns), generator=generator).float()
    mask = lowest_per_row(scores, fraction)
    for row in range(rows):
        count = zeros_among((row + 1) * columns, fraction) - zeros_among(row * columns, fraction)
        expected = set(scores[row].argsort(stable=True)[:count].tolist())
        assert set(torch.nonzero(mask[row]).flatten().tolist()) == expected


@given(weights=st.integers(1, 2**40), share=st.floats(0, 1))
def test_a_pattern_can_say_an_exact_number_of_zeros(weights: int, share: float) -> None:
    zeros = min(int(weights * share), weights - 1)
    assert zeros_among(weights, Sparsity.exactly(zeros, weights).fraction) == zeros


@pytest.mark.parametrize("zeros", [-1, 5, 6])
def test_zeros_that_leave_nothing_are_refused(zeros: int) -> None:
    with pytest.raises(ConfigError, match=f"{zeros} zeros among 5 weights"):
        Sparsity.exactly(zeros, 5)


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(PruningError, match="block_size"):
        PrunerSettings(block_size=0)
    with pytest.raises(PruningError, match="damping"):
        PrunerSettings(damping=-0.1)
    with pytest.raises(PruningError, match="iterations"):
        PrunerSettings(iterations=0)
