"""How many operations the problems of each kind have: the only knob of their difficulty.

Set once, from the dense model's measured difficulty alone (resources/abacus/LOG.md), before any
pruned model was scored; changing it changes every benchmark.
"""

from dataclasses import dataclass

from recipe.stories import Role


@dataclass(frozen=True)
class Composition:
    """A kind of problems: its role (which questions it may hold) and weights of each level."""

    role: Role
    weights: tuple[tuple[int, float], ...]


LEVELS: dict[str, Composition] = {
    "stories": Composition("stories", tuple((level, 1.0) for level in range(1, 10))),
    "easy": Composition("easy", ((1, 1.0), (2, 1.0))),
    "medium": Composition("medium", ((4, 1.0), (5, 1.0), (6, 1.0))),
    "hard": Composition("hard", ((9, 1.0), (10, 1.0))),
    "choice": Composition("choice", ((1, 1.0), (2, 1.0), (3, 1.0))),
}
