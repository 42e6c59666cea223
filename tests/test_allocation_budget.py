"""Exact totals for every sparsity and every collection of matrices, and nothing out of bounds."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssgr.errors import ConfigError
from ssgr.pruning.allocation.budget import CEILING, round_to, spread, uniform_zeros
from ssgr.pruning.allocation.method import share
from ssgr.pruning.masks import zeros_among

SIZES = st.lists(st.integers(1, 5_000), min_size=1, max_size=12)
SPARSITY = st.floats(0, 0.9)


@given(SIZES, st.floats(0, 0.999999))
def test_uniform_is_exact_and_within_one_weight_of_the_share(
    sizes: list[int], sparsity: float
) -> None:
    zeros = uniform_zeros(sizes, sparsity)
    assert sum(zeros) == zeros_among(sum(sizes), sparsity)
    for count, size in zip(zeros, sizes, strict=True):
        assert abs(count - sparsity * size) < 1.001
        assert zeros_among(size, share(count, size, sparsity)) == count


@given(st.data(), st.lists(st.integers(100, 5_000), min_size=1, max_size=12), SPARSITY)
@settings(deadline=None)
@pytest.mark.parametrize("by", ["shift", "scale"])
def test_wishes_are_met_exactly_within_bounds(
    by: str, data: st.DataObject, sizes: list[int], sparsity: float
) -> None:
    wishes = data.draw(
        st.lists(st.floats(0.01, 3), min_size=len(sizes), max_size=len(sizes)), "wishes"
    )
    zeros = spread(wishes, sizes, sparsity, by="scale" if by == "scale" else "shift")
    assert sum(zeros) == zeros_among(sum(sizes), sparsity)
    for count, size in zip(zeros, sizes, strict=True):
        assert 0 <= count <= CEILING * size
        assert 0 <= share(count, size, sparsity) <= CEILING or count / size == sparsity
        assert zeros_among(size, share(count, size, sparsity)) == count


@given(st.data(), SIZES, SPARSITY)
@settings(deadline=None)
def test_a_larger_wish_never_gets_a_smaller_share(
    data: st.DataObject, sizes: list[int], sparsity: float
) -> None:
    sizes = [size + 100 for size in sizes]
    wishes = data.draw(st.lists(st.floats(0, 1), min_size=len(sizes), max_size=len(sizes)))
    zeros = spread(wishes, sizes, sparsity)
    ranked = sorted(range(len(sizes)), key=lambda i: wishes[i])
    shares = [zeros[i] / sizes[i] for i in ranked]
    finest = 1.001 / min(sizes)  # rounding, and a ceiling that is cut to whole weights
    assert all(a <= b + 2 * finest for a, b in itertools.pairwise(shares))


def test_wishes_that_meet_the_total_are_kept() -> None:
    assert spread([0.2, 0.5, 0.8], [1000, 1000, 1000], 0.5) == [200, 500, 800]
    assert spread([0.4, 1.0, 1.6], [1000, 1000, 1000], 0.5, by="scale") == [200, 500, 800]


def test_what_one_matrix_cannot_take_goes_to_the_others() -> None:
    assert spread([0.1, 0.1, 2.0], [1000, 1000, 1000], 0.5) == [255, 255, 990]
    assert spread([-5.0, 0.5, 0.5], [1000, 1000, 1000], 0.4) == [0, 600, 600]
    assert spread([1.0, 1.0, 9.0], [1000, 1000, 1000], 0.5, by="scale") == [255, 255, 990]


def test_largest_remainders_are_rounded_up_and_ties_go_to_the_first() -> None:
    assert round_to([1.5, 2.7, 0.8], [9, 9, 9], 5) == [1, 3, 1]
    assert round_to([0.5, 0.5, 0.5, 0.5], [9] * 4, 2) == [1, 1, 0, 0]
    assert round_to([1.0, 1.0, 1.0], [9] * 3, 2) == [1, 1, 0]
    assert round_to([1.0, 1.0], [1, 5], 4) == [1, 3]


def test_no_room_is_a_clear_error() -> None:
    with pytest.raises(ConfigError, match=r"sparsity 99\.5 % takes 995 of 1000.*'uniform'"):
        spread([0.5], [1000], 0.995)
    assert uniform_zeros([1000], 0.995) == [995]
