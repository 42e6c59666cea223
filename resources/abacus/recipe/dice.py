"""Random choices that are the same on every platform and under every Python.

Only `random.Random.random` promises the same sequence for ever, so every other draw is built on it.
"""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """A seeded source of choices; the key is any text, and equal keys give equal draws."""

    def __init__(self, key: str) -> None:
        """Seed with text, which Python hashes by SHA-512 whatever the platform."""
        self._random = random.Random(key)

    def integer(self, low: int, high: int) -> int:
        """Draw from low..high, both included."""
        return low + int(self._random.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """Be true with the given probability."""
        return self._random.random() < probability

    def pick(self, options: Sequence[T]) -> T:
        """Draw one element."""
        return options[self.integer(0, len(options) - 1)]

    def weighted(self, options: Sequence[tuple[T, float]]) -> T:
        """Draw one of (value, weight) pairs; weights need not sum to one."""
        mark = self._random.random() * sum(weight for _, weight in options)
        for value, weight in options:
            mark -= weight
            if mark < 0:
                return value
        return options[-1][0]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Return the elements in random order (Fisher-Yates)."""
        deck = list(items)
        for last in range(len(deck) - 1, 0, -1):
            other = self.integer(0, last)
            deck[last], deck[other] = deck[other], deck[last]
        return deck
