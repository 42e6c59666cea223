"""The levels that a search moves on, and the search itself with costs that are known."""

import itertools
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssgr.config import Search
from ssgr.errors import PruningError
from ssgr.pruning.allocation.budget import CEILING
from ssgr.pruning.allocation.evopress import evolve
from ssgr.pruning.allocation.ladder import Levels, ladder, lines, mutate
from ssgr.pruning.masks import zeros_among

SIZES = st.lists(st.integers(200, 20_000), min_size=2, max_size=20)


@given(SIZES, st.floats(0.02, 0.95), st.integers(0, 1000))
@settings(deadline=None, max_examples=60)
def test_mutations_keep_the_total_and_the_bounds(
    sizes: list[int], sparsity: float, seed: int
) -> None:
    thirds = [i % 3 for i in range(len(sizes))]
    steps, draw = ladder(sizes, sparsity, thirds), random.Random(seed)
    levels: Levels = (0,) * len(sizes)
    total = zeros_among(sum(sizes), sparsity)
    assert sum(steps.all_zeros(levels)) == total
    for _ in range(20):
        child = mutate(levels, steps, draw)
        if child is None:
            continue
        assert child != levels
        levels = child
        zeros = steps.all_zeros(levels)
        assert sum(zeros) == total
        assert all(0 <= z <= CEILING * size for z, size in zip(zeros, sizes, strict=True))
        assert all(abs(level) <= 5 for level in levels)


def test_steps_are_a_tenth_of_the_zeros_and_as_large_as_their_matrix() -> None:
    steps = ladder([1000, 2000, 3100, 1000], 0.5)
    assert (steps.unit, steps.worth) == (50, (1, 2, 3, 1))
    assert steps.zeros(2, 4) == 1550 + 4 * 3 * 50
    assert (steps.lowest, steps.highest) == ((-5,) * 4, (5,) * 4)


def test_steps_shrink_where_little_is_left() -> None:
    steps = ladder([1000, 1000], 0.9)
    assert steps.unit == 18
    assert steps.highest == (5, 5)


def test_groups_move_together() -> None:
    steps = ladder([1000] * 6, 0.5, [0, 0, 0, 1, 1, 1])
    draw = random.Random(0)
    children = [mutate((0,) * 6, steps, draw) for _ in range(100)]
    assert (1, 1, 1, -1, -1, -1) in children
    assert (-1, -1, -1, 1, 1, 1) in children
    assert any(child and sorted(child) == [-1, 0, 0, 0, 0, 1] for child in children)


def test_lines_rise_and_fall_with_depth_and_keep_the_total() -> None:
    blocks = [0, 0, 1, 1, 2, 2, 3, 3]
    steps = ladder([1000, 3000] * 4, 0.6, blocks)
    found = lines(steps, blocks)
    assert (-3, -3, -1, -1, 1, 1, 3, 3) in found
    assert (3, 3, 1, 1, -1, -1, -3, -3) in found
    assert len(found) == 10
    for levels in found:
        assert sum(steps.all_zeros(levels)) == zeros_among(16_000, 0.6)
    unequal = ladder([1000, 2000, 1000, 5000], 0.6)
    assert lines(unequal, [0, 1, 2, 3]) == []
    assert lines(ladder([1000, 1000], 0.6), [0, 0]) == []


def test_a_start_is_the_first_parent_if_it_is_better() -> None:
    steps = ladder([1000] * 4, 0.5)
    best = (-3, -1, 1, 3)

    def fitness(candidates: Sequence[Levels], chosen: Sequence[int]) -> list[float]:
        return [
            float(sum(abs(a - b) for a, b in zip(one, best, strict=True))) for one in candidates
        ]

    for starts, expected in (([best, (3, 1, -1, -3)], 0.0), ([(3, 1, -1, -3)], 8.0)):
        draw = random.Random(0)
        found = evolve(steps, fitness, [0], Search(generations=1, offspring=1), draw, starts)
        assert fitness([found], [0])[0] <= expected


def test_a_lonely_matrix_cannot_exchange() -> None:
    assert mutate((0,), ladder([1000], 0.5), random.Random(0)) is None


def test_evolution_finds_the_best_of_all_levels() -> None:
    """A convex cost of zeros, against every combination of levels with the same total."""
    steps = ladder([1000, 1000, 2000, 1000], 0.5)
    costs = (1.0, 3.0, 2.0, 9.0)

    def cost(levels: Levels) -> float:
        return sum(c * (z / 1000) ** 2 for c, z in zip(costs, steps.all_zeros(levels), strict=True))

    def fitness(candidates: Sequence[Levels], chosen: Sequence[int]) -> list[float]:
        return [cost(levels) for levels in candidates]

    spans = [range(a, b + 1) for a, b in zip(steps.lowest, steps.highest, strict=True)]
    total = sum(steps.base)
    best = min(
        cost(levels)
        for levels in itertools.product(*spans)
        if sum(steps.all_zeros(levels)) == total
    )
    search = Search(generations=40, offspring=16)
    found = evolve(steps, fitness, [0, 1, 2], search, random.Random(0))
    assert cost(found) == pytest.approx(best)
    assert best < 0.8 * cost((0,) * 4)


def test_survivors_are_chosen_on_ever_more_sequences_and_nan_never_wins() -> None:
    steps = ladder([1000] * 6, 0.5)
    calls: list[tuple[int, int]] = []

    def fitness(candidates: Sequence[Levels], chosen: Sequence[int]) -> list[float]:
        calls.append((len(candidates), len(chosen)))
        return [1.0 if not any(levels) else float("nan") for levels in candidates]

    search = Search(generations=2, offspring=16)
    found = evolve(steps, fitness, list(range(8)), search, random.Random(0))
    assert calls == [(1, 8), (16, 1), (4, 4), (2, 8), (16, 1), (4, 4), (2, 8)]
    assert found == (0,) * 6


def test_a_model_that_overflows_is_a_clear_error() -> None:
    with pytest.raises(PruningError, match=r"NaN or Inf.*dtype float32"):
        evolve(
            ladder([1000] * 3, 0.5),
            lambda candidates, chosen: [float("nan")] * len(candidates),
            [0],
            Search(),
            random.Random(0),
        )
