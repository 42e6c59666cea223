"""The steps on which a search moves sparsity between matrices, with every total the same.

All steps are whole multiples of one number of weights (the unit), whatever the sizes of the
matrices: taking a step up here and steps worth as much down elsewhere never changes the total.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from ssgr.pruning.allocation.budget import CEILING, ceilings, spread

Levels = tuple[int, ...]  # of each matrix; all 0 is uniform
Group = tuple[int, ...]  # matrices, by position

STEPS = 5  # on either side of uniform
# A step moves at most a tenth of the zeros.
SHARE = 0.1
# EvoPress: exchanges of one mutation are the smaller of two draws from 1 to this.
EXCHANGES = 3
ATTEMPTS = 50


@dataclass(frozen=True)
class Ladder:
    """Matrix i has ``base[i] + level * worth[i] * unit`` zeros at a level.

    Groups of matrices move together; each of ``partitions`` has every matrix in one group.
    """

    base: tuple[int, ...]
    worth: tuple[int, ...]  # units in a step
    unit: int  # weights
    lowest: tuple[int, ...]  # levels
    highest: tuple[int, ...]
    partitions: tuple[tuple[Group, ...], ...]

    def zeros(self, matrix: int, level: int) -> int:
        """Return the zeros of a matrix at a level."""
        return self.base[matrix] + level * self.worth[matrix] * self.unit

    def all_zeros(self, levels: Levels) -> list[int]:
        """Return the zeros of every matrix."""
        return [self.zeros(matrix, level) for matrix, level in enumerate(levels)]

    def may_move(self, group: Group, levels: list[int], way: int) -> bool:
        """Return whether all matrices of a group have a level above (1) or below (-1) theirs."""
        return all(self.lowest[i] <= levels[i] + way <= self.highest[i] for i in group)

    def cost(self, group: Group) -> int:
        """Return the units of zeros in a step of all matrices of a group."""
        return sum(self.worth[i] for i in group)


def ladder(sizes: Sequence[int], sparsity: float, *labels: Sequence[object]) -> Ladder:
    """Return levels around uniform: a step is near a tenth of a matrix' zeros.

    It is smaller where ``STEPS`` of them would leave less than 1 - CEILING of the matrix. A larger
    matrix has steps as many units larger as it is larger than the smallest, rounded.

    Args:
        sizes: weights of each matrix.
        sparsity: share of zeros among all weights.
        labels: for each further partition, a label per matrix: equal ones are a group.

    Raises:
        ConfigError: the sparsity is above CEILING.
    """
    base, limits = spread([sparsity] * len(sizes), sizes, sparsity), ceilings(sizes)
    smallest = min(sizes)
    step = smallest * min(SHARE * sparsity, max(CEILING - sparsity, 0) / STEPS)
    unit = max(1, int(step + 1e-6))
    worth = [round(size / smallest) for size in sizes]
    steps = [unit * one for one in worth]
    lowest = [-min(STEPS, zeros // step) for zeros, step in zip(base, steps, strict=True)]
    highest = [
        min(STEPS, (limit - zeros) // step)
        for zeros, limit, step in zip(base, limits, steps, strict=True)
    ]
    partitions = tuple(_partition(one) for one in (range(len(sizes)), *labels))
    return Ladder(tuple(base), tuple(worth), unit, tuple(lowest), tuple(highest), partitions)


def _partition(labels: Sequence[object]) -> tuple[Group, ...]:
    groups: dict[object, list[int]] = {}
    for position, label in enumerate(labels):
        groups.setdefault(label, []).append(position)
    return tuple(tuple(group) for group in groups.values())


def lines(steps: Ladder, blocks: Sequence[int]) -> list[Levels]:
    """Return levels that rise or fall with depth by a straight line, where the total allows it.

    ``blocks`` gives the block of each matrix. A line from -k to k is rounded symmetrically, so that
    blocks of equal size keep the total.
    """
    middle = max(blocks) / 2 or 1
    found = []
    for height in (k for k in range(-STEPS, STEPS + 1) if k):
        levels = tuple(round(height * (block - middle) / middle) for block in blocks)
        balance = sum(level * worth for level, worth in zip(levels, steps.worth, strict=True))
        rungs = zip(steps.lowest, levels, steps.highest, strict=True)
        if balance == 0 and any(levels) and all(low <= one <= high for low, one, high in rungs):
            found.append(levels)
    return found


def mutate(levels: Levels, steps: Ladder, draw: random.Random) -> Levels | None:
    """Return levels after a few random exchanges that leave the total alone; None if none fits."""
    for _ in range(ATTEMPTS):
        child = list(levels)
        count = min(draw.randint(1, EXCHANGES), draw.randint(1, EXCHANGES))
        if all([_exchange(child, steps, draw) for _ in range(count)]) and tuple(child) != levels:
            return tuple(child)
    return None


def _exchange(levels: list[int], steps: Ladder, draw: random.Random) -> bool:
    """Move one group a step up or down and others back by as much; False if they cannot.

    What groups of the same partition cannot give back exactly, single matrices do.
    """
    way = draw.choice((-1, 1))
    partition = draw.choice(steps.partitions)
    free = [group for group in partition if steps.may_move(group, levels, way)]
    if not free:
        return False
    first = draw.choice(free)
    _move(levels, first, way)
    owed = steps.cost(first)
    while owed:
        able = _able(partition, first, owed, levels, steps, -way) or _able(
            steps.partitions[0], first, owed, levels, steps, -way
        )
        if not able:
            return False
        other = draw.choice(able)
        _move(levels, other, -way)
        owed -= steps.cost(other)
    return True


def _able(
    partition: Sequence[Group], first: Group, owed: int, levels: list[int], steps: Ladder, way: int
) -> list[Group]:
    """Return the groups apart from the first that can move and give back no more than is owed."""
    return [
        group
        for group in partition
        if steps.cost(group) <= owed
        and steps.may_move(group, levels, way)
        and not set(group) & set(first)
    ]


def _move(levels: list[int], group: Group, way: int) -> None:
    for i in group:
        levels[i] += way
