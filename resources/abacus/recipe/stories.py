"""Seeded word problems: chains of one to eight operations on a number, told as a story.

Every question belongs to exactly one role, by a hash of its text, so that training, calibration
source and benchmarks can never share a problem, whatever their seeds.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from recipe.dice import Dice
from recipe.phrases import HELD_OUT, TRAINED, Domain

Kind = Literal["add", "take", "times", "share"]
Role = Literal["training", "stories", "easy", "medium", "hard", "choice"]
LARGEST = 999


@dataclass(frozen=True)
class Step:
    """One operation of the chain; `number` is `groups` x `size` where the sentence says so."""

    kind: Kind
    number: int
    before: int
    after: int
    sentence: str
    groups: int = 0
    size: int = 0

    @property
    def operations(self) -> int:
        """Count the arithmetic operations: two if the number must first be multiplied out."""
        return 2 if self.groups else 1


@dataclass(frozen=True)
class Story:
    """A problem before it is written down: the chain and the question that tells it."""

    domain: str
    actor: str
    items: str
    start: int
    steps: tuple[Step, ...]
    question: str

    @property
    def answer(self) -> int:
        """Return the last value of the chain."""
        return self.steps[-1].after

    @property
    def level(self) -> int:
        """Count the operations of the whole chain."""
        return sum(step.operations for step in self.steps)


def role_of(question: str) -> Role:
    """Return the only role of this question, by its hash mod 8: 0 benchmarks, 1 the source."""
    mark = int.from_bytes(hashlib.sha256(question.encode()).digest()[:8], "big")
    if mark % 8 > 1:
        return "training"
    if mark % 8 == 1:
        return "stories"
    roles: tuple[Role, ...] = ("easy", "medium", "hard", "choice")
    return roles[mark // 8 % 4]


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _draw_kind(dice: Dice, value: int) -> tuple[Kind, int, int, int]:
    """Draw one feasible operation on a value: (kind, number, groups, size)."""
    divisors = [k for k in range(2, 7) if value % k == 0 and value // k >= 3]
    factors = [k for k in range(2, 7) if value * k <= LARGEST]
    options: list[tuple[str, float]] = [("add", 3.0 if value < 800 else 0.0)]
    options += [("take", 3.0 if value > 12 else 0.0)]
    options += [("times", 2.0 if factors and value < 200 else 0.3 if factors else 0.0)]
    options += [("share", (4.0 if value > 60 else 2.0) if divisors else 0.0)]
    options += [("add_groups", 0.7 if value < 800 else 0.0)]
    options += [("take_groups", 0.7 if value > 90 else 0.0)]
    choice = dice.weighted(options)
    if choice == "times":
        return "times", dice.pick(factors), 0, 0
    if choice == "share":
        return "share", dice.pick(divisors), 0, 0
    if choice in ("add_groups", "take_groups"):
        groups, size = dice.integer(2, 9), dice.integer(2, 9)
        return ("add" if choice == "add_groups" else "take"), groups * size, groups, size
    if choice == "add":
        return "add", dice.integer(2, 99 if dice.chance(0.8) else 199), 0, 0
    return "take", dice.integer(2, min(value - 3, 99 if dice.chance(0.7) else 299)), 0, 0


_APPLY = {
    "add": lambda value, number: value + number,
    "take": lambda value, number: value - number,
    "times": lambda value, number: value * number,
    "share": lambda value, number: value // number,
}


def _step(dice: Dice, domain: Domain, names: dict[str, str], value: int) -> Step:
    kind, number, groups, size = _draw_kind(dice, value)
    phrases = {
        "add": domain.add_groups if groups else domain.add,
        "take": domain.take_groups if groups else domain.take,
        "times": domain.times,
        "share": domain.share,
    }[kind]
    sentence = dice.pick(phrases).format(k=number, g=groups, s=size, **names)
    after = _APPLY[kind](value, number)
    return Step(kind, number, value, after, _capital(sentence), groups, size)


def draw_story(key: str, level: int, domains: tuple[Domain, ...] = TRAINED) -> Story:
    """Draw a story of exactly `level` operations; equal keys give equal stories."""
    dice = Dice(key)
    domain = dice.pick(domains)
    actor, other = dice.shuffled(domain.actors)[:2]
    names = {"n": actor, "o": other, "i": dice.pick(domain.items)}
    value = start = dice.integer(5, 99)
    sentences = [_capital(dice.pick(domain.start).format(k=start, **names))]
    steps: list[Step] = []
    done = 0
    while done < level:
        step = _step(dice, domain, names, value)
        if done + step.operations > level:
            continue
        steps.append(step)
        sentences.append(step.sentence)
        value, done = step.after, done + step.operations
    if dice.chance(0.2):  # a number that has nothing to do with the question
        extra = dice.pick(domain.extra).format(k=dice.integer(2, 60), **names)
        sentences.insert(dice.integer(1, len(sentences)), _capital(extra))
    sentences.append(_capital(dice.pick(domain.ask).format(**names)))
    return Story(domain.name, actor, names["i"], start, tuple(steps), " ".join(sentences))


def options_for(story: Story, key: str) -> tuple[list[int], str]:
    """Return four distinct options in random order and the letter of the right one.

    Wrong options are what mistakes would give: an operation left out or misread, a slipped digit.
    """
    dice = Dice(f"{key}/options")
    answer, last = story.answer, story.steps[-1]
    slips = [last.before, answer + 10, answer - 10, answer + 1, answer - 1, answer + last.number]
    slips += [answer - last.number, answer + 100, answer * 2, answer + 2, answer + 20]
    wrong: list[int] = []
    for slip in dice.shuffled(slips):
        if slip > 0 and slip != answer and slip not in wrong:
            wrong.append(slip)
    values = dice.shuffled([answer, *wrong[:3]])
    return values, "ABCD"[values.index(answer)]


def with_options(question: str, values: list[int]) -> str:
    """Write a question with its options, one a line."""
    lines = [f"{letter}) {value}" for letter, value in zip("ABCD", values, strict=True)]
    return "\n".join([question, *lines])


def draw_levels(levels: tuple[tuple[int, float], ...], key: str) -> int:
    """Draw the number of operations of a problem."""
    return Dice(f"{key}/level").weighted(levels)


def stream(
    role: Role,
    seed: int,
    levels: tuple[tuple[int, float], ...],
    domains: tuple[Domain, ...] = TRAINED,
) -> Iterator[tuple[str, Story]]:
    """Yield (key, story) of one role without end; a longer draw only extends a shorter one."""
    number = 0
    while True:
        level = draw_levels(levels, f"{role}/{seed}/{number}")
        attempt = 0
        while True:
            key = f"{role}/{seed}/{number}/{attempt}"
            story = draw_story(key, level, domains)
            if role_of(story.question) == role:
                break
            attempt += 1
        yield key, story
        number += 1


__all__ = [
    "HELD_OUT",
    "TRAINED",
    "Role",
    "Step",
    "Story",
    "draw_story",
    "options_for",
    "role_of",
    "stream",
    "with_options",
]
