"""Masks and the pruners that use nothing else: exact counts, exact patterns, ties, dead inputs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ssgr.errors import PruningError
from ssgr.pruning import needs_calibration, pruner_names
from ssgr.pruning.masks import lowest, lowest_per_group, lowest_per_row, zeros_among
from ssgr.pruning.pruner import PrunerSettings, register
from ssgr.pruning.pruners import PRUNERS
from ssgr.pruning.statistics import InputStatistics
from ssgr.sparsity import Sparsity

ALL = sorted(PRUNERS)
PATTERNS = ["1:2", "2:4", "4:8", "3:5", "1:16"]


def gathered(columns: int, tokens: int = 200, seed: int = 0) -> InputStatistics:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(columns, columns, generator=generator)
    statistics = InputStatistics(columns)
    statistics.update(torch.randn(tokens, columns, generator=generator) @ mixing)
    return statistics


def random_weight(rows: int, columns: int, seed: int = 1) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def pruned_by(name: str, weight: Tensor, statistics: InputStatistics, sparsity: str) -> Tensor:
    return PRUNERS[name](weight, statistics, Sparsity.parse(sparsity), PrunerSettings())


def test_every_pruner_is_found_without_importing_it() -> None:
    assert set(pruner_names()) == set(PRUNERS) == {"magnitude", "sparsegpt", "wanda"}
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
    pruned = pruned_by(name, weight, gathered(columns), str(percent))
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
    pruned = pruned_by(name, random_weight(rows, columns), gathered(columns), pattern)
    counts = (pruned == 0).view(rows, groups, group).sum(dim=2)
    assert bool((counts == zeros).all())


@pytest.mark.parametrize("name", ALL)
def test_groups_that_do_not_divide_the_columns_are_refused(name: str) -> None:
    with pytest.raises(PruningError, match="30 columns do not divide into groups of 4"):
        pruned_by(name, random_weight(4, 30), gathered(30), "2:4")


@pytest.mark.parametrize("name", ALL)
def test_pruners_leave_their_arguments_alone(name: str) -> None:
    weight, statistics = random_weight(8, 16), gathered(16)
    before, gram = weight.clone(), statistics.gram.clone()
    pruned_by(name, weight, statistics, "50")
    assert torch.equal(weight, before)
    assert torch.equal(statistics.gram, gram)


def test_wanda_compares_within_a_row() -> None:
    weight = random_weight(6, 64)
    statistics = gathered(64)
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


@pytest.mark.parametrize("name", ["sparsegpt", "wanda"])
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


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(PruningError, match="block_size"):
        PrunerSettings(block_size=0)
    with pytest.raises(PruningError, match="damping"):
        PrunerSettings(damping=-0.1)
